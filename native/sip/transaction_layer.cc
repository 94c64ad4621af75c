// What comes in: matching, absorbing, CANCEL, ACK, and new requests.
#include "sip/transaction_layer.h"

#include <cstring>
#include <string>

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::Run;
using core::Slot;
using core::Word;

char* scratch_buffer() {
  thread_local std::unique_ptr<char[]> buffer(new char[kScratchBytes]);
  return buffer.get();
}

TransactionLayer::TransactionLayer(core::Engine& engine, Transports& transport,
                                   const TransactionConfig& config)
    : engine_(engine),
      slots_(engine.slots()),
      payloads_(engine.payloads()),
      transport_(transport),
      config_(config),
      listeners_(config.receivers),
      table_(engine.slots(), engine.slots().size()) {
  if (config.source_rate != 0) {
    source_limit_ = std::make_unique<SourceLimit>(
        SourceLimit::Config{.rate = config.source_rate, .burst = config.source_burst});
  }
  if (config.has_pre_routing) lanes_ = std::make_unique<core::Lanes>(engine.slots().size());
}

bool TransactionLayer::is_over_limit(const Incoming& incoming) {
  if (source_limit_ == nullptr || source_limit_->allow(incoming.from.address, core::now_ns())) return false;
  transport_.counters.limited.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void TransactionLayer::look_at(const Incoming& incoming, Arrival& arrival) const {
  MessageIndex& index = arrival.index;
  index_message(incoming.data, incoming.size, config_.index_limits(), index);
  if (index.status != IndexStatus::kOk || !index.is_request) return;
  // What comes in while there is core:pre-routing is looked up by its own method, if at all.
  arrival.key =
      lanes_ == nullptr ? key_of(incoming, index) : keys_.transaction(incoming.data, index, index.method);
  table_.prefetch(arrival.key);
}

bool TransactionLayer::receive(const Incoming& incoming, Task& fresh) {
  Arrival arrival;
  look_at(incoming, arrival);
  return receive(incoming, arrival, fresh);
}

bool TransactionLayer::receive(const Incoming& incoming, const Arrival& arrival, Task& fresh) {
  transport_.counters.received.fetch_add(1, std::memory_order_relaxed);
  const MessageIndex& index = arrival.index;
  const IndexStatus status = index.status;
  if (status == IndexStatus::kKeepAlive) {
    transport_.counters.keep_alives.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (status != IndexStatus::kOk) {
    transport_.counters.malformed[static_cast<size_t>(status)].fetch_add(1, std::memory_order_relaxed);
    if (!is_answerable(index) || is_over_limit(incoming)) return false;
    const std::string reason = std::string("Bad Request (") + index_status_name(status) + ")";
    if (status == IndexStatus::kTooLarge) {
      reply_statelessly(incoming, index, 513, {});
    } else if (status == IndexStatus::kBadVersion) {
      reply_statelessly(incoming, index, 505, "Version Not Supported");
    } else {
      reply_statelessly(incoming, index, 400, reason);
    }
    return false;
  }
  return lanes_ == nullptr ? take_in(incoming, index, arrival.key, fresh)
                           : accept_raw(incoming, arrival, fresh);
}

Hash128 TransactionLayer::key_of(const Incoming& incoming, const MessageIndex& index) const {
  return keys_.transaction(incoming.data, index, has_no_reply(index.method) ? Method::kInvite : index.method);
}

bool TransactionLayer::take_in(const Incoming& incoming, const MessageIndex& index, const Hash128& key,
                               Task& fresh) {
  if (!index.is_request) {
    on_response(incoming, index);
    return false;
  }
  switch (index.method) {
    case Method::kAck:
      return on_ack(incoming, index, key, fresh);
    case Method::kCancel:
      return on_cancel(incoming, index, key, fresh);
    default:
      return on_request(incoming, index, key, fresh);
  }
}

void TransactionLayer::reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                                         std::string_view reason, std::string_view to_tag,
                                         std::string_view extra_lines) {
  const ReplyParts parts{incoming.data, incoming.size, &index, incoming.from.address,
                         code,          reason,        to_tag, extra_lines};
  char* out = scratch_buffer();
  const size_t size = build_reply(parts, out, kMaxReplyBytes);
  if (size != 0) transport_.send(out, size, reply_target(index, incoming.from));
}

void TransactionLayer::reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                                         std::string_view reason) {
  char tag[KeyMaker::kTagBytes];
  keys_.write_stateless_tag(keys_.transaction(incoming.data, index, index.method), tag);
  reply_statelessly(incoming, index, code, reason, {tag, sizeof tag});
}

