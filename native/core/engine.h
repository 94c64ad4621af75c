// The engine: slots, payloads, wheel and groups put together, and the ticker thread that brings sleepers back.
//
// Ground rules
// - The engine knows nothing of SIP. What a slot's own timer means, and what is in a payload, is the handler's business.
// - A thread is a number: receivers first, then the workers of group 0, group 1 and so on. Each has an inbox of its own
//   for what must come back to that very thread (a sleeping handler, a new request read by somebody else).
// - Timers: one for each slot's own (SIP timers), and two for each slot that serve suspensions, handed out as permits. A
//   suspension takes a permit and the ticker gives it back when its timer comes out of the wheel, whether it still meant
//   something or not. When half of them mean nothing any more (suspensions that were withdrawn long before their time), the
//   ticker sweeps those out.
// - start() and stop() are called by one thread; everything else by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/histogram.h"
#include "core/parker.h"
#include "core/payload_pool.h"
#include "core/region.h"
#include "core/slot_table.h"
#include "core/status.h"
#include "core/timer_wheel.h"
#include "core/worker_group.h"

namespace sip_async::core {

struct EngineConfig {
  uint32_t slots = 0;
  uint64_t payload_bytes = 0;
  uint32_t receivers = 1;
  std::vector<GroupConfig> groups;
};

class Engine {
 public:
  // Where a suspended call goes on: a group, or the thread that suspended it.
  static constexpr uint16_t kOwnThread = 0xffff;

  // What the layer above adds. The slot timer comes from the ticker.
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_slot_timer(uint32_t index, uint64_t now_tick) = 0;
    // Some calls before on_slot_timer: to ask for the memory that it will need.
    virtual void before_slot_timer(uint32_t) {}
    // By the thread that suspends, when nothing stands in the way any more and nobody else can have the call yet.
    virtual void before_suspension(Task) {}
  };

  explicit Engine(const EngineConfig& config);
  ~Engine();

  void start(Handler* handler);
  // Instead of start(), by a program of one thread that is its own ticker and keeps its own time.
  void start_without_ticker(Handler* handler) { handler_ = handler; }
  // What the ticker does each time it wakes: brings everything back that is due at `now`.
  void tick(uint64_t now);
  // Ends the ticker. What still sleeps stays asleep.
  void stop();

  SlotTable& slots() { return slots_; }
  PayloadPool& payloads() { return payloads_; }
  const TickClock& clock() const { return clock_; }
  uint32_t group_count() const { return static_cast<uint32_t>(groups_.size()); }
  WorkerGroup& group(uint32_t number) { return *groups_[number]; }
  uint32_t thread_count() const { return static_cast<uint32_t>(inboxes_.size()); }
  // Number of worker `worker` of group `group` among all threads.
  uint32_t worker_thread(uint32_t group, uint32_t worker) const { return first_thread_[group] + worker; }

  // By the thread that runs the slot's route. On anything but kOk nothing has changed.
  // Runs `route` in `group` (or, kOwnThread, wakes `thread`) at the first tick that is not before `due_ns` and a
  // multiple of `round_ticks`.
  Status suspend_until(Task task, uint64_t due_ns, uint32_t round_ticks, uint16_t route, uint16_t group,
                       uint32_t thread);
  // The same without a wait.
  Status suspend_now(Task task, uint64_t now, uint16_t route, uint16_t group);

  // A waiting or running call is to end with a final reply from outside its route; see SlotTable::conclude. A handler
  // that sleeps or runs is told through its inbox.
  Status conclude(Task task, uint64_t flags, Run& was);
  // A new task, without a message behind it, for a route in a group: at once, or after `delay`. `prepare(Slot&)` fills
  // in what the layer above keeps. On anything but kOk there is no task, and what prepare stored is the caller's again.
  template <class Prepare>
  Status submit(uint16_t route, uint16_t group, uint64_t now, uint64_t delay_ns, Prepare&& prepare,
                Task& out);
  // The same for a task that belongs to `thread` and waits there: it comes back to that thread after `delay`, or by resume().
  template <class Prepare>
  Status submit_own(uint16_t route, uint32_t thread, uint64_t now, uint64_t delay_ns, Prepare&& prepare,
                    Task& out);
  // A suspended call goes on now, before its time, with the route it was suspended for.
  Status resume(Task task, uint64_t now);

