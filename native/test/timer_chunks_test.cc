#include "core/timer_chunks.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "test/support/seed.h"

namespace {

using sip_async::core::Region;
using sip_async::core::TimerChunks;
using sip_async::core::TimerEntry;
using sip_async::test::Random;

struct Bed {
  Bed(uint32_t timers, uint32_t lists)
      : most(TimerChunks::chunks_for(timers, lists)),
        region(TimerChunks::region_bytes(most)),
        chunks(region, most) {}

  std::vector<uint32_t> consumed(TimerChunks::List& list) {
    std::vector<uint32_t> out;
    const TimerChunks::List taken = list;
    list = {};
    chunks.consume(taken, [&](auto entry) { out.push_back(entry.slot()); });
    return out;
  }

  uint32_t most;
  Region region;
  TimerChunks chunks;
};

TEST_CASE("entries come out in the order they went in, however many chunks they fill") {
  for (uint32_t count = 0; count <= 3 * TimerChunks::kEntries + 1; ++count) {
    Bed bed(count + 1, 1);
    TimerChunks::List list{};
    std::vector<uint32_t> expected;
    for (uint32_t index = 0; index < count; ++index) {
      bed.chunks.append(list, TimerEntry(index, 1, 2, index + 7));
      expected.push_back(index);
    }
    CHECK(list.empty() == (count == 0));
    std::vector<uint32_t> seen;
    bed.chunks.for_each(list, [&](auto entry) {
      REQUIRE(entry.due_tick() == entry.slot() + 7);
      seen.push_back(entry.slot());
    });
    REQUIRE(seen == expected);
    REQUIRE(bed.chunks.in_use() == (count + TimerChunks::kEntries - 1) / TimerChunks::kEntries);
    REQUIRE(bed.chunks.chunks_of(list) == bed.chunks.in_use());
    REQUIRE(bed.consumed(list) == expected);
    REQUIRE(bed.chunks.in_use() == 0);
  }
}

TEST_CASE("an entry keeps its parts apart, each with all bits it has") {
  for (const uint64_t due : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, TimerEntry::kMaxTick}) {
    for (const uint32_t tag : {0u, 1u, TimerEntry::kTagMask}) {
      for (const uint32_t number : {0u, 1u, 0x8000'0000u, 0xffff'ffffu}) {
        const TimerEntry entry(number, ~number, tag, due);
        CHECK(entry.slot() == number);
        CHECK(entry.generation() == ~number);
        CHECK(entry.tag() == tag);
        CHECK(entry.due_tick() == due);
        CHECK(entry.moment() != 0);
        const TimerEntry again(entry.subject(), entry.moment());
        CHECK((again.slot() == number && again.tag() == tag && again.due_tick() == due));
      }
    }
  }
}

TEST_CASE("each entry is announced once or not at all, and always before its turn") {
  for (const uint32_t count :
       {1u, TimerChunks::kLookFrom - 1, TimerChunks::kLookFrom, TimerChunks::kAhead + 3, 200u}) {
    Bed bed(count, 1);
    TimerChunks::List list{};
    for (uint32_t index = 0; index < count; ++index) bed.chunks.append(list, TimerEntry(index, 1, 2, 0));
    std::vector<uint32_t> announced(count, 0);
    uint32_t turn = 0;
    bed.chunks.consume(
        list,
        [&](auto entry) {
          REQUIRE(entry.slot() >= turn);
          ++announced[entry.slot()];
        },
        [&](auto entry) {
          REQUIRE(entry.slot() == turn++);
          REQUIRE(announced[entry.slot()] <= 1);
        });
    CHECK(turn == count);
    CHECK(announced[0] == (count >= TimerChunks::kLookFrom ? 1 : 0));
  }
}

TEST_CASE("chunks suffice for all nodes, however they are spread and moved") {
  constexpr uint32_t kNodes = 500;
  constexpr uint32_t kLists = 40;
  Random random(1);
  Bed bed(kNodes, kLists);
  std::vector<TimerChunks::List> lists(kLists, TimerChunks::List{});
  std::vector<std::deque<uint32_t>> model(kLists);
  for (uint32_t index = 0; index < kNodes; ++index) {
    bed.chunks.append(lists[0], TimerEntry(index, 1, 2, 0));
    model[0].push_back(index);
  }
  for (int round = 0; round < 2000; ++round) {
    const auto from = static_cast<uint32_t>(random.between(0, kLists - 1));
    // Sometimes all into one, sometimes over all of them.
    const auto width = static_cast<uint32_t>(random.between(0, 1) == 0 ? 1 : kLists);
    const TimerChunks::List taken = lists[from];
    lists[from] = {};
    std::deque<uint32_t> expected;
    expected.swap(model[from]);
    bed.chunks.consume(taken, [&](auto entry) {
      REQUIRE(entry.slot() == expected.front());
      expected.pop_front();
      const auto to = static_cast<uint32_t>(random.between(0, width - 1));
      bed.chunks.append(lists[to], entry);
      model[to].push_back(entry.slot());
      REQUIRE(bed.chunks.in_use() <= bed.most);
    });
    REQUIRE(expected.empty());
    uint32_t held = 0;
    for (const TimerChunks::List& list : lists) held += bed.chunks.chunks_of(list);
    REQUIRE(held == bed.chunks.in_use());
  }
}

}  // namespace
