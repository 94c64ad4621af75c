#include "core/timer_intake.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

struct Bed {
  explicit Bed(uint32_t timers) : region(TimerIntake::region_bytes(timers)), intake(region, timers) {}

  std::vector<uint32_t> take() {
    std::vector<uint32_t> out;
    intake.take([&](TimerEntry entry) {
      REQUIRE(entry.due_tick() == entry.slot() + 5);
      out.push_back(entry.slot());
    });
    return out;
  }
  uint32_t push(uint32_t number) { return intake.push(TimerEntry(number, 1, 2, number + 5)); }

  Region region;
  TimerIntake intake;
};

TEST_CASE("what was pushed is taken once, in order, and counted from the last time on") {
  constexpr uint32_t kTimers = 100;
  Bed bed(kTimers);
  Random random(3);
  CHECK(bed.intake.is_empty());
  CHECK(bed.take().empty());
  uint32_t number = 0;
  for (uint32_t round = 0; round < 500; ++round) {
    std::vector<uint32_t> expected;
    // Full to the last place now and then.
    const uint32_t count = random.one_in(5) ? kTimers : random.below32(kTimers);
    for (uint32_t i = 0; i < count; ++i) {
      REQUIRE(bed.push(number) == i + 1);
      expected.push_back(number++);
    }
    CHECK(bed.intake.is_empty() == (count == 0));
    std::vector<uint32_t> seen;
    bed.intake.for_each_quiescent([&](TimerEntry entry) { seen.push_back(entry.slot()); });
    CHECK(seen == expected);
    CHECK(bed.take() == expected);
    CHECK(bed.intake.is_empty());
    if (random.one_in(3)) CHECK(bed.take().empty());
  }
}

TEST_CASE("what is pushed while another is taken is left for the next time") {
  Bed bed(4);
  bed.push(0);
  bed.push(1);
  std::vector<uint32_t> out;
  bed.intake.take([&](TimerEntry entry) {
    out.push_back(entry.slot());
    if (entry.slot() < 2) bed.push(entry.slot() + 10);
  });
  CHECK(out == std::vector<uint32_t>{0, 1});
  CHECK_FALSE(bed.intake.is_empty());
  CHECK(bed.take() == std::vector<uint32_t>{10, 11});
}

TEST_CASE(
    "threads: each push is taken once, those of one thread in their order, with no more places than there "
    "must be") {
  constexpr uint32_t kThreads = 3;
  constexpr uint32_t kTimers = 64;
  const uint64_t each = rounds(60'000);
  Bed bed(kTimers);
  // As an engine counts its timers: no more are under way than there are places.
  std::atomic<uint32_t> under_way{0};
  std::atomic<uint64_t> misplaced{0};
  uint64_t taken = 0;
  std::vector<std::function<void()>> bodies;
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    bodies.push_back([&, thread] {
      for (uint64_t i = 0; i < each;) {
        if (under_way.fetch_add(1, std::memory_order_acquire) >= kTimers) {
          under_way.fetch_sub(1, std::memory_order_relaxed);
          std::this_thread::yield();
          continue;
        }
        if (bed.intake.push(TimerEntry(static_cast<uint32_t>(i), ~static_cast<uint32_t>(i), thread, i)) >
            kTimers) {
          misplaced.fetch_add(1);
        }
        ++i;
      }
    });
  }
  bodies.push_back([&] {
    std::vector<uint64_t> next(kThreads, 0);
    const uint64_t end_ns = now_ns() + kGuardNs;
    while (taken < kThreads * each && now_ns() < end_ns) {
      uint32_t count = 0;
      bed.intake.take([&](TimerEntry entry) {
        const bool right = entry.tag() < kThreads && entry.due_tick() == next[entry.tag()]++ &&
                           entry.slot() == entry.due_tick() && entry.generation() == ~entry.slot();
        if (!right) misplaced.fetch_add(1);
        ++count;
      });
      taken += count;
      under_way.fetch_sub(count, std::memory_order_release);
      if (count == 0) std::this_thread::yield();
    }
  });
  run_together(bodies);
  CHECK(misplaced == 0);
  CHECK(taken == kThreads * each);
  CHECK(bed.intake.is_empty());
}

}  // namespace
