// libFuzzer entry for the guard. Half of the inputs are whole messages; the others are header lines that are put into a
// good message, so that they get past the index. What the guard lets pass must keep to what guard.h says. Built with
// SIP_ASYNC_FUZZ_STANDALONE it replays the files and folders that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "sip/guard.h"
#include "sip/scan.h"

namespace {

using namespace sip_async::sip;
using sip_async::fuzz::require;

constexpr std::string_view kHead =
    "OPTIONS sip:bob@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP h.example.com;branch=z9hG4bK1\r\n"
    "From: <sip:alice@example.com>;tag=1\r\n"
    "To: <sip:bob@example.com>\r\n"
    "Call-ID: 1@h\r\n"
    "CSeq: 1 OPTIONS\r\n";

bool contains_ignoring_case(std::string_view text, std::string_view lower) {
  for (size_t at = 0; at + lower.size() <= text.size(); ++at) {
    if (scan::equals_ignoring_case(text.substr(at, lower.size()), lower)) return true;
  }
  return false;
}

// A parameter of exactly this name: what goes on behind it is another name, in the parser's eyes as in the index's.
bool has_param(std::string_view text, std::string_view lower) {
  for (size_t at = 0; at + lower.size() < text.size(); ++at) {
    if (text[at] != ';' || !scan::equals_ignoring_case(text.substr(at + 1, lower.size()), lower)) continue;
    const size_t behind = at + 1 + lower.size();
    if (behind == text.size() || !scan::is_a(text[behind], scan::kToken)) return true;
  }
  return false;
}

// Written anew and without the guard's own helpers: what the parser may never be given.
void require_tame(std::string_view head, const MessageIndex& index, const char* data, size_t size) {
  for (size_t at = 0; at < head.size(); ++at) {
    const char c = head[at];
    require(c == '\t' || c == '\r' || c == '\n' || !scan::is_control(c));
    require(c != '\n' || (at > 0 && head[at - 1] == '\r'));
  }
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    const std::string_view name = line.name.of(data);
    require(!contains_ignoring_case(name, "%0d") && !contains_ignoring_case(name, "%0a"));
    require(!scan::equals_ignoring_case(name, "__proto__") &&
            !scan::equals_ignoring_case(name, "constructor"));
    const std::string_view value = line.value.of(data);
    if (line.id == HeaderId::kVia || line.id == HeaderId::kFrom || line.id == HeaderId::kTo) {
      require(!has_param(value, "__proto__"));
      if (line.id != HeaderId::kVia && value.rfind('<') != std::string_view::npos)
        require(value.find('>', value.rfind('<')) != std::string_view::npos);
    }
    if (line.id == HeaderId::kRecordRoute || line.id == HeaderId::kRoute) {
      require(value.find("sip") != std::string_view::npos && value.find("<") != std::string_view::npos);
    }
  }
}

void check(const char* data, size_t size) {
  MessageIndex index;
  const IndexStatus status = index_message(data, size, {}, index);
  const IndexStatus guarded = guard_message(data, size, index);
  require(guarded == status || (status == IndexStatus::kOk && guarded == IndexStatus::kHostile));
  if (guarded == IndexStatus::kOk) require_tame({data, index.body.offset}, index, data, size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  check(input.data(), input.size());
  if (size + kHead.size() + 4 > kMaxMessageBytes) return 0;
  std::string text(kHead);
  text.append(input).append("\r\n\r\n");
  // A block of exactly this size, so that a read behind its end is seen.
  const std::vector<char> own(text.begin(), text.end());
  check(own.data(), own.size());
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
