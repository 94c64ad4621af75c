// What the payload blocks of a slot hold.
#pragma once

#include <cstdint>

#include "core/payload_pool.h"
#include "sip/hop.h"

namespace sip_async::sip {

// A message as it came in, with its index; the raw bytes follow.
struct StoredMessage {
  MessageIndex index;
  Hop from;
  uint32_t size;

  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

// The variables of a transaction; the bytes follow.
struct StoredVariables {
  uint32_t size;

  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

// A reply as it was sent; the raw bytes follow.
struct StoredReply {
  Hop to;
  uint32_t size;
  uint16_t code;

  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

inline StoredMessage& message_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredMessage*>(pool.data(ref));
}
inline StoredVariables& variables_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredVariables*>(pool.data(ref));
}
inline StoredReply& reply_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredReply*>(pool.data(ref));
}

}  // namespace sip_async::sip
