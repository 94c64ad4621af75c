// What becomes of the branches' replies (RFC 3261 section 16.7): which go upstream at once, which reply is chosen when all
// branches have failed, the failure route before that, and CANCEL for a call that was sent on.
#include <algorithm>
#include <cstring>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::PayloadRef;
using core::Slot;
using core::Word;

namespace {

// The lower the better. 6xx is an answer for everybody; otherwise the lowest class, and in it those first that tell the
// caller how to try again (16.7 step 6).
uint32_t rank_of(uint16_t code) {
  if (code >= 600) return code - 600;
  const uint32_t in_class = code % 100;
  switch (code) {
    case 401:
    case 407:
      return 400'0000 + 1;
    case 415:
    case 420:
    case 484:
      return 400'0000 + 2;
    // Says nothing about the one who is called.
    case 408:
      return 400'0000 + 900;
    default:
      return code / 100 * 100'0000 + 100 + in_class;
  }
}

}  // namespace

uint32_t TransactionLayer::waiting_parent(const StoredBranch& branch) const {
  const Word word = slots_.word(branch.parent);
  const bool waits =
      word.has(Word::kLive) && word.generation() == branch.parent_generation && !word.has(Word::kAnswered);
  return waits ? branch.parent : kNone;
}

void TransactionLayer::pass_on(uint32_t index, const ReplyView& reply, const MessageEdits& edits,
                               Dispatch& out, Verdict& verdict) {
  const uint16_t code = reply.index->status_code;
  if (code >= 200 && code < 300) {
    pass_success(index, reply, edits, out, verdict);
    return;
  }
  const StoredBranch& own = branch_in(index);
  const uint32_t parent = waiting_parent(own);
  if (parent == kNone) return;
  const Hop to = call_in(parent)->upstream;
  char* bytes = scratch_buffer();
  const size_t size =
      build_reply_upstream(reply.data, reply.size, *reply.index, edits, bytes, kMaxReplyBytes);
  if (code >= 200) {
    // Without a second Via it cannot go upstream; then it counts as a failure of that side.
    const PayloadRef kept = size == 0 ? kNoPayload : keep_reply(bytes, size, code, to);
    end_branch(index, size == 0 ? 502 : code, kept, out, verdict);
    return;
  }
  if (size == 0) return;
  Slot& slot = slots_.at(parent);
  const PayloadRef kept = keep_reply(bytes, size, code, to);
  payloads_.free(slot.reply);
  slot.reply = kept;
  out.send(to, bytes, size);
}

void TransactionLayer::pass_success(uint32_t index, const ReplyView& reply, const MessageEdits& edits,
                                    Dispatch& out, Verdict& verdict) {
  StoredBranch& own = branch_in(index);
  char* bytes = scratch_buffer();
  const size_t size =
      build_reply_upstream(reply.data, reply.size, *reply.index, edits, bytes, kMaxReplyBytes);
  if (size == 0) {
    // Without a second Via it cannot go upstream; then it counts as a failure of that side.
    end_branch(index, 502, kNoPayload, out, verdict);
    return;
  }
  own.is_done = true;
  own.status = reply.index->status_code;
  Slot& slot = slots_.at(index);
  const bool invite = slot.method == static_cast<uint8_t>(Method::kInvite);
  const uint32_t parent = waiting_parent(own);
  Hop to;
  if (parent != kNone) {
    to = call_in(parent)->upstream;
    verdict.parent = Task{parent, own.parent_generation};
    verdict.code = own.status;
    verdict.to = to;
    verdict.is_relayed = true;
    verdict.is_invite = invite;
    verdict.bytes.assign(bytes, size);
  } else {
    // The call has its answer. Another 2xx to an INVITE makes another dialog, which only the caller can end.
    ViaIndex via;
    if (!invite) return;
    const bool is_known =
        slots_.word(own.parent).generation() == own.parent_generation && call_in(own.parent) != nullptr;
    if (is_known) {
      to = call_in(own.parent)->upstream;
    } else if (!second_via(reply.data, reply.size, *reply.index, via) || !via_target(reply.data, via, to) ||
               !listeners_.choose_socket(message_in(payloads_, own.sent).from, to)) {
      return;
    }
    out.send(to, bytes, size);
  }
  if (!invite || (own.on_reply == kNoRoute && !config_.has_reply_route)) return;
  // Repetitions of it are what the script has made of it.
  payloads_.free(slot.reply);
  slot.reply = keep_reply(bytes, size, own.status, to);
}

void TransactionLayer::end_branch(uint32_t index, uint16_t status, PayloadRef reply, Dispatch& out,
                                  Verdict& verdict) {
  StoredBranch& own = branch_in(index);
  if (own.state == BranchState::kUnsent) {
    own.state = BranchState::kCompleted;
    own.give_up_tick = tick_in(config_.wait_ms);
  }
  const uint32_t parent = waiting_parent(own);
  if (own.is_done || parent == kNone) {
    payloads_.free(reply);
    return;
  }
  own.is_done = true;
  own.status = status;
  Slot& slot = slots_.at(index);
  payloads_.free(slot.reply);
  slot.reply = reply;
  call_in(parent)->has_news = true;
  if (status >= 600) {
    for_each_branch(parent, [&](uint32_t other) {
      if (!branch_in(other).is_done) cancel_branch(other, out);
    });
  }
  decide(parent, out, verdict);
}

