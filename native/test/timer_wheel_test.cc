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
constexpr uint64_t kMaxTicks = TimerWheel::kMaxTicks;
using Nodes = std::vector<uint32_t>;

TEST_CASE("an empty wheel has nothing to do, whatever the time") {
  WheelBed bed(1);
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
        WheelBed bed(1);
        CHECK(bed.advance(from).empty());
        CHECK_FALSE(bed.wheel.insert({0}, due));
        CHECK(bed.advance(due - 1).empty());
        CHECK(bed.advance(due) == Nodes{0});
        CHECK(bed.wheel.placed() == 0);
        CHECK(bed.advance(due + 1).empty());
      }
    }
  }
}

TEST_CASE("what is due now or past comes out at the next look, first of all and in order of insertion") {
  WheelBed bed(6);
  CHECK(bed.advance(1000).empty());
  bed.wheel.insert({0}, 1001);
  bed.wheel.insert({1}, 1000);
  bed.wheel.insert({2}, 0);
  bed.wheel.insert({3}, 1001);
  bed.wheel.insert({4}, 999);
  bed.wheel.insert({5}, 1002);
  CHECK(bed.advance(1001) == Nodes{1, 2, 4, 0, 3});
  CHECK(bed.advance(1001).empty());
  CHECK(bed.advance(1002) == Nodes{5});
}

TEST_CASE("an intake of any length keeps the order of insertion") {
  for (const uint32_t count : {1u, 2u, 63u, 64u, 3000u}) {
    CAPTURE(count);
    WheelBed bed(count);
    CHECK(bed.advance(100).empty());
    std::vector<Nodes> expected(4);
    for (uint32_t node = 0; node < count; ++node) {
      // Every fourth is due already; the others at one of three ticks, of two levels.
      bed.wheel.insert({node}, node % 4 == 0 ? 50 : 100 + 100 * (node % 4));
      expected[node % 4].push_back(node);
    }
    CHECK(bed.advance(150) == expected[0]);
    for (uint32_t i = 1; i < 4; ++i) CHECK(bed.advance(100 + 100 * i) == expected[i]);
    CHECK(bed.wheel.placed() == 0);
  }
}

TEST_CASE("0 ms at the very first tick") {
  WheelBed bed(1);
  bed.wheel.insert({0}, 0);
  CHECK(bed.advance(0) == Nodes{0});
}

TEST_CASE("equals come out in order of insertion, from whichever level they come") {
  for (const uint32_t level : {1u, 2u, 3u, 4u}) {
    CAPTURE(level);
    const uint64_t span = uint64_t{1} << (level * TimerWheel::kBits);
    for (const uint64_t due : {3 * span, 3 * span + 1, 3 * span + 200, 4 * span - 1}) {
      WheelBed bed(6);
      bed.wheel.insert({0}, due);
      bed.wheel.insert({1}, due);
      CHECK(bed.advance(1).empty());  // now both stand in the upper level
      CHECK(bed.advance(2 * span).empty());
      bed.wheel.insert({2}, due);
      CHECK(bed.advance(3 * span - 1).empty());
      bed.wheel.insert({3}, due);
      CHECK(bed.advance(due - 1).empty());  // spread meanwhile, unless due is the beginning of the span
      bed.wheel.insert({4}, due);
      bed.wheel.insert({5}, due);
      CHECK(bed.advance(due) == Nodes{0, 1, 2, 3, 4, 5});
    }
  }
}

