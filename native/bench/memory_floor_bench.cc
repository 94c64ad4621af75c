// What memory alone asks for when a timer expires and is set again: one random entry of a table of what timers stand for read
// and written, fetched as far ahead as the wheel does it. Nothing else of a timer is done.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/timer_chunks.h"
#include "test/support/measure.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint64_t kLeastOperations = 2'000'000;

void touch(uint32_t pending) {
  Region region(Region::padded(sizeof(uint32_t) * pending));
  auto* suspension_of = region.take<uint32_t>(pending);
  // The order in which they come out.
  std::mt19937 engine(1);
  std::vector<uint32_t> order(pending);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), engine);

  const uint64_t laps = (kLeastOperations + pending - 1) / pending;
  measure("what a timer stands for, " + std::to_string(pending), laps * pending, [&] {
    const Stopwatch watch;
    for (uint64_t lap = 0; lap < laps; ++lap) {
      for (uint32_t i = 0; i < pending; ++i) {
        if (i + TimerChunks::kAhead < pending)
          __builtin_prefetch(&suspension_of[order[i + TimerChunks::kAhead]], 1);
        ++suspension_of[order[i]];
      }
    }
    keep(suspension_of);
    return watch.ns();
  });
}

}  // namespace

int main() {
  for (const uint32_t pending : {1000u, 10'000u, 100'000u, 1'000'000u, 10'000'000u}) touch(pending);
}
