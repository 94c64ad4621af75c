// The timer wheel as one would write it with a sorted map.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "core/timer_wheel.h"

namespace sip_async::test {

class WheelModel {
 public:
  void insert(uint32_t node, uint64_t due) {
    intake_.emplace_back(std::min(due, core::TimerWheel::kMaxTicks), node);
  }

  // The nodes that advance(now) gives, in order.
  std::vector<uint32_t> advance(uint64_t now) {
    std::vector<uint32_t> out;
    for (const auto& [due, node] : intake_) {
      if (due <= current_) {
        out.push_back(node);
      } else {
        waiting_.emplace(due, node);  // behind its equals
      }
    }
    intake_.clear();
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
      out.push_back(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
    }
    current_ = std::max(current_, now);
    return out;
  }

  // Takes a node out before its time. False when it is not there.
  bool remove(uint32_t node) {
    const auto is_it = [node](const auto& entry) { return entry.second == node; };
    if (const auto at = std::find_if(intake_.begin(), intake_.end(), is_it); at != intake_.end()) {
      intake_.erase(at);
      return true;
    }
    const auto at = std::find_if(waiting_.begin(), waiting_.end(), is_it);
    if (at == waiting_.end()) return false;
    waiting_.erase(at);
    return true;
  }

  uint64_t waiting() const { return waiting_.size(); }
  uint64_t next_due() const { return waiting_.empty() ? core::TimerWheel::kNever : waiting_.begin()->first; }

 private:
  std::vector<std::pair<uint64_t, uint32_t>> intake_;
  std::multimap<uint64_t, uint32_t> waiting_;
  uint64_t current_ = 0;
};

}  // namespace sip_async::test
