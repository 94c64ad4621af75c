// Stand-ins for the channel of a JavaScript thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/clock.h"
#include "core/parker.h"
#include "core/worker_group.h"
#include "test/support/stress.h"

namespace sip_async::test {

// Counts how often it was woken.
class CountingWakeable : public core::Wakeable {
 public:
  void wake() override { wakes_.fetch_add(1, std::memory_order_relaxed); }
  uint32_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> wakes_{0};
};

// A thread that sleeps until it is woken.
class ParkedThread : public core::Wakeable {
 public:
  void wake() override { parker_.unpark(); }
  // False when nobody woke it for the length of the guard, which the tests take for a lost wake-up.
  bool park() {
    const uint64_t end_ns = core::now_ns() + kGuardNs;
    parker_.park_until(end_ns);
    return core::now_ns() < end_ns;
  }
  void park_for_ms(uint64_t ms) { parker_.park_until(core::now_ns() + ms * core::kNsPerMs); }

 private:
  core::Parker parker_;
};

}  // namespace sip_async::test
