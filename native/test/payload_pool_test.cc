#include "core/payload_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using sip_async::test::Random;
using sip_async::test::rounds;
using sip_async::test::run_together;

struct Bed {
  explicit Bed(size_t arena_bytes)
      : region(PayloadPool::region_bytes(arena_bytes)), pool(region, arena_bytes) {}
  Region region;
  PayloadPool pool;
};

// Writes the whole block, not only what was asked for, so that a neighbour that is too near is hit.
void fill(PayloadPool& pool, PayloadRef ref, unsigned char byte) {
  std::memset(pool.data(ref), byte, pool.capacity(ref));
}

bool filled(const PayloadPool& pool, PayloadRef ref, unsigned char byte) {
  const char* at = pool.data(ref);
  return std::all_of(at, at + pool.capacity(ref),
                     [&](char c) { return static_cast<unsigned char>(c) == byte; });
}

TEST_CASE("the classes are a ladder of whole units up to 1.25 MiB") {
  CHECK(PayloadPool::class_bytes(0) == 128);
  CHECK(PayloadPool::class_bytes(1) == 192);
  CHECK(PayloadPool::class_bytes(PayloadPool::kClasses - 1) == 1280 * 1024);
  for (uint32_t size_class = 0; size_class < PayloadPool::kClasses; ++size_class) {
    const size_t bytes = PayloadPool::class_bytes(size_class);
    CHECK(bytes % PayloadPool::kUnit == 0);
    if (size_class == 0) continue;
    const size_t below = PayloadPool::class_bytes(size_class - 1);
    CHECK(bytes > below);
    // At most a fifth is left over: the smallest request of this class is one byte more than the class below
    // holds.
    if (bytes > 256) CHECK((bytes - below - 1) * 5 < bytes);
  }
}

TEST_CASE("class_for is the smallest class that holds the block, for every size") {
  uint32_t expected = 0;
  for (size_t bytes = 1; bytes <= 1280 * 1024; ++bytes) {
    while (PayloadPool::class_bytes(expected) < bytes) ++expected;
    REQUIRE(PayloadPool::class_for(bytes) == expected);
  }
}

TEST_CASE("a block has the room of the class of its size, for every size") {
  Bed bed(16 << 20);
  for (size_t bytes = 0; bytes <= PayloadPool::largest_payload(); ++bytes) {
    const PayloadRef ref = bed.pool.try_allocate(bytes);
    REQUIRE(ref != kNoPayload);
    const size_t block_bytes =
        PayloadPool::class_bytes(PayloadPool::class_for(bytes + PayloadPool::kHeaderBytes));
    REQUIRE(bed.pool.capacity(ref) == block_bytes - PayloadPool::kHeaderBytes);
    REQUIRE(bed.pool.capacity(ref) >= bytes);
    bed.pool.free(ref);
  }
  CHECK(bed.pool.check_invariants());
  CHECK(bed.pool.blocks_in_use() == 0);
}

TEST_CASE("what no class holds is refused") {
  Bed bed(2 << 20);
  const PayloadRef largest = bed.pool.try_allocate(PayloadPool::largest_payload());
  CHECK(largest != kNoPayload);
  CHECK(bed.pool.try_allocate(PayloadPool::largest_payload() + 1) == kNoPayload);
  CHECK(bed.pool.try_allocate(SIZE_MAX / 2) == kNoPayload);
  // Would become a small number when the header is added to it.
  CHECK(bed.pool.try_allocate(SIZE_MAX) == kNoPayload);
  CHECK(bed.pool.try_allocate(SIZE_MAX - PayloadPool::kHeaderBytes + 1) == kNoPayload);
  CHECK(bed.pool.blocks_in_use() == 1);
  bed.pool.free(largest);
  bed.pool.free(kNoPayload);
  CHECK(bed.pool.blocks_in_use() == 0);
  CHECK(bed.pool.check_invariants());
}

TEST_CASE("an arena without room gives nothing") {
  Bed bed(0);
  CHECK(bed.pool.try_allocate(1) == kNoPayload);
  CHECK(bed.pool.blocks_in_use() == 0);
  CHECK(bed.pool.check_invariants());
}

TEST_CASE("the arena is used up to the last unit") {
  Bed bed(10 * 128);
  for (int i = 0; i < 10; ++i) CHECK(bed.pool.try_allocate(100) != kNoPayload);
  CHECK(bed.pool.try_allocate(1) == kNoPayload);
  CHECK(bed.pool.blocks_in_use() == 10);
  CHECK(bed.pool.check_invariants());
}

TEST_CASE("when the arena is used up a larger free block serves, then nothing") {
  Bed bed(4096);
  const PayloadRef large = bed.pool.try_allocate(1000);
  const PayloadRef medium = bed.pool.try_allocate(500);
  const PayloadRef next = bed.pool.try_allocate(150);
  std::vector<PayloadRef> small;
  for (PayloadRef ref; (ref = bed.pool.try_allocate(100)) != kNoPayload;) small.push_back(ref);
  CHECK(small.size() > 10);
  bed.pool.free(large);
  bed.pool.free(medium);
  bed.pool.free(next);
  const size_t medium_room = bed.pool.capacity(medium);
  const size_t large_room = bed.pool.capacity(large);
  // The next larger one first.
  CHECK(bed.pool.try_allocate(100) == next);
  CHECK(bed.pool.try_allocate(100) == medium);
  CHECK(bed.pool.try_allocate(100) == large);
  CHECK(bed.pool.try_allocate(100) == kNoPayload);
  CHECK(bed.pool.capacity(medium) == medium_room);
  CHECK(bed.pool.capacity(large) == large_room);
  // A smaller free block never serves a larger request.
  bed.pool.free(small.back());
  CHECK(bed.pool.try_allocate(1000) == kNoPayload);
  CHECK(bed.pool.check_invariants());
  // Back in its own class, it is there for what it was cut for.
  bed.pool.free(large);
  CHECK(bed.pool.try_allocate(1000) == large);
}

