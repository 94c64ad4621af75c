// Writes messages into a buffer of fixed size, and what replies and requests write alike.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sip/address.h"
#include "sip/header_index.h"

namespace sip_async::sip {

// Appends within bounds; once something did not fit, nothing is written any more.
class Writer {
 public:
  Writer(char* out, size_t capacity) : begin_(out), at_(out), end_(out + capacity) {}
  Writer& put(std::string_view text) {
    if (static_cast<size_t>(end_ - at_) < text.size()) {
      full_ = true;
      end_ = at_;
      return *this;
    }
    if (!text.empty()) memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Writer& put_number(size_t number) {
    char text[20];
    return put({text, static_cast<size_t>(std::to_chars(text, text + sizeof text, number).ptr - text)});
  }
  size_t size() const { return full_ ? 0 : static_cast<size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
  char* end_;
  bool full_ = false;
};

// The bytes of a message from one offset to another.
inline std::string_view between(const char* data, size_t begin, size_t end) {
  return {data + begin, end - begin};
}

// The value of the first Via line, with received and rport in its topmost value as they are due: rport where it was asked
// for, received with it and where the sent-by is not the source (RFC 3261 section 18.2.1, RFC 3581 section 4). Values that
// follow on the line are written as they are. `via` is MessageIndex::via.
inline void put_top_via(Writer& writer, const char* data, const ViaIndex& via, Slice line,
                        const Address& from) {
  const size_t line_end = size_t{line.offset} + line.length;
  const size_t value_end = size_t{via.value.offset} + via.value.length;
  char host_text[INET6_ADDRSTRLEN];
  const std::string_view source(host_text, from.write_host(host_text));
  if (via.value.empty() || via.value.offset < line.offset || value_end > line_end || source.empty()) {
    writer.put(line.of(data));
    return;
  }
  std::string_view sent_by_host = via.host.of(data);
  if (sent_by_host.size() > 2 && sent_by_host.front() == '[') {
    sent_by_host = sent_by_host.substr(1, sent_by_host.size() - 2);
  }
  if (via.rport_at != 0) {
    writer.put(between(data, line.offset, via.rport_at)).put("=").put_number(from.port);
    writer.put(between(data, via.rport_at, value_end));
  } else {
    writer.put(between(data, line.offset, value_end));
  }
  if (via.received.empty() && (via.has_rport || sent_by_host != source)) writer.put(";received=").put(source);
  writer.put(between(data, value_end, line_end));
}

// The end of a message: Content-Length, the empty line, the body.
inline void put_body(Writer& writer, std::string_view body) {
  writer.put("Content-Length: ").put_number(body.size()).put("\r\n\r\n").put(body);
}

}  // namespace sip_async::sip
