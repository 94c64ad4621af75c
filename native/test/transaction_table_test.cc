// The table of transactions: chains, locks, and the way from a slot to its bucket.
#include <doctest/doctest.h>

#include <vector>

#include "sip/transaction_table.h"
#include "test/support/seed.h"
#include "test/support/stress.h"

using namespace sip_async;
using core::kNone;
using sip::Hash128;
using sip::TransactionTable;
using Lock = TransactionTable::Lock;

namespace {

struct Bed {
  Bed(uint32_t slot_count, uint32_t buckets)
      : region(core::SlotTable::region_bytes(slot_count)), slots(region, slot_count), table(slots, buckets) {}

  void give_key(uint32_t slot, const Hash128& key) {
    slots.at(slot).key_high.store(key.high, std::memory_order_relaxed);
    slots.at(slot).key_low.store(key.low, std::memory_order_relaxed);
  }

  core::Region region;
  core::SlotTable slots;
  TransactionTable table;
};

}  // namespace

TEST_CASE("inserting, finding and removing agree with a list") {
  constexpr uint32_t kSlots = 40;
  for (const uint32_t buckets : {1u, 8u, 64u}) {
    CAPTURE(buckets);
    Bed bed(kSlots, buckets);
    test::Random random(buckets);
    // Few different values, so that keys agree in one half, or in the bucket, and still differ.
    std::vector<Hash128> key(kSlots);
    std::vector<bool> in(kSlots, false);
    const auto find = [&](const Hash128& wanted) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        if (in[i] && key[i] == wanted) return i;
      }
      return kNone;
    };
    for (uint64_t step = 0; step < test::rounds(50'000); ++step) {
      const Hash128 wanted{random.below(4), random.below(12)};
      const uint32_t slot = random.below32(kSlots);
      if (in[slot] && random.one_in(2)) {
        Lock lock(bed.table, slot);
        lock.remove(slot);
        if (random.one_in(4)) lock.remove(slot);  // not there any more: nothing happens
        in[slot] = false;
      } else if (!in[slot] && find(wanted) == kNone) {
        bed.give_key(slot, wanted);
        key[slot] = wanted;
        Lock lock(bed.table, wanted);
        lock.insert(slot);
        in[slot] = true;
      }
      CHECK(bed.table.key_of(slot) == key[slot]);
      const Hash128 asked{random.below(4), random.below(12)};
      Lock lock(bed.table, asked);
      REQUIRE(lock.find(asked) == find(asked));
    }
  }
}

TEST_CASE("unlocking twice lets go once") {
  Bed bed(4, 4);
  const Hash128 key{1, 2};
  bed.give_key(3, key);
  {
    Lock lock(bed.table, key);
    lock.insert(3);
    lock.unlock();
    // Somebody else has the bucket now; the second unlock, and the end of the first lock, must not take it from him.
    Lock other(bed.table, 3);
    CHECK(other.find(key) == 3);
    lock.unlock();
    other.remove(3);
  }
  Lock lock(bed.table, key);
  CHECK(lock.find(key) == kNone);
}

TEST_CASE("a bucket's lock keeps threads apart, by key and by slot alike") {
  constexpr uint32_t kSlots = 16;
  constexpr uint32_t kThreads = 4;
  const uint64_t rounds = test::rounds(60'000);
  Bed bed(kSlots, 2);
  // Plain members of the slots, and no other protection: the thread sanitizer sees a lock that does not hold.
  for (uint32_t i = 0; i < kSlots; ++i) {
    bed.give_key(i, {i, i});
    bed.slots.at(i).timer_tick = 0;
    bed.slots.at(i).phase = 0;
  }
  test::run_together(kThreads, [&](uint32_t thread) {
    test::Random random(thread);
    for (uint64_t i = 0; i < rounds; ++i) {
      const uint32_t slot = random.below32(kSlots);
      const Hash128 key{slot, slot};
      const auto step = [&](Lock& lock) {
        core::Slot& at = bed.slots.at(slot);
        ++at.timer_tick;
        if (at.phase == 0) {
          CHECK(lock.find(key) == kNone);
          lock.insert(slot);
        } else {
          CHECK(lock.find(key) == slot);
          lock.remove(slot);
        }
        at.phase ^= 1;
      };
      if (random.one_in(2)) {
        Lock lock(bed.table, key);
        step(lock);
      } else {
        Lock lock(bed.table, slot);
        step(lock);
      }
    }
  });
  uint64_t steps = 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    steps += bed.slots.at(i).timer_tick;
    Lock lock(bed.table, i);
    CHECK(lock.find({i, i}) == (bed.slots.at(i).phase == 0 ? kNone : i));
  }
  CHECK(steps == kThreads * rounds);
}
