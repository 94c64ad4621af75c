// Raw messages: what comes in while there is an event route core:pre-routing. Each is stored with its index and runs that route
// first. Then it is dealt with where it is, or it goes to a group, whose worker deals with it as if it just came from the
// network.
//
// The slot of a message that was handed over stays until the lane is left, and is what holds the lane.
#include <cstring>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::Lanes;
using core::PayloadRef;
using core::Slot;
using core::Word;

namespace {

constexpr std::string_view kRetryLater = "Retry-After: 5\r\n";

bool may_be_answered(const MessageIndex& index) {
  return index.is_request && index.method != Method::kAck;
}
// An ACK and a CANCEL have the key of their INVITE's or one of their own, and are never its repetition.
bool can_be_repeated(const MessageIndex& index) {
  return index.is_request && !has_no_reply(index.method);
}

}  // namespace

bool TransactionLayer::accept_raw(const Incoming& incoming, const Arrival& arrival, Task& fresh) {
  const MessageIndex& index = arrival.index;
  if (raw_closed_.load(std::memory_order_relaxed) ||
      raw_open_.load(std::memory_order_relaxed) >= config_.max_transactions) {
    refuse_raw(incoming, index);
    return false;
  }
  const PayloadRef ref = store(incoming, index);
  const Hash128 key =
      index.is_request ? arrival.key : keys_.lane(index.call_id.of(incoming.data), Lanes::kNoGroup);
  const uint32_t slot_index = ref == kNoPayload ? kNone : slots_.try_acquire([&](Slot& slot) {
    slot.kind.store(core::SlotKind::kRaw, std::memory_order_relaxed);
    slot.request = ref;
    slot.reply = kNoPayload;
    slot.data = kNoPayload;
    slot.variables = kNoPayload;
    slot.method = static_cast<uint8_t>(index.method);
    slot.phase = static_cast<uint8_t>(Phase::kStateless);
    slot.timer_linked = 0;
    slot.trying = draining_.load(std::memory_order_relaxed) ? 0 : kAdmitted;
    slot.entry.store(static_cast<uint8_t>(Entry::kPreRouting), std::memory_order_relaxed);
    slot.route_type = static_cast<uint8_t>(RouteType::kRequest);
    // What the script is told of a reply; 0 for a request.
    slot.route.store(index.is_request ? 0 : index.status_code, std::memory_order_relaxed);
    slot.group.store(Lanes::kNoGroup, std::memory_order_relaxed);
    slot.interval_ms = 0;
    slot.transport = static_cast<uint8_t>(incoming.from.transport);
    slot.thread.store(kNone, std::memory_order_relaxed);
    slot.key_high.store(key.high, std::memory_order_relaxed);
    slot.key_low.store(key.low, std::memory_order_relaxed);
    fresh.generation = Word(slot.word.load(std::memory_order_relaxed)).generation();
  });
  if (slot_index == kNone) {
    payloads_.free(ref);
    refuse_raw(incoming, index);
    return false;
  }
  fresh.index = slot_index;
  raw_open_.fetch_add(1, std::memory_order_relaxed);
  in_script_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Nothing is let through past the event route.
void TransactionLayer::refuse_raw(const Incoming& incoming, const MessageIndex& index) {
  if (!index.is_request) {
    transport_.counters.replies_refused.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  transport_.counters.refused.fetch_add(1, std::memory_order_relaxed);
  if (!may_be_answered(index)) return;
  char tag[KeyMaker::kTagBytes];
  keys_.write_stateless_tag(keys_.transaction(incoming.data, index, index.method), tag);
  reply_statelessly(incoming, index, 503, {}, {tag, sizeof tag}, kRetryLater);
}

uint32_t TransactionLayer::receiver_of(Task raw) const {
  const StoredMessage& message = message_in(payloads_, slots_.at(raw.index).request);
  const Hash128 call = keys_.lane(message.index.call_id.of(message.data()), Lanes::kNoGroup);
  return static_cast<uint32_t>(call.low % config_.receivers);
}

// The block is nobody else's while the message is dealt with: it may become a transaction's on the way.
bool TransactionLayer::take_stored(Task raw, Task& fresh) {
  Slot& slot = slots_.at(raw.index);
  PayloadRef ref = kNoPayload;
  {
    Lock lock(table_, raw.index);
    ref = slot.request;
    slot.request = kNoPayload;
  }
  if (ref == kNoPayload) return false;
  const StoredMessage& message = message_in(payloads_, ref);
  const bool is_admitted = (slot.trying & kAdmitted) != 0;
  const Incoming incoming{message.data(), message.size, message.from, false, &ref, is_admitted};
  const Hash128 key = message.index.is_request ? key_of(incoming, message.index) : Hash128{};
  const bool is_fresh = take_in(incoming, message.index, key, fresh);
  payloads_.free(ref);
  return is_fresh;
}

// Out of the run that this thread has of it.
void TransactionLayer::end_raw(Task raw) {
  Word before(0);
  if (slots_.end_run(raw.index, raw.generation, before) == Status::kOk) release_raw(raw.index);
}

void TransactionLayer::release_raw(uint32_t index) {
  Slot& slot = slots_.at(index);
  in_script_.fetch_sub(1, std::memory_order_relaxed);
  raw_open_.fetch_sub(1, std::memory_order_relaxed);
  Lock lock(table_, index);
  free_request(index);
  if (slot.timer_linked == 0) {
    slots_.release(index);
  } else {
    slot.phase = static_cast<uint8_t>(
        Phase::kOver);  // the timer does it: its node must not come out in another's life
  }
}

bool TransactionLayer::finish_raw(Task raw, Outcome outcome, Task& fresh) {
  if (outcome == Outcome::kPending || outcome == Outcome::kSuspended || !is_raw(raw)) return false;
  const Word word = slots_.word(raw.index);
  if (word.run() != Run::kRunning) return false;
  const bool goes_on = outcome != Outcome::kDropped && !word.has(Word::kAnswered);
  const bool is_fresh = goes_on && take_stored(raw, fresh);
  end_raw(raw);
  return is_fresh;
}

Status TransactionLayer::reply_raw(Task raw, uint16_t code, std::string_view reason,
                                   std::string_view extra_lines) {
  const Word word = slots_.word(raw.index);
  if (word.has(Word::kAnswered)) return Status::kAlreadyAnswered;
  if (word.run() != Run::kRunning) return Status::kAlreadySuspended;
  const StoredMessage& message = message_in(payloads_, slots_.at(raw.index).request);
  if (!may_be_answered(message.index)) return Status::kNoTransaction;
  char tag[KeyMaker::kTagBytes];
  keys_.write_stateless_tag(table_.key_of(raw.index), tag);
  const ReplyParts parts{message.data(), message.size, &message.index,    message.from.address,
                         code,           reason,       {tag, sizeof tag}, extra_lines};
  char* out = scratch_buffer();
  const size_t size = build_reply(parts, out, kMaxReplyBytes);
  if (size == 0) return Status::kNotAnswerable;
  if (code >= 200) {
    const Status status = slots_.answer(raw.index, raw.generation);
    if (status != Status::kOk) return status;
  }
  transport_.send(out, size, reply_target(message.index, message.from));
  return Status::kOk;
}

Status TransactionLayer::hand_over(Task raw, uint16_t group, std::string_view xdata) {
  if (!is_current(raw)) return Status::kStaleHandle;
  if (!is_raw(raw)) return Status::kNoTransaction;
  const Word word = slots_.word(raw.index);
  if (word.has(Word::kAnswered)) return Status::kAlreadyAnswered;
  if (word.run() != Run::kRunning) return Status::kAlreadySuspended;
  if (raw_closed_.load(std::memory_order_relaxed)) return Status::kClosed;
  if (xdata.size() > kMaxVariablesBytes) return Status::kPayloadTooLarge;
  core::WorkerGroup& target = engine_.group(group);
  if (const Status refusal = target.admit(); refusal != Status::kOk) return refusal;
  Slot& slot = slots_.at(raw.index);
  payloads_.free(slot.variables);
  slot.variables = kNoPayload;
  if (!xdata.empty()) {
    slot.variables = payloads_.try_allocate(sizeof(StoredVariables) + xdata.size());
    if (slot.variables == kNoPayload) return Status::kSlotsExhausted;
    StoredVariables& kept = variables_in(payloads_, slot.variables);
    kept.size = static_cast<uint32_t>(xdata.size());
    memcpy(kept.data(), xdata.data(), xdata.size());
  }
  const StoredMessage& message = message_in(payloads_, slot.request);
  const Hash128 lane = keys_.lane(message.index.call_id.of(message.data()), group);
  const Hash128 key = table_.key_of(raw.index);
  const uint64_t now = core::now_ns();
  slot.entry.store(static_cast<uint8_t>(Entry::kHandedOver), std::memory_order_relaxed);
  slot.group.store(group, std::memory_order_relaxed);
  slot.queued_ns.store(now, std::memory_order_relaxed);
  slot.due_tick.store(engine_.clock().tick_at(now), std::memory_order_relaxed);
  const auto commit = [&] {
    return slots_.step(raw.index, raw.generation, Run::kRunning, Run::kDue) == Status::kOk;
  };
  switch (lanes_->enter(raw, group, lane, can_be_repeated(message.index) ? &key : nullptr, commit)) {
    case Lanes::Entry::kFirst:
      queue_raw(raw, group);
      return Status::kOk;
    case Lanes::Entry::kBehind:
      target.hold();
      return Status::kOk;
    case Lanes::Entry::kRepeated:
      transport_.counters.retransmissions_absorbed.fetch_add(1, std::memory_order_relaxed);
      // Nobody has told the caller yet that the first one has come.
      if (message.index.method == Method::kInvite && config_.auto_100) {
        reply_statelessly({message.data(), message.size, message.from, false}, message.index, 100, {}, {});
      }
      end_raw(raw);
      return Status::kOk;
    case Lanes::Entry::kRefused:
      break;
  }
  return Status::kClosed;
}

// To the workers of a group, now or, when its queue is full, with every tick until there is room.
void TransactionLayer::queue_raw(Task raw, uint16_t group) {
  if (engine_.group(group).push(raw)) {
    engine_.group(group).wake_one();
    return;
  }
  bool wake = false;
  {
    Lock lock(table_, raw.index);
    if (is_raw(raw) && slots_.word(raw.index).run() == Run::kDue) {
      wake = arm(raw.index, engine_.clock().tick_at(core::now_ns()) + 1);
    }
  }
  if (wake) engine_.wake_ticker();
}

bool TransactionLayer::begin_handed_over(Task raw, Task& fresh) {
  lanes_->begin(raw.index);
  return take_stored(raw, fresh);
}

// By whoever owns the slot, from wherever in its lane.
void TransactionLayer::unlink_raw(uint32_t index) {
  Task next{kNone, 0};
  uint16_t group = Lanes::kNoGroup;
  const Lanes::Left left = lanes_->leave(index, next, group);
  if (left == Lanes::Left::kWaiting) engine_.group(group).unhold();
  if (next.index == kNone) return;
  engine_.group(group).unhold();
  queue_raw(next, group);
}

void TransactionLayer::leave_lane(Task raw) {
  if (!is_raw(raw) || slots_.word(raw.index).run() != Run::kRunning) return;
  unlink_raw(raw.index);
  end_raw(raw);
}

std::string_view TransactionLayer::xdata(Task raw) const {
  const PayloadRef ref = slots_.at(raw.index).variables;
  if (ref == kNoPayload) return {};
  const StoredVariables& kept = variables_in(payloads_, ref);
  return {kept.data(), kept.size};
}

// Of one that waits, for the event route or in a group. True: it was a request, and has this reply.
bool TransactionLayer::conclude_raw(Task raw, uint16_t code, std::string_view reason) {
  if (lanes_ == nullptr || !is_raw(raw)) return false;
  const bool was_due = slots_.step(raw.index, raw.generation, Run::kDue, Run::kIdle) == Status::kOk;
  if (!was_due && slots_.step(raw.index, raw.generation, Run::kReceived, Run::kIdle) != Status::kOk)
    return false;
  const StoredMessage& message = message_in(payloads_, slots_.at(raw.index).request);
  const bool is_answered = may_be_answered(message.index);
  if (is_answered) {
    transport_.counters.refused.fetch_add(1, std::memory_order_relaxed);
    char tag[KeyMaker::kTagBytes];
    keys_.write_stateless_tag(table_.key_of(raw.index), tag);
    reply_statelessly({message.data(), message.size, message.from, false}, message.index, code, reason,
                      {tag, sizeof tag}, kRetryLater);
  } else {
    (message.index.is_request ? transport_.counters.refused : transport_.counters.replies_refused)
        .fetch_add(1, std::memory_order_relaxed);
  }
  if (was_due) unlink_raw(raw.index);
  release_raw(raw.index);
  return is_answered;
}

// Everything in them has been ended.
void TransactionLayer::forget_queues() {
  Task tasks[64];
  for (uint32_t group = 0; group < engine_.group_count(); ++group) {
    while (engine_.group(group).take(tasks, 64) != 0) {
    }
  }
}

// What a thread that ended was doing with it is over: a lane is left, and a message whose event route did not come to its end
// goes on. When all threads have ended, what is left is refused.
bool TransactionLayer::raw_thread_gone(Task raw, uint32_t thread) {
  if (!is_raw(raw)) return false;
  const Slot& slot = slots_.at(raw.index);
  const bool is_closed = raw_closed_.load(std::memory_order_relaxed);
  if (slots_.word(raw.index).run() != Run::kRunning) {
    return is_closed && conclude_raw(raw, 503, {});
  }
  if (slot.thread.load(std::memory_order_relaxed) != thread) return false;
  if (static_cast<Entry>(slot.entry.load(std::memory_order_relaxed)) == Entry::kHandedOver) {
    leave_lane(raw);
    return false;
  }
  Task fresh{};
  if (finish_raw(raw, Outcome::kThrew, fresh) && (is_closed || !engine_.post(thread, fresh))) refuse(fresh);
  return false;
}

}  // namespace sip_async::sip
