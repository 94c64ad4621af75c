// Client transactions: sending, repeating (timers A and E), giving up (B, C and F), replies, ACK and CANCEL, and the time
// in which repetitions are answered (D and K).
#include <algorithm>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::PayloadRef;
using core::Slot;
using core::Word;

namespace {

// How long a final reply to an INVITE may be repeated by its sender (timer H on the other side): timers D and M, and how
// long an answer to a CANCEL is waited for.
constexpr uint32_t kLongInT1 = 64;

bool is_invite(const Slot& slot) {
  return slot.method == static_cast<uint8_t>(Method::kInvite);
}

}  // namespace

void TransactionLayer::start_client(uint32_t index, Dispatch& out) {
  StoredBranch& own = branch_in(index);
  const StoredMessage& sent = message_in(payloads_, own.sent);
  own.state = BranchState::kCalling;
  own.interval_ms = is_reliable(sent.from.transport) ? 0 : config_.t1_ms;
  own.repeat_tick = tick_in(own.interval_ms);
  own.give_up_tick = tick_in(config_.fr_ms);
  counters.relayed.fetch_add(1, std::memory_order_relaxed);
  out.send(sent.from, sent.data(), sent.size, name_of(own));
  arm_branch(index, out);
}

void TransactionLayer::arm_branch(uint32_t index, Dispatch& out) {
  const StoredBranch& own = branch_in(index);
  uint64_t tick = own.give_up_tick;
  if (own.interval_ms != 0) tick = std::min(tick, own.repeat_tick);
  if (own.cancel_interval_ms != 0) tick = std::min(tick, own.cancel_tick);
  // A timer that stands in the wheel cannot be moved forward, and a CANCEL or a reply may bring a nearer time.
  const bool is_open = own.state != BranchState::kCompleted && own.state != BranchState::kAccepted;
  if (is_open || own.waiting_count != 0) tick = std::min(tick, tick_in(config_.t1_ms));
  out.wake_ticker(arm(index, tick));
}

void TransactionLayer::send_ack(uint32_t index, const MessageIndex& reply, const char* data, Dispatch& out) {
  const StoredBranch& own = branch_in(index);
  const StoredMessage& sent = message_in(payloads_, own.sent);
  char* bytes = scratch_buffer();
  const size_t size =
      build_ack(sent.data(), sent.size, sent.index, reply.to.value.of(data), bytes, kMaxReplyBytes);
  out.send(sent.from, bytes, size, name_of(own));
}

void TransactionLayer::send_cancel(uint32_t index, Dispatch& out) {
  StoredBranch& own = branch_in(index);
  const StoredMessage& sent = message_in(payloads_, own.sent);
  std::string reason;
  if (const uint32_t parent = own.parent; slots_.word(parent).generation() == own.parent_generation) {
    const StoredCall* call = call_in(parent);
    if (call != nullptr && call->reason_bytes != 0) {
      reason = "Reason: " + std::string(call->reason, call->reason_bytes) + "\r\n";
    }
  }
  char* bytes = scratch_buffer();
  const size_t size = build_cancel(sent.data(), sent.size, sent.index, reason, bytes, kMaxReplyBytes);
  out.send(sent.from, bytes, size, name_of(own));
  if (own.cancel != CancelState::kSent) {
    own.cancel = CancelState::kSent;
    own.cancel_interval_ms = is_reliable(sent.from.transport) ? 0 : config_.t1_ms;
    own.give_up_tick = tick_in(uint64_t{kLongInT1} * config_.t1_ms);
  } else {
    own.cancel_interval_ms = std::min(2 * own.cancel_interval_ms, config_.t2_ms);
  }
  own.cancel_tick = tick_in(own.cancel_interval_ms);
}

void TransactionLayer::cancel_branch(uint32_t index, Dispatch& out) {
  StoredBranch& own = branch_in(index);
  switch (own.state) {
    case BranchState::kUnsent:
      // Nobody has it, so it has ended with this, and whoever still looks its target up is told so. It counts in the choice
      // as one that was cancelled.
      own.state = BranchState::kCompleted;
      own.give_up_tick = tick_in(0);
      if (!own.is_done) own.status = 487;
      own.is_done = true;
      break;
    case BranchState::kCalling:
      if (is_invite(slots_.at(index)) && own.cancel == CancelState::kNone) own.cancel = CancelState::kWanted;
      break;
    case BranchState::kProceeding:
      if (is_invite(slots_.at(index)) && own.cancel == CancelState::kNone) send_cancel(index, out);
      break;
    case BranchState::kCompleted:
    case BranchState::kAccepted:
      return;
  }
  arm_branch(index, out);
}