  // The same with another route, in a group or (kOwnThread) in `thread`, if it is still in this suspension. `prepare(Slot&)`
  // writes what the layer above keeps, while the slot is this thread's: two who continue one call do not mix their routes.
  // `begun` is false when nothing happened; otherwise anything but kOk means that the call was ended from outside in the
  // middle of this, and that its run is the caller's, who must end it.
  template <class Prepare>
  Status resume_with(Task task, uint32_t suspension, uint64_t now, uint16_t route, uint16_t group,
                     uint32_t thread, bool& begun, Prepare&& prepare);

  // Back to running in `thread`, by the very run that suspended it so.
  Status take_back(Task task, uint32_t suspension, uint32_t thread);

  // A call that is idle or relayed is to run `route` in `thread`. In two parts, because the step is made under a lock and
  // nobody is woken under one: launch(), then, without the lock, deliver(). kSlotsExhausted: no timer is left.
  struct Launch {
    Task task;
    uint32_t thread;
  };
  Status launch(Task task, Run from, uint16_t route, uint32_t thread, uint64_t now, Launch& out);
  void deliver(const Launch& launch, uint64_t now);
  // In place of deliver(), by the thread that it was launched for and that begins it at once.
  void keep(const Launch& launch);

  // A due or received task becomes running. kOk: run it. Anything else: it has ended meanwhile.
  Status begin_run(Task task, uint32_t thread, uint64_t now);

  // Puts a task into a thread's own inbox and wakes it. False when the inbox is full, or the thread is none.
  bool post(uint32_t thread, Task task);
  // Wakes a thread that has work elsewhere than in its inbox. The work is published before, by a sequentially consistent
  // operation or a push into a TaskQueue.
  void wake(uint32_t thread);
  uint32_t take_inbox(uint32_t thread, Task* tasks, uint32_t most);
  bool inbox_empty(uint32_t thread) { return inboxes_[thread]->queue.size() == 0; }
  void attach(uint32_t thread, Wakeable* wakeable);
  void detach(uint32_t thread, Wakeable* wakeable);

  // Sets a slot's own timer. The caller sees to it that it is not in the wheel already, and calls wake_ticker() when
  // told so, once it holds no lock any more.
  bool arm_slot_timer(uint32_t index, uint64_t due_tick) {
    return wheel_.insert({index, 0, kSlotTimer}, due_tick);
  }
  void wake_ticker() { parker_.unpark(); }

  struct Counters {
    // Statistics, relaxed: written by whoever does the thing, read by stats().
    alignas(kCacheLine) std::atomic<uint64_t> scheduled{0};
    alignas(kCacheLine) std::atomic<uint64_t> fired{0};
    std::atomic<uint64_t> withdrawn{0};
    std::atomic<uint64_t> stale_timers{0};
    alignas(kCacheLine) std::atomic<int64_t> suspended{0};  // suspended or due
    Histogram lateness;
  };
  Counters counters;

  // Timers that suspensions can have at once; twice the slots, because a cancelled one leaves its timer in the wheel.
  uint32_t suspension_timers() const { return wheel_.size() - slots_.size(); }
  // Of them, those that are taken.
  uint32_t timers_taken() const { return permits_->taken.load(std::memory_order_relaxed); }
  // Only while no other thread uses the engine.
  bool check_invariants() const;

 private:
  struct Inbox {
    Inbox(Region& region, uint32_t capacity) : queue(region, capacity) {}
    TaskQueue queue;
    // The thread behind the number. Written by attach and detach, read by post; acquire and release.
    std::atomic<Wakeable*> wakeable{nullptr};
  };
  // What the tag of a timer says, if it is not the number of a suspension, which is never 0: the slot's own timer; the slot
  // is due already, only its queue had no room.
  static constexpr uint32_t kSlotTimer = 0;
  static constexpr uint32_t kPushAgain = Word::kSuspensionMask + 1;
  static_assert(kPushAgain <= TimerEntry::kTagMask);

