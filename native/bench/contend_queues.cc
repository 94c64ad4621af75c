// One contender, one case: nanoseconds for each value that goes through a queue from so many producers to so many
// consumers. Whoever finds the queue full or empty yields. A consumer takes up to 32 at a time, in one step where the queue
// has one.
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/contend.h"
#include "bench/queues/mutex_deque.h"
#include "bench/queues/own_queue.h"
#include "core/cache_line.h"
#include "test/support/stress.h"
#ifdef BENCH_HAS_MOODYCAMEL
#include "bench/queues/moodycamel_queue.h"
#endif
#ifdef BENCH_HAS_BOOST_LOCKFREE
#include "bench/queues/boost_queue.h"
#endif
#ifdef BENCH_HAS_TBB
#include "bench/queues/tbb_queue.h"
#endif

namespace {

using namespace sip_async::bench;

constexpr uint32_t kCapacity = 4096;
constexpr uint32_t kAtOnce = 32;
constexpr uint32_t kBurst = 1000;

struct Case {
  uint32_t producers;
  uint32_t consumers;
  bool burst;  // the producers push so many and then wait until all of them have been taken
  uint64_t values;
};

// A value is the number of its producer and, in the lower half, its place among that producer's values.
uint64_t value_of(uint32_t producer, uint64_t place) {
  return uint64_t{producer} << 32 | place;
}

// What one consumer saw.
struct alignas(sip_async::core::kCacheLine) Seen {
  // Written by the consumer, read by the producers of bursts; relaxed, a count.
  std::atomic<uint64_t> count{0};
  uint64_t sum = 0;
  uint64_t behind = 0;  // a later value of the same producer had come before
  std::vector<uint64_t> next;
};

template <class Queue>
void lap(const Case& now, uint64_t values, Meter& meter) {
  Queue queue(kCapacity);
  const uint64_t each = values / now.producers / kBurst * kBurst;
  const uint64_t total = each * now.producers;
  std::vector<Seen> seen(now.consumers);
  // Counted down by each producer when it has pushed all, read by the consumers; acquire and release, so that who reads 0
  // and then finds the queue empty has missed nothing.
  std::atomic<uint32_t> pushing{now.producers};
  const auto taken = [&] {
    uint64_t count = 0;
    for (const Seen& one : seen) count += one.count.load(std::memory_order_relaxed);
    return count;
  };

  std::vector<std::function<void()>> bodies;
  for (uint32_t number = 0; number < now.producers; ++number) {
    bodies.push_back([&, number] {
      typename Queue::Producer producer(queue);
      for (uint64_t place = 0; place < each; ++place) {
        // Before a burst: all of the one before are out.
        if (now.burst && place % kBurst == 0) {
          while (taken() < place * now.producers) std::this_thread::yield();
        }
        while (!producer.try_push(value_of(number, place))) std::this_thread::yield();
      }
      pushing.fetch_sub(1, std::memory_order_release);
    });
  }
  for (uint32_t number = 0; number < now.consumers; ++number) {
    bodies.push_back([&, number] {
      typename Queue::Consumer consumer(queue);
      Seen& own = seen[number];
      own.next.assign(now.producers, 0);
      uint64_t values_taken[kAtOnce];
      for (;;) {
        const bool last = pushing.load(std::memory_order_acquire) == 0;
        const uint32_t count = consumer.try_pop_many(values_taken, kAtOnce);
        for (uint32_t i = 0; i < count; ++i) {
          const uint64_t place = values_taken[i] & 0xffff'ffff;
          uint64_t& next = own.next[values_taken[i] >> 32];
          own.behind += place < next;
          next = place + 1;
          own.sum += mixed(values_taken[i]);
        }
        if (count != 0) {
          own.count.store(own.count.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
        } else if (last) {
          return;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  meter.start();
  sip_async::test::run_together(bodies);
  meter.stop(total);

  uint64_t pushed = 0;
  for (uint32_t number = 0; number < now.producers; ++number) {
    for (uint64_t place = 0; place < each; ++place) pushed += mixed(value_of(number, place));
  }
  uint64_t popped = 0;
  uint64_t behind = 0;
  for (const Seen& one : seen) {
    popped += one.sum;
    behind += one.behind;
  }
  if (taken() != total || popped != pushed)
    fail(std::to_string(taken()) + " of " + std::to_string(total) + " came out");
  if (behind != 0) fail(std::to_string(behind) + " values of a producer came out of order");
}

template <class Queue>
void contend(const Case& now) {
  Meter warm_up, meter;
  lap<Queue>(now, now.values / 10, warm_up);
  for (int i = 0; i < 4; ++i) lap<Queue>(now, now.values / 4, meter);
  meter.print("push+pop");
}

}  // namespace

int main(int argc, char** argv) {
  using Run = void (*)(const Case&);
  const std::vector<Contender<Run>> contenders = {
      {"sip-async", contend<OwnQueue>},
#ifdef BENCH_HAS_MOODYCAMEL
      {"moodycamel", contend<MoodycamelQueue>},
#endif
#ifdef BENCH_HAS_BOOST_LOCKFREE
      {"boost-lockfree", contend<BoostQueue>},
#endif
#ifdef BENCH_HAS_TBB
      {"tbb", contend<TbbQueue>},
#endif
      {"mutex-deque", contend<MutexDeque>},
  };
  const char* usage = "CONTENDER PRODUCERS CONSUMERS steady|burst VALUES";
  const auto& contender = choose(contenders, argc, argv, usage);
  if (argc != 6) fail(usage);
  const std::string pace = argv[4];
  const uint64_t producers = number_of(argv[2]);
  const uint64_t consumers = number_of(argv[3]);
  const uint64_t values = number_of(argv[5]);
  const bool sound =
      producers > 0 && producers <= 64 && consumers > 0 && consumers <= 64 && values >= 100'000;
  if (!sound || (pace != "steady" && pace != "burst")) fail(usage);
  contender.run(
      {static_cast<uint32_t>(producers), static_cast<uint32_t>(consumers), pace == "burst", values});
}
