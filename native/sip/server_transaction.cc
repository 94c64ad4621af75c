// What goes out: replies, the end of a route, timers G, H, I and J, and ending a call from outside.
#include <algorithm>
#include <cstring>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::PayloadRef;
using core::Run;
using core::Slot;
using core::Word;

namespace {
// Timer H: how long a final reply to an INVITE is repeated (RFC 3261 section 17.2.1).
constexpr uint32_t kTimerHInT1 = 64;
// Transaction timers come up together, at multiples of this, and long ones at multiples of more: nobody waits for one to the
// millisecond, and each tick that has something wakes the ticker. Kamailio has 62.5 ms for all of them.
constexpr uint64_t kTimerGrainTicks = 16;
uint64_t grain_ticks(uint64_t delay_ms) {
  if (delay_ms < 400) return kTimerGrainTicks;
  return kTimerGrainTicks * (delay_ms < 1000 ? 2 : 4);
}
uint64_t rounded_up(uint64_t tick, uint64_t grain) {
  return (tick + grain - 1) / grain * grain;
}

bool is_stream(const Slot& slot) {
  return slot.transport != static_cast<uint8_t>(Transport::kUdp);
}
// Whether the kept reply is repeated until its ACK comes: a 2xx over every transport (RFC 3261 section 13.3.1.4), other
// finals not over a stream (section 17.2.1: timer G).
bool repeats(const Slot& slot) {
  return slot.phase == static_cast<uint8_t>(Phase::kAccepted) || !is_stream(slot);
}
}  // namespace

uint64_t TransactionLayer::tick_in(uint64_t delay_ms) const {
  const uint64_t tick = engine_.clock().tick_not_before(core::now_ns() + delay_ms * core::kNsPerMs);
  return rounded_up(tick, grain_ticks(delay_ms));
}

bool TransactionLayer::arm(uint32_t index, uint64_t tick) {
  Slot& slot = slots_.at(index);
  tick = rounded_up(tick, kTimerGrainTicks);
  slot.timer_tick = tick;
  // Linked already: it comes up no later than the longest interval of timer G, sees the new time and is put there.
  if (slot.timer_linked != 0) return false;
  slot.timer_linked = 1;
  return engine_.arm_slot_timer(index, tick);
}

uint32_t TransactionLayer::wait_of(const Slot& slot) const {
  // Over a stream nothing is retransmitted, so the RFC has 0 here; a moment stays for a request that is sent once more
  // over a new connection.
  if (is_stream(slot)) return std::min(config_.wait_ms, config_.t1_ms);
  return config_.wait_ms;
}

bool TransactionLayer::confirm(uint32_t index) {
  Slot& slot = slots_.at(index);
  const auto phase = static_cast<Phase>(slot.phase);
  if (phase != Phase::kAccepted && phase != Phase::kCompleted) return false;
  slot.phase = static_cast<uint8_t>(Phase::kConfirmed);
  slot.interval_ms = 0;
  return arm(index, tick_in(wait_of(slot)));
}

PayloadRef TransactionLayer::keep_reply(const char* data, size_t size, uint16_t code, const Hop& to) {
  const PayloadRef ref = payloads_.try_allocate(sizeof(StoredReply) + size);
  if (ref == kNoPayload) {
    transport_.counters.replies_not_kept.fetch_add(1, std::memory_order_relaxed);
    return ref;
  }
  StoredReply& kept = reply_in(payloads_, ref);
  kept.to = to;
  kept.size = static_cast<uint32_t>(size);
  kept.code = code;
  memcpy(kept.data(), data, size);
  return ref;
}

void TransactionLayer::complete(uint32_t index, PayloadRef reply, uint16_t code, Dispatch& out,
                                bool relayed) {
  Slot& slot = slots_.at(index);
  cancel_branches(index, out);
  payloads_.free(slot.reply);
  slot.reply = reply;
  const bool invite = slot.method == static_cast<uint8_t>(Method::kInvite);
  slot.phase = static_cast<uint8_t>(invite && code < 300 ? Phase::kAccepted : Phase::kCompleted);
  // Without a kept reply there is nothing to repeat, and with a silent end nothing was sent.
  if (!invite || reply == kNoPayload || relayed) {
    slot.interval_ms = 0;
    out.wake_ticker(arm(index, tick_in(wait_of(slot))));
    return;
  }
  slot.interval_ms = config_.t1_ms;
  slot.end_tick = tick_in(uint64_t{kTimerHInT1} * config_.t1_ms);
  out.wake_ticker(arm(index, tick_in(config_.t1_ms)));
}