uint32_t TransactionLayer::choose_branch(uint32_t parent) {
  uint32_t best = kNone;
  bool is_settled = false;
  for_each_branch(parent, [&](uint32_t index) {
    const StoredBranch& own = branch_in(index);
    if (own.is_discarded || own.status == 0 || is_settled) return;
    if (best == kNone || rank_of(own.status) < rank_of(branch_in(best).status)) best = index;
    // Who has cancelled waits for this one.
    if (call_in(parent)->is_cancelled && own.status == 487) {
      best = index;
      is_settled = true;
    }
  });
  return best;
}

// When the script has left the call to its branches and none of them is awaited any more.
void TransactionLayer::decide(uint32_t parent, Dispatch& out, Verdict& verdict) {
  StoredCall* call = call_in(parent);
  const Word word = slots_.word(parent);
  if (call == nullptr || word.has(Word::kAnswered) || word.run() != Run::kRelayed) return;
  bool is_awaited = false;
  for_each_branch(parent, [&](uint32_t index) {
    const StoredBranch& own = branch_in(index);
    // A 2xx is on its way to the caller, by a thread that has left the lock to send it.
    const bool has_succeeded = own.is_done && own.status >= 200 && own.status < 300;
    is_awaited = is_awaited || !own.is_done || has_succeeded;
  });
  if (is_awaited) return;
  const uint32_t best = choose_branch(parent);
  if (call->has_news && call->on_failure != kNoRoute && best != kNone) {
    Slot& slot = slots_.at(parent);
    slot.entry.store(static_cast<uint8_t>(Entry::kFailureRoute), std::memory_order_relaxed);
    slot.route_type = static_cast<uint8_t>(RouteType::kFailure);
    call->failure_status = branch_in(best).status;
    const Task task{parent, word.generation()};
    const uint32_t thread = LaunchScope::thread_or(call->upstream.socket % config_.receivers);
    core::Engine::Launch launch;
    if (engine_.launch(task, Run::kRelayed, call->on_failure, thread, core::now_ns(), launch) ==
        Status::kOk) {
      // Once: a failure route that sends it on again arms the next one itself.
      call->on_failure = kNoRoute;
      call->has_news = false;
      out.run(launch);
      return;
    }
  }
  write_verdict(parent, best, verdict);
}

void TransactionLayer::write_verdict(uint32_t parent, uint32_t branch, Verdict& verdict) {
  const StoredCall& call = *call_in(parent);
  Slot& slot = slots_.at(parent);
  verdict.parent = Task{parent, slots_.word(parent).generation()};
  verdict.to = call.upstream;
  verdict.is_relayed = false;
  verdict.code = branch == kNone ? 500 : branch_in(branch).status;
  // 503 would keep the caller from this proxy, which is not what the branch meant (16.7 step 6).
  const bool is_local = branch == kNone || slots_.at(branch).reply == kNoPayload || verdict.code == 503;
  if (verdict.code == 503) verdict.code = 500;
  char* out = scratch_buffer();
  if (is_local) {
    const StoredMessage& request = message_in(payloads_, slot.request);
    char tag[KeyMaker::kTagBytes];
    keys_.write_slot_tag(parent, verdict.parent.generation, tag);
    const ReplyParts parts{request.data(), request.size, &request.index,    request.from.address,
                           verdict.code,   {},           {tag, sizeof tag}, {}};
    verdict.bytes.assign(out, build_reply(parts, out, kMaxReplyBytes));
    return;
  }
  const StoredReply& chosen = reply_in(payloads_, slots_.at(branch).reply);
  verdict.bytes.assign(chosen.data(), chosen.size);
  if (verdict.code != 401 && verdict.code != 407) return;
  // All challenges in one reply, so that the caller can answer them together (16.7 step 7). They go in front of
  // Content-Length, which is the last line that we wrote.
  std::string challenges;
  for_each_branch(parent, [&](uint32_t other) {
    const uint16_t code = branch_in(other).status;
    const PayloadRef ref = slots_.at(other).reply;
    if (other == branch || ref == kNoPayload || (code != 401 && code != 407)) return;
    const StoredReply& reply = reply_in(payloads_, ref);
    MessageIndex index;
    if (index_message(reply.data(), reply.size, IndexLimits{}, index) != IndexStatus::kOk) return;
    challenges.append(out, copy_challenges(reply.data(), reply.size, index, out, kMaxReplyBytes));
  });
  const size_t end = verdict.bytes.find("\r\n\r\n");
  const size_t before_last = end == std::string::npos ? end : verdict.bytes.rfind("\r\n", end - 1);
  if (before_last != std::string::npos && verdict.bytes.size() + challenges.size() <= kMaxReplyBytes) {
    verdict.bytes.insert(before_last + 2, challenges);
  }
}