void TransactionLayer::cancel_branches(uint32_t parent, Dispatch& out) {
  for_each_branch(parent, [&](uint32_t index) {
    branch_in(index).is_done = true;
    cancel_branch(index, out);
  });
}

void TransactionLayer::release_branch(uint32_t index) {
  Slot& slot = slots_.at(index);
  StoredBranch& own = branch_in(index);
  if (slots_.word(own.parent).generation() == own.parent_generation) {
    if (StoredCall* call = call_in(own.parent)) {
      uint32_t* link = &call->first_branch;
      while (*link != 0 && *link != index + 1) link = &branch_in(*link - 1).next;
      if (*link == index + 1) *link = own.next;
    }
  }
  for (uint32_t i = 0; i < own.waiting_count; ++i) payloads_.free(own.waiting[i]);
  payloads_.free(own.sent);
  payloads_.free(own.hops);
  free_request(index);
  payloads_.free(slot.reply);
  payloads_.free(slot.data);
  slot.reply = kNoPayload;
  slot.data = kNoPayload;
  branches_.fetch_sub(1, std::memory_order_relaxed);
  slots_.release(index);
}

void TransactionLayer::on_branch_timer(uint32_t index, uint64_t now_tick, Dispatch& out, Verdict& verdict) {
  StoredBranch& own = branch_in(index);
  const bool has_run = slots_.word(index).run() != Run::kIdle;
  if (own.waiting_count != 0 && !has_run) launch_reply_route(index, out);
  const bool gives_up = now_tick >= own.give_up_tick;
  switch (own.state) {
    case BranchState::kUnsent:
      if (gives_up) end_branch(index, 408, kNoPayload, out, verdict);
      break;
    case BranchState::kCalling:
    case BranchState::kProceeding:
      if (gives_up) {
        give_up(index, out, verdict);
        break;
      }
      if (own.interval_ms != 0 && now_tick >= own.repeat_tick) {
        const StoredMessage& sent = message_in(payloads_, own.sent);
        out.send(sent.from, sent.data(), sent.size, name_of(own));
        counters.repeated.fetch_add(1, std::memory_order_relaxed);
        // Timer A doubles without a cap, E up to T2 (RFC 3261 sections 17.1.1.2 and 17.1.2.2).
        const uint64_t doubled = uint64_t{2} * own.interval_ms;
        own.interval_ms =
            static_cast<uint32_t>(is_invite(slots_.at(index)) ? std::min<uint64_t>(doubled, UINT32_MAX)
                                                              : std::min<uint64_t>(doubled, config_.t2_ms));
        if (own.state == BranchState::kProceeding) own.interval_ms = config_.t2_ms;
        own.repeat_tick = tick_in(own.interval_ms);
      }
      if (own.cancel_interval_ms != 0 && now_tick >= own.cancel_tick) send_cancel(index, out);
      break;
    case BranchState::kCompleted:
    case BranchState::kAccepted:
      if (!gives_up) break;
      // What it came to may still be the answer to the call; a reply may be with a script.
      if ((waiting_parent(own) != kNone && !own.is_discarded) || has_run || own.waiting_count != 0) {
        own.give_up_tick = tick_in(config_.wait_ms);
        break;
      }
      release_branch(index);
      return;
  }
  arm_branch(index, out);
}

// Timers B, C and F, and a CANCEL that nobody answered.
void TransactionLayer::give_up(uint32_t index, Dispatch& out, Verdict& verdict) {
  StoredBranch& own = branch_in(index);
  const bool rang = own.state == BranchState::kProceeding && is_invite(slots_.at(index));
  if (rang && own.cancel == CancelState::kNone) {
    // The other side has the call; it is taken back there and has failed here (RFC 3261 section 16.8).
    send_cancel(index, out);
    end_branch(index, 408, kNoPayload, out, verdict);
    return;
  }
  counters.timed_out.fetch_add(1, std::memory_order_relaxed);
  own.interval_ms = 0;
  own.cancel_interval_ms = 0;
  if (own.state == BranchState::kCalling && !own.is_done && own.cancel == CancelState::kNone &&
      try_next_hop(index, out))
    return;
  own.state = BranchState::kCompleted;
  own.give_up_tick = tick_in(config_.wait_ms);
  end_branch(index, own.cancel == CancelState::kNone ? 408 : 487, kNoPayload, out, verdict);
}

bool TransactionLayer::read_branch_name(std::string_view name, KeyMaker::BranchId& out) const {
  return name.size() == kBranchIdBytes + kLoopMarkBytes && keys_.read_branch(name, out) &&
         out.index < slots_.size();
}

