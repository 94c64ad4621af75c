#include "core/timer_wheel.h"

#include <bit>

namespace sip_async::core {

namespace {

// The buckets and `ready`.
uint32_t chunks_for(uint32_t nodes) {
  return TimerChunks::chunks_for(nodes, TimerWheel::kLevels * TimerWheel::kBuckets + 1);
}

}  // namespace

size_t TimerWheel::region_bytes(uint32_t nodes) {
  return Region::padded(sizeof(State)) + TimerChunks::region_bytes(chunks_for(nodes)) +
         Region::padded(sizeof(TimerNode) * nodes);
}

TimerWheel::TimerWheel(Region& region, uint32_t nodes)
    : state_(region.take<State>(1)),
      chunks_(region, chunks_for(nodes)),
      nodes_(region.take<TimerNode>(nodes)),
      size_(nodes) {}

bool TimerWheel::insert(uint32_t index, uint64_t due_tick) {
  TimerNode& node = nodes_[index];
  if (due_tick > kMaxTicks) due_tick = kMaxTicks;
  node.due_tick = due_tick;
  uint64_t head = state_->intake.load(std::memory_order_relaxed);
  uint64_t count;
  do {
    node.next.store(static_cast<uint32_t>(head), std::memory_order_relaxed);
    count = (head >> 32) + 1;
    // Sequentially consistent: releases the node to the ticker's exchange in take_intake(), and comes before the load
    // below in the one order that sleep_until() takes part in.
  } while (!state_->intake.compare_exchange_weak(head, count << 32 | (index + 1), std::memory_order_seq_cst,
                                                 std::memory_order_relaxed));
  // Pairs with the store in sleep_until(): either we see the ticker's time, or it sees our node.
  uint64_t sleeping = state_->sleeping_until.load(std::memory_order_seq_cst);
  const bool wanted = due_tick < sleeping || count % kLongIntake == 0;
  if (sleeping == 0 || !wanted) return false;
  // Relaxed: only decides which of several inserters does the waking.
  return state_->sleeping_until.compare_exchange_strong(sleeping, 0, std::memory_order_relaxed);
}

bool TimerWheel::sleep_until(uint64_t tick) {
  // Never 0, which means awake: next_event() lies behind current().
  state_->sleeping_until.store(tick, std::memory_order_seq_cst);
  if (static_cast<uint32_t>(state_->intake.load(std::memory_order_seq_cst)) == 0) return true;
  awake();
  return false;
}

void TimerWheel::place(uint32_t index, uint64_t due_tick) {
  const uint32_t level = static_cast<uint32_t>(std::bit_width(due_tick ^ state_->current) - 1) / kBits;
  const uint32_t bucket = digit(due_tick, level);
  chunks_.append(state_->buckets[level][bucket], {index, static_cast<uint32_t>(due_tick)});
  state_->occupied[level][bucket / 64] |= uint64_t{1} << (bucket % 64);
}

void TimerWheel::take_intake() {
  // Relaxed: whoever finds it empty reads nothing of it. A node that comes in just now is met by the next look, or by the
  // one in sleep_until().
  if (state_->intake.load(std::memory_order_relaxed) == 0) return;
  // Acquire: pairs with the compare-exchange of every inserter whose node is in the list.
  const uint64_t all = state_->intake.exchange(0, std::memory_order_acquire);
  uint32_t at = static_cast<uint32_t>(all);
  // Newest first; turned round so that equals keep the order of insertion. A list that fits is noted down from behind, so
  // that its nodes, each of which leads to the next, are walked once and not written to.
  const uint64_t count = all >> 32;
  if (count >= kNoteFrom && count <= kNoted) {
    struct Noted {
      uint64_t due_tick;
      uint32_t index;
    };
    Noted noted[kNoted];
    uint64_t from = count;
    while (at != 0) {
      const TimerNode& node = nodes_[at - 1];
      noted[--from] = {node.due_tick, at - 1};
      at = node.next.load(std::memory_order_relaxed);
    }
    for (; from < count; ++from) take_in(noted[from].index, noted[from].due_tick);
    return;
  }
  uint32_t first = 0;
  while (at != 0) {
    TimerNode& node = nodes_[at - 1];
    const uint32_t below = node.next.load(std::memory_order_relaxed);
    node.next.store(first, std::memory_order_relaxed);
    first = at;
    at = below;
  }
  while (first != 0) {
    const uint32_t index = first - 1;
    first = nodes_[index].next.load(std::memory_order_relaxed);
    take_in(index, nodes_[index].due_tick);
  }
}

void TimerWheel::take_in(uint32_t index, uint64_t due_tick) {
  ++state_->placed;
  if (due_tick <= state_->current) {
    chunks_.append(state_->ready, {index, static_cast<uint32_t>(due_tick)});
  } else {
    place(index, due_tick);
  }
}

TimerWheel::List TimerWheel::detach(uint32_t level, uint32_t bucket) {
  const List list = state_->buckets[level][bucket];
  state_->buckets[level][bucket] = {};
  state_->occupied[level][bucket / 64] &= ~(uint64_t{1} << (bucket % 64));
  return list;
}

void TimerWheel::spread(uint32_t level, uint64_t tick) {
  // Everything in this bucket agrees with `tick` from this level's digit upwards, so the lower half of a due tick is enough.
  static_assert((kLevels - 1) * kBits <= 32);
  const uint64_t high = tick >> 32 << 32;
  chunks_.consume(detach(level, digit(tick, level)), [&](TimerEntry entry) {
    // A node due at this very tick belongs to the level 0 bucket that is emptied next, not to `ready`: it keeps its
    // place among its equals.
    if ((high | entry.due_low) == tick) {
      chunks_.append(state_->buckets[0][digit(tick, 0)], entry);
    } else {
      place(entry.index, high | entry.due_low);
    }
  });
}

uint32_t TimerWheel::next_occupied(uint32_t level, uint32_t from) const {
  for (uint32_t at = from + 1; at < kBuckets;) {
    const uint64_t word = state_->occupied[level][at / 64] >> (at % 64);
    if (word != 0) return at + static_cast<uint32_t>(std::countr_zero(word));
    at = (at / 64 + 1) * 64;
  }
  return kBuckets;
}

uint64_t TimerWheel::next_event() const {
  const uint64_t current = state_->current;
  if (!state_->ready.empty()) return current;
  for (uint32_t level = 0; level < kLevels; ++level) {
    const uint32_t bucket = next_occupied(level, digit(current, level));
    if (bucket == kBuckets) continue;
    const uint64_t above = (current >> ((level + 1) * kBits)) << ((level + 1) * kBits);
    return above | uint64_t{bucket} << (level * kBits);
  }
  return kNever;
}

bool TimerWheel::check_invariants() const {
  uint64_t counted = 0;
  uint32_t chunks = chunks_.chunks_of(state_->ready);
  bool sound = true;
  const uint64_t current = state_->current;
  for (uint32_t level = 0; level < kLevels; ++level) {
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
      const List& list = state_->buckets[level][bucket];
      const bool marked = (state_->occupied[level][bucket / 64] >> (bucket % 64) & 1) != 0;
      if (marked == list.empty()) return false;
      chunks += chunks_.chunks_of(list);
      chunks_.for_each(list, [&](TimerEntry entry) {
        const uint64_t due = nodes_[entry.index].due_tick;
        sound &= static_cast<uint32_t>(due) == entry.due_low && due > current && digit(due, level) == bucket;
        // The digits above this level are the present ones, or the node would stand higher.
        if (level + 1 < kLevels) sound &= (due ^ current) >> ((level + 1) * kBits) == 0;
        ++counted;
      });
      if (!sound || counted > state_->placed) return false;
    }
  }
  chunks_.for_each(state_->ready, [&](TimerEntry) { ++counted; });
  return counted == state_->placed && chunks == chunks_.in_use();
}

}  // namespace sip_async::core
