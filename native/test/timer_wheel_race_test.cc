// The timer wheel between threads that insert and the ticker.
#include "core/timer_wheel.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/parker.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wheel_bed.h"
#include "test/support/wheel_model.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint64_t kNever = TimerWheel::kNever;
TEST_CASE("threads: of all that insert before the ticker wakes exactly one is told") {
  constexpr uint32_t kThreads = 4;
  for (uint64_t round = 0; round < rounds(500); ++round) {
    WheelBed bed(kThreads * 8);
    REQUIRE(bed.wheel.sleep_until(1000));
    std::atomic<uint32_t> told{0};
    run_together(kThreads, [&](uint32_t thread) {
      for (uint32_t i = 0; i < 8; ++i) {
        if (bed.wheel.insert({thread * 8 + i}, 1 + i)) told.fetch_add(1);
      }
    });
    REQUIRE(told == 1);
    bed.wheel.awake();
    REQUIRE(bed.advance(100).size() == kThreads * 8);
  }
}

// A ticker as the engine runs it, over a clock that the test moves.
struct Ticker {
  explicit Ticker(TimerWheel& of) : wheel(of) {}

  template <class Expire>
  void run(Expire&& expire) {
    while (!stopping.load()) {
      const uint64_t now = clock.load();
      wheel.advance(now, [&](TimerEntry entry) { expire(entry, now); });
      const uint64_t next = wheel.next_event();
      if (!wheel.sleep_until(next)) continue;
      // The clock of the test rings only for those who have said when; the second look is for what it did
      // meanwhile.
      rings_at.store(next);
      if (clock.load() < next && !stopping.load()) {
        const uint64_t end_ns = now_ns() + kGuardNs;
        parker.park_until(end_ns);
        if (now_ns() >= end_ns) overslept.store(true);
      }
      rings_at.store(kNever);
      wheel.awake();
    }
  }

  void insert(uint32_t node, uint64_t due) {
    if (wheel.insert({node, ~node, node % 1000}, due)) parker.unpark();
  }
  void move_clock(uint64_t to) {
    clock.store(to);
    if (rings_at.load() <= to) parker.unpark();
  }
  void stop() {
    stopping.store(true);
    parker.unpark();
  }

  TimerWheel& wheel;
  Parker parker;
  std::atomic<uint64_t> clock{0};
  std::atomic<uint64_t> rings_at{kNever};
  std::atomic<bool> stopping{false};
  std::atomic<bool> overslept{false};
};

TEST_CASE("threads: every node comes out once and never early while time moves") {
  constexpr uint32_t kInserters = 2;
  constexpr uint32_t kNodes = 512;  // of each inserter
  const uint64_t each = rounds(150'000);
  WheelBed bed(kInserters * kNodes);
  Ticker ticker(bed.wheel);
  std::atomic<uint8_t> inside[kInserters * kNodes] = {};
  std::atomic<uint64_t> early{0}, mixed_up{0}, doubled{0}, out{0}, inserters_left{kInserters};

  std::vector<std::function<void()>> bodies;
  for (uint32_t inserter = 0; inserter < kInserters; ++inserter) {
    bodies.push_back([&, inserter] {
      Random random(20 + inserter);
      for (uint64_t i = 0; i < each; ++i) {
        uint32_t node = inserter * kNodes + random.below32(kNodes);
        while (inside[node].load(std::memory_order_acquire) != 0) {
          node = inserter * kNodes + random.below32(kNodes);
          if (random.one_in(64)) std::this_thread::yield();
        }
        inside[node].store(1, std::memory_order_relaxed);
        uint64_t due = ticker.clock.load() + random.below(700);
        if (random.one_in(50)) due += random.below(200'000);
        if (random.one_in(10)) due |= 255;
        if (random.one_in(10)) due = 0;
        ticker.insert(node, due);
      }
      inserters_left.fetch_sub(1);
    });
  }
  bodies.push_back([&] {
    ticker.run([&](TimerEntry entry, uint64_t now) {
      const uint32_t node = entry.slot();
      if (entry.generation() != ~node || entry.tag() != node % 1000)
        mixed_up.fetch_add(1, std::memory_order_relaxed);
      if (entry.due_tick() > now) early.fetch_add(1, std::memory_order_relaxed);
      if (inside[node].exchange(0, std::memory_order_acq_rel) != 1)
        doubled.fetch_add(1, std::memory_order_relaxed);
      out.fetch_add(1, std::memory_order_relaxed);
    });
  });
  bool all_out = false;
  bodies.push_back([&] {
    Random random(40);
    const uint64_t end_ns = now_ns() + kGuardNs;
    while (inserters_left.load() > 0 && now_ns() < end_ns) {
      ticker.move_clock(ticker.clock.load() +
                        (random.one_in(100) ? random.below(70'000) : random.below(300)));
      if (random.one_in(4)) std::this_thread::yield();
    }
    ticker.move_clock(ticker.clock.load() + 1'000'000);
    all_out = eventually([&] { return out.load() == kInserters * each; });
    ticker.stop();
  });
  run_together(bodies);

  CHECK(all_out);
  CHECK(early == 0);
  CHECK(mixed_up == 0);
  CHECK(doubled == 0);
  CHECK(out == kInserters * each);
  CHECK_FALSE(ticker.overslept);
  CHECK(bed.wheel.placed() == 0);
  CHECK(bed.wheel.check_invariants());
}

TEST_CASE("threads: no wake-up is lost while time stands still") {
  constexpr uint32_t kInserters = 2;
  const uint64_t each = rounds(20'000);
  WheelBed bed(kInserters);
  Ticker ticker(bed.wheel);
  ticker.clock.store(1000);
  std::atomic<uint8_t> inside[kInserters] = {};
  std::atomic<uint32_t> inserters_left{kInserters};
  std::atomic<bool> lost{false};

  std::vector<std::function<void()>> bodies;
  for (uint32_t node = 0; node < kInserters; ++node) {
    bodies.push_back([&, node] {
      Random random(60 + node);
      for (uint64_t i = 0; i < each && !lost.load(); ++i) {
        inside[node].store(1);
        ticker.insert(node, random.between(900, 1000));
        // Nothing but this insert can wake the ticker for this node, so only a lost wake-up waits long.
        const uint64_t end_ns = now_ns() + kGuardNs;
        while (inside[node].load() != 0) {
          if (now_ns() > end_ns) {
            lost.store(true);
            break;
          }
          std::this_thread::yield();
        }
      }
      if (inserters_left.fetch_sub(1) == 1) ticker.stop();
    });
  }
  bodies.push_back([&] { ticker.run([&](TimerEntry entry, uint64_t) { inside[entry.slot()].store(0); }); });
  run_together(bodies);
  CHECK_FALSE(lost);
  CHECK_FALSE(ticker.overslept);
}

}  // namespace