TEST_CASE(
    "random: a sweep takes out what it is told to, wherever it stands, and the others keep their order") {
  Random random(77);
  for (uint64_t lap = 0; lap < rounds(300); ++lap) {
    constexpr uint32_t kNodes = 200;
    WheelBed bed(kNodes);
    WheelModel model;
    uint64_t now = random.below(1000);
    CHECK(bed.advance(now) == model.advance(now));
    for (uint32_t node = 0; node < kNodes; ++node) {
      // Some due already, some in each level; part of them still in the intake when the sweep comes.
      const uint64_t due = now + random.below(uint64_t{1} << random.below(34));
      bed.wheel.insert({node}, due);
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
    bed.wheel.sweep([&](TimerEntry entry) { return stale[entry.slot()]; },
                    [&](TimerEntry entry) { dropped.push_back(entry.slot()); }, [](TimerEntry) {});
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
  WheelBed bed(7);
  const uint64_t dues[] = {uint64_t{1} << 33, 65'536, 255, 256, (uint64_t{1} << 24) + 1, 65'535, 256};
  for (uint32_t i = 0; i < 7; ++i) bed.wheel.insert({i}, dues[i]);
  CHECK(bed.advance(uint64_t{1} << 34) == Nodes{2, 3, 6, 5, 1, 4, 0});
}

TEST_CASE("beyond the last tick is the last tick") {
  WheelBed bed(4);
  bed.wheel.insert({0}, kMaxTicks + 5);
  bed.wheel.insert({1}, UINT64_MAX);
  bed.wheel.insert({2}, kMaxTicks);
  bed.wheel.insert({3}, kMaxTicks - 1);
  CHECK(bed.advance(kMaxTicks - 2).empty());
  CHECK(bed.advance(kMaxTicks - 1) == Nodes{3});
  CHECK(bed.wheel.next_event() == kMaxTicks);
  CHECK(bed.advance(kMaxTicks) == Nodes{0, 1, 2});
}

TEST_CASE("what the callback inserts comes out of a later advance only") {
  WheelBed bed(3);
  bed.wheel.insert({0}, 5);
  Nodes out;
  const auto again = [&](TimerEntry entry) {
    const uint32_t node = entry.slot();
    out.push_back(node);
    if (node < 2) bed.wheel.insert({node + 1}, 5);
  };
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(bed.wheel.advance(10, again) == 1);
  CHECK(out == Nodes{0, 1, 2});
  // A node may be put back by the callback that receives it.
  bed.wheel.insert({0}, 11);
  uint32_t times = 0;
  for (uint64_t now = 11; now < 20; ++now) {
    bed.wheel.advance(now, [&](TimerEntry entry) {
      ++times;
      bed.wheel.insert({entry.slot()}, now + 1);
    });
  }
  CHECK(times == 9);
}

TEST_CASE("what the ticker puts back keeps its place behind its equals and waits for its tick") {
  WheelBed bed(4);
  bed.wheel.insert({0}, 5);
  bed.wheel.insert({1}, 11);
  Nodes out;
  CHECK(bed.wheel.advance(10, [&](TimerEntry entry) {
    out.push_back(entry.slot());
    bed.wheel.put_back({2, 7, 3}, 11);
  }) == 1);
  CHECK(out == Nodes{0});
  bed.wheel.insert({3}, 11);
  CHECK(bed.wheel.check_invariants());
  CHECK(bed.wheel.placed() == 2);
  out.clear();
  bed.wheel.advance(11, [&](TimerEntry entry) {
    out.push_back(entry.slot());
    if (entry.slot() == 2) CHECK((entry.generation() == 7 && entry.tag() == 3));
  });
  CHECK(out == Nodes{1, 2, 3});
}

TEST_CASE("a full wheel stays full: what comes out goes back in, however it is spread") {
  // As many as it may hold, all the time: chunks suffice, for one to a bucket and for all in one.
  constexpr uint32_t kTimers = 2000;
  Random random(9);
  WheelBed bed(kTimers);
  for (uint32_t timer = 0; timer < kTimers; ++timer) bed.wheel.insert({timer}, timer);
  uint64_t now = 0;
  for (uint64_t step = 0; step < rounds(3000); ++step) {
    now = std::max(now + random.below(50), bed.wheel.next_event() == kNever ? 0 : bed.wheel.next_event());
    const uint64_t width = random.one_in(2) ? 1 : uint64_t{1} << random.below(36);
    bed.wheel.advance(now, [&](TimerEntry entry) {
      const uint64_t due = now + 1 + random.below(width);
      if (random.one_in(2)) {
        bed.wheel.put_back({entry.slot()}, due);
      } else {
        bed.wheel.insert({entry.slot()}, due);
      }
    });
    REQUIRE(bed.wheel.check_invariants());
    uint32_t there = 0;
    bed.wheel.for_each_quiescent([&](TimerEntry) { ++there; });
    REQUIRE(there == kTimers);
    // Or all that is left is far away.
    if (now > kMaxTicks / 2) break;
  }
}

TEST_CASE("an inserter is told to wake a ticker that would sleep too long, and only then") {
  WheelBed bed(10);
  TimerWheel& wheel = bed.wheel;
  CHECK_FALSE(wheel.insert({0}, 1));       // it is awake
  CHECK_FALSE(wheel.sleep_until(kNever));  // and does not fall asleep over what it has not looked at
  CHECK_FALSE(wheel.insert({1}, 1));
  CHECK(bed.advance(1).size() == 2);
  REQUIRE(wheel.sleep_until(100));
  CHECK_FALSE(wheel.insert({2}, 200));
  CHECK_FALSE(wheel.insert({3}, 100));  // it wakes at that tick by itself
  CHECK(wheel.insert({4}, 99));
  CHECK_FALSE(wheel.insert({5}, 50));  // somebody else is waking it already
  wheel.awake();
  CHECK(bed.advance(49).empty());
  CHECK(wheel.next_event() <= 50);
  REQUIRE(wheel.sleep_until(wheel.next_event()));
  CHECK(wheel.insert({6}, 0));
  wheel.awake();
  CHECK_FALSE(wheel.insert({7}, 0));
  CHECK(bed.advance(49) == Nodes{6, 7});
}

TEST_CASE("a ticker that sleeps for ever is woken by any node, even one beyond the last tick") {
  for (const uint64_t due :
       {uint64_t{0}, uint64_t{1000}, kMaxTicks, kMaxTicks + 1, UINT64_MAX - 1, UINT64_MAX}) {
    CAPTURE(due);
    WheelBed bed(1);
    REQUIRE(bed.wheel.sleep_until(kNever));
    CHECK(bed.wheel.insert({0}, due));
  }
}

TEST_CASE("a long intake wakes the ticker even when nothing in it is urgent") {
  WheelBed bed(10'000);
  REQUIRE(bed.wheel.sleep_until(10));
  uint32_t told = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    if (bed.wheel.insert({i}, 1000)) ++told;
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
    WheelBed bed(kNodes);
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
      bed.wheel.insert({node}, due);
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
      bed.wheel.advance(now, [&](TimerEntry entry) {
        out.push_back(entry.slot());
        free.push_back(entry.slot());
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
  WheelBed bed(64);
  WheelModel model;
  for (uint32_t i = 0; i < 64; ++i) {
    bed.wheel.insert({i}, i);
    model.insert(i, i);
  }
  uint64_t now = 0;
  for (uint64_t step = 0; step < rounds(20'000); ++step) {
    now += random.below(200);
    const Nodes expected = model.advance(now);
    Nodes out;
    bed.wheel.advance(now, [&](TimerEntry entry) {
      const uint32_t node = entry.slot();
      out.push_back(node);
      const uint64_t due = now + random.below(random.one_in(20) ? 100'000 : 400);
      bed.wheel.insert({node}, due);
      model.insert(node, due);
    });
    REQUIRE(out == expected);
  }
  CHECK(bed.wheel.check_invariants());
}

}  // namespace