void TransactionLayer::on_response(const Incoming& incoming, const MessageIndex& index) {
  KeyMaker::BranchId id;
  const std::string_view name = index.via.branch.of(incoming.data);
  if (!read_branch_name(name, id)) {
    // Sent through here without a transaction, by this process or by the one before it, which had other keys: on by Via
    // (RFC 3261 section 16.11). Whatever names another host on top was not meant for us.
    if (listeners_.self().has(index.via.host.of(incoming.data), index.via.port)) {
      forward_stray(incoming, index);
    } else {
      transport_.counters.stray_responses.fetch_add(1, std::memory_order_relaxed);
    }
    return;
  }
  Verdict verdict;
  bool is_stray = false;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, id.index);
    const Task task{id.index, id.generation};
    // Ours, but its transaction is over.
    is_stray = !slots_.is_current(id.index, id.generation) || !is_branch(task) ||
               branch_in(id.index).sent == kNoPayload ||
               name.substr(kBranchIdBytes) != std::string_view(branch_in(id.index).mark, kLoopMarkBytes);
    const ReplyView reply{incoming.data, incoming.size, &index};
    if (!is_stray && id.attempt == branch_in(id.index).attempt) {
      take_reply(id.index, reply, out, verdict);
    } else if (!is_stray && is_invite(slots_.at(id.index)) && index.method == Method::kInvite) {
      // Of an address that was given up for the next one. It may have accepted all the same; if not, it wants its ACK.
      if (index.status_code >= 300) {
        send_late_ack(id.index, id.attempt, reply, incoming.from, out);
      } else if (index.status_code >= 200) {
        take_late_success(id.index, reply, out, verdict);
      }
    }
  }
  if (is_stray) {
    // Whoever called has a final reply by now, and a 2xx to an INVITE is the only other one that is any use to him.
    const bool is_dialog =
        index.method == Method::kInvite && index.status_code >= 200 && index.status_code < 300;
    if (is_dialog) {
      forward_stray(incoming, index);
    } else {
      transport_.counters.stray_responses.fetch_add(1, std::memory_order_relaxed);
    }
  }
  pronounce(verdict);
}

void TransactionLayer::take_reply(uint32_t index, const ReplyView& reply, Dispatch& out, Verdict& verdict) {
  StoredBranch& own = branch_in(index);
  const Slot& slot = slots_.at(index);
  const uint16_t code = reply.index->status_code;
  if (reply.index->method == Method::kCancel) {
    if (own.cancel == CancelState::kSent && code >= 200) {
      own.cancel = CancelState::kAnswered;
      own.cancel_interval_ms = 0;
    }
    return;
  }
  if (static_cast<uint8_t>(reply.index->method) != slot.method) return;
  const bool invite = is_invite(slot);
  const bool success = code >= 200 && code < 300;
  if (own.state == BranchState::kUnsent) return;
  if (own.state == BranchState::kCompleted || own.state == BranchState::kAccepted) {
    // A repetition, or what comes after we gave up. Every 2xx to an INVITE goes to the caller, who alone can acknowledge it.
    if (invite && success) take_late_success(index, reply, out, verdict);
    if (invite && code >= 300) send_ack(index, *reply.index, reply.data, out);
    return;
  }
  if (code < 200) {
    const bool is_first = own.state == BranchState::kCalling;
    own.state = BranchState::kProceeding;
    if (invite) {
      own.interval_ms = 0;
      // Timer C begins anew with each provisional reply but 100 (16.7 step 2), unless the call is being cancelled.
      const bool is_cancelled = own.cancel == CancelState::kSent || own.cancel == CancelState::kAnswered;
      if ((is_first || code != 100) && !is_cancelled) own.give_up_tick = tick_in(config_.fr_inv_ms);
      if (own.cancel == CancelState::kWanted) send_cancel(index, out);
    } else if (own.interval_ms != 0) {
      own.interval_ms = config_.t2_ms;
    }
    arm_branch(index, out);
    if (code != 100 && !own.is_done && !offer_reply(index, reply, out))
      pass_on(index, reply, {}, out, verdict);
    return;
  }
  own.interval_ms = 0;
  own.cancel_interval_ms = 0;
  if (invite && success) {
    own.state = BranchState::kAccepted;
    own.give_up_tick = tick_in(uint64_t{kLongInT1} * config_.t1_ms);
  } else {
    const bool reliable = is_reliable(message_in(payloads_, own.sent).from.transport);
    own.state = BranchState::kCompleted;
    own.give_up_tick = tick_in(reliable ? 0 : invite ? uint64_t{kLongInT1} * config_.t1_ms : config_.wait_ms);
    if (invite) send_ack(index, *reply.index, reply.data, out);
  }
  // 503: this one cannot serve anybody now; the next address of the same target may (RFC 3263 section 4.3).
  if (code == 503 && !own.is_done && own.cancel == CancelState::kNone && try_next_hop(index, out)) return;
  arm_branch(index, out);
  if (own.is_done && !success) return;
  if (!offer_reply(index, reply, out)) pass_on(index, reply, {}, out, verdict);
}

