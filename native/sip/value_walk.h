// Walks over the values of one header, whether they stand on one line or on several (RFC 3261 section 7.3.1).
#pragma once

#include <cstddef>
#include <cstdint>

#include "sip/header_index.h"

namespace sip_async::sip {

class ValueWalk {
 public:
  ValueWalk(const char* data, size_t size, const MessageIndex& index, HeaderId id)
      : data_(data), size_(size), id_(id), next_line_(index.headers_at) {}

  // The next value without surrounding white space; false when there is none left.
  bool next(Slice& value) {
    for (;;) {
      if (next_value(data_, line_, at_, value)) return true;
      if (!next_line()) return false;
    }
  }

 private:
  bool next_line() {
    HeaderLine line;
    while (next_header(data_, size_, next_line_, line)) {
      next_line_ = line.end;
      if (line.id != id_) continue;
      line_ = line.value;
      at_ = 0;
      return true;
    }
    line_ = Slice{};
    return false;
  }

  const char* data_;
  size_t size_;
  HeaderId id_;
  uint16_t next_line_;
  Slice line_;
  uint16_t at_ = 0;
};

}  // namespace sip_async::sip
