#include "core/timer_wheel.h"

#include <bit>

namespace sip_async::core {

size_t TimerWheel::region_bytes(uint32_t nodes) {
  return Region::padded(sizeof(State)) + Region::padded(sizeof(TimerNode) * nodes);
}

TimerWheel::TimerWheel(Region& region, uint32_t nodes)
    : state_(region.take<State>(1)), nodes_(region.take<TimerNode>(nodes)), size_(nodes) {}

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

void TimerWheel::append(List& list, uint32_t index) {
  nodes_[index].next.store(0, std::memory_order_relaxed);
  if (list.first == 0) {
    list.first = index + 1;
  } else {
    nodes_[list.last - 1].next.store(index + 1, std::memory_order_relaxed);
  }
  list.last = index + 1;
}

void TimerWheel::place(uint32_t index) {
  const uint64_t due = nodes_[index].due_tick;
  const uint64_t current = state_->current;
  if (due <= current) {
    append(state_->ready, index);
    return;
  }
  const uint32_t level = static_cast<uint32_t>(std::bit_width(due ^ current) - 1) / kBits;
  const uint32_t bucket = digit(due, level);
  append(state_->buckets[level][bucket], index);
  state_->occupied[level][bucket / 64] |= uint64_t{1} << (bucket % 64);
}

void TimerWheel::take_intake() {
  // Acquire: pairs with the compare-exchange of every inserter whose node is in the list.
  uint32_t at = static_cast<uint32_t>(state_->intake.exchange(0, std::memory_order_acquire));
  // Newest first; turned round so that equals keep the order of insertion.
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
    ++state_->placed;
    place(index);
  }
}

TimerWheel::List TimerWheel::detach(uint32_t level, uint32_t bucket) {
  const List list = state_->buckets[level][bucket];
  state_->buckets[level][bucket] = {};
  state_->occupied[level][bucket / 64] &= ~(uint64_t{1} << (bucket % 64));
  return list;
}

void TimerWheel::spread(uint32_t level, uint64_t tick) {
  const List list = detach(level, digit(tick, level));
  for (uint32_t at = list.first; at != 0;) {
    const uint32_t index = at - 1;
    at = nodes_[index].next.load(std::memory_order_relaxed);
    if (at != 0) __builtin_prefetch(&nodes_[at - 1]);
    // A node due at this very tick belongs to the level 0 bucket that is emptied next, not to `ready`: it keeps its
    // place among its equals.
    if (nodes_[index].due_tick == tick) {
      append(state_->buckets[0][digit(tick, 0)], index);
    } else {
      place(index);
    }
  }
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
  if (state_->ready.first != 0) return current;
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
  const uint64_t current = state_->current;
  for (uint32_t level = 0; level < kLevels; ++level) {
    for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
      const List& list = state_->buckets[level][bucket];
      const bool marked = (state_->occupied[level][bucket / 64] >> (bucket % 64) & 1) != 0;
      if (marked != (list.first != 0)) return false;
      uint32_t last = 0;
      for (uint32_t at = list.first; at != 0; at = nodes_[at - 1].next.load(std::memory_order_relaxed)) {
        const uint64_t due = nodes_[at - 1].due_tick;
        if (due <= current || digit(due, level) != bucket) return false;
        // The digits above this level are the present ones, or the node would stand higher.
        if (level + 1 < kLevels && (due ^ current) >> ((level + 1) * kBits) != 0) return false;
        if (++counted > state_->placed) return false;
        last = at;
      }
      if (list.first != 0 && list.last != last) return false;
    }
  }
  for (uint32_t at = state_->ready.first; at != 0; at = nodes_[at - 1].next.load(std::memory_order_relaxed))
    ++counted;
  return counted == state_->placed;
}

}  // namespace sip_async::core
