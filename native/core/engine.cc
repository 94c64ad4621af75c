#include "core/engine.h"

#include <pthread.h>

#include <algorithm>

namespace sip_async::core {

namespace {

constexpr uint32_t kInboxCapacity = 65536;

uint32_t timer_count(const EngineConfig& config) {
  return config.slots * 3;
}

uint32_t inbox_capacity(const EngineConfig& config) {
  return std::min(config.slots, kInboxCapacity);
}

uint32_t total_threads(const EngineConfig& config) {
  uint32_t threads = config.receivers;
  for (const GroupConfig& group : config.groups) threads += group.workers;
  return threads;
}

}  // namespace

size_t Engine::region_bytes(const EngineConfig& config) {
  return SlotTable::region_bytes(config.slots) + PayloadPool::region_bytes(config.payload_bytes) +
         TimerWheel::region_bytes(timer_count(config)) + Region::padded(sizeof(Permits)) +
         TaskQueue::region_bytes(config.slots) * config.groups.size() +
         TaskQueue::region_bytes(inbox_capacity(config)) * total_threads(config);
}

Engine::Engine(const EngineConfig& config)
    : region_(region_bytes(config)),
      slots_(region_, config.slots),
      payloads_(region_, config.payload_bytes),
      wheel_(region_, timer_count(config)),
      permits_(region_.take<Permits>(1)) {
  clock_.epoch_ns = now_ns();
  uint32_t thread = config.receivers;
  for (const GroupConfig& group : config.groups) {
    groups_.push_back(std::make_unique<WorkerGroup>(region_, group, config.slots));
    first_thread_.push_back(thread);
    thread += group.workers;
  }
  for (uint32_t i = 0; i < thread; ++i) {
    inboxes_.push_back(std::make_unique<Inbox>(region_, inbox_capacity(config)));
  }
  touched_groups_.assign(groups_.size(), 0);
  expired_.reserve(kExpireTogether);
}

Engine::~Engine() {
  stop();
}

void Engine::start(Handler* handler) {
  handler_ = handler;
  ticker_ = std::thread([this] { run_ticker(); });
}

void Engine::stop() {
  if (!ticker_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  parker_.unpark();
  ticker_.join();
}

void Engine::run_ticker() {
  pthread_setname_np(pthread_self(), "sip-async-tick");
  // Acquire: pairs with stop().
  while (!stopping_.load(std::memory_order_acquire)) {
    tick(now_ns());
    const uint64_t next = wheel_.next_event();
    if (!wheel_.sleep_until(next)) continue;
    // Checked again behind the published sleep: stop() stores first and then unparks.
    if (!stopping_.load(std::memory_order_acquire)) {
      parker_.park_until(next == TimerWheel::kNever ? Parker::kForever : clock_.ns_of(next));
    }
    wheel_.awake();
  }
}

void Engine::tick(uint64_t now) {
  // Slots are fetched as the wheel foretells them, and what they lead to once they are there.
  wheel_.advance(
      clock_.tick_at(now),
      [&](TimerEntry entry) {
        expired_.push_back(entry);
        if (expired_.size() == kExpireTogether) expire_gathered(now);
      },
      [this](TimerEntry entry) { slots_.prefetch(entry.slot()); });
  expire_gathered(now);
  wake_touched();
  if (sweep_wanted_.exchange(false, std::memory_order_relaxed)) sweep();
}

void Engine::note_withdrawn() {
  const uint64_t withdrawn = counters.withdrawn.fetch_add(1, std::memory_order_relaxed) + 1;
  // Below zero when the timer has come out before we count it.
  const auto left = static_cast<int64_t>(withdrawn - counters.stale_timers.load(std::memory_order_relaxed));
  if (left <= static_cast<int64_t>(suspension_timers() / 2)) return;
  if (!sweep_wanted_.exchange(true, std::memory_order_relaxed)) parker_.unpark();
}

// Whether a timer in the wheel means nothing any more: what it stood for has ended, and no later suspension will be it again.
bool Engine::is_stale(TimerEntry entry) const {
  if (entry.tag() == kSlotTimer) return false;
  const Word word = slots_.word(entry.slot());
  if (!word.has(Word::kLive) || word.generation() != entry.generation()) return true;
  if (entry.tag() == kPushAgain) return false;  // soon out by itself
  return word.suspension() != entry.tag() || word.run() != Run::kSuspended;
}

void Engine::sweep() {
  wheel_.sweep([this](TimerEntry entry) { return is_stale(entry); },
               [this](TimerEntry entry) {
                 if (entry.tag() != kPushAgain) {
                   counters.stale_timers.fetch_add(1, std::memory_order_relaxed);
                 }
                 give_back_permits(1);
               },
               [this](TimerEntry entry) { slots_.prefetch_word(entry.slot()); });
}

bool Engine::take_permit() {
  if (permits_->taken.fetch_add(1, std::memory_order_acquire) < suspension_timers()) return true;
  permits_->taken.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Engine::give_back_permits(uint32_t count) {
  permits_->taken.fetch_sub(count, std::memory_order_release);
}

void Engine::insert(Task task, uint32_t tag, uint64_t due_tick) {
  if (wheel_.insert({task.index, task.generation, tag}, due_tick)) parker_.unpark();
}

Status Engine::suspend_until(Task task, uint64_t due_ns, uint32_t round_ticks, uint16_t route, uint16_t group,
                             uint32_t thread) {
  // Asked before anything is written: a route that goes on after its suspension must not change where that leads.
  if (const Status refusal = slots_.may_suspend(task.index, task.generation); refusal != Status::kOk)
    return refusal;
  if (group != kOwnThread && groups_[group]->config().workers == 0) return Status::kNoWorkers;
  if (!take_permit()) return Status::kSlotsExhausted;
  uint64_t due_tick = clock_.tick_not_before(due_ns);
  if (round_ticks > 1) due_tick = (due_tick + round_ticks - 1) / round_ticks * round_ticks;

  uint32_t suspension = 0;
  Slot& slot = slots_.at(task.index);
  // Written before the step because the next owner may read it the moment the step is done; while the route runs these
  // are this thread's own, so a refused step leaves nothing that anybody looks at.
  slot.route.store(route, std::memory_order_relaxed);
  slot.group.store(group, std::memory_order_relaxed);
  slot.thread.store(thread, std::memory_order_relaxed);
  slot.due_tick.store(due_tick, std::memory_order_relaxed);
  if (handler_ != nullptr) handler_->before_suspension(task);
  const Status status = slots_.suspend(task.index, task.generation, Run::kSuspended, suspension);
  if (status != Status::kOk) {
    give_back_permits(1);
    return status;
  }
  counters.suspended.fetch_add(1, std::memory_order_relaxed);
  counters.scheduled.fetch_add(1, std::memory_order_relaxed);
  insert(task, suspension, due_tick);
  return Status::kOk;
}

Status Engine::suspend_now(Task task, uint64_t now, uint16_t route, uint16_t group_number) {
  if (const Status refusal = slots_.may_suspend(task.index, task.generation); refusal != Status::kOk)
    return refusal;
  WorkerGroup& target = *groups_[group_number];
  if (const Status refusal = target.admit(); refusal != Status::kOk) return refusal;
  Slot& slot = slots_.at(task.index);
  slot.route.store(route, std::memory_order_relaxed);
  slot.due_tick.store(clock_.tick_at(now), std::memory_order_relaxed);
  slot.group.store(group_number, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  if (handler_ != nullptr) handler_->before_suspension(task);
  uint32_t suspension = 0;
  const Status status = slots_.suspend(task.index, task.generation, Run::kDue, suspension);
  if (status != Status::kOk) return status;
  // Counted before the push: a worker may take the task and count it down at once.
  counters.suspended.fetch_add(1, std::memory_order_relaxed);
  if (!target.push(task)) {
    target.counters.refused.fetch_add(1, std::memory_order_relaxed);
    const Status undone = slots_.take_back(task.index, task.generation);
    if (undone != Status::kOk) return undone;  // cancelled in between; conclude() has counted it down
    counters.suspended.fetch_sub(1, std::memory_order_relaxed);
    return Status::kGroupFull;
  }
  target.wake_one();
  return Status::kOk;
}

Status Engine::submit_to(Task task, uint16_t route, uint16_t group, uint64_t now, uint64_t delay_ns) {
  if (delay_ns == 0) {
    if (groups_[group]->push(task)) {
      groups_[group]->wake_one();
      return Status::kOk;
    }
    groups_[group]->counters.refused.fetch_add(1, std::memory_order_relaxed);
    Run was = Run::kIdle;
    // A scan that ends everything may have been here; then it owned the task and has ended it as any other.
    if (slots_.conclude(task.index, task.generation, 0, was) != Status::kOk) return Status::kOk;
    slots_.release(task.index);
    return Status::kGroupFull;
  }
  return submit_suspended(task, route, group, kNone, now + delay_ns);
}

Status Engine::submit_suspended(Task task, uint16_t route, uint16_t group, uint32_t thread, uint64_t due_ns) {
  // By way of running, the one state that suspends.
  if (slots_.begin_run(task.index, task.generation) != Status::kOk) return Status::kOk;
  const Status status = suspend_until(task, due_ns, 1, route, group, thread);
  if (status == Status::kOk) return status;
  Word before(0);
  (void)slots_.end_run(task.index, task.generation, before);
  slots_.release(task.index);
  return status;
}

Status Engine::resume(Task task, uint64_t now) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  const Word word = slots_.word(task.index);
  if (word.generation() != task.generation) return Status::kStaleHandle;
  if (word.run() != Run::kSuspended) return Status::kNotSuspended;
  // For the case that the queue has no room: taken before, so that nothing can fail behind the step.
  if (!take_permit()) return Status::kSlotsExhausted;
  if (slots_.make_due(task.index, task.generation, word.suspension(), Word::kResumed) != Status::kOk) {
    give_back_permits(1);
    return Status::kNotSuspended;
  }
  note_withdrawn();
  Slot& slot = slots_.at(task.index);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  const uint16_t group = slot.group.load(std::memory_order_relaxed);
  if (!hand_over(task)) {
    offer_again(task, clock_.tick_at(now) + 1);
    return Status::kOk;
  }
  give_back_permits(1);
  if (group != kOwnThread) groups_[group]->wake_one();
  return Status::kOk;
}

Status Engine::resume_claimed(Task task, uint64_t now, uint16_t route, uint16_t group, uint32_t thread) {
  note_withdrawn();
  Slot& slot = slots_.at(task.index);
  slot.thread.store(thread, std::memory_order_relaxed);
  slot.route.store(route, std::memory_order_relaxed);
  slot.group.store(group, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  const Status status = slots_.step(task.index, task.generation, Run::kRunning, Run::kDue);
  if (status != Status::kOk) {
    counters.suspended.fetch_sub(1, std::memory_order_relaxed);
    give_back_permits(1);
    return status;
  }
  const bool handed_over = group == kOwnThread ? post(thread, task) : groups_[group]->push(task);
  if (!handed_over) {
    offer_again(task, clock_.tick_at(now) + 1);
    return Status::kOk;
  }
  give_back_permits(1);
  if (group != kOwnThread) groups_[group]->wake_one();
  return Status::kOk;
}

Status Engine::take_back(Task task, uint32_t suspension, uint32_t thread) {
  const Status status = slots_.claim(task.index, task.generation, suspension);
  if (status != Status::kOk) return status;
  counters.suspended.fetch_sub(1, std::memory_order_relaxed);
  note_withdrawn();
  note_thread(task, thread);
  return Status::kOk;
}

Status Engine::launch(Task task, Run from, uint16_t route, uint32_t thread, uint64_t now, Launch& out) {
  if (!take_permit()) return Status::kSlotsExhausted;
  Slot& slot = slots_.at(task.index);
  slot.thread.store(thread, std::memory_order_relaxed);
  slot.route.store(route, std::memory_order_relaxed);
  slot.group.store(kOwnThread, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  slot.due_tick.store(clock_.tick_at(now), std::memory_order_relaxed);
  // Counted before the step, as everywhere: whoever takes it counts it down.
  counters.suspended.fetch_add(1, std::memory_order_relaxed);
  uint32_t suspension = 0;
  const Status status = slots_.launch(task.index, task.generation, from, suspension);
  if (status != Status::kOk) {
    counters.suspended.fetch_sub(1, std::memory_order_relaxed);
    give_back_permits(1);
    return status;
  }
  out = Launch{task, thread};
  return Status::kOk;
}

void Engine::deliver(const Launch& launch, uint64_t now) {
  if (post(launch.thread, launch.task)) {
    give_back_permits(1);
  } else {
    offer_again(launch.task, clock_.tick_at(now) + 1);
  }
}

void Engine::keep(const Launch&) {
  give_back_permits(1);
}

// No room in the queue now. The call stays due and is offered again with every tick until there is.
void Engine::offer_again(Task task, uint64_t tick) {
  insert(task, kPushAgain, tick);
}

bool Engine::hand_over(Task task) {
  const Slot& slot = slots_.at(task.index);
  const uint16_t group = slot.group.load(std::memory_order_relaxed);
  return group == kOwnThread ? post(slot.thread.load(std::memory_order_relaxed), task)
                             : groups_[group]->push(task);
}

void Engine::expire_gathered(uint64_t now) {
  for (const TimerEntry entry : expired_) {
    if (entry.tag() == kSlotTimer) handler_->before_slot_timer(entry.slot());
  }
  uint32_t permits = 0;
  for (const TimerEntry entry : expired_) permits += expire(entry, now);
  expired_.clear();
  if (permits > 0) give_back_permits(permits);
}

uint32_t Engine::expire(TimerEntry entry, uint64_t now) {
  const uint32_t index = entry.slot();
  const uint32_t generation = entry.generation();
  if (entry.tag() == kSlotTimer) {
    handler_->on_slot_timer(index, clock_.tick_at(now));
    return 0;
  }
  if (entry.tag() != kPushAgain) {
    if (slots_.make_due(index, generation, entry.tag()) != Status::kOk) {
      counters.stale_timers.fetch_add(1, std::memory_order_relaxed);
      return 1;
    }
    slots_.at(index).queued_ns.store(now, std::memory_order_relaxed);
    counters.fired.fetch_add(1, std::memory_order_relaxed);
    counters.lateness.record_ns(now - std::min(now, clock_.ns_of(entry.due_tick())));
  } else if (!slots_.is_current(index, generation) || slots_.word(index).run() != Run::kDue) {
    return 1;
  }
  const Task task{index, generation};
  const uint16_t group = slots_.at(index).group.load(std::memory_order_relaxed);
  if (!hand_over(task)) {
    // As offer_again(), by the ticker itself and with the permit that it holds.
    wheel_.put_back({index, generation, kPushAgain}, clock_.tick_at(now) + 1);
    return 0;
  }
  if (group != kOwnThread) touched_groups_[group] = 1;
  return 1;
}

void Engine::wake_touched() {
  for (size_t i = 0; i < touched_groups_.size(); ++i) {
    if (touched_groups_[i] == 0) continue;
    touched_groups_[i] = 0;
    groups_[i]->wake_one();
  }
}

Status Engine::begin_run(Task task, uint32_t thread, uint64_t now) {
  const Status status = slots_.begin_run(task.index, task.generation);
  if (status != Status::kOk) return status;
  Slot& slot = slots_.at(task.index);
  // A suspension number above 0 tells a resumed call from a new one.
  if (slots_.word(task.index).suspension() != 0) counters.suspended.fetch_sub(1, std::memory_order_relaxed);
  slot.action_ns = now;
  note_thread(task, thread);
  return Status::kOk;
}

void Engine::note_thread(Task task, uint32_t thread) {
  Slot& slot = slots_.at(task.index);
  // Pairs with conclude(): it sets the flag, then reads the thread; we set the thread, then read the flag. One of the
  // two sees the other, so a call that is cancelled just now is told to somebody.
  slot.thread.store(thread, std::memory_order_seq_cst);
  if (Word(slot.word.load(std::memory_order_seq_cst)).has(Word::kAnswered)) (void)post(thread, task);
}

Status Engine::conclude(Task task, uint64_t flags, Run& was) {
  const Status status = slots_.conclude(task.index, task.generation, flags, was);
  if (status != Status::kOk) return status;
  if (was == Run::kSuspended) note_withdrawn();
  if (was == Run::kSuspended || was == Run::kDue) counters.suspended.fetch_sub(1, std::memory_order_relaxed);
  const Slot& slot = slots_.at(task.index);
  const bool sleeper = (was == Run::kSuspended || was == Run::kDue) &&
                       slot.group.load(std::memory_order_relaxed) == kOwnThread;
  // To nobody when the call is run by the engine's own code, which needs no telling.
  if (sleeper || was == Run::kRunning) (void)post(slot.thread.load(std::memory_order_seq_cst), task);
  return Status::kOk;
}

bool Engine::post(uint32_t thread, Task task) {
  // Read from a slot that a sleeper has just left, and that a task without a thread has taken since.
  if (thread >= inboxes_.size()) return false;
  if (!inboxes_[thread]->queue.try_push(task.bits())) return false;
  wake(thread);
  return true;
}

void Engine::wake(uint32_t thread) {
  // Acquire: pairs with attach().
  Wakeable* target = inboxes_[thread]->wakeable.load(std::memory_order_acquire);
  if (target != nullptr) target->wake();
}

uint32_t Engine::take_inbox(uint32_t thread, Task* tasks, uint32_t most) {
  uint64_t bits[64];
  const uint32_t count = inboxes_[thread]->queue.try_pop_many(bits, std::min(most, 64u));
  for (uint32_t i = 0; i < count; ++i) tasks[i] = Task::of(bits[i]);
  return count;
}

void Engine::attach(uint32_t thread, Wakeable* wakeable) {
  inboxes_[thread]->wakeable.store(wakeable, std::memory_order_release);
}

void Engine::detach(uint32_t thread, Wakeable* wakeable) {
  Wakeable* mine = wakeable;
  inboxes_[thread]->wakeable.compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel);
}

bool Engine::check_invariants() const {
  if (!slots_.check_invariants() || !payloads_.check_invariants() || !wheel_.check_invariants()) return false;
  // Each permit that is taken is a timer in the wheel.
  uint32_t of_suspensions = 0;
  wheel_.for_each_quiescent([&](TimerEntry entry) { of_suspensions += entry.tag() != kSlotTimer ? 1 : 0; });
  if (of_suspensions != timers_taken() || of_suspensions > suspension_timers()) return false;
  for (const auto& group : groups_) {
    if (!group->check_invariants()) return false;
  }
  for (const auto& inbox : inboxes_) {
    if (!inbox->queue.check_invariants()) return false;
  }
  return true;
}

}  // namespace sip_async::core