TEST_CASE("blocks come back: the high-water mark stands still") {
  Bed bed(1 << 20);
  std::vector<PayloadRef> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(bed.pool.try_allocate(700));
  const uint64_t high = bed.pool.high_water_bytes();
  for (int lap = 0; lap < 100; ++lap) {
    for (const PayloadRef ref : refs) bed.pool.free(ref);
    for (PayloadRef& ref : refs) ref = bed.pool.try_allocate(700);
  }
  CHECK(bed.pool.high_water_bytes() == high);
  CHECK(bed.pool.blocks_in_use() == 100);
}

TEST_CASE("random allocations against a map of what is held") {
  Random random(1);
  for (const size_t arena_bytes : {size_t{20'000}, size_t{300'000}, size_t{4} << 20}) {
    Bed bed(arena_bytes);
    struct Held {
      PayloadRef ref;
      unsigned char byte;
    };
    std::map<const char*, Held> held;  // by address
    uint64_t refused = 0;
    for (uint64_t step = 0; step < rounds(30'000); ++step) {
      if (random.below(100) < 55) {
        const size_t bytes =
            random.one_in(8) ? random.below(PayloadPool::largest_payload()) : random.below(2000);
        const PayloadRef ref = bed.pool.try_allocate(bytes);
        if (ref == kNoPayload) {
          ++refused;
          continue;
        }
        REQUIRE(bed.pool.capacity(ref) >= bytes);
        const char* begin = bed.pool.data(ref);
        const auto next = held.lower_bound(begin);
        if (next != held.end()) REQUIRE(begin + bed.pool.capacity(ref) <= next->first);
        if (next != held.begin()) {
          const auto before = std::prev(next);
          REQUIRE(before->first + bed.pool.capacity(before->second.ref) <= begin);
        }
        const auto byte = static_cast<unsigned char>(random.bits());
        fill(bed.pool, ref, byte);
        held.emplace(begin, Held{ref, byte});
      } else if (!held.empty()) {
        auto victim = held.lower_bound(bed.region.base() + random.below(bed.region.size()));
        if (victim == held.end()) victim = held.begin();
        REQUIRE(filled(bed.pool, victim->second.ref, victim->second.byte));
        bed.pool.free(victim->second.ref);
        held.erase(victim);
      }
      REQUIRE(bed.pool.blocks_in_use() == held.size());
      if (step % 500 == 0) REQUIRE(bed.pool.check_invariants());
    }
    // The arena itself and the unit in front of it that no reference uses.
    CHECK(bed.pool.high_water_bytes() <= arena_bytes + PayloadPool::kUnit);
    if (arena_bytes < 100'000) CHECK(refused > 0);
    for (const auto& [at, one] : held) {
      REQUIRE(filled(bed.pool, one.ref, one.byte));
      bed.pool.free(one.ref);
    }
    CHECK(bed.pool.blocks_in_use() == 0);
    CHECK(bed.pool.check_invariants());
  }
}

TEST_CASE("threads that free what others allocated") {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kShelf = 64;
  // The small arena runs out all the time, so that the walk through the larger classes is raced, too.
  for (const size_t arena_bytes : {size_t{40'000}, size_t{8} << 20}) {
    Bed bed(arena_bytes);
    PayloadPool& pool = bed.pool;
    // Blocks change hands here; each carries a byte that follows from its reference.
    std::atomic<PayloadRef> shelf[kShelf] = {};
    std::atomic<uint64_t> broken{0};
    std::atomic<uint64_t> allocated{0};
    const auto byte_of = [](PayloadRef ref) { return static_cast<unsigned char>(ref * 37 + 11); };
    run_together(kThreads, [&](uint32_t thread) {
      Random random(10 + thread);
      uint64_t mine = 0;
      for (uint64_t step = 0; step < rounds(40'000); ++step) {
        const size_t bytes = random.one_in(20) ? random.below(20'000) : random.below(1500);
        const PayloadRef fresh = pool.try_allocate(bytes);
        if (fresh != kNoPayload) {
          ++mine;
          if (pool.capacity(fresh) < bytes) broken.fetch_add(1);
          fill(pool, fresh, byte_of(fresh));
        }
        const PayloadRef old = shelf[random.below(kShelf)].exchange(fresh, std::memory_order_acq_rel);
        if (old == kNoPayload) continue;
        if (!filled(pool, old, byte_of(old))) broken.fetch_add(1);
        pool.free(old);
      }
      allocated.fetch_add(mine);
    });
    CHECK(broken == 0);
    CHECK(allocated > kShelf);
    for (auto& place : shelf) pool.free(place.load());
    CHECK(pool.blocks_in_use() == 0);
    CHECK(pool.check_invariants());
  }
}

}  // namespace