bool TransactionLayer::cancel_relayed(uint32_t parent, Dispatch& out, Verdict& verdict) {
  StoredCall* call = call_in(parent);
  if (call == nullptr || slots_.word(parent).run() != Run::kRelayed) return false;
  call->is_cancelled = true;
  counters.cancelled.fetch_add(1, std::memory_order_relaxed);
  for_each_branch(parent, [&](uint32_t index) {
    StoredBranch& own = branch_in(index);
    if (own.is_done) return;
    cancel_branch(index, out);
    // Where nothing has come back nothing can be cancelled yet, and the caller need not wait for that. A 2xx that is with a
    // script was there before.
    if (own.state == BranchState::kProceeding || own.state == BranchState::kAccepted) return;
    own.is_done = true;
    own.status = 487;
    call->has_news = true;
  });
  decide(parent, out, verdict);
  return true;
}

void TransactionLayer::pronounce(Verdict& verdict) {
  if (verdict.parent.index == kNone) return;
  Status status = Status::kOk;
  const size_t size = verdict.bytes.size();
  conclude_with(verdict.parent, 0, verdict.code, verdict.bytes.data(), size, verdict.to, verdict.is_relayed,
                status);
  // Somebody was quicker. A 2xx to an INVITE goes to the caller all the same.
  if (status != Status::kOk && verdict.is_relayed && verdict.is_invite && size != 0) {
    transport_.send(verdict.bytes.data(), size, verdict.to);
  }
}

void TransactionLayer::end_reply_run(Task branch, const MessageEdits& edits, bool drops) {
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, branch.index);
    StoredBranch& own = branch_in(branch.index);
    Slot& slot = slots_.at(branch.index);
    Word before(0);
    if (slots_.end_run(branch.index, branch.generation, before) != Status::kOk) return;
    if (own.waiting_count == 0) return;
    const PayloadRef ref = own.waiting[0];
    slot.request = kNoPayload;
    payloads_.free(slot.variables);
    slot.variables = kNoPayload;
    std::copy(own.waiting + 1, own.waiting + own.waiting_count, own.waiting);
    --own.waiting_count;
    const StoredMessage& reply = message_in(payloads_, ref);
    // A final reply cannot be dropped: the caller waits for one, and there will be no other.
    if (!(drops && reply.index.status_code < 200)) {
      pass_on(branch.index, {reply.data(), reply.size, &reply.index}, edits, out, verdict);
    }
    payloads_.free(ref);
    if (own.waiting_count != 0) launch_reply_route(branch.index, out);
  }
  pronounce(verdict);
}

void TransactionLayer::finish_reply(Task branch, const MessageEdits& edits) {
  if (!slots_.is_current(branch.index, branch.generation) || !is_branch(branch)) return;
  if (slots_.word(branch.index).run() == Run::kRunning) end_reply_run(branch, edits, false);
}

void TransactionLayer::finish_branch(Task branch, Outcome outcome) {
  Slot& slot = slots_.at(branch.index);
  if (slot.route_type == static_cast<uint8_t>(RouteType::kReply)) {
    end_reply_run(branch, {}, outcome == Outcome::kDropped);
    return;
  }
  // A branch route that was not followed by relay_branch(): it threw, or dropped the branch.
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, branch.index);
    Word before(0);
    if (slots_.end_run(branch.index, branch.generation, before) != Status::kOk) return;
    StoredBranch& own = branch_in(branch.index);
    own.is_discarded = outcome == Outcome::kDropped;
    end_branch(branch.index, 500, kNoPayload, out, verdict);
    arm_branch(branch.index, out);
  }
  pronounce(verdict);
}

uint16_t TransactionLayer::status_of(Task task) {
  if (task.index >= slots_.size()) return 0;
  Lock lock(table_, task.index);
  if (!slots_.is_current(task.index, task.generation)) return 0;
  const Slot& slot = slots_.at(task.index);
  if (is_branch(task)) {
    const bool is_reply =
        slot.request != kNoPayload && slot.route_type == static_cast<uint8_t>(RouteType::kReply);
    return is_reply ? message_in(payloads_, slot.request).index.status_code : 0;
  }
  const StoredCall* call = is_message(task) ? call_in(task.index) : nullptr;
  return call == nullptr ? 0 : call->failure_status;
}

bool TransactionLayer::is_cancelled(Task task) {
  if (task.index >= slots_.size()) return false;
  Lock lock(table_, task.index);
  if (!slots_.is_current(task.index, task.generation)) return false;
  uint32_t parent = task.index;
  if (is_branch(task)) {
    const StoredBranch& own = branch_in(task.index);
    if (slots_.word(own.parent).generation() != own.parent_generation) return false;
    parent = own.parent;
  } else if (!is_message(task)) {
    return false;
  }
  const StoredCall* call = call_in(parent);
  return slots_.word(parent).has(Word::kCancelled) || (call != nullptr && call->is_cancelled);
}

}  // namespace sip_async::sip
