// Payload blocks: the raw bytes of a request, its index, and the cached last reply, in blocks of fixed size classes.
//
// Ground rules
// - Any thread allocates and frees; nobody waits. A free block lies in the stack of its class, a new one is cut from
//   the end of what was used so far, so pages that no load has needed stay untouched.
// - A block never changes its class. When a class has no free block and the arena is used up, a larger class serves.
// - A reference is the block's offset in units of 64 bytes, never 0; 32 bits reach 256 GiB.
// - The first eight bytes of a block are the pool's (link and class); the caller gets what is behind them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/index_stack.h"
#include "core/region.h"

namespace sip_async::core {

using PayloadRef = uint32_t;
inline constexpr PayloadRef kNoPayload = 0;

class PayloadPool {
 public:
  static constexpr size_t kUnit = 64;
  static constexpr size_t kHeaderBytes = 8;
  // 128, 192, then four even steps for each doubling from 256 bytes to 1.25 MiB: at most a fifth of a larger block
  // is left over.
  static constexpr uint32_t kClasses = 52;

  static size_t region_bytes(size_t arena_bytes);
  PayloadPool(Region& region, size_t arena_bytes);

  // A block with room for `bytes`, or kNoPayload when the arena is used up or `bytes` is beyond the largest class.
  PayloadRef try_allocate(size_t bytes);
  void free(PayloadRef ref);
  // None of them is kNoPayload.
  void free_many(const PayloadRef* refs, uint32_t count);

  void prefetch(PayloadRef ref, size_t bytes) const {
    for (size_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(data(ref) + at);
  }
  char* data(PayloadRef ref) { return arena_ + size_t{ref} * kUnit + kHeaderBytes; }
  const char* data(PayloadRef ref) const { return arena_ + size_t{ref} * kUnit + kHeaderBytes; }
  size_t capacity(PayloadRef ref) const { return class_bytes(header(ref).size_class) - kHeaderBytes; }

  static size_t largest_payload() { return class_bytes(kClasses - 1) - kHeaderBytes; }
  static size_t class_bytes(uint32_t size_class);
  static uint32_t class_for(size_t block_bytes);

  uint64_t blocks_in_use() const;
  // Bytes of the arena that were ever handed out: what the pool costs in memory at most.
  uint64_t high_water_bytes() const { return state_->next_unit.load(std::memory_order_relaxed) * kUnit; }

  // True when free lists and counters agree. Only while no other thread uses the pool.
  bool check_invariants() const;

 private:
  struct Header {
    // Written by push (whoever frees), read by pop of any thread; see IndexStack.
    std::atomic<uint32_t> link;
    // Written once when the block is cut, before it is handed out; read by its holder only.
    uint32_t size_class;
  };
  static_assert(sizeof(Header) == kHeaderBytes);

  struct State {
    // First unit that was never handed out. Written by allocating threads (compare-exchange), read by the same.
    alignas(kCacheLine) std::atomic<uint64_t> next_unit;
    // Blocks handed out and given back, for statistics; counts only, so relaxed everywhere.
    alignas(kCacheLine) std::atomic<uint64_t> allocated;
    alignas(kCacheLine) std::atomic<uint64_t> freed;
    IndexStack free_blocks[kClasses];
  };

  Header& header(PayloadRef ref) const { return *reinterpret_cast<Header*>(arena_ + size_t{ref} * kUnit); }
  auto link() const {
    return [this](uint32_t ref) -> std::atomic<uint32_t>& { return header(ref).link; };
  }
  PayloadRef cut(uint32_t size_class);

  State* state_;
  char* arena_;
  uint64_t units_;
};

}  // namespace sip_async::core
