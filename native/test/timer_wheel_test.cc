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
#include "test/support/wheel_model.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint64_t kNever = TimerWheel::kNever;
constexpr uint64_t kMaxTicks = TimerWheel::kMaxTicks;

struct Bed {
  explicit Bed(uint32_t nodes) : region(TimerWheel::region_bytes(nodes)), wheel(region, nodes) {}

  std::vector<uint32_t> advance(uint64_t now) {
    std::vector<uint32_t> out;
    const uint32_t count = wheel.advance(now, [&](uint32_t node) { out.push_back(node); });
    REQUIRE(count == out.size());
    REQUIRE(wheel.check_invariants());
    return out;
  }

  Region region;
  TimerWheel wheel;
};

using Nodes = std::vector<uint32_t>;

TEST_CASE("an empty wheel has nothing to do, whatever the time") {
  Bed bed(1);
  CHECK(bed.wheel.next_event() == kNever);
  for (const uint64_t now : {uint64_t{0}, uint64_t{1}, uint64_t{256}, uint64_t{1} << 33, uint64_t{5}}) {
    CHECK(bed.advance(now).empty());
    CHECK(bed.wheel.next_event() == kNever);
  }
  CHECK(bed.wheel.current() == uint64_t{1} << 33);  // time does not go back
}

