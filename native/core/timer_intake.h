// What threads have scheduled and the ticker has not seen yet, in order of insertion.
//
// Ground rules
// - Any thread pushes, with one addition that says which place is its own and never has to be repeated. One thread, the
//   ticker, takes all there is and begins anew.
// - There are two arrays. While the ticker reads one, threads write the other. Both begin at the front each time, so the few
//   places that are needed between two looks stay in the caches, and the rest, as many as there may be timers, is never
//   touched.
// - Nothing is ever refused: no more timers are pushed than there are places, which the wheel's user sees to.
// - A thread that is stopped between taking its place and filling it holds up those behind it: the ticker keeps what it has
//   not read for the next look, and does not sleep meanwhile.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/cache_line.h"
#include "core/region.h"
#include "core/timer_chunks.h"

namespace sip_async::core {

class TimerIntake {
 public:
  static size_t region_bytes(uint32_t timers) {
    return Region::padded(sizeof(State)) + Region::padded(sizeof(Place) * 2 * timers);
  }
  TimerIntake(Region& region, uint32_t timers)
      : state_(region.take<State>(1)), places_(region.take<Place>(size_t{2} * timers)), size_(timers) {}

  uint32_t size() const { return size_; }

  // Any thread. Returns how many have been pushed since the ticker last took all. A sequentially consistent operation.
  uint32_t push(TimerEntry entry) {
    // Acquire: pairs with the exchange in take(), behind which nobody reads this array any more. Sequentially consistent for
    // the sake of is_empty().
    const uint64_t at = state_->next.fetch_add(1, std::memory_order_seq_cst);
    Place& place = array(at >> 32)[static_cast<uint32_t>(at)];
    place.subject = entry.subject();
    // Release: pairs with the load in read().
    place.moment.store(entry.moment(), std::memory_order_release);
    return static_cast<uint32_t>(at) + 1;
  }

  // Ticker. Calls visit(entry) for what has been pushed, in order, up to a place that is not filled yet.
  template <class Visit>
  void take(Visit&& visit) {
    if (!read(visit)) return;
    // Relaxed: whoever finds nothing reads nothing. What is pushed just now is met by the next look, or by is_empty().
    const uint64_t next = state_->next.load(std::memory_order_relaxed);
    if (static_cast<uint32_t>(next) == 0) return;
    state_->reading = next >> 32;
    // Release: hands the other array, all of it read, to those who push. Whether a place of this one is filled it says itself.
    const uint64_t pushed = state_->next.exchange((state_->reading ^ 1) << 32, std::memory_order_release);
    state_->left_from = 0;
    state_->left_to = static_cast<uint32_t>(pushed);
    read(visit);
  }

  // Ticker. Whether nothing is left to take; sequentially consistent: a push that is not seen here comes behind this.
  bool is_empty() const {
    return !is_held_up() && static_cast<uint32_t>(state_->next.load(std::memory_order_seq_cst)) == 0;
  }

  // Ticker. Whether a place was not filled yet when it was looked at last.
  bool is_held_up() const { return state_->left_from != state_->left_to; }

  // Only while no other thread uses it.
  template <class Visit>
  void for_each_quiescent(Visit&& visit) const {
    const auto each = [&](uint64_t number, uint32_t from, uint32_t to) {
      for (const Place* at = array(number) + from; at < array(number) + to; ++at) {
        visit(TimerEntry(at->subject, at->moment.load(std::memory_order_relaxed)));
      }
    };
    each(state_->reading, state_->left_from, state_->left_to);
    const uint64_t next = state_->next.load(std::memory_order_acquire);
    each(next >> 32, 0, static_cast<uint32_t>(next));
  }

 private:
  // The two halves of a TimerEntry. One by one, because a load of both at once would have to wait for the stores of both.
  struct Place {
    // Written by the one who pushes, read by the ticker.
    uint64_t subject;
    // 0: not filled. Set by the one who pushes (release), read (acquire) and cleared by the ticker.
    std::atomic<uint64_t> moment;
  };
  struct State {
    //   63      32 31      0
    //   [ array   ][ place ]   the place that the next push takes
    // Written by pushes (addition) and by the ticker (exchange); they pair with each other as said there.
    alignas(kCacheLine) std::atomic<uint64_t> next;
    // From here on the ticker's own: which array it reads, and the places in it that it has not read.
    alignas(kCacheLine) uint64_t reading;
    uint32_t left_from;
    uint32_t left_to;
  };

  Place* array(uint64_t number) const { return places_ + number * size_; }

  // False when it comes upon a place that is not filled yet.
  template <class Visit>
  bool read(Visit&& visit) {
    Place* places = array(state_->reading);
    uint32_t at = state_->left_from;
    const uint32_t to = state_->left_to;
    for (; at < to; ++at) {
      Place& place = places[at];
      // Acquire: pairs with the store in push().
      const uint64_t moment = place.moment.load(std::memory_order_acquire);
      if (moment == 0) break;
      // Relaxed: handed on by the exchange in take().
      place.moment.store(0, std::memory_order_relaxed);
      visit(TimerEntry(place.subject, moment));
    }
    state_->left_from = at;
    return at == to;
  }

  State* state_;
  Place* places_;
  uint32_t size_;
};

}  // namespace sip_async::core