// A 2xx to an INVITE behind the first, or when the branch was given up. A repetition does not overtake the first one while
// that is with a script, and is what the script has made of it.
void TransactionLayer::take_late_success(uint32_t index, const ReplyView& reply, Dispatch& out,
                                         Verdict& verdict) {
  const StoredBranch& own = branch_in(index);
  const std::string_view tag = reply.index->to.tag.of(reply.data);
  for (uint32_t i = 0; i < own.waiting_count; ++i) {
    const StoredMessage& waiting = message_in(payloads_, own.waiting[i]);
    const uint16_t code = waiting.index.status_code;
    if (code >= 200 && code < 300 && waiting.index.to.tag.of(waiting.data()) == tag) return;
  }
  if (const PayloadRef ref = slots_.at(index).reply; ref != kNoPayload) {
    const StoredReply& kept = reply_in(payloads_, ref);
    MessageIndex kept_index;
    if (kept.code < 300 &&
        index_message(kept.data(), kept.size, config_.index_limits(), kept_index) == IndexStatus::kOk &&
        kept_index.to.tag.of(kept.data()) == tag) {
      out.send(kept.to, kept.data(), kept.size);
      return;
    }
  }
  if (!offer_reply(index, reply, out)) pass_success(index, reply, {}, out, verdict);
}

bool TransactionLayer::offer_reply(uint32_t index, const ReplyView& reply, Dispatch& out) {
  StoredBranch& own = branch_in(index);
  const uint16_t code = reply.index->status_code;
  const bool is_final = code >= 200;
  const bool is_dialog = is_invite(slots_.at(index)) && is_final && code < 300;
  const bool has_route = own.on_reply != kNoRoute || config_.has_reply_route;
  if (!has_route || (own.is_done && !is_dialog)) return false;
  // The last place is kept for the final reply. A 2xx to an INVITE comes again by itself.
  if (own.waiting_count + (is_final ? 0u : 1u) >= StoredBranch::kMostWaiting) return !is_final || is_dialog;
  const PayloadRef ref =
      store({reply.data, reply.size, message_in(payloads_, own.sent).from, false}, *reply.index);
  if (ref == kNoPayload) return false;
  own.waiting[own.waiting_count++] = ref;
  launch_reply_route(index, out);
  return true;
}

void TransactionLayer::launch_reply_route(uint32_t index, Dispatch& out) {
  const StoredBranch& own = branch_in(index);
  Slot& slot = slots_.at(index);
  const Word word = slots_.word(index);
  if (word.run() != Run::kIdle) return;  // another reply is in the script; this one comes after it
  slot.request = own.waiting[0];
  slot.entry.store(static_cast<uint8_t>(Entry::kReplyRoute), std::memory_order_relaxed);
  slot.route_type = static_cast<uint8_t>(RouteType::kReply);
  core::Engine::Launch launch;
  const Task task{index, word.generation()};
  const Status status = engine_.launch(task, Run::kIdle, own.on_reply, LaunchScope::thread_or(own.thread),
                                       core::now_ns(), launch);
  if (status == Status::kOk) {
    out.run(launch);
  } else {
    slot.request = kNoPayload;  // no timer is left; the branch's own timer tries again
    arm_branch(index, out);
  }
}

void TransactionLayer::undelivered(const char* data, size_t size) {
  MessageIndex index;
  if (index_message(data, size, kOwnLimits, index) != IndexStatus::kOk || !index.is_request) return;
  const std::string_view name = index.via.branch.of(data);
  KeyMaker::BranchId id;
  if (!read_branch_name(name, id)) return;
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, id.index);
    if (!slots_.is_current(id.index, id.generation) || !is_branch(Task{id.index, id.generation})) return;
    StoredBranch& own = branch_in(id.index);
    const bool waits = own.state == BranchState::kCalling || own.state == BranchState::kProceeding;
    if (!waits || own.sent == kNoPayload || id.attempt != own.attempt) return;
    own.interval_ms = own.cancel_interval_ms = 0;
    if (own.state == BranchState::kCalling && !own.is_done && own.cancel == CancelState::kNone &&
        try_next_hop(id.index, out))
      return;
    // A transport that fails counts as 503 (RFC 3261 section 16.9). A CANCEL that reaches nobody has nothing to wait for.
    own.state = BranchState::kCompleted;
    own.give_up_tick = tick_in(config_.wait_ms);
    end_branch(id.index, own.cancel == CancelState::kNone ? 503 : 487, kNoPayload, out, verdict);
    arm_branch(id.index, out);
  }
  pronounce(verdict);
}

}  // namespace sip_async::sip
