#include "core/region.h"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "core/cache_line.h"
#include "test/support/seed.h"

namespace {

using sip_async::core::kCacheLine;
using sip_async::core::Region;
using sip_async::test::Random;

bool all_zero(const char* at, size_t bytes) {
  return std::all_of(at, at + bytes, [](char byte) { return byte == 0; });
}

TEST_CASE("padded is the next multiple of a cache line") {
  for (size_t bytes = 0; bytes < 1000; ++bytes) {
    size_t expected = 0;
    while (expected < bytes) expected += kCacheLine;
    REQUIRE(Region::padded(bytes) == expected);
  }
}

TEST_CASE("what is taken is aligned, zero-filled, inside and shared with nobody") {
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    Region region(random.between(1, 200'000));
    const char* end = region.base() + region.size();
    const char* free_from = region.base();
    for (;;) {
      const size_t bytes = random.between(1, 5000);
      const size_t room = static_cast<size_t>(end - free_from);
      if (Region::padded(bytes) > room) {
        const size_t before = region.taken();
        CHECK_THROWS_AS(region.take_bytes(bytes), std::bad_alloc);
        CHECK(region.taken() == before);
        break;
      }
      char* at = static_cast<char*>(region.take_bytes(bytes));
      REQUIRE(reinterpret_cast<uintptr_t>(at) % kCacheLine == 0);
      REQUIRE(at >= free_from);
      REQUIRE(at + bytes <= end);
      REQUIRE(all_zero(at, bytes));
      std::memset(at, 0xff, bytes);
      free_from = region.base() + region.taken();
      REQUIRE(free_from >= at + bytes);
    }
  }
}

TEST_CASE("a region that was added up with padded is used up to the last byte") {
  struct Odd {
    char bytes[67];
  };
  const size_t need = Region::padded(sizeof(Odd) * 61) + Region::padded(sizeof(uint64_t) * 512);
  Region region(need);
  Odd* odd = region.take<Odd>(61);
  uint64_t* numbers = region.take<uint64_t>(512);
  odd[60].bytes[66] = 1;
  numbers[511] = 1;
  CHECK(region.taken() == need);
  CHECK(region.size() - region.taken() < 4096);
}

TEST_CASE("a page costs nothing before it is touched") {
  constexpr size_t kPage = 4096;
  Region region(64 << 20);
  const auto resident = [&] {
    std::vector<unsigned char> pages(region.size() / kPage);
    REQUIRE(mincore(const_cast<char*>(region.base()), region.size(), pages.data()) == 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
  };
  char* at = static_cast<char*>(region.take_bytes(32 << 20));
  CHECK(resident() == 0);
  at[0] = 1;
  at[10 * kPage] = 1;
  CHECK(resident() >= 2);
  CHECK(resident() < 4096);
}

TEST_CASE(
    "one of huge pages begins at one, is zero-filled and holds what was asked for; a small one is of small "
    "pages") {
  constexpr size_t kHugePage = 2 << 20;
  Random random(2);
  for (int round = 0; round < 20; ++round) {
    const size_t bytes = kHugePage + random.between(0, 5 << 20);
    Region region(bytes, Region::Pages::kHuge);
    CHECK(reinterpret_cast<uintptr_t>(region.base()) % kHugePage == 0);
    CHECK(region.size() >= bytes);
    CHECK(region.size() % kHugePage == 0);
    char* at = static_cast<char*>(region.take_bytes(bytes));
    REQUIRE(all_zero(at, bytes));
    std::memset(at, 0xff, bytes);
  }
  const Region small(kHugePage - 1, Region::Pages::kHuge);
  CHECK(small.size() == kHugePage);
  CHECK_THROWS_AS(Region(SIZE_MAX - 8192, Region::Pages::kHuge), std::bad_alloc);
  CHECK_THROWS_AS(Region(SIZE_MAX / 2, Region::Pages::kHuge), std::bad_alloc);
}

TEST_CASE("a request beyond all bounds is refused") {
  Region region(1 << 16);
  const size_t most = SIZE_MAX;
  CHECK_THROWS_AS(region.take_bytes(most / 2), std::bad_alloc);
  // Sizes that a rounding up would turn into a small number.
  CHECK_THROWS_AS(region.take_bytes(most), std::bad_alloc);
  CHECK_THROWS_AS(region.take_bytes(most - 40), std::bad_alloc);
  CHECK(region.taken() == 0);
  CHECK_THROWS_AS(Region{most - 8192}, std::bad_alloc);
  CHECK_THROWS_AS(Region{most}, std::bad_alloc);
}

}  // namespace
