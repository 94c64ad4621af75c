// Contender: std::priority_queue. Cancelled by marking: the entry stays until it comes to the top, or until more than half of
// all entries are marked and the heap is made anew without them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace sip_async::bench {

class PriorityQueue {
 public:
  explicit PriorityQueue(uint32_t timers) : order_of_(timers, 0) {}

  void schedule(uint32_t timer, uint64_t due_tick) {
    order_of_[timer] = ++order_;
    heap_.push({due_tick, order_, timer});
  }

  void cancel(uint32_t timer) {
    order_of_[timer] = 0;
    if (++stale_ > heap_.size() / 2)
      stale_ -= heap_.erase_if([this](const Entry& each) { return is_stale(each); });
  }

  uint64_t next_event() const { return heap_.empty() ? UINT64_MAX : heap_.top().due_tick; }

  template <class Expire>
  void advance(uint64_t now_tick, Expire&& expire) {
    while (!heap_.empty() && heap_.top().due_tick <= now_tick) {
      const Entry top = heap_.top();
      heap_.pop();
      if (is_stale(top)) {
        --stale_;
        continue;
      }
      order_of_[top.timer] = 0;
      expire(top.timer);
    }
  }

 private:
  struct Entry {
    uint64_t due_tick;
    uint64_t
        order;  // a heap keeps no order among equals of its own; also tells a cancelled entry from a later one
    uint32_t timer;
    bool operator>(const Entry& other) const {
      return due_tick != other.due_tick ? due_tick > other.due_tick : order > other.order;
    }
  };
  struct Heap : std::priority_queue<Entry, std::vector<Entry>, std::greater<>> {
    template <class Stale>
    size_t erase_if(Stale&& stale) {
      const size_t erased = std::erase_if(c, stale);
      std::make_heap(c.begin(), c.end(), comp);
      return erased;
    }
  };
  bool is_stale(const Entry& entry) const { return order_of_[entry.timer] != entry.order; }

  Heap heap_;
  std::vector<uint64_t> order_of_;
  uint64_t order_ = 0;
  uint64_t stale_ = 0;
};

}  // namespace sip_async::bench
