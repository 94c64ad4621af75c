// libFuzzer entry for the header index: any bytes in, every slice inside the message, or a trap. Built with
// SIP_ASYNC_FUZZ_STANDALONE it replays the files and folders that are named as arguments.
#include <cstddef>
#include <cstdint>

#include "fuzz/check.h"
#include "sip/header_index.h"

namespace {

using namespace sip_async::sip;
using sip_async::fuzz::require;
using sip_async::fuzz::require_inside;
using sip_async::fuzz::require_via;

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
  // The same message with limits that it keeps to by a hair, and by a hair does not.
  if (status != IndexStatus::kOk || index.header_count == 0) return 0;
  IndexLimits limits;
  limits.max_headers = index.header_count;
  limits.max_vias = index.via_count;
  limits.max_message_bytes = static_cast<uint32_t>(size);
  MessageIndex again;
  require(index_message(data, size, limits, again) == IndexStatus::kOk);
  --limits.max_headers;
  require(index_message(data, size, limits, again) == IndexStatus::kTooManyHeaders);
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
