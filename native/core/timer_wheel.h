// The timer wheel: five levels of 256 buckets, ticks of one millisecond, 34 years.
//
// Ground rules
// - Any thread inserts, with one addition (see timer_intake.h). One thread, the ticker, advances time.
// - The buckets are the ticker's alone. It moves the intake into them before every look at the time, so no insert can
//   meet a bucket that is just being left: that race is gone instead of won.
// - Time is an argument. The wheel never reads a clock.
// - A timer is 16 bytes: its due tick, and what it stands for (a slot, a generation, a tag), which the caller alone
//   understands. There may be size() of them at once; the caller counts, and the wheel then always has room.
// - Cancelling is not the wheel's business: the caller forgets the timer and recognises it as stale when it comes out, or
//   has it swept out together with others.
// - A bucket is a list of chunks of timers. So taking in and spreading read and write memory one behind the other, and all
//   that a timer touches out of order when it expires is what it stands for, which is known so far ahead that it can be
//   fetched in time.
//
// Order: a timer comes out at the first advance(now) with due <= now, sorted by due tick, and among equals in the order
// of insertion; what was due already when it came in comes out first, in the order of insertion. That holds through all
// levels because a timer is put at the level of the highest digit in which its due tick differs from the present:
// everything for a span of time stands in one upper bucket until the span begins, is then spread in order, and only later
// inserts go to the lower level directly.
//
// Waking the ticker: before it sleeps it publishes when it means to wake (sleep_until), then looks at the intake once
// more. An inserter first pushes, then reads that time. Both are sequentially consistent, so at least one of the two
// sees the other.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/region.h"
#include "core/timer_chunks.h"
#include "core/timer_intake.h"

namespace sip_async::core {

// What a timer stands for.
struct Timer {
  uint32_t slot;
  uint32_t generation = 0;
  uint32_t tag = 0;  // TimerEntry::kTagBits of it are kept
};

class TimerWheel {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;
  static constexpr uint32_t kLevels = 5;
  static constexpr uint32_t kBits = 8;
  static constexpr uint32_t kBuckets = 1u << kBits;
  static constexpr uint64_t kMaxTicks = (uint64_t{1} << (kLevels * kBits)) - 1;

  static_assert(kMaxTicks == TimerEntry::kMaxTick);

  static size_t region_bytes(uint32_t timers);
  TimerWheel(Region& region, uint32_t timers);

  // Timers that there may be at once, in the intake and in buckets.
  uint32_t size() const { return intake_.size(); }

  // Any thread. Ticks beyond kMaxTicks (34 years after the engine was made) are taken as kMaxTicks. True: the ticker
  // sleeps past this timer's time (or the intake has grown long) and the caller must wake it; exactly one inserter is
  // told so.
  bool insert(Timer timer, uint64_t due_tick);
  // Ticker. Puts it straight into its bucket, also from inside expire(). `due_tick` lies behind all times looked at so far.
  void put_back(Timer timer, uint64_t due_tick);

  // Ticker. Calls expire(entry) for every timer that is due at `now_tick`, in order. The callback may insert, but what
  // it inserts comes out of a later advance() only.
  template <class Expire>
  uint32_t advance(uint64_t now_tick, Expire&& expire) {
    return advance(now_tick, expire, [](TimerEntry) {});
  }
  // The same; ahead(entry) is called some timers before their turn, so that what they stand for can be fetched.
  template <class Expire, class Ahead>
  uint32_t advance(uint64_t now_tick, Expire&& expire, Ahead&& ahead);

  // Ticker. Takes out every timer that stale(entry) says means nothing any more, whatever its time, and hands it to
  // drop(entry). Looks at all timers there are; ahead(entry) as above.
  template <class Stale, class Drop, class Ahead>
  void sweep(Stale&& stale, Drop&& drop, Ahead&& ahead);

  // Ticker. The tick at which advance() next has something to do (a bucket to empty or to spread), or kNever.
  uint64_t next_event() const;
  // Ticker, in this order: sleep_until(t); if it returns true, park until t; awake().
  bool sleep_until(uint64_t tick);
  void awake() { state_->sleeping_until.store(0, std::memory_order_relaxed); }

