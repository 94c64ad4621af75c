#include "core/task_queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using sip_async::test::Random;
using sip_async::test::rounds;
using sip_async::test::run_together;

struct Bed {
  explicit Bed(uint32_t capacity) : region(TaskQueue::region_bytes(capacity)), queue(region, capacity) {}
  Region region;
  TaskQueue queue;
};

TEST_CASE("capacity is the next power of two, at least 2") {
  CHECK(TaskQueue::rounded(0) == 2);
  CHECK(TaskQueue::rounded(1) == 2);
  CHECK(TaskQueue::rounded(2) == 2);
  CHECK(TaskQueue::rounded(3) == 4);
  CHECK(TaskQueue::rounded(4096) == 4096);
  CHECK(TaskQueue::rounded(4097) == 8192);
  CHECK(TaskQueue::rounded(0xffff'ffff) == 0x8000'0000);
  CHECK(Bed(5).queue.capacity() == 8);
}

TEST_CASE("an empty queue gives nothing, a full one takes nothing") {
  for (const uint32_t capacity : {2u, 4u, 64u}) {
    Bed bed(capacity);
    TaskQueue& queue = bed.queue;
    uint64_t value = 77;
    CHECK_FALSE(queue.try_pop(value));
    CHECK(value == 77);
    for (uint32_t i = 0; i < capacity; ++i) REQUIRE(queue.try_push(i));
    CHECK_FALSE(queue.try_push(99));
    CHECK(queue.size() == capacity);
    CHECK(queue.check_invariants());
    // One place, one push.
    REQUIRE(queue.try_pop(value));
    CHECK(value == 0);
    CHECK(queue.try_push(capacity));
    CHECK_FALSE(queue.try_push(99));
    for (uint32_t i = 1; i <= capacity; ++i) {
      REQUIRE(queue.try_pop(value));
      CHECK(value == i);
    }
    CHECK_FALSE(queue.try_pop(value));
    CHECK(queue.size() == 0);
    CHECK(queue.check_invariants());
  }
}

TEST_CASE("every 64-bit value passes through, many laps long") {
  Bed bed(4);
  Random random(1);
  for (uint64_t lap = 0; lap < rounds(200'000); ++lap) {
    const uint64_t sent = lap % 3 == 0 ? UINT64_MAX - lap : random.bits();
    uint64_t received = 0;
    REQUIRE(bed.queue.try_push(sent));
    REQUIRE(bed.queue.try_pop(received));
    REQUIRE(received == sent);
  }
  CHECK(bed.queue.check_invariants());
}

TEST_CASE("a pop for more than there is takes all there is, even a full queue") {
  Bed bed(8);
  uint64_t values[64] = {};
  for (uint64_t lap = 0; lap < 5; ++lap) {
    // Begins in the middle of a lap, so that the batch goes round the end.
    REQUIRE(bed.queue.try_push(0));
    REQUIRE(bed.queue.try_pop_many(values, 64) == 1);
    for (uint64_t i = 0; i < 8; ++i) REQUIRE(bed.queue.try_push(lap * 8 + i));
    CHECK(bed.queue.try_pop_many(values, 0) == 0);
    REQUIRE(bed.queue.try_pop_many(values, 64) == 8);
    for (uint64_t i = 0; i < 8; ++i) CHECK(values[i] == lap * 8 + i);
    CHECK(bed.queue.try_pop_many(values, 64) == 0);
  }
}

TEST_CASE("random pushes and pops against a deque") {
  Random random(2);
  for (uint32_t capacity : {1u, 2u, 3u, 16u, 100u}) {
    Bed bed(capacity);
    TaskQueue& queue = bed.queue;
    std::deque<uint64_t> model;
    for (uint64_t step = 0; step < rounds(50'000); ++step) {
      // Leans to one side for a while, so that full and empty are both reached.
      const bool filling = step / 500 % 2 == 0;
      if (random.below(100) < (filling ? 70u : 30u)) {
        const uint64_t value = random.bits();
        const bool fits = model.size() < queue.capacity();
        REQUIRE(queue.try_push(value) == fits);
        if (fits) model.push_back(value);
      } else {
        uint64_t values[128];
        const uint32_t most = random.below32(128) + 1;
        const uint32_t wanted = random.one_in(2) ? 1 : most;
        const uint32_t count = queue.try_pop_many(values, wanted);
        REQUIRE(count == std::min<uint64_t>(wanted, model.size()));
        for (uint32_t i = 0; i < count; ++i) {
          REQUIRE(values[i] == model.front());
          model.pop_front();
        }
      }
      REQUIRE(queue.size() == model.size());
      if (step % 64 == 0) REQUIRE(queue.check_invariants());
    }
  }
}

// Every producer sends its own number and 0, 1, 2, ...; each consumer must see each producer's numbers grow,
// and all consumers together every number once.
void race(uint32_t producers, uint32_t consumers, uint32_t capacity, uint64_t each) {
  CAPTURE(producers);
  CAPTURE(consumers);
  CAPTURE(capacity);
  Bed bed(capacity);
  TaskQueue& queue = bed.queue;
  const uint64_t total = producers * each;
  std::vector<std::atomic<uint8_t>> seen(total);
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> disordered{0};
  std::atomic<uint64_t> strange{0};

  std::vector<std::function<void()>> bodies;
  for (uint32_t producer = 0; producer < producers; ++producer) {
    bodies.push_back([&, producer] {
      for (uint64_t i = 0; i < each; ++i) {
        while (!queue.try_push(uint64_t{producer} << 32 | i)) std::this_thread::yield();
      }
    });
  }
  for (uint32_t consumer = 0; consumer < consumers; ++consumer) {
    bodies.push_back([&, consumer] {
      Random random(50 + consumer);
      std::vector<int64_t> last(producers, -1);
      uint64_t values[32];
      while (received.load(std::memory_order_relaxed) < total) {
        const uint32_t count = queue.try_pop_many(values, random.below32(32) + 1);
        if (count == 0) std::this_thread::yield();
        for (uint32_t i = 0; i < count; ++i) {
          const uint64_t producer = values[i] >> 32;
          const uint64_t number = values[i] & 0xffff'ffff;
          if (producer >= producers || number >= each) {
            strange.fetch_add(1);
            continue;
          }
          if (static_cast<int64_t>(number) <= last[producer]) disordered.fetch_add(1);
          // One consumer alone sees them without a gap.
          if (consumers == 1 && static_cast<int64_t>(number) != last[producer] + 1) disordered.fetch_add(1);
          last[producer] = static_cast<int64_t>(number);
          seen[producer * each + number].fetch_add(1, std::memory_order_relaxed);
        }
        received.fetch_add(count, std::memory_order_relaxed);
      }
    });
  }
  run_together(bodies);

  CHECK(strange == 0);
  CHECK(disordered == 0);
  uint64_t wrong = 0;
  for (const auto& count : seen) wrong += count.load() != 1;
  CHECK(wrong == 0);
  CHECK(queue.size() == 0);
  CHECK(queue.check_invariants());
}

TEST_CASE("threads: nothing lost, nothing doubled, in order for each producer") {
  race(1, 1, 2, rounds(100'000));
  race(1, 1, 1024, rounds(300'000));
  race(2, 2, 4, rounds(50'000));
  race(2, 2, 256, rounds(150'000));
  race(1, 3, 16, rounds(100'000));
  race(3, 1, 16, rounds(50'000));
}

TEST_CASE("threads: never more inside than the capacity") {
  Bed bed(8);
  std::atomic<int64_t> inside{0};
  std::atomic<uint64_t> overfull{0};
  run_together(4, [&](uint32_t thread) {
    Random random(80 + thread);
    for (uint64_t i = 0; i < rounds(100'000); ++i) {
      uint64_t values[8];
      if (random.one_in(2)) {
        if (bed.queue.try_push(i)) inside.fetch_add(1);
      } else {
        inside.fetch_sub(bed.queue.try_pop_many(values, random.below32(8) + 1));
      }
      if (bed.queue.size() > 8) overfull.fetch_add(1);
    }
  });
  CHECK(overfull == 0);
  CHECK(inside == bed.queue.size());
  CHECK(bed.queue.check_invariants());
}

}  // namespace
