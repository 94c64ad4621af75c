// Nanoseconds for a whole life of a slot, answered at once and after one suspension: one thread, and two
// threads that share the free list.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/slot_table.h"
#include "test/support/measure.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint32_t kSlots = 65'536;

void live(SlotTable& table, bool suspend) {
  const uint32_t index = table.try_acquire();
  if (index == kNone) return;
  const uint32_t generation = table.word(index).generation();
  table.begin_run(index, generation);
  if (suspend) {
    uint32_t suspension = 0;
    table.suspend(index, generation, Run::kSuspended, suspension);
    table.make_due(index, generation, suspension);
    table.begin_run(index, generation);
  }
  table.answer(index, generation);
  Word before(0);
  table.end_run(index, generation, before);
  table.release(index);
}

uint64_t round(uint32_t threads, uint64_t lives, bool suspend) {
  Region region(SlotTable::region_bytes(kSlots));
  SlotTable table(region, kSlots);
  const Stopwatch watch;
  run_together(threads, [&](uint32_t) {
    for (uint64_t i = 0; i < lives / threads; ++i) live(table, suspend);
  });
  return watch.ns();
}

// All slots are taken before the first is given back, so that each life touches another slot.
uint64_t wide_round(uint64_t lives) {
  Region region(SlotTable::region_bytes(kSlots));
  SlotTable table(region, kSlots);
  std::vector<uint32_t> held(kSlots);
  const Stopwatch watch;
  for (uint64_t lap = 0; lap < lives / kSlots; ++lap) {
    for (uint32_t& index : held) index = table.try_acquire();
    for (const uint32_t index : held) {
      const uint32_t generation = table.word(index).generation();
      Word before(0);
      table.begin_run(index, generation);
      table.answer(index, generation);
      table.end_run(index, generation, before);
      table.release(index);
    }
  }
  return watch.ns();
}

}  // namespace

int main() {
  constexpr uint64_t kLives = 1'048'576;
  measure("acquire+run+answer+end+release, 1 thread", kLives, [] { return round(1, kLives, false); });
  measure("the same with one suspension, 1 thread", kLives, [] { return round(1, kLives, true); });
  measure("acquire+run+answer+end+release, 65536 slots at once", kLives, [] { return wide_round(kLives); });
  measure("acquire+run+answer+end+release, 2 threads", kLives, [] { return round(2, kLives, false); });
}
