#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <thread>

namespace sip_async::core {

namespace {

// The buckets and `ready`.
uint32_t chunks_for(uint32_t timers) {
  return TimerChunks::chunks_for(timers, TimerWheel::kLevels * TimerWheel::kBuckets + 1);
}

}  // namespace

size_t TimerWheel::region_bytes(uint32_t timers) {
  return Region::padded(sizeof(State)) + TimerChunks::region_bytes(chunks_for(timers)) +
         TimerIntake::region_bytes(timers);
}

TimerWheel::TimerWheel(Region& region, uint32_t timers)
    : state_(region.take<State>(1)), chunks_(region, chunks_for(timers)), intake_(region, timers) {}

bool TimerWheel::insert(Timer timer, uint64_t due_tick) {
  if (due_tick > kMaxTicks) due_tick = kMaxTicks;
  // Sequentially consistent, so that it comes before the load below in the one order that sleep_until() takes part in.
  const uint32_t count = intake_.push(TimerEntry(timer.slot, timer.generation, timer.tag, due_tick));
  // Pairs with the store in sleep_until(): either we see the ticker's time, or it sees our timer.
  uint64_t sleeping = state_->sleeping_until.load(std::memory_order_seq_cst);
  const bool wanted = due_tick < sleeping || count % kLongIntake == 0;
  if (sleeping == 0 || !wanted) return false;
  // Relaxed: only decides which of several inserters does the waking.
  return state_->sleeping_until.compare_exchange_strong(sleeping, 0, std::memory_order_relaxed);
}

bool TimerWheel::sleep_until(uint64_t tick) {
  // Never 0, which means awake: next_event() lies behind current().
  state_->sleeping_until.store(tick, std::memory_order_seq_cst);
  if (intake_.is_empty()) return true;
  awake();
  // Whoever holds the intake up may wait for this very processor.
  if (intake_.is_held_up()) std::this_thread::yield();
  return false;
}

void TimerWheel::put_back(Timer timer, uint64_t due_tick) {
  take_in(TimerEntry(timer.slot, timer.generation, timer.tag, std::min(due_tick, kMaxTicks)));
}

void TimerWheel::place(TimerEntry entry) {
  const uint64_t due_tick = entry.due_tick();
  const uint32_t level = static_cast<uint32_t>(std::bit_width(due_tick ^ state_->current) - 1) / kBits;
  const uint32_t bucket = digit(due_tick, level);
  chunks_.append(state_->buckets[level][bucket], entry);
  state_->occupied[level][bucket / 64] |= uint64_t{1} << (bucket % 64);
}

void TimerWheel::take_intake() {
  intake_.take([this](TimerEntry entry) { take_in(entry); });
}

void TimerWheel::take_in(TimerEntry entry) {
  ++state_->placed;
  if (entry.due_tick() <= state_->current) {
    chunks_.append(state_->ready, entry);
  } else {
    place(entry);
  }
}

TimerWheel::List TimerWheel::detach(uint32_t level, uint32_t bucket) {
  const List list = state_->buckets[level][bucket];
  state_->buckets[level][bucket] = {};
  state_->occupied[level][bucket / 64] &= ~(uint64_t{1} << (bucket % 64));
  return list;
}

void TimerWheel::spread(uint32_t level, uint64_t tick) {
  chunks_.consume(detach(level, digit(tick, level)), [&](TimerEntry entry) {
    // A timer due at this very tick belongs to the level 0 bucket that is emptied next, not to `ready`: it keeps its
    // place among its equals.
    if (entry.due_tick() == tick) {
      chunks_.append(state_->buckets[0][digit(tick, 0)], entry);
    } else {
      place(entry);
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
        const uint64_t due = entry.due_tick();
        sound &= due > current && digit(due, level) == bucket;
        // The digits above this level are the present ones, or the timer would stand higher.
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
