// The timer wheel: five levels of 256 buckets, ticks of one millisecond, 34 years.
//
// Ground rules
// - Any thread inserts, with one compare-and-swap on the intake list. One thread, the ticker, advances time.
// - The buckets are the ticker's alone. It moves the intake into them before every look at the time, so no insert can
//   meet a bucket that is just being left: that race is gone instead of won.
// - Time is an argument. The wheel never reads a clock.
// - Nodes are numbers into one array; the caller decides what a node stands for. A node that was inserted must not be
//   inserted again before it came out of advance().
// - Cancelling is not the wheel's business: the caller forgets the node and recognises it as stale when it comes out, or
//   has it swept out together with others.
// - A bucket is a list of chunks, each full of (node, low half of its due tick) but for the last. Spreading a bucket reads
//   and writes chunks one behind the other and never looks at a node, and what comes out is known so far ahead that its
//   nodes are fetched in time. With nodes linked to each other every step would wait for memory: a million nodes lie in no
//   cache.
//
// Order: a node comes out at the first advance(now) with due <= now, sorted by due tick, and among equals in the order
// of insertion; what was due already when it came in comes out first, in the order of insertion. That holds through all levels because a node is put at the level of the highest digit in which its due
// tick differs from the present: everything for a span of time stands in one upper bucket until the span begins, is then
// spread in order, and only later inserts go to the lower level directly.
//
// Waking the ticker: before it sleeps it publishes when it means to wake (sleep_until), then looks at the intake once
// more. An inserter first pushes, then reads that time. Both are sequentially consistent, so at least one of the two
// sees the other.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/index_stack.h"
#include "core/region.h"
#include "core/timer_chunks.h"

namespace sip_async::core {

// Aligned so that none lies across two cache lines: the second one would not be fetched ahead.
struct alignas(32) TimerNode {
  // Link of the intake list. Written by the inserter before its push (released by it), then by the ticker. Atomic because
  // the pool of free nodes uses it, too (see IndexStack).
  std::atomic<uint32_t> next;
  // What the node stands for; written by the inserter, read by the ticker after it came out.
  uint32_t slot;
  uint32_t generation;
  uint32_t suspension;
  uint64_t due_tick;
};

class TimerWheel {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;
  static constexpr uint32_t kLevels = 5;
  static constexpr uint32_t kBits = 8;
  static constexpr uint32_t kBuckets = 1u << kBits;
  static constexpr uint64_t kMaxTicks = (uint64_t{1} << (kLevels * kBits)) - 1;

  static size_t region_bytes(uint32_t nodes);
  TimerWheel(Region& region, uint32_t nodes);

  TimerNode& node(uint32_t index) { return nodes_[index]; }
  const TimerNode& node(uint32_t index) const { return nodes_[index]; }
  uint32_t size() const { return size_; }

  // Any thread. The caller has filled in the node's slot, generation and suspension. Ticks beyond kMaxTicks (34 years
  // after the engine was made) are taken as kMaxTicks. True: the ticker sleeps past this
  // node's time (or the intake has grown long) and the caller must wake it; exactly one inserter is told so.
  bool insert(uint32_t index, uint64_t due_tick);

  // Ticker. Calls expire(index) for every node that is due at `now_tick`, in order. The callback may insert, but what
  // it inserts comes out of a later advance() only.
  template <class Expire>
  uint32_t advance(uint64_t now_tick, Expire&& expire) {
    return advance(now_tick, expire, [](uint32_t) {});
  }
  // The same; ahead(index) is called some nodes before their turn, so that what they stand for can be fetched.
  template <class Expire, class Ahead>
  uint32_t advance(uint64_t now_tick, Expire&& expire, Ahead&& ahead);

  // Ticker. Takes out every node that stale(index) says means nothing any more, whatever its time, and hands it to
  // drop(index). Looks at all nodes there are.
  template <class Stale, class Drop>
  void sweep(Stale&& stale, Drop&& drop);

  // Ticker. The tick at which advance() next has something to do (a bucket to empty or to spread), or kNever.
  uint64_t next_event() const;
  // Ticker, in this order: sleep_until(t); if it returns true, park until t; awake().
  bool sleep_until(uint64_t tick);
  void awake() { state_->sleeping_until.store(0, std::memory_order_relaxed); }

  uint64_t current() const { return state_->current; }
  // Nodes in buckets and not yet in the intake; ticker only.
  uint64_t placed() const { return state_->placed; }
  // Every node that was inserted and has not come out. Only while no other thread uses the wheel.
  template <class Visit>
  void for_each_quiescent(Visit&& visit) const;

  // True when every node in a bucket belongs there and the bitmaps agree. Ticker only.
  bool check_invariants() const;