Status TransactionLayer::reply(Task task, uint16_t code, std::string_view reason,
                               std::string_view extra_lines, bool stateless) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  if (!is_message(task)) {
    return stateless && is_raw(task) ? reply_raw(task, code, reason, extra_lines) : Status::kNoTransaction;
  }
  const Word word = slots_.word(task.index);
  if (word.has(Word::kCancelled)) return Status::kCancelled;
  if (word.has(Word::kAnswered)) return Status::kAlreadyAnswered;
  if (word.run() != Run::kRunning) return Status::kAlreadySuspended;
  Slot& slot = slots_.at(task.index);
  if (has_no_reply(static_cast<Method>(slot.method))) return Status::kNoTransaction;

  const StoredMessage& request = message_in(payloads_, slot.request);
  // A call that was made a transaction on purpose, or suspended, is answered through it whatever the function is called.
  if (word.suspension() != 0 || (slot.trying & kMade) != 0) stateless = false;
  const Hash128 key = table_.key_of(task.index);
  char tag[KeyMaker::kTagBytes];
  if (stateless) {
    keys_.write_stateless_tag(key, tag);
  } else {
    keys_.write_slot_tag(task.index, task.generation, tag);
  }
  const ReplyParts parts{request.data(), request.size, &request.index,    request.from.address,
                         code,           reason,       {tag, sizeof tag}, extra_lines};
  char* out = scratch_buffer();
  const size_t size = build_reply(parts, out, kMaxReplyBytes);
  if (size == 0) return Status::kNotAnswerable;
  const Hop to = reply_target(request.index, request.from);
  slot.action_ns = core::now_ns();

  if (code == 100) {
    slot.trying |= kTryingSent;
    transport_.send(out, size, to);
    return Status::kOk;
  }
  if (code > 100 && code < 200) {
    slot.trying |= kProvisionalSent;
    const PayloadRef kept = keep_reply(out, size, code, to);
    Lock lock(table_, key);
    if (slot.phase != static_cast<uint8_t>(Phase::kOpen) || slots_.word(task.index).has(Word::kAnswered)) {
      // Cancelled just now, or no transaction that could keep it.
      const bool stateless_slot = slot.phase == static_cast<uint8_t>(Phase::kStateless);
      payloads_.free(kept);
      lock.unlock();
      if (!stateless_slot) return Status::kCancelled;
    } else {
      payloads_.free(slot.reply);
      slot.reply = kept;
      lock.unlock();
    }
    transport_.send(out, size, to);
    return Status::kOk;
  }

  const Status status = slots_.answer(task.index, task.generation);
  if (status != Status::kOk) return status;
  counters.completed.fetch_add(1, std::memory_order_relaxed);
  const PayloadRef kept = stateless ? kNoPayload : keep_reply(out, size, code, to);
  Dispatch after(engine_, transport_);
  after.send(to, out, size);
  {
    Lock lock(table_, key);
    if (slot.phase == static_cast<uint8_t>(Phase::kStateless)) {
      payloads_.free(kept);
    } else if (stateless) {
      // Out of the table at once: a retransmission is a new message, as in Kamailio.
      lock.remove(task.index);
      open_.fetch_sub(1, std::memory_order_relaxed);
      slot.phase = static_cast<uint8_t>(Phase::kStateless);
    } else {
      complete(task.index, kept, code, after);
    }
  }
  return Status::kOk;
}

// Before a suspension and not behind it, where the final reply may be out first.
void TransactionLayer::send_trying(Task task) {
  Slot& slot = slots_.at(task.index);
  if (is_branch(task) || !config_.auto_100 || (slot.trying & kTryingSent) != 0) return;
  if (slot.method != static_cast<uint8_t>(Method::kInvite)) return;
  {
    Lock lock(table_, task.index);
    if (slot.reply != kNoPayload) return;  // a provisional reply of the script's own went out
  }
  reply(task, 100, {}, {}, false);
}

