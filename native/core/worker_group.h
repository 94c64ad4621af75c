// A worker group: a bounded queue of slots and the JavaScript threads that empty it.
//
// Ground rules
// - Any thread pushes and never waits. A push that is refused has changed nothing.
// - A worker is a number below `workers`. The thread behind it may die and be replaced; the number stays.
// - A worker that finds nothing declares itself idle, then looks once more (go_idle). A push first enters the queue, then
//   looks for an idle worker. Both are sequentially consistent, so a task is never left with every worker asleep.
// - A worker that was idle for a short time only looks out for the next task before it declares itself idle (look_out). A push
//   that sees the lookout wakes nobody; the lookout ends with one more look at the queue, in the same order of things.
// - One push wakes at most one worker. A worker that leaves tasks behind while others are idle wakes the next (take).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/histogram.h"
#include "core/slot.h"
#include "core/status.h"
#include "core/task_queue.h"

namespace sip_async::core {

// Something that can be woken: the channel of a JavaScript thread. wake() may be called by any thread, at any time
// before the engine is gone, and must not wait.
class Wakeable {
 public:
  virtual ~Wakeable() = default;
  virtual void wake() = 0;
};

// A task: which slot, in which of its lives.
struct Task {
  uint32_t index;
  uint32_t generation;
  uint64_t bits() const { return uint64_t{generation} << 32 | index; }
  static Task of(uint64_t bits) { return {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)}; }
};

struct GroupConfig {
  std::string name;
  uint32_t workers = 0;
  bool nonblock = false;
  uint32_t usleep_us = 0;
  uint32_t max_queue = 0;
};

class WorkerGroup {
 public:
  static constexpr uint32_t kMaxWorkers = 256;

  WorkerGroup(Region& region, const GroupConfig& config, uint32_t capacity);

  const GroupConfig& config() const { return config_; }

  // Whether a new task may come in. kNoWorkers: the group has none by configuration. kGroupFull: nonblock, and
  // `max_queue` tasks wait. Asked before anything else is done for the task; two that ask at once may both get the last
  // place, and the bound that nobody passes is the queue's own.
  Status admit();
  // Counts a task that was admitted and waits outside of the queue for its turn to enter it; see Lanes. It counts as one
  // that waits.
  void hold();
  void unhold() { held_.fetch_sub(1, std::memory_order_relaxed); }
  // Puts a task in that was admitted, now or long ago. False when there is no room at all.
  bool push(Task task);
  // Wakes an idle worker, if there is one.
  void wake_one();

  // By a worker: takes its fair share of what waits, `most` at the most.
  uint32_t take(Task* tasks, uint32_t most);
  // By a worker that found nothing: looks for up to `most_ns` whether something comes, before it takes the way through the
  // kernel. False when nothing came, another worker looks already, or `woken` says that there is something else to do. One
  // worker at a time, and while it looks a push wakes nobody.
  bool look_out(uint64_t most_ns, const std::atomic<bool>& woken);
  // By a worker that found nothing: true when it may sleep, false when it must take() again.
  bool go_idle(uint32_t worker);
  void leave_idle(uint32_t worker);

  // By the thread that comes to be this worker; `wakeable` must stay valid until the engine is gone.
  void attach(uint32_t worker, Wakeable* wakeable);
  void detach(uint32_t worker, Wakeable* wakeable);

  uint32_t queued() const {
    // Below zero for a moment, when what was held is let go before it is counted.
    const int32_t held = held_.load(std::memory_order_relaxed);
    return queue_.size() + (held > 0 ? static_cast<uint32_t>(held) : 0);
  }
  uint32_t idle() const;
  bool check_invariants() const { return queue_.check_invariants(); }

  struct Counters {
    // Statistics; written by pushers and workers, read by stats(); relaxed, nothing is published through them.
    std::atomic<uint64_t> done{0};
    std::atomic<uint64_t> failed{0};
    std::atomic<uint64_t> refused{0};
    std::atomic<uint32_t> high_water{0};
    Histogram wait;
    Histogram run;
  };
  Counters counters;

 private:
  void note_depth(uint32_t depth);

  GroupConfig config_;
  TaskQueue queue_;
  // Tasks held elsewhere; hold() and unhold() of any thread; relaxed, it decides only on admission.
  std::atomic<int32_t> held_{0};
  // A bit for each worker that sleeps. Set by the worker itself (go_idle), cleared by whoever wakes it (wake_one) or by
  // itself; sequentially consistent on both sides, see the ground rules.
  std::atomic<uint64_t> idle_[kMaxWorkers / 64] = {};
  // A worker is looking out. Set and cleared by that worker, read by wake_one(). Sequentially consistent, as the idle bits: a
  // push that sees it set is seen by the look that follows the clearing.
  std::atomic<bool> lookout_{false};
  // Who to wake. Written by attach and detach, read by wake_one; acquire and release.
  std::atomic<Wakeable*> wakeables_[kMaxWorkers] = {};
};

}  // namespace sip_async::core
