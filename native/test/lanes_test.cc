// Lanes against a naive model: a list of names, each with its queue.
#include "core/lanes.h"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "test/support/seed.h"

using namespace sip_async;
using core::Hash128;
using core::kNone;
using core::Lanes;
using core::Task;

namespace {

Hash128 name_of(uint64_t number) {
  return core::SipHash(1, 2).add_number(number).finish();
}
bool always() {
  return true;
}

struct Lane {
  struct Member {
    uint32_t index;
    std::optional<uint64_t> key;
    bool has_begun = false;
  };
  std::deque<Member> members;
  uint16_t group = 0;
};

}  // namespace

TEST_CASE("lanes: the first comes in at once, the others behind it") {
  Lanes lanes(8);
  const Hash128 one = name_of(1), other = name_of(2);
  CHECK(lanes.enter({0, 7}, 3, one, nullptr, always) == Lanes::Entry::kFirst);
  CHECK(lanes.enter({1, 8}, 3, one, nullptr, always) == Lanes::Entry::kBehind);
  CHECK(lanes.enter({2, 9}, 3, other, nullptr, always) == Lanes::Entry::kFirst);
  CHECK(lanes.enter({3, 1}, 3, one, nullptr, always) == Lanes::Entry::kBehind);
  CHECK(lanes.waiting() == 2);
  CHECK(lanes.check_invariants());

  Task next{};
  uint16_t group = 0;
  CHECK(lanes.leave(0, next, group) == Lanes::Left::kFirst);
  CHECK(next.index == 1);
  CHECK(next.generation == 8);
  CHECK(group == 3);
  CHECK(lanes.leave(0, next, group) == Lanes::Left::kNothing);
  CHECK(next.index == kNone);
  CHECK(lanes.leave(3, next, group) == Lanes::Left::kWaiting);
  CHECK(next.index == kNone);
  CHECK(lanes.leave(1, next, group) == Lanes::Left::kFirst);
  CHECK(next.index == kNone);
  CHECK(lanes.leave(2, next, group) == Lanes::Left::kFirst);
  CHECK(lanes.waiting() == 0);
  CHECK(lanes.check_invariants());
}

TEST_CASE("lanes: a key is taken once, until its task begins") {
  Lanes lanes(8);
  const Hash128 lane = name_of(1), other = name_of(2), key = name_of(9);
  CHECK(lanes.enter({0, 1}, 0, lane, &key, always) == Lanes::Entry::kFirst);
  CHECK(lanes.enter({1, 1}, 0, lane, &key, always) == Lanes::Entry::kRepeated);
  CHECK(lanes.enter({1, 1}, 0, lane, nullptr, always) == Lanes::Entry::kBehind);
  // The same key under another name is another message.
  CHECK(lanes.enter({2, 1}, 0, other, &key, always) == Lanes::Entry::kFirst);
  lanes.begin(0);
  CHECK(lanes.enter({3, 1}, 0, lane, &key, always) == Lanes::Entry::kBehind);
  CHECK(lanes.enter({4, 1}, 0, lane, &key, always) == Lanes::Entry::kRepeated);
  CHECK(lanes.check_invariants());
  Task next{};
  uint16_t group = 0;
  CHECK(lanes.leave(3, next, group) == Lanes::Left::kWaiting);
  CHECK(lanes.enter({4, 1}, 0, lane, &key, always) == Lanes::Entry::kBehind);
  CHECK(lanes.check_invariants());
}

TEST_CASE("lanes: what does not commit is not in") {
  Lanes lanes(4);
  const Hash128 lane = name_of(1), key = name_of(2);
  CHECK(lanes.enter({0, 1}, 0, lane, &key, [] { return false; }) == Lanes::Entry::kRefused);
  Task next{};
  uint16_t group = 0;
  CHECK(lanes.leave(0, next, group) == Lanes::Left::kNothing);
  CHECK(lanes.enter({0, 1}, 0, lane, &key, always) == Lanes::Entry::kFirst);
  CHECK(lanes.check_invariants());
}

TEST_CASE("lanes: randomized against a naive model") {
  constexpr uint32_t kSlots = 64;
  test::Random random(71);
  Lanes lanes(kSlots);
  std::map<uint64_t, Lane> model;
  std::map<uint32_t, uint64_t> lane_of;
  std::vector<uint32_t> generations(kSlots, 1);
  for (uint32_t step = 0; step < 60'000; ++step) {
    const uint32_t index = random.below32(kSlots);
    if (const auto at = lane_of.find(index); at == lane_of.end()) {
      const uint64_t name = random.below(9);
      const bool has_key = !random.one_in(4);
      const uint64_t key_number = random.below(6);
      const Hash128 key = name_of(1000 + key_number);
      const bool commits = !random.one_in(20);
      const uint16_t group = static_cast<uint16_t>(name % 3);
      const auto entry = lanes.enter({index, generations[index]}, group, name_of(name),
                                     has_key ? &key : nullptr, [&] { return commits; });
      Lane& lane = model[name];
      bool repeats = false;
      for (const auto& member : lane.members) {
        repeats = repeats || (has_key && !member.has_begun && member.key == key_number);
      }
      const auto wanted = repeats                ? Lanes::Entry::kRepeated
                          : !commits             ? Lanes::Entry::kRefused
                          : lane.members.empty() ? Lanes::Entry::kFirst
                                                 : Lanes::Entry::kBehind;
      REQUIRE(entry == wanted);
      if (entry == Lanes::Entry::kFirst || entry == Lanes::Entry::kBehind) {
        lane.members.push_back({index, has_key ? std::optional(key_number) : std::nullopt});
        lane.group = group;
        lane_of[index] = name;
      }
    } else {
      Lane& lane = model[at->second];
      if (lane.members.front().index == index && random.one_in(2)) {
        lanes.begin(index);
        lane.members.front().has_begun = true;
      } else {
        const bool was_first = lane.members.front().index == index;
        Task next{};
        uint16_t group = Lanes::kNoGroup;
        const auto left = lanes.leave(index, next, group);
        REQUIRE(left == (was_first ? Lanes::Left::kFirst : Lanes::Left::kWaiting));
        REQUIRE(group == lane.group);
        std::erase_if(lane.members, [&](const auto& member) { return member.index == index; });
        if (was_first && !lane.members.empty()) {
          REQUIRE(next.index == lane.members.front().index);
          REQUIRE(next.generation == generations[next.index]);
        } else {
          REQUIRE(next.index == kNone);
        }
        lane_of.erase(at);
        ++generations[index];
      }
    }
    size_t waiting = 0;
    for (const auto& [name, lane] : model) waiting += lane.members.empty() ? 0 : lane.members.size() - 1;
    REQUIRE(lanes.waiting() == waiting);
    if (step % 64 == 0) REQUIRE(lanes.check_invariants());
  }
}
