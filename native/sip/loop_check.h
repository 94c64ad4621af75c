// Tells a loop, a request that comes back as it was, from a spiral, one that comes back changed (RFC 3261 sections 16.3
// item 4 and 16.6 step 8). The branch of our Via ends with a mark, a keyed hash over all that a decision where to send
// the request may rest on; a request that carries its own mark has been here before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sip/header_index.h"

namespace sip_async::sip {

// Over the Request-URI as it came, From tag, To tag, Call-ID, CSeq number, Proxy-Require, Proxy-Authorization and all Route
// values. The topmost Via is no part of it: in a loop it is another one each time.
uint64_t loop_hash(uint64_t key0, uint64_t key1, const char* data, size_t size, const MessageIndex& index,
                   std::string_view ruri);

// Whether a Via of the message, whichever, has a branch that ends with `mark`. Linear, no allocation.
bool is_looped(const char* data, size_t size, const MessageIndex& index, std::string_view mark);

// Marks with a key of its own, so that nobody else can make one.
class LoopCheck {
 public:
  static constexpr size_t kMarkBytes = 17;  // '.' and 16 hexadecimal digits

  // Draws a fresh key from the system.
  LoopCheck();
  LoopCheck(uint64_t key0, uint64_t key1) : key0_(key0), key1_(key1) {}

  // `out` has room for kMarkBytes.
  void write_mark(const char* data, size_t size, const MessageIndex& index, char* out) const;
  bool is_looped(const char* data, size_t size, const MessageIndex& index) const;

 private:
  uint64_t key0_, key1_;
};

}  // namespace sip_async::sip