  uint64_t current() const { return state_->current; }
  // Timers in buckets and no longer in the intake; ticker only.
  uint64_t placed() const { return state_->placed; }
  // Every timer that was inserted and has not come out. Only while no other thread uses the wheel.
  template <class Visit>
  void for_each_quiescent(Visit&& visit) const;

  // True when every timer in a bucket belongs there and the bitmaps agree. Ticker only.
  bool check_invariants() const;

 private:
  using List = TimerChunks::List;
  struct State {
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

  // The ticker is told when so many timers wait in the intake, so that a burst is spread over its sleep.
  static constexpr uint64_t kLongIntake = 4096;

  void take_intake();
  void take_in(TimerEntry entry);
  // It is due behind current().
  void place(TimerEntry entry);
  void spread(uint32_t level, uint64_t tick);
  static uint32_t digit(uint64_t tick, uint32_t level) {
    return static_cast<uint32_t>(tick >> (level * kBits)) & (kBuckets - 1);
  }
  // First occupied bucket behind `from`, or kBuckets.
  uint32_t next_occupied(uint32_t level, uint32_t from) const;
  List detach(uint32_t level, uint32_t bucket);
  template <class Expire, class Ahead>
  uint32_t expire_list(const List& list, Expire&& expire, Ahead&& ahead);
  template <class Stale, class Drop, class Ahead>
  void sweep_list(List& list, Stale&& stale, Drop&& drop, Ahead&& ahead);

  State* state_;
  TimerChunks chunks_;
  TimerIntake intake_;
};

template <class Expire, class Ahead>
uint32_t TimerWheel::expire_list(const List& list, Expire&& expire, Ahead&& ahead) {
  uint32_t count = 0;
  chunks_.consume(list, ahead, [&](TimerEntry entry) {
    --state_->placed;
    ++count;
    expire(entry);
  });
  return count;
}

template <class Visit>
void TimerWheel::for_each_quiescent(Visit&& visit) const {
  intake_.for_each_quiescent(visit);
  chunks_.for_each(state_->ready, visit);
  for (const auto& level : state_->buckets) {
    for (const List& list : level) chunks_.for_each(list, visit);
  }
}

template <class Stale, class Drop, class Ahead>
void TimerWheel::sweep_list(List& list, Stale&& stale, Drop&& drop, Ahead&& ahead) {
  const List all = list;
  list = {};
  chunks_.consume(all, ahead, [&](TimerEntry entry) {
    if (stale(entry)) {
      --state_->placed;
      drop(entry);
    } else {
      chunks_.append(list, entry);
    }
  });
}

template <class Stale, class Drop, class Ahead>
void TimerWheel::sweep(Stale&& stale, Drop&& drop, Ahead&& ahead) {
  take_intake();
  sweep_list(state_->ready, stale, drop, ahead);
  for (uint32_t level = 0; level < kLevels; ++level) {
    for (uint32_t bucket = next_occupied(level, UINT32_MAX); bucket < kBuckets;
         bucket = next_occupied(level, bucket)) {
      List& list = state_->buckets[level][bucket];
      sweep_list(list, stale, drop, ahead);
      if (list.empty()) state_->occupied[level][bucket / 64] &= ~(uint64_t{1} << (bucket % 64));
    }
  }
}

template <class Expire, class Ahead>
uint32_t TimerWheel::advance(uint64_t now_tick, Expire&& expire, Ahead&& ahead) {
  take_intake();
  uint32_t count = 0;
  for (;;) {
    List list = state_->ready;
    if (!list.empty()) {
      state_->ready = {};
    } else {
      const uint64_t next = next_event();
      if (next > now_tick) break;
      state_->current = next;
      // In any order: what is spread from a level never lands in a lower bucket that begins at this very tick.
      for (uint32_t level = kLevels - 1; level > 0; --level) {
        if ((next & ((uint64_t{1} << (level * kBits)) - 1)) == 0) spread(level, next);
      }
      list = detach(0, digit(next, 0));
    }
    count += expire_list(list, expire, ahead);
  }
  if (now_tick > state_->current) state_->current = now_tick;
  return count;
}

}  // namespace sip_async::core
