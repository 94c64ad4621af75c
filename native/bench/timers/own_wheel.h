// Contender: the wheel of this project. Cancelled as the engine does it: the number of the suspension that a timer was set
// for is counted up where it is kept, in a table by timer. What does not agree with it is stale when it comes out, and is
// swept out with others when half of all that the wheel may hold is.
#pragma once

#include <cstdint>
#include <vector>

#include "core/timer_wheel.h"

namespace sip_async::bench {

class OwnWheel {
  auto ahead() {
    return [this](core::TimerEntry entry) { __builtin_prefetch(&suspension_of_[entry.slot()], 1); };
  }

 public:
  explicit OwnWheel(uint32_t timers)
      : region_(core::TimerWheel::region_bytes(2 * timers)),
        wheel_(region_, 2 * timers),
        suspension_of_(timers, 0) {}

  void schedule(uint32_t timer, uint64_t due_tick) {
    const uint32_t suspension = next_suspension(timer);
    wheel_.insert({timer, 0, suspension}, due_tick);
  }

  void cancel(uint32_t timer) {
    next_suspension(timer);
    if (++stale_ <= wheel_.size() / 2) return;
    wheel_.sweep([this](core::TimerEntry entry) { return is_stale(entry); },
                 [this](core::TimerEntry) { --stale_; }, ahead());
  }

  uint64_t next_event() const { return wheel_.next_event(); }

  template <class Expire>
  void advance(uint64_t now_tick, Expire&& expire) {
    const auto come_out = [&](core::TimerEntry entry) {
      if (is_stale(entry)) {
        --stale_;
        return;
      }
      next_suspension(entry.slot());
      expire(entry.slot());
    };
    wheel_.advance(now_tick, come_out, ahead());
  }

 private:
  bool is_stale(core::TimerEntry entry) const { return suspension_of_[entry.slot()] != entry.tag(); }
  uint32_t next_suspension(uint32_t timer) {
    uint32_t& suspension = suspension_of_[timer];
    suspension = (suspension + 1) & core::TimerEntry::kTagMask;
    return suspension;
  }

  core::Region region_;
  core::TimerWheel wheel_;
  std::vector<uint32_t> suspension_of_;
  uint64_t stale_ = 0;
};

}  // namespace sip_async::bench