 private:
  using List = TimerChunks::List;
  struct State {
    //   63        32 31         0
    //   [ count     ][ index + 1 ]   newest first; count is the length of the list.
    // Written by inserters (compare-exchange, release) and by the ticker (exchange, acquire).
    alignas(kCacheLine) std::atomic<uint64_t> intake;
    // The tick that the ticker sleeps until, 0 while it is awake. Written by the ticker, and set to 0 by the one
    // inserter that takes it upon itself to wake it; read by inserters.
    alignas(kCacheLine) std::atomic<uint64_t> sleeping_until;
    // From here on the ticker's own.
    alignas(kCacheLine) uint64_t current;
    uint64_t placed;
    List ready;  // due already when they came in
    uint64_t occupied[kLevels][kBuckets / 64];
    List buckets[kLevels][kBuckets];
  };

  // The ticker is told when so many nodes wait in the intake, so that a burst is spread over its sleep.
  static constexpr uint64_t kLongIntake = 4096;

  // An intake of so many nodes is noted down on the stack, 16 KB at the most.
  static constexpr uint64_t kNoteFrom = 8;
  static constexpr uint64_t kNoted = 1024;

  void take_intake();
  void take_in(uint32_t index, uint64_t due_tick);
  // `due_tick` lies behind current().
  void place(uint32_t index, uint64_t due_tick);
  void spread(uint32_t level, uint64_t tick);
  static uint32_t digit(uint64_t tick, uint32_t level) {
    return static_cast<uint32_t>(tick >> (level * kBits)) & (kBuckets - 1);
  }
  // First occupied bucket behind `from`, or kBuckets.
  uint32_t next_occupied(uint32_t level, uint32_t from) const;
  List detach(uint32_t level, uint32_t bucket);
  template <class Expire, class Ahead>
  uint32_t expire_list(const List& list, Expire&& expire, Ahead&& ahead);
  template <class Stale, class Drop>
  void sweep_list(List& list, Stale&& stale, Drop&& drop);

  State* state_;
  TimerChunks chunks_;
  TimerNode* nodes_;
  uint32_t size_;
};

template <class Expire, class Ahead>
uint32_t TimerWheel::expire_list(const List& list, Expire&& expire, Ahead&& ahead) {
  uint32_t count = 0;
  chunks_.consume(
      list, [this](uint32_t index) { __builtin_prefetch(&nodes_[index]); }, ahead,
      [&](TimerEntry entry) {
        --state_->placed;
        ++count;
        expire(entry.index);
      });
  return count;
}

template <class Visit>
void TimerWheel::for_each_quiescent(Visit&& visit) const {
  uint32_t at = static_cast<uint32_t>(state_->intake.load(std::memory_order_acquire));
  for (; at != 0; at = nodes_[at - 1].next.load(std::memory_order_relaxed)) visit(at - 1);
  const auto each = [&](TimerEntry entry) { visit(entry.index); };
  chunks_.for_each(state_->ready, each);
  for (const auto& level : state_->buckets) {
    for (const List& list : level) chunks_.for_each(list, each);
  }
}

template <class Stale, class Drop>
void TimerWheel::sweep_list(List& list, Stale&& stale, Drop&& drop) {
  const List all = list;
  list = {};
  chunks_.consume(
      all, [this](uint32_t index) { __builtin_prefetch(&nodes_[index]); }, [](uint32_t) {},
      [&](TimerEntry entry) {
        if (stale(entry.index)) {
          --state_->placed;
          drop(entry.index);
        } else {
          chunks_.append(list, entry);
        }
      });
}

template <class Stale, class Drop>
void TimerWheel::sweep(Stale&& stale, Drop&& drop) {
  take_intake();
  sweep_list(state_->ready, stale, drop);
  for (uint32_t level = 0; level < kLevels; ++level) {
    for (uint32_t bucket = next_occupied(level, UINT32_MAX); bucket < kBuckets;
         bucket = next_occupied(level, bucket)) {
      List& list = state_->buckets[level][bucket];
      sweep_list(list, stale, drop);
      if (list.empty()) state_->occupied[level][bucket / 64] &= ~(uint64_t{1} << (bucket % 64));
    }
  }
}

template <class Expire, class Ahead>
uint32_t TimerWheel::advance(uint64_t now_tick, Expire&& expire, Ahead&& ahead) {
  take_intake();
  uint32_t count = 0;
  for (;;) {
    const List ready = state_->ready;
    state_->ready = {};
    count += expire_list(ready, expire, ahead);
    const uint64_t next = next_event();
    if (next > now_tick) break;
    state_->current = next;
    // In any order: what is spread from a level never lands in a lower bucket that begins at this very tick.
    for (uint32_t level = kLevels - 1; level > 0; --level) {
      if ((next & ((uint64_t{1} << (level * kBits)) - 1)) == 0) spread(level, next);
    }
    count += expire_list(detach(0, digit(next, 0)), expire, ahead);
  }
  if (now_tick > state_->current) state_->current = now_tick;
  return count;
}

}  // namespace sip_async::core
