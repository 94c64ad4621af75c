#include "core/payload_pool.h"

#include <bit>
#include <vector>

namespace sip_async::core {

// Below 256 bytes a quarter step would be less than a unit, so the ladder starts with whole units.
size_t PayloadPool::class_bytes(uint32_t size_class) {
  constexpr size_t kSmall[] = {128, 192};
  if (size_class < 2) return kSmall[size_class];
  const uint32_t step = size_class - 2;
  const size_t base = size_t{256} << (step / 4);
  return base + base / 4 * (step % 4);
}

uint32_t PayloadPool::class_for(size_t block_bytes) {
  if (block_bytes <= 128) return 0;
  if (block_bytes <= 192) return 1;
  if (block_bytes <= 256) return 2;
  const uint32_t exponent = static_cast<uint32_t>(std::bit_width(block_bytes - 1)) - 1;  // base = 2^exponent
  const size_t base = size_t{1} << exponent;
  const uint32_t step = static_cast<uint32_t>((block_bytes - base + base / 4 - 1) / (base / 4));
  return 2 + (exponent - 8) * 4 + step;
}

size_t PayloadPool::region_bytes(size_t arena_bytes) {
  return Region::padded(sizeof(State)) + Region::padded(arena_bytes + kUnit);
}

PayloadPool::PayloadPool(Region& region, size_t arena_bytes)
    : state_(region.take<State>(1)),
      arena_(static_cast<char*>(region.take_bytes(arena_bytes + kUnit))),
      units_(arena_bytes / kUnit + 1) {
  state_->next_unit.store(1, std::memory_order_relaxed);  // reference 0 means none
}

PayloadRef PayloadPool::cut(uint32_t size_class) {
  const uint64_t need = class_bytes(size_class) / kUnit;
  uint64_t at = state_->next_unit.load(std::memory_order_relaxed);
  do {
    if (at + need > units_) return kNoPayload;
    // Relaxed: the units from `at` on were never anyone's, so there is nothing to see.
  } while (!state_->next_unit.compare_exchange_weak(at, at + need, std::memory_order_relaxed));
  const auto ref = static_cast<PayloadRef>(at);
  header(ref).size_class = size_class;
  return ref;
}

PayloadRef PayloadPool::try_allocate(size_t bytes) {
  if (bytes > largest_payload()) return kNoPayload;
  const uint32_t wanted = class_for(bytes + kHeaderBytes);
  PayloadRef ref = state_->free_blocks[wanted].pop(link());
  if (ref == kNone) {
    ref = cut(wanted);
    for (uint32_t larger = wanted + 1; ref == kNoPayload && larger < kClasses; ++larger) {
      const uint32_t found = state_->free_blocks[larger].pop(link());
      if (found != kNone) ref = found;
    }
    if (ref == kNoPayload) return kNoPayload;
  }
  state_->allocated.fetch_add(1, std::memory_order_relaxed);
  return ref;
}

void PayloadPool::free(PayloadRef ref) {
  if (ref == kNoPayload) return;
  state_->freed.fetch_add(1, std::memory_order_relaxed);
  state_->free_blocks[header(ref).size_class].push(ref, link());
}

void PayloadPool::free_many(const PayloadRef* refs, uint32_t count) {
  state_->freed.fetch_add(count, std::memory_order_relaxed);
  for (uint32_t from = 0, to = 0; from < count; from = to) {
    const uint32_t size_class = header(refs[from]).size_class;
    while (to < count && header(refs[to]).size_class == size_class) ++to;
    state_->free_blocks[size_class].push_many(refs + from, to - from, link());
  }
}

uint64_t PayloadPool::blocks_in_use() const {
  const uint64_t freed = state_->freed.load(std::memory_order_relaxed);
  const uint64_t allocated = state_->allocated.load(std::memory_order_relaxed);
  return allocated > freed ? allocated - freed : 0;
}

bool PayloadPool::check_invariants() const {
  const uint64_t used_units = state_->next_unit.load(std::memory_order_acquire);
  if (used_units > units_) return false;
  // Walk the arena block by block, then see that each free block is a block, is in its own class and stands once.
  std::vector<uint8_t> begins(used_units, 0);
  uint64_t blocks = 0;
  for (uint64_t at = 1; at < used_units; ++blocks) {
    const uint32_t size_class = header(static_cast<PayloadRef>(at)).size_class;
    if (size_class >= kClasses) return false;
    begins[at] = 1;
    at += class_bytes(size_class) / kUnit;
    if (at > used_units) return false;
  }
  uint64_t free_count = 0;
  bool good = true;
  for (uint32_t size_class = 0; size_class < kClasses && good; ++size_class) {
    state_->free_blocks[size_class].for_each_quiescent(link(), [&](uint32_t ref) {
      if (!good) return;
      good = ref < used_units && begins[ref] == 1 && header(ref).size_class == size_class;
      if (good) begins[ref] = 2;
      ++free_count;
    });
  }
  return good && blocks - free_count == blocks_in_use();
}

}  // namespace sip_async::core
