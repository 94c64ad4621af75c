// Monotonic time. The wheel and everything above it take time as an argument; only engine loops read the clock, so
// tests drive time themselves. The wall clock is never used: an NTP step must not move a timer.
#pragma once

#include <cstdint>
#include <ctime>

namespace sip_async::core {

inline constexpr uint64_t kNsPerMs = 1'000'000;

inline uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

// Turns times into ticks of one millisecond, counted from the moment the engine was made.
struct TickClock {
  uint64_t epoch_ns = 0;

  // The last tick that has begun.
  uint64_t tick_at(uint64_t ns) const { return ns <= epoch_ns ? 0 : (ns - epoch_ns) / kNsPerMs; }
  // The first tick that does not begin before `ns`: rounding up is what makes a timer never early.
  uint64_t tick_not_before(uint64_t ns) const {
    return ns <= epoch_ns ? 0 : (ns - epoch_ns + kNsPerMs - 1) / kNsPerMs;
  }
  uint64_t ns_of(uint64_t tick) const { return epoch_ns + tick * kNsPerMs; }
};

}  // namespace sip_async::core
