// A fresh key for a keyed hash, from the system.
#pragma once

#include <sys/random.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace sip_async::core {

// Waits for the system to have random numbers: a key must not be all zero because it was drawn too early.
inline void draw_key(uint64_t& key0, uint64_t& key1) {
  uint64_t keys[2];
  size_t have = 0;
  while (have < sizeof keys) {
    const ssize_t got = getrandom(reinterpret_cast<char*>(keys) + have, sizeof keys - have, 0);
    if (got > 0) have += static_cast<size_t>(got);
  }
  key0 = keys[0];
  key1 = keys[1];
}

}  // namespace sip_async::core
