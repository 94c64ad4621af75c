// Contender: a hierarchical wheel as one writes it first: doubly linked lists through the timers themselves, every tick
// visited, a bucket of the next level spread when the lower one has come round. One thread only.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace sip_async::bench {

class NaiveWheel {
 public:
  explicit NaiveWheel(uint32_t timers) : timers_(timers) {
    for (auto& level : buckets_) {
      for (Link& bucket : level) bucket.next = bucket.previous = &bucket;
    }
  }

  void schedule(uint32_t timer, uint64_t due_tick) {
    timers_[timer].due_tick = due_tick;
    place(timers_[timer]);
    ++pending_;
  }

  void cancel(uint32_t timer) {
    unlink(timers_[timer]);
    --pending_;
  }

  uint64_t next_event() const { return pending_ == 0 ? UINT64_MAX : current_ + 1; }

  template <class Expire>
  void advance(uint64_t now_tick, Expire&& expire) {
    // The clock of an idle wheel is simply put forward.
    if (pending_ == 0 && now_tick > current_) current_ = now_tick;
    while (current_ < now_tick) {
      ++current_;
      for (uint32_t level = kLevels - 1; level > 0; --level) {
        if ((current_ & ((uint64_t{1} << (level * kBits)) - 1)) == 0) spread(level);
      }
      Link& bucket = buckets_[0][current_ & (kBuckets - 1)];
      while (bucket.next != &bucket) {
        Timer& timer = static_cast<Timer&>(*bucket.next);
        unlink(timer);
        --pending_;
        expire(static_cast<uint32_t>(&timer - timers_.data()));
      }
    }
  }

 private:
  static constexpr uint32_t kLevels = 5;
  static constexpr uint32_t kBits = 8;
  static constexpr uint32_t kBuckets = 1u << kBits;

  struct Link {
    Link* next;
    Link* previous;
  };
  struct Timer : Link {
    uint64_t due_tick;
  };

  static void unlink(Link& link) {
    link.previous->next = link.next;
    link.next->previous = link.previous;
  }

  void place(Timer& timer) {
    const uint64_t differs = timer.due_tick ^ current_;
    const uint32_t level = differs == 0 ? 0 : (static_cast<uint32_t>(std::bit_width(differs)) - 1) / kBits;
    Link& bucket = buckets_[level][timer.due_tick >> (level * kBits) & (kBuckets - 1)];
    timer.previous = bucket.previous;
    timer.next = &bucket;
    bucket.previous->next = &timer;
    bucket.previous = &timer;
  }

  void spread(uint32_t level) {
    Link& bucket = buckets_[level][current_ >> (level * kBits) & (kBuckets - 1)];
    while (bucket.next != &bucket) {
      Timer& timer = static_cast<Timer&>(*bucket.next);
      unlink(timer);
      place(timer);
    }
  }

  std::vector<Timer> timers_;
  Link buckets_[kLevels][kBuckets];
  uint64_t current_ = 0;
  uint64_t pending_ = 0;
};

}  // namespace sip_async::bench
