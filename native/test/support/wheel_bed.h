// A timer wheel over memory of its own, looked through at every step.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "core/timer_wheel.h"

namespace sip_async::test {

struct WheelBed {
  explicit WheelBed(uint32_t timers)
      : region(core::TimerWheel::region_bytes(timers)), wheel(region, timers) {}

  std::vector<uint32_t> advance(uint64_t now) {
    std::vector<uint32_t> out;
    const uint32_t count = wheel.advance(now, [&](core::TimerEntry entry) { out.push_back(entry.slot()); });
    REQUIRE(count == out.size());
    REQUIRE(wheel.check_invariants());
    return out;
  }

  core::Region region;
  core::TimerWheel wheel;
};

}  // namespace sip_async::test