  static size_t region_bytes(const EngineConfig& config);
  // A permit is taken before the step that needs a timer, so that nothing can fail behind it. False: there is none.
  bool take_permit();
  void give_back_permits(uint32_t count);
  void insert(Task task, uint32_t tag, uint64_t due_tick);
  void offer_again(Task task, uint64_t tick);
  void run_ticker();
  // Of a call that runs in `thread` now.
  void note_thread(Task task, uint32_t thread);
  // A suspension has ended before its time; its timer stays in the wheel.
  void note_withdrawn();
  bool is_stale(TimerEntry entry) const;
  void sweep();
  // Returns how many permits are free now: of a timer that was one of a suspension, one, unless it is put back.
  uint32_t expire(TimerEntry entry, uint64_t now);
  void expire_gathered(uint64_t now);
  // Of a call that is due: to its group's queue, without waking anybody, or to its thread's inbox.
  bool hand_over(Task task);
  void wake_touched();
  Status resume_claimed(Task task, uint64_t now, uint16_t route, uint16_t group, uint32_t thread);
  // A slot for a new task. False when there is none.
  template <class Prepare>
  bool acquire(uint16_t route, uint16_t group, uint32_t thread, uint64_t now, Prepare&& prepare, Task& out);
  Status submit_to(Task task, uint16_t route, uint16_t group, uint64_t now, uint64_t delay_ns);
  Status submit_suspended(Task task, uint16_t route, uint16_t group, uint32_t thread, uint64_t due_ns);

  Region region_;
  SlotTable slots_;
  PayloadPool payloads_;
  TimerWheel wheel_;
  struct Permits {
    // Timers of suspensions that are taken: in the wheel, or about to be. Counted up by take_permit() (acquire), down by
    // give_back_permits() (release): whoever gets a permit comes behind all that was done with it before. A thread that finds
    // none has counted itself for a moment, and another may be refused because of that; more are never handed out.
    alignas(kCacheLine) std::atomic<uint32_t> taken;
  };
  Permits* permits_;
  std::vector<std::unique_ptr<WorkerGroup>> groups_;
  std::vector<uint32_t> first_thread_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;
  TickClock clock_;
  Handler* handler_ = nullptr;

  Parker parker_;
  std::atomic<bool> stopping_{false};  // written by stop(), read by the ticker; release and acquire
  // Set by note_withdrawn() of any thread, cleared by the ticker. Relaxed: the Parker's token carries the wake-up, and a
  // sweep more or less does not matter.
  std::atomic<bool> sweep_wanted_{false};
  std::thread ticker_;
  // The ticker's own: what it has pushed to since it last woke anybody.
  std::vector<uint8_t> touched_groups_;
  // The ticker's: timers that came out of the wheel and whose slots are on their way from memory.
  static constexpr uint32_t kExpireTogether = 16;
  std::vector<TimerEntry> expired_;
};

template <class Prepare>
bool Engine::acquire(uint16_t route, uint16_t group, uint32_t thread, uint64_t now, Prepare&& prepare,
                     Task& out) {
  uint32_t generation = 0;
  const uint32_t index = slots_.try_acquire([&](Slot& slot) {
    // Read here, where the slot is nobody else's: the moment it is live, a scan may end the task, and the next one begin.
    generation = Word(slot.word.load(std::memory_order_relaxed)).generation();
    slot.route.store(route, std::memory_order_relaxed);
    slot.group.store(group, std::memory_order_relaxed);
    slot.thread.store(thread, std::memory_order_relaxed);
    slot.queued_ns.store(now, std::memory_order_relaxed);
    slot.due_tick.store(clock_.tick_at(now), std::memory_order_relaxed);
    prepare(slot);
  });
  if (index != kNone) out = Task{index, generation};
  return index != kNone;
}

template <class Prepare>
Status Engine::submit(uint16_t route, uint16_t group, uint64_t now, uint64_t delay_ns, Prepare&& prepare,
                      Task& out) {
  if (const Status refusal = groups_[group]->admit(); refusal != Status::kOk) return refusal;
  if (!acquire(route, group, kNone, now, prepare, out)) return Status::kSlotsExhausted;
  return submit_to(out, route, group, now, delay_ns);
}

template <class Prepare>
Status Engine::submit_own(uint16_t route, uint32_t thread, uint64_t now, uint64_t delay_ns, Prepare&& prepare,
                          Task& out) {
  if (!acquire(route, kOwnThread, thread, now, prepare, out)) return Status::kSlotsExhausted;
  return submit_suspended(out, route, kOwnThread, thread, now + delay_ns);
}

template <class Prepare>
Status Engine::resume_with(Task task, uint32_t suspension, uint64_t now, uint16_t route, uint16_t group,
                           uint32_t thread, bool& begun, Prepare&& prepare) {
  begun = false;
  if (!take_permit()) return Status::kSlotsExhausted;
  const Status status = slots_.claim(task.index, task.generation, suspension);
  if (status != Status::kOk) {
    give_back_permits(1);
    return status;
  }
  begun = true;
  prepare(slots_.at(task.index));
  return resume_claimed(task, now, route, group, thread);
}

}  // namespace sip_async::core
