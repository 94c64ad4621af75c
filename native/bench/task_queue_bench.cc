// The task queue against a deque behind a mutex: nanoseconds for each value that goes in and comes out, by
// one thread and by two that push against two that pop.
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/task_queue.h"
#include "test/support/measure.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint32_t kCapacity = 4096;

class Lockless {
 public:
  bool try_push(uint64_t value) { return queue_.try_push(value); }
  bool try_pop(uint64_t& value) { return queue_.try_pop(value); }
  uint32_t try_pop_many(uint64_t* values, uint32_t most) { return queue_.try_pop_many(values, most); }

 private:
  Region region_{TaskQueue::region_bytes(kCapacity)};
  TaskQueue queue_{region_, kCapacity};
};

class Locked {
 public:
  bool try_push(uint64_t value) {
    const std::lock_guard lock(mutex_);
    if (values_.size() == kCapacity) return false;
    values_.push_back(value);
    return true;
  }
  bool try_pop(uint64_t& value) { return try_pop_many(&value, 1) == 1; }
  uint32_t try_pop_many(uint64_t* values, uint32_t most) {
    const std::lock_guard lock(mutex_);
    uint32_t count = 0;
    while (count < most && !values_.empty()) {
      values[count++] = values_.front();
      values_.pop_front();
    }
    return count;
  }

 private:
  std::mutex mutex_;
  std::deque<uint64_t> values_;
};

template <class Queue>
uint64_t one_thread(uint64_t operations) {
  Queue queue;
  uint64_t sum = 0;
  const Stopwatch watch;
  for (uint64_t i = 0; i < operations; ++i) {
    uint64_t value = 0;
    queue.try_push(i);
    queue.try_pop(value);
    sum += value;
  }
  keep(sum);
  return watch.ns();
}

template <class Queue>
uint64_t one_thread_batches(uint64_t operations) {
  Queue queue;
  uint64_t values[32];
  uint64_t sum = 0;
  const Stopwatch watch;
  for (uint64_t i = 0; i < operations; i += 32) {
    for (uint64_t k = 0; k < 32; ++k) queue.try_push(i + k);
    for (uint32_t left = queue.try_pop_many(values, 32); left > 0; --left) sum += values[left - 1];
  }
  keep(sum);
  return watch.ns();
}

template <class Queue>
uint64_t two_by_two(uint64_t operations) {
  Queue queue;
  std::atomic<uint64_t> received{0};
  const auto push = [&] {
    for (uint64_t i = 0; i < operations / 2; ++i) {
      while (!queue.try_push(i)) std::this_thread::yield();
    }
  };
  const auto pop = [&] {
    uint64_t values[32];
    while (received.load(std::memory_order_relaxed) < operations) {
      const uint32_t count = queue.try_pop_many(values, 32);
      if (count == 0) {
        std::this_thread::yield();
      } else {
        received.fetch_add(count, std::memory_order_relaxed);
      }
    }
  };
  const Stopwatch watch;
  run_together({push, push, pop, pop});
  return watch.ns();
}

template <class Queue>
void measure_all(const std::string& kind) {
  constexpr uint64_t kAlone = 3'200'000;
  constexpr uint64_t kTogether = 1'000'000;
  measure("push+pop, 1 thread, " + kind, kAlone, [] { return one_thread<Queue>(kAlone); });
  measure("push+pop in batches of 32, 1 thread, " + kind, kAlone,
          [] { return one_thread_batches<Queue>(kAlone); });
  measure("push+pop, 2x2 threads, " + kind, kTogether, [] { return two_by_two<Queue>(kTogether); });
}

}  // namespace

int main() {
  measure_all<Lockless>("task queue");
  measure_all<Locked>("mutex+deque");
}
