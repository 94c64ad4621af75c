// Without a transaction: requests that the script forwards so, replies that belong to nothing here, and what a CANCEL tells
// the script.
#include <algorithm>
#include <cstring>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::Slot;

Status TransactionLayer::forward(Task task, const RelayRequest& request) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  if (!is_message(task)) return Status::kNoTransaction;
  const core::Word word = slots_.word(task.index);
  if (word.run() != Run::kRunning) return Status::kAlreadySuspended;
  if (word.has(core::Word::kCancelled)) return Status::kCancelled;
  if (word.has(core::Word::kAnswered)) return Status::kAlreadyAnswered;
  Slot& slot = slots_.at(task.index);
  const StoredMessage& source = message_in(payloads_, slot.request);
  if (source.index.max_forwards == 0) return Status::kTooManyHops;
  if (loops_.is_looped(source.data(), source.size, source.index)) return Status::kLoop;
  RoutePlan plan;
  if (!plan_route(source.data(), source.size, source.index, listeners_.self(), request.ruri,
                  request.destination, plan))
    return Status::kUnroutable;
  Hop to;
  const Destination destination = listeners_.locate(plan.next_hop, source.from, to);
  // Nothing is kept that could wait for a name: whoever looks it up comes again with what it leads to.
  if (destination == Destination::kUnresolved) {
    unresolved_target() = plan.next_hop;
    return Status::kUnresolved;
  }
  if (destination != Destination::kOk) return Status::kUnroutable;

  char branch[kBranchIdBytes + kLoopMarkBytes];
  keys_.write_stateless_branch(keys_.transaction(source.data(), source.index, source.index.method), branch);
  loops_.write_mark(source.data(), source.size, source.index, branch + kBranchIdBytes);
  char* out = scratch_buffer();
  const size_t size = build_outgoing(source, request, plan, to.socket, {branch, sizeof branch}, out);
  if (size == 0) return Status::kNotAnswerable;
  const bool is_ack = slot.method == static_cast<uint8_t>(Method::kAck);
  Dispatch after(engine_, transport_);
  // Not to be answered by us, and a repetition is a new message.
  const Status status = is_ack ? Status::kOk : slots_.answer(task.index, task.generation, true);
  if (status != Status::kOk) return status;
  after.send(to, out, size, request.server_name);
  if (!is_ack) {
    Lock lock(table_, task.index);
    if (slot.phase != static_cast<uint8_t>(Phase::kStateless)) {
      cancel_branches(task.index, after);
      lock.remove(task.index);
      open_.fetch_sub(1, std::memory_order_relaxed);
      slot.phase = static_cast<uint8_t>(Phase::kStateless);
    }
  }
  return Status::kOk;
}

void TransactionLayer::forward_stray(const Incoming& incoming, const MessageIndex& index) {
  transport_.counters.stray_responses.fetch_add(1, std::memory_order_relaxed);
  // To where its own next Via says (RFC 3261 section 16.11).
  ViaIndex via;
  Hop to;
  if (!second_via(incoming.data, incoming.size, index, via) || !via_target(incoming.data, via, to)) return;
  // Back to ourselves it would go round until the Vias are used up.
  if (listeners_.self().has(via.host.of(incoming.data), via.port)) return;
  if (!listeners_.choose_socket(incoming.from, to)) return;
  char* out = scratch_buffer();
  const size_t size = build_reply_upstream(incoming.data, incoming.size, index, {}, out, kMaxReplyBytes);
  if (size != 0) transport_.send(out, size, to);
}

bool TransactionLayer::accept_cancel_event(const Incoming& incoming, const MessageIndex& index, Task& fresh) {
  const Hash128 key = keys_.transaction(incoming.data, index, Method::kCancel);
  Lock lock(table_, key);
  if (!accept(lock, incoming, index, key, fresh)) return false;
  slots_.at(fresh.index).entry.store(static_cast<uint8_t>(Entry::kCancelEvent), std::memory_order_relaxed);
  return true;
}

void TransactionLayer::keep_reason(uint32_t index, const Incoming& incoming, const MessageIndex& message) {
  HeaderLine line;
  for (uint16_t at = message.headers_at; next_header(incoming.data, incoming.size, at, line); at = line.end) {
    if (line.id == HeaderId::kReason) {
      StoredCall* call = make_call(index);
      const std::string_view value = line.value.of(incoming.data);
      if (call == nullptr || value.size() > StoredCall::kReasonBytes ||
          value.find_first_of("\r\n") != value.npos)
        return;
      call->reason_bytes = static_cast<uint8_t>(value.size());
      memcpy(call->reason, value.data(), value.size());
      return;
    }
    if (line.end <= at) return;
  }
}

std::string TransactionLayer::cancel_reason(Task task) {
  if (task.index >= slots_.size()) return {};
  Lock lock(table_, task.index);
  if (!slots_.is_current(task.index, task.generation) || !is_message(task)) return {};
  const StoredCall* call = call_in(task.index);
  return call == nullptr ? std::string() : std::string(call->reason, call->reason_bytes);
}

}  // namespace sip_async::sip