TEST_CASE("a node comes out at its tick, not one before, at every distance") {
  for (uint32_t bit = 0; bit < 40; ++bit) {
    for (const int64_t around : {-1, 0, 1}) {
      for (const uint64_t from :
           {uint64_t{0}, uint64_t{1}, uint64_t{255}, uint64_t{65'535}, (uint64_t{1} << 24) - 1}) {
        const uint64_t due = from + (uint64_t{1} << bit) + static_cast<uint64_t>(around);
        if (due <= from || due > kMaxTicks) continue;
        CAPTURE(from);
        CAPTURE(due);
        Bed bed(1);
        CHECK(bed.advance(from).empty());
        CHECK_FALSE(bed.wheel.insert(0, due));
        CHECK(bed.advance(due - 1).empty());
        CHECK(bed.advance(due) == Nodes{0});
        CHECK(bed.wheel.placed() == 0);
        CHECK(bed.advance(due + 1).empty());
      }
    }
  }
}

TEST_CASE("what is due now or past comes out at the next look, first of all and in order of insertion") {
  Bed bed(6);
  CHECK(bed.advance(1000).empty());
  bed.wheel.insert(0, 1001);
  bed.wheel.insert(1, 1000);
  bed.wheel.insert(2, 0);
  bed.wheel.insert(3, 1001);
  bed.wheel.insert(4, 999);
  bed.wheel.insert(5, 1002);
  CHECK(bed.advance(1001) == Nodes{1, 2, 4, 0, 3});
  CHECK(bed.advance(1001).empty());
  CHECK(bed.advance(1002) == Nodes{5});
}

TEST_CASE("0 ms at the very first tick") {
  Bed bed(1);
  bed.wheel.insert(0, 0);
  CHECK(bed.advance(0) == Nodes{0});
}

TEST_CASE("equals come out in order of insertion, from whichever level they come") {
  for (const uint32_t level : {1u, 2u, 3u, 4u}) {
    CAPTURE(level);
    const uint64_t span = uint64_t{1} << (level * TimerWheel::kBits);
    for (const uint64_t due : {3 * span, 3 * span + 1, 3 * span + 200, 4 * span - 1}) {
      Bed bed(6);
      bed.wheel.insert(0, due);
      bed.wheel.insert(1, due);
      CHECK(bed.advance(1).empty());  // now both stand in the upper level
      CHECK(bed.advance(2 * span).empty());
      bed.wheel.insert(2, due);
      CHECK(bed.advance(3 * span - 1).empty());
      bed.wheel.insert(3, due);
      CHECK(bed.advance(due - 1).empty());  // spread meanwhile, unless due is the beginning of the span
      bed.wheel.insert(4, due);
      bed.wheel.insert(5, due);
      CHECK(bed.advance(due) == Nodes{0, 1, 2, 3, 4, 5});
    }
  }
}

TEST_CASE(
    "random: a sweep takes out what it is told to, wherever it stands, and the others keep their order") {
  Random random(77);
  for (uint64_t lap = 0; lap < rounds(300); ++lap) {
    constexpr uint32_t kNodes = 200;
    Bed bed(kNodes);
    WheelModel model;
    uint64_t now = random.below(1000);
    CHECK(bed.advance(now) == model.advance(now));
    for (uint32_t node = 0; node < kNodes; ++node) {
      // Some due already, some in each level; part of them still in the intake when the sweep comes.
      const uint64_t due = now + random.below(uint64_t{1} << random.below(34));
      bed.wheel.insert(node, due);
      model.insert(node, due);
      if (random.one_in(40)) {
        now += random.below(500);
        CHECK(bed.advance(now) == model.advance(now));
      }
    }
    const uint64_t one_in = 1 + random.below(4);
    std::vector<uint32_t> dropped;
    std::vector<bool> stale(kNodes);
    for (uint32_t node = 0; node < kNodes; ++node) stale[node] = random.one_in(one_in);
    bed.wheel.sweep([&](uint32_t node) { return stale[node]; },
                    [&](uint32_t node) {
                      dropped.push_back(node);
                      bed.wheel.node(node).next.store(kNodes);  // it is the caller's again
                    });
    REQUIRE(bed.wheel.check_invariants());
    for (const uint32_t node : dropped) {
      CHECK(stale[node]);
      CHECK(model.remove(node));  // each once
    }
    for (;;) {
      const Nodes out = bed.advance(now);
      REQUIRE(out == model.advance(now));
      REQUIRE(bed.wheel.placed() == model.waiting());
      for (const uint32_t node : out) CHECK_FALSE(stale[node]);
      if (model.waiting() == 0) break;
      now = std::max(now + random.below(1000), model.next_due() - random.below(2));
    }
    CHECK(bed.wheel.placed() == 0);
    CHECK(bed.wheel.next_event() == kNever);
  }
}

TEST_CASE("one jump over everything still sorts by tick") {
  Bed bed(7);
  const uint64_t dues[] = {uint64_t{1} << 33, 65'536, 255, 256, (uint64_t{1} << 24) + 1, 65'535, 256};
  for (uint32_t i = 0; i < 7; ++i) bed.wheel.insert(i, dues[i]);
  CHECK(bed.advance(uint64_t{1} << 34) == Nodes{2, 3, 6, 5, 1, 4, 0});
}

TEST_CASE("beyond the last tick is the last tick") {
  Bed bed(4);
  bed.wheel.insert(0, kMaxTicks + 5);
  bed.wheel.insert(1, UINT64_MAX);
  bed.wheel.insert(2, kMaxTicks);
  bed.wheel.insert(3, kMaxTicks - 1);
  CHECK(bed.advance(kMaxTicks - 2).empty());
  CHECK(bed.advance(kMaxTicks - 1) == Nodes{3});
  CHECK(bed.wheel.next_event() == kMaxTicks);
  CHECK(bed.advance(kMaxTicks) == Nodes{0, 1, 2});
}

TEST_CASE("what the callback inserts comes out of a later advance only") {
  Bed bed(3);
  bed.wheel.insert(0, 5);
  Nodes out;
  const auto again = [&](uint32_t node) {
    out.push_back(node);
    if (node < 2) bed.wheel.insert(node + 1, 5);
  };
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(out == Nodes{0, 1, 2});
  // A node may be put back by the callback that receives it.
  bed.wheel.insert(0, 11);
  uint32_t times = 0;
  for (uint64_t now = 11; now < 20; ++now) {
    bed.wheel.advance(now, [&](uint32_t node) {
      ++times;
      bed.wheel.insert(node, now + 1);
    });
  }
  CHECK(times == 9);
}

TEST_CASE("an inserter is told to wake a ticker that would sleep too long, and only then") {
  Bed bed(10);
  TimerWheel& wheel = bed.wheel;
  CHECK_FALSE(wheel.insert(0, 1));         // it is awake
  CHECK_FALSE(wheel.sleep_until(kNever));  // and does not fall asleep over what it has not looked at
  CHECK_FALSE(wheel.insert(1, 1));
  CHECK(bed.advance(1).size() == 2);
  REQUIRE(wheel.sleep_until(100));
  CHECK_FALSE(wheel.insert(2, 200));
  CHECK_FALSE(wheel.insert(3, 100));  // it wakes at that tick by itself
  CHECK(wheel.insert(4, 99));
  CHECK_FALSE(wheel.insert(5, 50));  // somebody else is waking it already
  wheel.awake();
  CHECK(bed.advance(49).empty());
  CHECK(wheel.next_event() <= 50);
  REQUIRE(wheel.sleep_until(wheel.next_event()));
  CHECK(wheel.insert(6, 0));
  wheel.awake();
  CHECK_FALSE(wheel.insert(7, 0));
  CHECK(bed.advance(49) == Nodes{6, 7});
}

TEST_CASE("a ticker that sleeps for ever is woken by any node, even one beyond the last tick") {
  for (const uint64_t due :
       {uint64_t{0}, uint64_t{1000}, kMaxTicks, kMaxTicks + 1, UINT64_MAX - 1, UINT64_MAX}) {
    CAPTURE(due);
    Bed bed(1);
    REQUIRE(bed.wheel.sleep_until(kNever));
    CHECK(bed.wheel.insert(0, due));
  }
}

TEST_CASE("a long intake wakes the ticker even when nothing in it is urgent") {
  Bed bed(10'000);
  REQUIRE(bed.wheel.sleep_until(10));
  uint32_t told = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    if (bed.wheel.insert(i, 1000)) ++told;
  }
  CHECK(told == 1);
  bed.wheel.awake();
  CHECK(bed.advance(999).empty());
  CHECK(bed.advance(1000).size() == 10'000);
}

// Delays and jumps that like the boundaries of levels.
uint64_t random_span(Random& random) {
  const uint64_t power = uint64_t{1} << (8 * random.below(5));
  switch (random.below(8)) {
    case 0:
      return 0;
    case 1:
      return power + random.below(5) - std::min<uint64_t>(2, power);
    case 2:
      return random.below(power) + 1;
    case 3:
      return random.below(5 * 86'400'000);  // up to five days
    case 4:
      return random.below(70'000);
    default:
      return random.below(600);
  }
}

TEST_CASE("random inserts and jumps against a sorted map") {
  Random random(1);
  constexpr uint32_t kNodes = 400;
  for (uint64_t round = 0; round < rounds(60); ++round) {
    Bed bed(kNodes);
    WheelModel model;
    Nodes free;
    for (uint32_t i = 0; i < kNodes; ++i) free.push_back(i);
    const auto insert_one = [&](uint64_t now) {
      if (free.empty()) return;
      const uint64_t place = random.below(free.size());
      const uint32_t node = free[place];
      free[place] = free.back();
      free.pop_back();
      uint64_t due = now + random_span(random);
      if (random.one_in(10)) due = now - std::min(now, random_span(random));
      // To the end of the span that is nearest, so that boundaries are met from below, too.
      if (random.one_in(10)) due |= (uint64_t{1} << (8 * random.between(1, 3))) - 1;
      if (random.one_in(200)) due = kMaxTicks + random.below(3);
      bed.wheel.insert(node, due);
      model.insert(node, due);
    };
    uint64_t now = 0;
    for (uint64_t step = 0; step < 500; ++step) {
      for (uint64_t count = random.below(random.one_in(10) ? 50 : 4); count > 0; --count) insert_one(now);
      if (random.one_in(8)) {
        now |= (uint64_t{1} << (8 * random.between(1, 3))) - 1;
      } else if (random.one_in(4) && bed.wheel.next_event() != kNever) {
        now = std::max(now, bed.wheel.next_event());
      } else {
        now += random.one_in(20) ? random_span(random) : random.below(300);
      }
      if (now >= kMaxTicks / 2) break;

      Nodes out;
      const Nodes expected = model.advance(now);
      bed.wheel.advance(now, [&](uint32_t node) {
        out.push_back(node);
        free.push_back(node);
      });
      REQUIRE(out == expected);
      REQUIRE(bed.wheel.current() == now);
      REQUIRE(bed.wheel.placed() == model.waiting());
      REQUIRE(bed.wheel.check_invariants());
      REQUIRE(model.next_due() > now);
      const uint64_t event = bed.wheel.next_event();
      REQUIRE((event == kNever) == (model.next_due() == kNever));
      if (event == kNever) continue;
      REQUIRE(event > now);
      REQUIRE(event <= model.next_due());
      if (random.one_in(4)) {
        REQUIRE(bed.advance(event - 1).empty());
        REQUIRE(model.advance(event - 1).empty());
        REQUIRE(bed.wheel.next_event() == event);
        now = event - 1;
      }
    }
    // From event to event until all is out: no more than one for each level and tick.
    for (uint64_t event; (event = bed.wheel.next_event()) != kNever;) {
      REQUIRE(bed.advance(event) == model.advance(event));
    }
    const uint64_t end = std::max(now, kMaxTicks) + 10;
    REQUIRE(bed.advance(end) == model.advance(end));
    CHECK(bed.wheel.placed() == 0);
  }
}

TEST_CASE("inserts from inside the callback, against the same map") {
  Random random(2);
  Bed bed(64);
  WheelModel model;
  for (uint32_t i = 0; i < 64; ++i) {
    bed.wheel.insert(i, i);
    model.insert(i, i);
  }
  uint64_t now = 0;
  for (uint64_t step = 0; step < rounds(20'000); ++step) {
    now += random.below(200);
    const Nodes expected = model.advance(now);
    Nodes out;
    bed.wheel.advance(now, [&](uint32_t node) {
      out.push_back(node);
      const uint64_t due = now + random.below(random.one_in(20) ? 100'000 : 400);
      bed.wheel.insert(node, due);
      model.insert(node, due);
    });
    REQUIRE(out == expected);
  }
  CHECK(bed.wheel.check_invariants());
}

TEST_CASE("threads: of all that insert before the ticker wakes exactly one is told") {
  constexpr uint32_t kThreads = 4;
  for (uint64_t round = 0; round < rounds(500); ++round) {
    Bed bed(kThreads * 8);
    REQUIRE(bed.wheel.sleep_until(1000));
    std::atomic<uint32_t> told{0};
    run_together(kThreads, [&](uint32_t thread) {
      for (uint32_t i = 0; i < 8; ++i) {
        if (bed.wheel.insert(thread * 8 + i, 1 + i)) told.fetch_add(1);
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
      wheel.advance(now, [&](uint32_t node) { expire(node, now); });
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
    if (wheel.insert(node, due)) parker.unpark();
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
  Bed bed(kInserters * kNodes);
  Ticker ticker(bed.wheel);
  std::atomic<uint8_t> inside[kInserters * kNodes] = {};
  std::atomic<uint64_t> early{0}, doubled{0}, out{0}, inserters_left{kInserters};

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
    ticker.run([&](uint32_t node, uint64_t now) {
      if (bed.wheel.node(node).due_tick > now) early.fetch_add(1, std::memory_order_relaxed);
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
  CHECK(doubled == 0);
  CHECK(out == kInserters * each);
  CHECK_FALSE(ticker.overslept);
  CHECK(bed.wheel.placed() == 0);
  CHECK(bed.wheel.check_invariants());
}

TEST_CASE("threads: no wake-up is lost while time stands still") {
  constexpr uint32_t kInserters = 2;
  const uint64_t each = rounds(20'000);
  Bed bed(kInserters);
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
  bodies.push_back([&] { ticker.run([&](uint32_t node, uint64_t) { inside[node].store(0); }); });
  run_together(bodies);
  CHECK_FALSE(lost);
  CHECK_FALSE(ticker.overslept);
}

}  // namespace
