// Contender: the heap behind Boost.Asio's steady_timer (asio::detail::timer_queue), with a clock of our own. Driven directly,
// without the epoll_wait and the lock of io_context::poll(), which would be counted against it at every tick.
#pragma once

#include <boost/asio/detail/chrono_time_traits.hpp>
#include <boost/asio/detail/timer_queue.hpp>
#include <boost/asio/detail/wait_op.hpp>
#include <boost/asio/wait_traits.hpp>
#include <chrono>
#include <cstdint>
#include <vector>

namespace sip_async::bench {

struct TickClock {
  using rep = int64_t;
  using period = std::milli;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<TickClock>;
  static constexpr bool is_steady = true;
  static inline int64_t ticks = 0;
  static time_point now() { return time_point(duration(ticks)); }
};

class AsioQueue {
 public:
  explicit AsioQueue(uint32_t timers) : timers_(timers), waits_(timers) { TickClock::ticks = 0; }

  void schedule(uint32_t timer, uint64_t due_tick) {
    waits_[timer].timer = timer;
    const TickClock::time_point due(TickClock::duration(static_cast<int64_t>(due_tick)));
    queue_.enqueue_timer(due, timers_[timer], &waits_[timer]);
  }

  void cancel(uint32_t timer) {
    Operations cancelled;
    queue_.cancel_timer(timers_[timer], cancelled);
    while (cancelled.front() != nullptr) cancelled.pop();
  }

  uint64_t next_event() const {
    if (queue_.empty()) return UINT64_MAX;
    constexpr long kMost = 1L << 40;
    return static_cast<uint64_t>(TickClock::ticks + queue_.wait_duration_msec(kMost));
  }

  template <class Expire>
  void advance(uint64_t now_tick, Expire&& expire) {
    TickClock::ticks = static_cast<int64_t>(now_tick);
    Operations ready;
    queue_.get_ready_timers(ready);
    while (boost::asio::detail::operation* first = ready.front()) {
      ready.pop();
      expire(static_cast<Wait*>(first)->timer);
    }
  }

 private:
  using Traits = boost::asio::detail::chrono_time_traits<TickClock, boost::asio::wait_traits<TickClock>>;
  using Queue = boost::asio::detail::timer_queue<Traits>;
  using Operations = boost::asio::detail::op_queue<boost::asio::detail::operation>;
  struct Wait : boost::asio::detail::wait_op {
    Wait()
        : wait_op([](void*, boost::asio::detail::operation*, const boost::system::error_code&, size_t) {}) {}
    uint32_t timer = 0;
  };

  Queue queue_;
  std::vector<Queue::per_timer_data> timers_;
  std::vector<Wait> waits_;
};

}  // namespace sip_async::bench
