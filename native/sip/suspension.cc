// Suspensions that only their handle ends: t_suspend, t_continue, t_cancel_suspend, and what comes after max_suspend; and
// those that wait for an operation in the thread that suspended.
#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNoPayload;
using core::Slot;
using core::Word;

Status TransactionLayer::suspend_open(Task task, uint64_t most_ms, uint16_t on_failure,
                                      uint32_t& suspension) {
  const uint64_t now = core::now_ns();
  if (const Status refusal = check_may_suspend(task); refusal != Status::kOk) return refusal;
  Slot& slot = slots_.at(task.index);
  uint32_t thread = 0;
  if (is_branch(task)) {
    thread = branch_in(task.index).thread;
  } else {
    Lock lock(table_, task.index);
    thread = message_in(payloads_, slot.request).from.socket % config_.receivers;
    StoredCall* call = on_failure == kNoRoute ? call_in(task.index) : make_call(task.index);
    if (call != nullptr) call->on_failure = on_failure;
    if (call == nullptr && on_failure != kNoRoute) return Status::kSlotsExhausted;
  }
  send_trying(task);
  slot.action_ns = now;
  slot.entry.store(static_cast<uint8_t>(Entry::kSuspendTimeout), std::memory_order_relaxed);
  // The number that it is going to have: nobody else can suspend what this thread runs.
  suspension = slots_.word(task.index).next_suspension().suspension();
  return engine_.suspend_until(task, now + most_ms * core::kNsPerMs, 1, kNoRoute, core::Engine::kOwnThread,
                               thread);
}

Status TransactionLayer::suspend_for_operation(Task task, uint64_t most_ms, uint16_t route, uint32_t thread) {
  const uint64_t now = core::now_ns();
  if (const Status refusal = check_may_suspend(task); refusal != Status::kOk) return refusal;
  send_trying(task);
  Slot& slot = slots_.at(task.index);
  slot.action_ns = now;
  slot.entry.store(static_cast<uint8_t>(Entry::kOperation), std::memory_order_relaxed);
  return engine_.suspend_until(task, now + most_ms * core::kNsPerMs, 1, route, core::Engine::kOwnThread,
                               thread);
}

Status TransactionLayer::undo_suspension(Task task, uint32_t suspension, uint32_t thread) {
  return engine_.take_back(task, suspension, thread);
}

Status TransactionLayer::continue_with(Task task, uint16_t route, uint16_t group) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  // A data task that waits has no script to go on with, whatever its handle is taken for.
  if (!is_message(task) && !is_branch(task)) return Status::kNotSuspended;
  const Word word = slots_.word(task.index);
  if (word.generation() != task.generation) return Status::kStaleHandle;
  if (word.has(Word::kCancelled)) return Status::kCancelled;
  if (word.run() != Run::kSuspended) return Status::kNotSuspended;
  const Slot& slot = slots_.at(task.index);
  // Read before the step, which holds only if it is still this suspension. A sleeper's own script waits for it, and an operation
  // has its own route.
  const auto entry = static_cast<Entry>(slot.entry.load(std::memory_order_relaxed));
  if (entry == Entry::kWake || entry == Entry::kOperation) return Status::kNotSuspended;
  const uint32_t receiver = slot.thread.load(std::memory_order_relaxed);
  const uint32_t thread = receiver < config_.receivers ? receiver : 0;
  bool begun = false;
  const Status status = engine_.resume_with(
      task, word.suspension(), core::now_ns(), route, group, thread, begun, [](Slot& own) {
        own.entry.store(static_cast<uint8_t>(Entry::kRouteBlock), std::memory_order_relaxed);
      });
  // Ended from outside while it was between two threads: its run is ours, and is over.
  if (begun && status != Status::kOk) finish(task, Outcome::kEnded);
  return status;
}

bool TransactionLayer::runs_without_script(Task task) {
  Slot& slot = slots_.at(task.index);
  const auto kind = slot.kind.load(std::memory_order_relaxed);
  if (kind != core::SlotKind::kMessage && kind != core::SlotKind::kBranch) return false;
  if (static_cast<Entry>(slot.entry.load(std::memory_order_relaxed)) != Entry::kSuspendTimeout) return false;
  counters.timed_out.fetch_add(1, std::memory_order_relaxed);
  if (kind == core::SlotKind::kBranch) {
    if (slot.route_type == static_cast<uint8_t>(RouteType::kReply)) {
      finish(task, Outcome::kEnded);
    } else {
      finish(task, Outcome::kThrew);
    }
    return true;
  }
  bool has_branches = false;
  {
    Lock lock(table_, task.index);
    StoredCall* call = call_in(task.index);
    has_branches = call != nullptr && call->first_branch != 0;
    if (call != nullptr && call->on_failure != kNoRoute && !slots_.word(task.index).has(Word::kAnswered)) {
      slot.entry.store(static_cast<uint8_t>(Entry::kFailureRoute), std::memory_order_relaxed);
      slot.route.store(call->on_failure, std::memory_order_relaxed);
      slot.route_type = static_cast<uint8_t>(RouteType::kFailure);
      call->failure_status = 408;
      call->on_failure = kNoRoute;
      call->has_news = false;
      return false;
    }
  }
  // What the branches have come to by now is the answer; without any it is the time that has run out.
  if (!has_branches) reply(task, 408, {}, {}, false);
  finish(task, Outcome::kEnded);
  return true;
}

bool TransactionLayer::branch_thread_gone(Task branch) {
  const Word word = slots_.word(branch.index);
  const Slot& slot = slots_.at(branch.index);
  const auto entry = static_cast<Entry>(slot.entry.load(std::memory_order_relaxed));
  const bool sleeps = (word.run() == Run::kSuspended || word.run() == Run::kDue) &&
                      (entry == Entry::kWake || entry == Entry::kOperation);
  if (sleeps) {
    // To running by the same step that would continue it, and from there to its end.
    if (word.run() == Run::kDue) {
      if (slots_.begin_run(branch.index, branch.generation) != Status::kOk) return false;
      engine_.counters.suspended.fetch_sub(1, std::memory_order_relaxed);
    } else if (engine_.take_back(branch, word.suspension(), core::kNone) != Status::kOk) {
      return false;
    }
  } else if (word.run() != Run::kRunning) {
    return false;
  }
  finish(branch, Outcome::kThrew);
  return true;
}

}  // namespace sip_async::sip
