// Nanoseconds for each block taken and given back, of the sizes that requests and replies have: the pool
// against malloc, one thread and two.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/payload_pool.h"
#include "test/support/measure.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr size_t kArenaBytes = size_t{256} << 20;
constexpr uint32_t kHeld = 4096;  // of each thread

std::vector<uint32_t> mixed_sizes() {
  std::mt19937 engine(1);
  std::vector<uint32_t> sizes;
  for (uint32_t i = 0; i < 65'536; ++i) {
    const auto drawn = static_cast<uint32_t>(engine());
    const uint32_t kind = drawn % 10;
    const uint32_t more = drawn / 10;
    // Mostly requests, replies beside them, sometimes a large body.
    sizes.push_back(kind < 6 ? 400 + more % 1200 : kind < 9 ? 200 + more % 400 : 2000 + more % 10'000);
  }
  return sizes;
}

template <class Take, class Give>
uint64_t round(uint32_t threads, uint64_t operations, const std::vector<uint32_t>& sizes, Take take,
               Give give) {
  const Stopwatch watch;
  run_together(threads, [&](uint32_t thread) {
    std::vector<decltype(take(0))> held(kHeld);
    for (uint64_t i = 0; i < operations / threads; ++i) {
      auto& place = held[(i * 7919) % kHeld];
      give(place);
      place = take(sizes[(i + thread * 1000) % sizes.size()]);
    }
    for (auto& place : held) give(place);
  });
  return watch.ns();
}

}  // namespace

int main() {
  constexpr uint64_t kOperations = 1'000'000;
  const std::vector<uint32_t> sizes = mixed_sizes();
  for (const uint32_t threads : {1u, 2u}) {
    const std::string name = "take+give back, mixed sizes, " + std::to_string(threads) +
                             (threads == 1 ? " thread, " : " threads, ");
    measure(name + "pool", kOperations, [&] {
      Region region(PayloadPool::region_bytes(kArenaBytes));
      PayloadPool pool(region, kArenaBytes);
      return round(
          threads, kOperations, sizes, [&](size_t bytes) { return pool.try_allocate(bytes); },
          [&](PayloadRef ref) { pool.free(ref); });
    });
    measure(name + "malloc", kOperations, [&] {
      return round(
          threads, kOperations, sizes, [](size_t bytes) { return std::malloc(bytes); },
          [](void* block) { std::free(block); });
    });
  }
}
