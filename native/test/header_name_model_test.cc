// Header names against a list that is gone through, for names that are nearly known ones. A run prints its seed;
// SIP_ASYNC_TEST_SEED repeats it.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sip/header_index.h"
#include "test/support/seed.h"

using namespace sip_async;
using sip::HeaderId;

namespace {

const std::vector<std::pair<std::string_view, HeaderId>> kNames = {
    {"via", HeaderId::kVia},
    {"v", HeaderId::kVia},
    {"from", HeaderId::kFrom},
    {"f", HeaderId::kFrom},
    {"to", HeaderId::kTo},
    {"t", HeaderId::kTo},
    {"call-id", HeaderId::kCallId},
    {"i", HeaderId::kCallId},
    {"cseq", HeaderId::kCseq},
    {"contact", HeaderId::kContact},
    {"m", HeaderId::kContact},
    {"max-forwards", HeaderId::kMaxForwards},
    {"content-length", HeaderId::kContentLength},
    {"l", HeaderId::kContentLength},
    {"content-type", HeaderId::kContentType},
    {"c", HeaderId::kContentType},
    {"route", HeaderId::kRoute},
    {"record-route", HeaderId::kRecordRoute},
    {"user-agent", HeaderId::kUserAgent},
    {"expires", HeaderId::kExpires},
    {"supported", HeaderId::kSupported},
    {"k", HeaderId::kSupported},
    {"require", HeaderId::kRequire},
    {"proxy-require", HeaderId::kProxyRequire},
    {"reason", HeaderId::kReason},
    {"timestamp", HeaderId::kTimestamp},
};

HeaderId naive_id(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const auto& [known, id] : kNames) {
    if (lower == known) return id;
  }
  return HeaderId::kOther;
}

std::string nearly_known(test::Random& random) {
  std::string name(kNames[random.below(kNames.size())].first);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z' && random.one_in(2)) c = static_cast<char>(c - 'a' + 'A');
  }
  for (uint64_t edits = random.below(3); edits > 0; --edits) {
    const size_t at = random.below(name.size() + 1);
    if (random.one_in(3)) {
      name.insert(at, 1, static_cast<char>(random.below(256)));
    } else if (at < name.size()) {
      if (random.one_in(4)) {
        name.erase(at, 1);
      } else {
        name[at] =
            random.one_in(2) ? static_cast<char>(name[at] ^ 0x20) : static_cast<char>(random.below(256));
      }
    }
  }
  return name;
}

bool is_token(std::string_view name) {
  for (char c : name) {
    const bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!is_alnum && std::string_view("-.!%*_+`'~").find(c) == std::string_view::npos) return false;
  }
  return !name.empty();
}

}  // namespace

TEST_CASE("a header name is one of the list, in any case, or none") {
  test::Random random(1);
  size_t known = 0;
  for (int round = 0; round < 200'000; ++round) {
    const std::string name = nearly_known(random);
    const HeaderId id = naive_id(name);
    known += id != HeaderId::kOther;
    if (sip::header_id(name) != id) FAIL("other than the list says: " << name);
    if (!is_token(name)) continue;

    // In a line of its own, as short as can be or with more behind it.
    const std::string space(random.one_in(4) ? random.below(3) : 0, ' ');
    const std::string value(random.one_in(3) ? 0 : random.below(40), 'x');
    const std::string line = name + space + ":" + value + "\r\n" + (random.one_in(2) ? "\r\n" : "");
    const std::vector<char> block(line.begin(), line.end());
    sip::HeaderLine read;
    if (!sip::next_header(block.data(), block.size(), 0, read)) FAIL("no line: " << line);
    if (read.id != id || read.name.of(block.data()) != name || read.value.of(block.data()) != value)
      FAIL("read otherwise: " << line);
  }
  CHECK(known > 10'000);
}