void TransactionLayer::before_suspension(Task task) {
  if (!is_message(task)) return;
  send_trying(task);
  const Slot& slot = slots_.at(task.index);
  // Before a failure route, what its branches have answered was sent on.
  const bool has_failed = slot.route_type == static_cast<uint8_t>(RouteType::kFailure);
  if ((slot.trying & (kTryingSent | kProvisionalSent)) == 0 && !has_failed) return;
  // The final reply of whoever has the call next must not overtake what waits in this thread's batch.
  const auto entry = static_cast<Entry>(slot.entry.load(std::memory_order_relaxed));
  const bool ends_by_handle = entry == Entry::kSuspendTimeout || entry == Entry::kOperation;
  const uint64_t due_tick = slot.due_tick.load(std::memory_order_relaxed);
  if (ends_by_handle || due_tick <= engine_.clock().tick_at(slot.action_ns) + kSoonMs) transport_.flush();
}

Status TransactionLayer::check_may_suspend(Task task) {
  if (const Status refusal = slots_.may_suspend(task.index, task.generation); refusal != Status::kOk)
    return refusal;
  if (!is_message(task) && !is_branch(task)) return Status::kNoTransaction;
  Slot& slot = slots_.at(task.index);
  if (has_no_reply(static_cast<Method>(slot.method))) return Status::kNoTransaction;
  Lock lock(table_, task.index);
  return slot.phase == static_cast<uint8_t>(Phase::kStateless) ? Status::kSlotsExhausted : Status::kOk;
}

Status TransactionLayer::new_transaction(Task task) {
  if (slots_.is_current(task.index, task.generation) && is_branch(task)) return Status::kNoTransaction;
  const Status status = check_may_suspend(task);
  if (status != Status::kOk) return status;
  slots_.at(task.index).trying |= kMade;
  send_trying(task);
  return Status::kOk;
}

Status TransactionLayer::suspend_until(Task task, uint64_t delay_ms, uint32_t round_ms, uint16_t route,
                                       uint16_t group, uint32_t thread) {
  const uint64_t now = core::now_ns();
  const Status status = check_may_suspend(task);
  if (status != Status::kOk) return status;
  if (group != core::Engine::kOwnThread && engine_.group(group).config().workers == 0)
    return Status::kNoWorkers;
  // Before the suspension, because behind it the final reply may be out first.
  send_trying(task);
  Slot& slot = slots_.at(task.index);
  slot.action_ns = now;
  const bool sleeps = group == core::Engine::kOwnThread;
  slot.entry.store(static_cast<uint8_t>(sleeps ? Entry::kWake : Entry::kRouteBlock),
                   std::memory_order_relaxed);
  return engine_.suspend_until(task, now + delay_ms * core::kNsPerMs, round_ms, route, group, thread);
}

Status TransactionLayer::suspend_now(Task task, uint16_t route, uint16_t group) {
  const uint64_t now = core::now_ns();
  const Status status = check_may_suspend(task);
  if (status != Status::kOk) return status;
  Slot& slot = slots_.at(task.index);
  slot.action_ns = now;
  slot.entry.store(static_cast<uint8_t>(Entry::kRouteBlock), std::memory_order_relaxed);
  return engine_.suspend_now(task, now, route, group);
}

void TransactionLayer::free_request(uint32_t index) {
  Slot& slot = slots_.at(index);
  payloads_.free(slot.request);
  payloads_.free(slot.variables);
  slot.request = kNoPayload;
  slot.variables = kNoPayload;
}

bool TransactionLayer::has_transaction(Task task) {
  if (!slots_.is_current(task.index, task.generation)) return false;
  if (is_branch(task)) return true;
  if (!is_message(task) || has_no_reply(static_cast<Method>(slots_.at(task.index).method))) return false;
  Lock lock(table_, task.index);
  return slots_.is_current(task.index, task.generation) &&
         slots_.at(task.index).phase != static_cast<uint8_t>(Phase::kStateless);
}

void TransactionLayer::release(Lock& lock, uint32_t index) {
  Slot& slot = slots_.at(index);
  if (slot.phase != static_cast<uint8_t>(Phase::kStateless)) {
    lock.remove(index);
    open_.fetch_sub(1, std::memory_order_relaxed);
  }
  free_request(index);
  payloads_.free(slot.reply);
  payloads_.free(slot.data);
  slot.reply = kNoPayload;
  slot.data = kNoPayload;
  slot.phase = static_cast<uint8_t>(Phase::kNone);
  slots_.release(index);
}

