#include "core/engine.h"

#include <pthread.h>

#include <algorithm>

namespace sip_async::core {

namespace {

constexpr uint32_t kInboxCapacity = 65536;

uint32_t node_count(const EngineConfig& config) {
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
         TimerWheel::region_bytes(node_count(config)) + Region::padded(sizeof(NodePool)) +
         TaskQueue::region_bytes(config.slots) * config.groups.size() +
         TaskQueue::region_bytes(inbox_capacity(config)) * total_threads(config);
}

Engine::Engine(const EngineConfig& config)
    : region_(region_bytes(config)),
      slots_(region_, config.slots),
      payloads_(region_, config.payload_bytes),
      wheel_(region_, node_count(config)),
      nodes_(region_.take<NodePool>(1)) {
  clock_.epoch_ns = now_ns();
  nodes_->next_fresh.store(config.slots, std::memory_order_relaxed);
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
  const auto fetch_slot = [this](uint32_t node) {
    slots_.prefetch(node < slots_.size() ? node : wheel_.node(node).slot);
  };
  wheel_.advance(
      clock_.tick_at(now),
      [&](uint32_t node) {
        expired_[expired_count_++] = node;
        if (expired_count_ == kExpireTogether) expire_gathered(now);
      },
      fetch_slot);
  expire_gathered(now);
  wake_touched();
  if (sweep_wanted_.exchange(false, std::memory_order_relaxed)) sweep();
}

void Engine::note_withdrawn() {
  const uint64_t withdrawn = counters.withdrawn.fetch_add(1, std::memory_order_relaxed) + 1;
  // Below zero when the node has come out before we count it.
  const auto left = static_cast<int64_t>(withdrawn - counters.stale_nodes.load(std::memory_order_relaxed));
  if (left <= static_cast<int64_t>(suspension_nodes() / 2)) return;
  if (!sweep_wanted_.exchange(true, std::memory_order_relaxed)) parker_.unpark();
}

// Whether a node in the wheel means nothing any more: what it stood for has ended, and no later suspension will be it again.
bool Engine::is_stale(uint32_t node_index) {
  if (node_index < slots_.size()) return false;
  const TimerNode& node = wheel_.node(node_index);
  const Word word = slots_.word(node.slot);
  if (!word.has(Word::kLive) || word.generation() != node.generation) return true;
  if (node.suspension == kPushAgain) return false;  // soon out by itself
  return word.suspension() != node.suspension || word.run() != Run::kSuspended;
}

void Engine::sweep() {
  wheel_.sweep([this](uint32_t node) { return is_stale(node); },
               [this](uint32_t node) {
                 if (wheel_.node(node).suspension != kPushAgain) {
                   counters.stale_nodes.fetch_add(1, std::memory_order_relaxed);
                 }
                 nodes_->free.push(node, node_link());
               });
}

uint32_t Engine::take_node() {
  const uint32_t used = nodes_->free.pop(node_link());
  if (used != kNone) return used;
  uint32_t fresh = nodes_->next_fresh.load(std::memory_order_relaxed);
  do {
    if (fresh >= wheel_.size()) return kNone;
  } while (!nodes_->next_fresh.compare_exchange_weak(fresh, fresh + 1, std::memory_order_relaxed));
  return fresh;
}

void Engine::insert(uint32_t node, uint64_t due_tick) {
  if (wheel_.insert(node, due_tick)) parker_.unpark();
}

Status Engine::suspend_until(Task task, uint64_t due_ns, uint32_t round_ticks, uint16_t route, uint16_t group,
                             uint32_t thread) {
  // Asked before anything is written: a route that goes on after its suspension must not change where that leads.
  if (const Status refusal = slots_.may_suspend(task.index, task.generation); refusal != Status::kOk)
    return refusal;
  if (group != kOwnThread && groups_[group]->config().workers == 0) return Status::kNoWorkers;
  const uint32_t node_index = take_node();
  if (node_index == kNone) return Status::kSlotsExhausted;
  uint64_t due_tick = clock_.tick_not_before(due_ns);
  if (round_ticks > 1) due_tick = (due_tick + round_ticks - 1) / round_ticks * round_ticks;

  TimerNode& node = wheel_.node(node_index);
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
    nodes_->free.push(node_index, node_link());
    return status;
  }
  counters.suspended.fetch_add(1, std::memory_order_relaxed);
  counters.scheduled.fetch_add(1, std::memory_order_relaxed);
  node.slot = task.index;
  node.generation = task.generation;
  node.suspension = suspension;
  insert(node_index, due_tick);
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
  const uint32_t node = take_node();
  if (node == kNone) return Status::kSlotsExhausted;
  if (slots_.make_due(task.index, task.generation, word.suspension(), Word::kResumed) != Status::kOk) {
    nodes_->free.push(node, node_link());
    return Status::kNotSuspended;
  }
  note_withdrawn();
  Slot& slot = slots_.at(task.index);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  const uint16_t group = slot.group.load(std::memory_order_relaxed);
  if (!hand_over(task)) {
    offer_again(node, task, clock_.tick_at(now) + 1);
    return Status::kOk;
  }
  nodes_->free.push(node, node_link());
  if (group != kOwnThread) groups_[group]->wake_one();
  return Status::kOk;
}

Status Engine::resume_claimed(Task task, uint32_t node, uint64_t now, uint16_t route, uint16_t group,
                              uint32_t thread) {
  note_withdrawn();
  Slot& slot = slots_.at(task.index);
  slot.thread.store(thread, std::memory_order_relaxed);
  slot.route.store(route, std::memory_order_relaxed);
  slot.group.store(group, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  const Status status = slots_.step(task.index, task.generation, Run::kRunning, Run::kDue);
  if (status != Status::kOk) {
    counters.suspended.fetch_sub(1, std::memory_order_relaxed);
    nodes_->free.push(node, node_link());
    return status;
  }
  const bool handed_over = group == kOwnThread ? post(thread, task) : groups_[group]->push(task);
  if (!handed_over) {
    offer_again(node, task, clock_.tick_at(now) + 1);
    return Status::kOk;
  }
  nodes_->free.push(node, node_link());
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
  const uint32_t node = take_node();
  if (node == kNone) return Status::kSlotsExhausted;
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
    nodes_->free.push(node, node_link());
    return status;
  }
  out = Launch{task, thread, node};
  return Status::kOk;
}

void Engine::deliver(const Launch& launch, uint64_t now) {
  if (post(launch.thread, launch.task)) {
    nodes_->free.push(launch.node, node_link());
  } else {
    offer_again(launch.node, launch.task, clock_.tick_at(now) + 1);
  }
}

void Engine::keep(const Launch& launch) {
  nodes_->free.push(launch.node, node_link());
}

// No room in the queue now. The call stays due and is offered again with every tick until there is.
void Engine::offer_again(uint32_t node_index, Task task, uint64_t tick) {
  TimerNode& node = wheel_.node(node_index);
  node.slot = task.index;
  node.generation = task.generation;
  node.suspension = kPushAgain;
  insert(node_index, tick);
}

bool Engine::hand_over(Task task) {
  const Slot& slot = slots_.at(task.index);
  const uint16_t group = slot.group.load(std::memory_order_relaxed);
  return group == kOwnThread ? post(slot.thread.load(std::memory_order_relaxed), task)
                             : groups_[group]->push(task);
}

void Engine::expire_gathered(uint64_t now) {
  for (uint32_t i = 0; i < expired_count_; ++i) {
    if (expired_[i] < slots_.size()) handler_->before_slot_timer(expired_[i]);
  }
  for (uint32_t i = 0; i < expired_count_; ++i) expire(expired_[i], now);
  expired_count_ = 0;
}

void Engine::expire(uint32_t node_index, uint64_t now) {
  if (node_index < slots_.size()) {
    handler_->on_slot_timer(node_index, clock_.tick_at(now));
    return;
  }
  TimerNode& node = wheel_.node(node_index);
  const uint32_t index = node.slot;
  const uint32_t generation = node.generation;
  if (node.suspension != kPushAgain) {
    const uint64_t due_tick = node.due_tick;
    if (slots_.make_due(index, generation, node.suspension) != Status::kOk) {
      counters.stale_nodes.fetch_add(1, std::memory_order_relaxed);
      nodes_->free.push(node_index, node_link());
      return;
    }
    slots_.at(index).queued_ns.store(now, std::memory_order_relaxed);
    counters.fired.fetch_add(1, std::memory_order_relaxed);
    counters.lateness.record_ns(now - std::min(now, clock_.ns_of(due_tick)));
  } else if (!slots_.is_current(index, generation) || slots_.word(index).run() != Run::kDue) {
    nodes_->free.push(node_index, node_link());
    return;
  }
  const Task task{index, generation};
  const uint16_t group = slots_.at(index).group.load(std::memory_order_relaxed);
  if (!hand_over(task)) {
    offer_again(node_index, task, clock_.tick_at(now) + 1);
    return;
  }
  nodes_->free.push(node_index, node_link());
  if (group != kOwnThread) touched_groups_[group] = 1;
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
  // Each node that was ever handed out is free or in the wheel.
  std::vector<uint8_t> seen(wheel_.size(), 0);
  const auto note = [&](uint32_t node) { ++seen[node]; };
  wheel_.for_each_quiescent(note);
  nodes_->free.for_each_quiescent(
      [this](uint32_t index) -> const std::atomic<uint32_t>& { return wheel_.node(index).next; }, note);
  const uint32_t fresh = nodes_->next_fresh.load(std::memory_order_relaxed);
  for (uint32_t node = slots_.size(); node < wheel_.size(); ++node) {
    if (seen[node] != (node < fresh ? 1 : 0)) return false;
  }
  for (const auto& group : groups_) {
    if (!group->check_invariants()) return false;
  }
  for (const auto& inbox : inboxes_) {
    if (!inbox->queue.check_invariants()) return false;
  }
  return true;
}

}  // namespace sip_async::core