bool TransactionLayer::on_request(const Incoming& incoming, const MessageIndex& index, const Hash128& key,
                                  Task& fresh) {
  Lock lock(table_, key);
  const uint32_t found = lock.find(key);
  if (found == kNone) {
    if (is_over_limit(incoming)) return false;
    if (draining_.load(std::memory_order_relaxed) && !incoming.is_admitted) {
      lock.unlock();
    } else if (accept(lock, incoming, index, key, fresh)) {
      return true;
    }
    transport_.counters.refused.fetch_add(1, std::memory_order_relaxed);
    char tag[KeyMaker::kTagBytes];
    keys_.write_stateless_tag(key, tag);
    reply_statelessly(incoming, index, 503, {}, {tag, sizeof tag}, "Retry-After: 5\r\n");
    return false;
  }

  transport_.counters.retransmissions_absorbed.fetch_add(1, std::memory_order_relaxed);
  const Slot& slot = slots_.at(found);
  if (slot.reply != kNoPayload) {
    const StoredReply& kept = reply_in(payloads_, slot.reply);
    const Hop to = kept.to;
    const size_t size = kept.size;
    char* out = scratch_buffer();
    memcpy(out, kept.data(), size);
    lock.unlock();
    transport_.send(out, size, to);
    return false;
  }
  const bool waits = !slots_.word(found).has(Word::kAnswered);
  lock.unlock();
  if (waits && index.method == Method::kInvite && config_.auto_100)
    reply_statelessly(incoming, index, 100, {}, {});
  return false;
}

core::PayloadRef TransactionLayer::store(const Incoming& incoming, const MessageIndex& index) {
  const core::PayloadRef ref = payloads_.try_allocate(sizeof(StoredMessage) + incoming.size);
  if (ref == kNoPayload) return ref;
  StoredMessage& stored = message_in(payloads_, ref);
  stored.index = index;
  stored.from = incoming.from;
  stored.size = static_cast<uint32_t>(incoming.size);
  memcpy(stored.data(), incoming.data, incoming.size);
  return ref;
}

bool TransactionLayer::accept(Lock& lock, const Incoming& incoming, const MessageIndex& index,
                              const Hash128& key, Task& fresh) {
  const core::PayloadRef ref = incoming.stored != nullptr ? *incoming.stored : store(incoming, index);
  if (ref == kNoPayload) {
    lock.unlock();
    return false;
  }

  // When the table is full, the message still gets its route (it may want to answer 503 in its own way), but without a
  // transaction: nothing that needs one will do.
  const bool stateless =
      has_no_reply(index.method) || open_.load(std::memory_order_relaxed) >= config_.max_transactions;
  const bool early_trying =
      incoming.loop_stalled && index.method == Method::kInvite && !stateless && config_.auto_100;
  const uint32_t slot_index = slots_.try_acquire([&](Slot& slot) {
    slot.kind.store(core::SlotKind::kMessage, std::memory_order_relaxed);
    slot.request = ref;
    slot.reply = kNoPayload;
    slot.data = kNoPayload;
    slot.variables = kNoPayload;
    slot.method = static_cast<uint8_t>(index.method);
    slot.phase = static_cast<uint8_t>(stateless ? Phase::kStateless : Phase::kOpen);
    slot.timer_linked = 0;
    slot.trying = early_trying ? kTryingSent : 0;
    slot.entry.store(static_cast<uint8_t>(Entry::kRequestRoute), std::memory_order_relaxed);
    slot.route_type = static_cast<uint8_t>(RouteType::kRequest);
    slot.interval_ms = 0;
    slot.transport = static_cast<uint8_t>(incoming.from.transport);
    slot.thread.store(kNone, std::memory_order_relaxed);
    slot.key_high.store(key.high, std::memory_order_relaxed);
    slot.key_low.store(key.low, std::memory_order_relaxed);
  });
  if (slot_index == kNone) {
    if (incoming.stored == nullptr) payloads_.free(ref);
    lock.unlock();
    return false;
  }
  if (incoming.stored != nullptr) *incoming.stored = kNoPayload;
  in_script_.fetch_add(1, std::memory_order_relaxed);
  if (!stateless) {
    lock.insert(slot_index);
    open_.fetch_add(1, std::memory_order_relaxed);
  }
  fresh = Task{slot_index, slots_.word(slot_index).generation()};
  lock.unlock();
  if (early_trying) reply_statelessly(incoming, index, 100, {}, {});
  return true;
}

