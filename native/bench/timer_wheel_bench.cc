// The timer wheel against a binary heap, with so many timers pending all the time: nanoseconds for each timer
// that is scheduled and comes out in the end, as itself or (cancelled meanwhile) as something stale to be
// swept.
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "core/timer_wheel.h"
#include "test/support/measure.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint32_t kOperations = 200'000;
constexpr uint32_t kLongestTicks = 32'000;

// Delays drawn beforehand, so that drawing is not part of what is measured.
class Delays {
 public:
  explicit Delays(bool random) {
    std::mt19937 engine(1);
    for (uint32_t& ticks : ticks_)
      ticks = random ? 1 + static_cast<uint32_t>(engine()) % kLongestTicks : 4000;
  }
  uint32_t next() { return ticks_[at_++ % kDrawn]; }

 private:
  static constexpr uint32_t kDrawn = 1 << 16;
  std::vector<uint32_t> ticks_ = std::vector<uint32_t>(kDrawn);
  uint32_t at_ = 0;
};

class Wheel {
 public:
  explicit Wheel(uint32_t nodes) : region_(TimerWheel::region_bytes(nodes)), wheel_(region_, nodes) {}
  void schedule(uint32_t node, uint64_t due) { wheel_.insert(node, due); }
  // Goes to the next time at which something comes out.
  uint64_t run(std::vector<uint32_t>& out) {
    uint64_t now = wheel_.current();
    while (wheel_.advance(now, [&](uint32_t node) { out.push_back(node); }) == 0) now = wheel_.next_event();
    return now;
  }

 private:
  Region region_;
  TimerWheel wheel_;
};

class Heap {
 public:
  explicit Heap(uint32_t) {}
  void schedule(uint32_t node, uint64_t due) { heap_.push({due, order_++, node}); }
  uint64_t run(std::vector<uint32_t>& out) {
    now_ = std::max(now_, heap_.top().due);
    while (!heap_.empty() && heap_.top().due <= now_) {
      out.push_back(heap_.top().node);
      heap_.pop();
    }
    return now_;
  }

 private:
  struct Entry {
    uint64_t due;
    uint64_t order;  // a heap keeps no order among equals of its own
    uint32_t node;
    bool operator>(const Entry& other) const {
      return due != other.due ? due > other.due : order > other.order;
    }
  };
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap_;
  uint64_t order_ = 0;
  uint64_t now_ = 0;
};

template <class Timers>
void measure_timers(const std::string& name, uint32_t pending, bool random, bool cancel) {
  Timers timers(pending);
  Delays delays(random);
  std::vector<uint8_t> cancelled(pending, 0);
  std::vector<uint32_t> out;
  uint64_t fired = 0;
  // Spread over the whole delay, as they are once they have been running for a while.
  for (uint32_t node = 0; node < pending; ++node) {
    timers.schedule(node, 1 + uint64_t{delays.next()} * (node + 1) / pending);
  }
  const auto lap = [&] {
    const Stopwatch watch;
    for (uint32_t done = 0; done < kOperations;) {
      out.clear();
      const uint64_t now = timers.run(out);
      for (const uint32_t node : out) {
        fired += cancelled[node] == 0;
        timers.schedule(node, now + delays.next());
        cancelled[node] = cancel ? 1 : 0;
      }
      done += static_cast<uint32_t>(out.size());
    }
    return watch.ns();
  };
  lap();
  measure(name, kOperations, lap);
  keep(fired);
}

}  // namespace

int main() {
  for (const uint32_t pending : {1'000u, 10'000u, 100'000u, 1'000'000u}) {
    for (const bool random : {false, true}) {
      for (const bool cancel : {false, true}) {
        const std::string name = std::string("schedule+") + (cancel ? "cancel, " : "expire, ") +
                                 (random ? "random delays, " : "same delay, ") + std::to_string(pending) +
                                 " pending, ";
        measure_timers<Wheel>(name + "wheel", pending, random, cancel);
        measure_timers<Heap>(name + "heap", pending, random, cancel);
      }
    }
  }
}
