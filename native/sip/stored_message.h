// What the payload blocks of a slot hold.
#pragma once

#include <cstdint>

#include "core/payload_pool.h"
#include "sip/address.h"
#include "sip/header_index.h"

namespace sip_async::sip {

// A request with its index; the raw bytes follow.
struct StoredRequest {
  MessageIndex index;
  Address from;
  uint32_t size;
  uint16_t socket;  // number of the socket it came in by; replies leave by the same

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
  Address to;
  uint32_t size;
  uint16_t socket;
  uint16_t code;

  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

inline StoredRequest& request_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredRequest*>(pool.data(ref));
}
inline StoredVariables& variables_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredVariables*>(pool.data(ref));
}
inline StoredReply& reply_in(core::PayloadPool& pool, core::PayloadRef ref) {
  return *reinterpret_cast<StoredReply*>(pool.data(ref));
}

}  // namespace sip_async::sip