void TransactionLayer::refuse(Task fresh) {
  if (is_raw(fresh)) {
    (void)conclude_raw(fresh, 503, {});
    return;
  }
  transport_.counters.refused.fetch_add(1, std::memory_order_relaxed);
  if (engine_.begin_run(fresh, kNone, core::now_ns()) != Status::kOk) return;
  reply(fresh, 503, {}, "Retry-After: 5\r\n", true);
  finish(fresh, Outcome::kEnded);
}

bool TransactionLayer::on_ack(const Incoming& incoming, const MessageIndex& index, const Hash128& key,
                              Task& fresh) {
  const std::string_view to_tag = index.to.tag.of(incoming.data);
  uint32_t slot_index = 0;
  uint32_t generation = 0;
  {
    Lock lock(table_, key);
    slot_index = lock.find(key);
    // A 2xx that came from a branch is acknowledged end to end, also by a caller who does so with the INVITE's own branch.
    const bool is_relayed = slot_index != kNone &&
                            slots_.at(slot_index).phase == static_cast<uint8_t>(Phase::kAccepted) &&
                            slots_.at(slot_index).interval_ms == 0;
    if (slot_index != kNone && !is_relayed) {
      const bool wake = confirm(slot_index);
      lock.unlock();
      if (wake) engine_.wake_ticker();
      transport_.counters.acks_absorbed.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
  }
  // The ACK to a 2xx is a transaction of its own (RFC 3261 section 13.2.2.4); our tag in it names the INVITE's slot.
  if (keys_.read_slot_tag(to_tag, slot_index, generation)) {
    if (slots_.is_current(slot_index, generation)) {
      Lock lock(table_, slot_index);
      const bool current = slots_.is_current(slot_index, generation);
      const bool accepted = current && slots_.at(slot_index).phase == static_cast<uint8_t>(Phase::kAccepted);
      const bool wake = accepted && confirm(slot_index);
      lock.unlock();
      if (wake) engine_.wake_ticker();
    }
    transport_.counters.acks_absorbed.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (keys_.is_stateless_tag(to_tag, key)) {
    transport_.counters.acks_absorbed.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (is_over_limit(incoming)) return false;
  Lock lock(table_, key);
  return accept(lock, incoming, index, key, fresh);
}

bool TransactionLayer::on_cancel(const Incoming& incoming, const MessageIndex& index, const Hash128& key,
                                 Task& fresh) {
  uint32_t slot_index = kNone;
  Task task{};
  {
    Lock lock(table_, key);
    slot_index = lock.find(key);
    if (slot_index != kNone) task = Task{slot_index, slots_.word(slot_index).generation()};
  }
  if (slot_index == kNone) {
    if (!is_over_limit(incoming)) reply_statelessly(incoming, index, 481, {});
    return false;
  }
  // 200 first, then 487 (RFC 3261 section 9.2), both with the tag that the INVITE's replies carry.
  char tag[KeyMaker::kTagBytes];
  keys_.write_slot_tag(task.index, task.generation, tag);
  reply_statelessly(incoming, index, 200, {}, {tag, sizeof tag});
  bool is_relayed = false;
  bool is_news = false;
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, task.index);
    if (slots_.is_current(task.index, task.generation)) {
      const StoredCall* call = call_in(task.index);
      is_news = !slots_.word(task.index).has(Word::kAnswered) && (call == nullptr || !call->is_cancelled);
      if (is_news) keep_reason(task.index, incoming, index);
      is_relayed = is_news && cancel_relayed(task.index, out, verdict);
    }
  }
  if (is_relayed) {
    pronounce(verdict);
  } else if (is_news) {
    // Two threads may have read one CANCEL each.
    is_news = conclude(task, 487, {}, Word::kCancelled) == Status::kOk;
  }
  return is_news && config_.has_cancel_event && accept_cancel_event(incoming, index, fresh);
}

}  // namespace sip_async::sip
