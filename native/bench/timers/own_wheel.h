// Contender: the wheel of this project. Cancelled as the engine does it: the node is forgotten, recognised as stale when it
// comes out, and swept out with others when half of all nodes are stale.
#pragma once

#include <cstdint>
#include <vector>

#include "core/timer_wheel.h"

namespace sip_async::bench {

class OwnWheel {
 public:
  explicit OwnWheel(uint32_t timers)
      : region_(core::TimerWheel::region_bytes(2 * timers)),
        wheel_(region_, 2 * timers),
        node_of_(timers, core::kNone) {
    free_.reserve(size_t{2} * timers);
    for (uint32_t node = 2 * timers; node-- > 0;) free_.push_back(node);
  }

  void schedule(uint32_t timer, uint64_t due_tick) {
    const uint32_t node = free_.back();
    free_.pop_back();
    wheel_.node(node).slot = timer;
    node_of_[timer] = node;
    wheel_.insert(node, due_tick);
  }

  void cancel(uint32_t timer) {
    node_of_[timer] = core::kNone;
    if (++stale_ <= wheel_.size() / 2) return;
    wheel_.sweep([this](uint32_t node) { return is_stale(node); },
                 [this](uint32_t node) {
                   --stale_;
                   free_.push_back(node);
                 });
  }

  uint64_t next_event() const { return wheel_.next_event(); }

  template <class Expire>
  void advance(uint64_t now_tick, Expire&& expire) {
    const auto come_out = [&](uint32_t node) {
      free_.push_back(node);
      if (is_stale(node)) {
        --stale_;
        return;
      }
      const uint32_t timer = wheel_.node(node).slot;
      node_of_[timer] = core::kNone;
      expire(timer);
    };
    wheel_.advance(now_tick, come_out,
                   [this](uint32_t node) { __builtin_prefetch(&node_of_[wheel_.node(node).slot]); });
  }

 private:
  bool is_stale(uint32_t node) { return node_of_[wheel_.node(node).slot] != node; }

  core::Region region_;
  core::TimerWheel wheel_;
  std::vector<uint32_t> node_of_;
  std::vector<uint32_t> free_;
  uint64_t stale_ = 0;
};

}  // namespace sip_async::bench
