// libFuzzer entry for the header index and the guard: any bytes in, every slice inside the message, or a
// trap. Built with SIP_ASYNC_FUZZ_STANDALONE it replays the files that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "sip/guard.h"
#include "sip/header_index.h"

namespace {

using namespace sip_async::sip;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void require_inside(Slice slice, size_t begin, size_t end) {
  require(slice.empty() || (slice.offset >= begin && size_t{slice.offset} + slice.length <= end));
  require(size_t{slice.offset} + slice.length <= end);
}

void require_via(const ViaIndex& via, size_t begin, size_t end) {
  for (Slice slice : {via.value, via.sent_by, via.host, via.branch, via.received})
    require_inside(slice, begin, end);
  require(via.rport_at == 0 || (via.rport_at > begin && via.rport_at <= end));
}

void require_address(const AddressIndex& address, size_t size) {
  require_inside(address.value, 0, size);
  size_t begin = address.value.offset;
  size_t end = begin + address.value.length;
  for (Slice slice : {address.uri, address.user, address.tag}) require_inside(slice, begin, end);
}

void walk_values(const char* data, Slice list) {
  size_t end = size_t{list.offset} + list.length;
  uint16_t at = 0;
  for (uint16_t last = 0;; last = at) {
    Slice value;
    if (!next_value(data, list, at, value)) return;
    require(at > last && at <= list.length && !value.empty());
    require_inside(value, list.offset, end);
    ViaIndex via;
    read_via(data, value, via);
    require_via(via, value.offset, size_t{value.offset} + value.length);
  }
}

void walk_headers(const char* data, size_t size, const MessageIndex& index) {
  HeaderLine line;
  size_t lines = 0;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    require(line.end > at && line.end <= size);
    require_inside(line.name, at, line.end);
    require_inside(line.value, at, line.end);
    walk_values(data, line.value);
    ++lines;
  }
  require(lines == index.header_count);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const char* data = reinterpret_cast<const char*>(bytes);
  MessageIndex index;
  IndexStatus status = index_message(data, size, {}, index);
  require(status == index.status && status < IndexStatus::kHostile);
  if (status == IndexStatus::kTooLarge && size > kMaxMessageBytes) return 0;
  for (Slice slice : {index.method_name, index.ruri, index.reason, index.call_id, index.cseq, index.contact,
                      index.user_agent, index.body}) {
    require_inside(slice, 0, size);
  }
  require(index.headers_at <= size);
  require_via(index.via, 0, size);
  require_address(index.from, size);
  require_address(index.to, size);
  if (status != IndexStatus::kKeepAlive) walk_headers(data, size, index);
  is_answerable(index);
  IndexStatus guarded = guard_message(data, size, index);
  require(guarded == status || (status == IndexStatus::kOk && guarded == IndexStatus::kHostile));
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
