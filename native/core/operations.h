// How many operations a script's statements have started, and what became of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/cache_line.h"

namespace sip_async::core {

// What became of an operation.
enum class OperationEnd : uint32_t {
  kDone = 0,
  kFailed = 1,     // it threw, or its promise was rejected
  kTimedOut = 2,   // its deadline was first
  kCancelled = 3,  // the call, the launch, its thread or the proxy ended before it
  kLate = 4,       // it settled behind one of the last two; counted besides
  kRefused = 5,    // a launch that found no slot, and was reported so
};
inline constexpr uint32_t kOperationEnds = 6;

class OperationCounters {
 public:
  explicit OperationCounters(uint32_t threads) : pending_(new Pending[threads]), threads_(threads) {}

  void begin(uint32_t thread) { pending_[thread].count.fetch_add(1, std::memory_order_relaxed); }
  // `was_pending`: it was counted by begin() of this thread.
  void end(uint32_t thread, OperationEnd how, bool was_pending) {
    const auto at = static_cast<uint32_t>(how);
    if (at >= kOperationEnds) return;
    if (was_pending) pending_[thread].count.fetch_sub(1, std::memory_order_relaxed);
    ends_[at].fetch_add(1, std::memory_order_relaxed);
  }
  // What was pending in a thread has ended with it.
  void thread_gone(uint32_t thread) {
    if (thread >= threads_) return;
    const uint64_t lost = pending_[thread].count.exchange(0, std::memory_order_relaxed);
    ends_[static_cast<uint32_t>(OperationEnd::kCancelled)].fetch_add(lost, std::memory_order_relaxed);
  }

  uint64_t pending() const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < threads_; ++i) sum += pending_[i].count.load(std::memory_order_relaxed);
    return sum;
  }
  uint64_t ended(uint32_t how) const { return ends_[how].load(std::memory_order_relaxed); }

 private:
  // One for each thread, so that a thread that dies takes its own along. Written by that thread, and by thread_gone() once it
  // is no more; read by statistics. Relaxed.
  struct Pending {
    alignas(kCacheLine) std::atomic<uint64_t> count{0};
  };
  std::unique_ptr<Pending[]> pending_;
  uint32_t threads_;
  // Statistics, relaxed.
  std::atomic<uint64_t> ends_[kOperationEnds] = {};
};

}  // namespace sip_async::core
