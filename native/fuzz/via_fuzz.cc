// libFuzzer entry for the Via reader: the input is the value of one Via line, which may hold several. Built with
// SIP_ASYNC_FUZZ_STANDALONE it replays the files and folders that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz/check.h"
#include "sip/header_index.h"
#include "sip/scan.h"
#include "sip/via.h"

namespace {

using namespace sip_async::sip;
using sip_async::fuzz::require;
using sip_async::fuzz::require_inside;
using sip_async::fuzz::require_via;

void check_good(const char* data, const ViaIndex& via) {
  const std::string_view host = via.host.of(data);
  require(!host.empty() && host.find_first_of(" \t\r\n;,<>\"=") == std::string_view::npos);
  require(host[0] == '[' || host.find(':') == std::string_view::npos);
  require(host[0] != '[' || host.find(']') == host.size() - 1);
  require(via.sent_by.of(data).substr(0, host.size()) == host);
  require(via.branch.of(data).find_first_of(" \t\r\n;,\"") == std::string_view::npos);
  require(via.rport_at == 0 || via.has_rport);
  require(!via.has_rport || via.rport_at == 0 ||
          scan::equals_ignoring_case({data + via.rport_at - 5, 5}, "rport"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size > kMaxMessageBytes) return 0;
  const char* data = reinterpret_cast<const char*>(bytes);
  size_t at = 0;
  ViaIndex first;
  const bool is_good = read_first_via(data, at, size, first);
  require(at <= size);
  require_via(first, 0, size);
  if (is_good) {
    check_good(data, first);
    require(at == size || data[at] == ',');
  }

  // Value by value, each of which reads the same by itself.
  const Slice list{0, static_cast<uint16_t>(size)};
  uint16_t next = 0;
  for (uint16_t last = 0;; last = next) {
    Slice value;
    if (!next_value(data, list, next, value)) break;
    require(next > last && next <= size && !value.empty());
    ViaIndex via;
    const bool is_via = read_via(data, value, via);
    require_inside(value, 0, size);
    require_via(via, value.offset, size_t{value.offset} + value.length);
    if (is_via) check_good(data, via);
  }
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
