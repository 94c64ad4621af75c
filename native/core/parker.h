// Puts one thread to sleep until a time or until another thread wakes it. Linux futex on a monotonic absolute time:
// std::atomic::wait has no time limit, and a condition variable would make every waker take a lock.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

namespace sip_async::core {

class Parker {
 public:
  static constexpr uint64_t kForever = UINT64_MAX;

  // Sleeps until `deadline_ns` (CLOCK_MONOTONIC) or unpark(). An unpark() that came before ends it at once. May also
  // return for no reason. Only one thread parks.
  void park_until(uint64_t deadline_ns) {
    // Acquire: pairs with the release in unpark(), so what the waker wrote before is seen.
    if (token_.exchange(0, std::memory_order_acquire) != 0) return;
    timespec deadline{static_cast<time_t>(deadline_ns / 1'000'000'000u),
                      static_cast<long>(deadline_ns % 1'000'000'000u)};
    syscall(SYS_futex, &token_, FUTEX_WAIT_BITSET_PRIVATE, 0, deadline_ns == kForever ? nullptr : &deadline,
            nullptr, FUTEX_BITSET_MATCH_ANY);
    token_.exchange(0, std::memory_order_acquire);
  }

  void unpark() {
    // Release: pairs with the acquire in park_until().
    if (token_.exchange(1, std::memory_order_release) == 0) {
      syscall(SYS_futex, &token_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

 private:
  // 1: a wake-up is waiting to be taken. Written by wakers (1) and by the parked thread (0), read by the kernel, too.
  std::atomic<uint32_t> token_{0};
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "the kernel reads the futex word");
};

}  // namespace sip_async::core