bool TransactionLayer::finish(Task task, Outcome outcome) {
  if (outcome == Outcome::kPending || outcome == Outcome::kSuspended) return false;
  if (!slots_.is_current(task.index, task.generation) || !(is_message(task) || is_branch(task))) return false;
  const Word word = slots_.word(task.index);
  if (word.run() != Run::kRunning) return false;
  if (is_branch(task)) {
    finish_branch(task, outcome);
    return false;
  }
  Slot& slot = slots_.at(task.index);
  bool sent_500 = false;
  bool silent = false;
  if (!word.has(Word::kAnswered)) {
    if (leaves_to_branches(task)) return false;
    if (outcome == Outcome::kDropped || has_no_reply(static_cast<Method>(slot.method))) {
      silent = slots_.answer(task.index, task.generation, true) == Status::kOk;
    } else {
      sent_500 = reply(task, 500, {}, {}, false) == Status::kOk;
      // A reply that cannot be built must not keep the call for ever.
      if (!sent_500) silent = slots_.answer(task.index, task.generation, true) == Status::kOk;
    }
  }
  Word before(0);
  if (slots_.end_run(task.index, task.generation, before) != Status::kOk) return sent_500;
  in_script_.fetch_sub(1, std::memory_order_relaxed);
  Dispatch out(engine_, transport_);
  Lock lock(table_, task.index);
  // The wait timer may have ended the call the moment the run was over.
  if (!slots_.is_current(task.index, task.generation)) return sent_500;
  if (leave_script(lock, task.index) && silent) complete(task.index, kNoPayload, 500, out);
  return sent_500;
}

// Of a call that has its reply and whose run is over: false when nothing is left to wait for.
bool TransactionLayer::leave_script(Lock& lock, uint32_t index) {
  const auto phase = static_cast<Phase>(slots_.at(index).phase);
  if (phase == Phase::kStateless || phase == Phase::kOver) {
    release(lock, index);
    return false;
  }
  free_request(index);
  return true;
}

// A call that was sent on has its answer from there, unless the script gives one; what the script left undone is no fault.
bool TransactionLayer::leaves_to_branches(Task task) {
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, task.index);
    bool has_branch = false;
    for_each_branch(task.index,
                    [&](uint32_t index) { has_branch = has_branch || !branch_in(index).is_discarded; });
    if (!has_branch) return false;
    Word before(0);
    if (slots_.end_run(task.index, task.generation, before, Run::kRelayed) != Status::kOk) return true;
    if (before.has(Word::kAnswered)) {
      in_script_.fetch_sub(1, std::memory_order_relaxed);
      (void)leave_script(lock, task.index);
      return true;
    }
    decide(task.index, out, verdict);
  }
  pronounce(verdict);
  return true;
}

void TransactionLayer::on_slot_timer(uint32_t index, uint64_t now_tick) {
  Lock lock(table_, index);
  Slot& slot = slots_.at(index);
  slot.timer_linked = 0;
  if (slot.timer_tick > now_tick) {
    (void)arm(index, slot.timer_tick);  // the ticker is awake: it is the one that runs this
    return;
  }
  if (slot.kind.load(std::memory_order_relaxed) == core::SlotKind::kRaw) {
    // It found the queue of its group full, and has been ended meanwhile, or comes again.
    const Word word = slots_.word(index);
    if (slot.phase == static_cast<uint8_t>(Phase::kOver)) slots_.release(index);
    lock.unlock();
    const Task raw{index, word.generation()};
    if (word.run() == Run::kDue) queue_raw(raw, slot.group.load(std::memory_order_relaxed));
    return;
  }
  if (slot.kind.load(std::memory_order_relaxed) == core::SlotKind::kBranch) {
    Verdict verdict;
    Dispatch out(engine_, transport_);
    on_branch_timer(index, now_tick, out, verdict);
    lock.unlock();
    out.flush();
    pronounce(verdict);
    return;
  }
  if (slot.interval_ms == 0 || now_tick >= slot.end_tick) {
    if (slot.interval_ms != 0) counters.timed_out.fetch_add(1, std::memory_order_relaxed);
    slot.interval_ms = 0;
    if (slots_.word(index).run() == Run::kIdle) {
      release(lock, index);
    } else {
      slot.phase = static_cast<uint8_t>(Phase::kOver);  // the end of the route releases it
    }
    return;
  }
  // Timer G: once more, then twice as long until T2 (RFC 3261 section 17.2.1).
  slot.interval_ms = std::min(2 * slot.interval_ms, config_.t2_ms);
  (void)arm(index, std::min(now_tick + slot.interval_ms, slot.end_tick));
  if (!repeats(slot)) return;  // comes up all the same, to see an ACK that came meanwhile
  const StoredReply& kept = reply_in(payloads_, slot.reply);
  const Hop to = kept.to;
  const size_t size = kept.size;
  char* out = scratch_buffer();
  memcpy(out, kept.data(), size);
  lock.unlock();
  transport_.send(out, size, to);
}

Status TransactionLayer::conclude(Task task, uint16_t code, std::string_view reason, uint64_t flags) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  if (!is_message(task)) return Status::kNoTransaction;
  char* out = scratch_buffer();
  size_t size = 0;
  Hop to;
  Slot& slot = slots_.at(task.index);
  {
    // Built before the decision: behind it the running route may end and free the request.
    Lock lock(table_, task.index);
    if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
    if (slots_.word(task.index).has(Word::kAnswered) || slot.request == kNoPayload)
      return Status::kAlreadyAnswered;
    const StoredMessage& request = message_in(payloads_, slot.request);
    if (!has_no_reply(static_cast<Method>(slot.method))) {
      char tag[KeyMaker::kTagBytes];
      keys_.write_slot_tag(task.index, task.generation, tag);
      const ReplyParts parts{request.data(), request.size, &request.index,    request.from.address,
                             code,           reason,       {tag, sizeof tag}, {}};
      size = build_reply(parts, out, kMaxReplyBytes);
      to = reply_target(request.index, request.from);
    }
  }
  Status status = Status::kOk;
  conclude_with(task, flags, code, out, size, to, false, status);
  return status;
}

void TransactionLayer::conclude_with(Task task, uint64_t flags, uint16_t code, const char* bytes, size_t size,
                                     const Hop& to, bool relayed, Status& status) {
  Run was = Run::kIdle;
  status = engine_.conclude(task, flags, was);
  if (status != Status::kOk) return;
  if (was != Run::kRunning) in_script_.fetch_sub(1, std::memory_order_relaxed);
  counters.completed.fetch_add(1, std::memory_order_relaxed);
  if ((flags & Word::kCancelled) != 0) counters.cancelled.fetch_add(1, std::memory_order_relaxed);
  const PayloadRef kept = size == 0 ? kNoPayload : keep_reply(bytes, size, code, to);
  Dispatch out(engine_, transport_);
  out.send(to, bytes, size);
  Lock lock(table_, task.index);
  Slot& slot = slots_.at(task.index);
  const bool mine = slots_.is_current(task.index, task.generation);
  const bool stateless = mine && slot.phase == static_cast<uint8_t>(Phase::kStateless);
  if (!mine || stateless) payloads_.free(kept);
  if (stateless && was != Run::kRunning) {
    release(lock, task.index);
  } else if (mine && !stateless) {
    if (was != Run::kRunning) free_request(task.index);
    complete(task.index, kept, code, out, relayed);
  }
}

uint32_t TransactionLayer::conclude_all(uint16_t code, std::string_view reason) {
  uint32_t ended = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    if (!word.has(Word::kLive) || word.has(Word::kAnswered)) continue;
    const Task task{index, word.generation()};
    if (conclude(task, code, reason, 0) == Status::kOk || conclude_raw(task, code, reason)) ++ended;
  }
  return ended;
}

uint32_t TransactionLayer::thread_gone(uint32_t thread) {
  uint32_t ended = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    const Slot& slot = slots_.at(index);
    if (!word.has(Word::kLive)) continue;
    const Task task{index, word.generation()};
    if (lanes_ != nullptr && raw_thread_gone(task, thread)) ++ended;
    if (slot.thread.load(std::memory_order_relaxed) != thread) continue;
    if (is_branch(task)) {
      ended += branch_thread_gone(task) ? 1 : 0;
      continue;
    }
    if (!is_message(task)) continue;
    const bool sleeper = word.run() == Run::kSuspended || word.run() == Run::kDue;
    if (word.run() == Run::kRunning) {
      if (conclude(task, 500, {}, 0) == Status::kOk) ++ended;
      finish(task, Outcome::kEnded);
    } else if (sleeper && slot.group.load(std::memory_order_relaxed) == core::Engine::kOwnThread) {
      if (conclude(task, 500, {}, 0) == Status::kOk) ++ended;
    }
  }
  if (lanes_ != nullptr && raw_closed_.load(std::memory_order_relaxed)) forget_queues();
  return ended;
}

}  // namespace sip_async::sip
