// Sending a request on: a branch for it, the bytes that leave, the addresses that are tried.
#include <algorithm>
#include <cstring>
#include <new>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::PayloadRef;
using core::Slot;
using core::Word;

namespace {

// Our Via, and what it may take: transport, host and port, the branch.
constexpr size_t kMostViaBytes = 400;
constexpr size_t kMostNameBytes = 255;

}  // namespace

std::string& TransactionLayer::unresolved_target() {
  thread_local std::string target;
  return target;
}

size_t TransactionLayer::write_via(uint32_t socket, std::string_view branch, char* out) const {
  const Listeners::Listener& own = listeners_.at(socket);
  char* at = out;
  const auto put = [&at](std::string_view text) {
    memcpy(at, text.data(), text.size());
    at += text.size();
  };
  put("SIP/2.0/");
  put(transport_name(own.transport));
  put(" ");
  put(std::string_view(own.sent_by).substr(0, 300));
  put(";branch=");
  put(branch);
  return static_cast<size_t>(at - out);
}

TransactionLayer::BranchName TransactionLayer::name_branch(uint32_t index, uint32_t generation,
                                                           uint8_t attempt) {
  BranchName name;
  keys_.write_branch({index, generation, attempt}, name.data());
  memcpy(name.data() + kBranchIdBytes, branch_in(index).mark, kLoopMarkBytes);
  return name;
}

size_t TransactionLayer::build_outgoing(const StoredMessage& source, const RelayRequest& request,
                                        const RoutePlan& plan, uint32_t socket, std::string_view branch,
                                        char* out) {
  char via[kMostViaBytes];
  ForwardParts parts;
  parts.data = source.data();
  parts.size = source.size;
  parts.index = &source.index;
  parts.from = source.from;
  parts.via = {via, write_via(socket, branch, via)};
  // Two lines when it goes out by another way than it came in, so that both sides find theirs (RFC 5658).
  std::string record_routes;
  if (request.records_route) {
    const std::string& in = listeners_.at(source.from.socket).record_route;
    const std::string& away = listeners_.at(socket).record_route;
    record_routes = in == away ? in : away + in;
  }
  parts.record_routes = record_routes;
  parts.route = &plan;
  parts.edits = request.edits;
  return build_request(parts, out, kMaxReplyBytes);
}

StoredCall* TransactionLayer::call_in(uint32_t index) {
  const PayloadRef ref = slots_.at(index).data;
  return ref == kNoPayload ? nullptr : reinterpret_cast<StoredCall*>(payloads_.data(ref));
}

StoredCall* TransactionLayer::make_call(uint32_t index) {
  if (StoredCall* call = call_in(index)) return call;
  Slot& slot = slots_.at(index);
  if (slot.request == kNoPayload) return nullptr;
  const PayloadRef ref = payloads_.try_allocate(sizeof(StoredCall));
  if (ref == kNoPayload) return nullptr;
  slot.data = ref;
  auto* call = new (payloads_.data(ref)) StoredCall{};
  const StoredMessage& request = message_in(payloads_, slot.request);
  call->on_failure = kNoRoute;
  call->upstream = reply_target(request.index, request.from);
  return call;
}

Status TransactionLayer::check_may_relay(Task task) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  if (!is_message(task)) return Status::kNoTransaction;
  const Word word = slots_.word(task.index);
  if (word.has(Word::kCancelled)) return Status::kCancelled;
  if (word.has(Word::kAnswered)) return Status::kAlreadyAnswered;
  if (word.run() != Run::kRunning) return Status::kAlreadySuspended;
  Lock lock(table_, task.index);
  if (slots_.at(task.index).phase == static_cast<uint8_t>(Phase::kStateless)) return Status::kSlotsExhausted;
  const StoredCall* call = call_in(task.index);
  return call != nullptr && call->is_cancelled ? Status::kCancelled : Status::kOk;
}

Status TransactionLayer::add_branch(Task task, const RelayRequest& request, bool has_route, uint32_t thread,
                                    Task& out) {
  Slot& parent = slots_.at(task.index);
  const StoredMessage& source = message_in(payloads_, parent.request);
  if (source.index.max_forwards == 0) return Status::kTooManyHops;
  if (loops_.is_looped(source.data(), source.size, source.index)) return Status::kLoop;
  if (branches_.fetch_add(1, std::memory_order_relaxed) >= 2 * config_.max_transactions) {
    branches_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  const PayloadRef data = payloads_.try_allocate(sizeof(StoredBranch));
  // A branch route may go on when the call has ended, so it has the request for itself.
  const size_t copy_bytes = sizeof(StoredMessage) + source.size;
  const PayloadRef copy = has_route ? payloads_.try_allocate(copy_bytes) : kNoPayload;
  const Hash128 key = table_.key_of(task.index);
  uint32_t generation = 0;
  uint32_t index = kNone;
  if (data != kNoPayload && (copy != kNoPayload || !has_route)) {
    auto* branch = new (payloads_.data(data)) StoredBranch{};
    branch->parent = task.index;
    branch->parent_generation = task.generation;
    branch->thread = source.from.socket % config_.receivers;
    branch->on_reply = request.on_reply;
    loops_.write_mark(source.data(), source.size, source.index, branch->mark);
    if (copy != kNoPayload) memcpy(payloads_.data(copy), &source, copy_bytes);
    index = slots_.try_acquire([&](Slot& slot) {
      generation = Word(slot.word.load(std::memory_order_relaxed)).generation();
      slot.kind.store(core::SlotKind::kBranch, std::memory_order_relaxed);
      slot.request = copy;
      slot.reply = kNoPayload;
      slot.data = data;
      slot.variables = kNoPayload;
      slot.method = parent.method;
      slot.phase = static_cast<uint8_t>(Phase::kNone);
      slot.timer_linked = 0;
      slot.trying = 0;
      slot.interval_ms = 0;
      slot.entry.store(static_cast<uint8_t>(Entry::kReplyRoute), std::memory_order_relaxed);
      slot.route_type = static_cast<uint8_t>(RouteType::kBranch);
      slot.thread.store(kNone, std::memory_order_relaxed);
      slot.key_high.store(key.high, std::memory_order_relaxed);
      slot.key_low.store(key.low, std::memory_order_relaxed);
    });
  }
  if (index == kNone) {
    payloads_.free(data);
    payloads_.free(copy);
    branches_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  out = Task{index, generation};
  // Running until it is built, route or not: a call that ends meanwhile must not release it under our hands.
  (void)slots_.step(index, generation, Run::kReceived, Run::kRunning);
  slots_.at(index).thread.store(thread, std::memory_order_relaxed);

  Lock lock(table_, task.index);
  const Word word = slots_.word(task.index);
  StoredCall* call = word.has(Word::kAnswered) ? nullptr : make_call(task.index);
  if (call == nullptr || call->is_cancelled || call->branch_count >= StoredCall::kMostBranches) {
    release_branch(index);
    if (word.has(Word::kCancelled) || (call != nullptr && call->is_cancelled)) return Status::kCancelled;
    return word.has(Word::kAnswered) ? Status::kAlreadyAnswered : Status::kSlotsExhausted;
  }
  call->on_failure = request.on_failure;
  ++call->branch_count;
  uint32_t* link = &call->first_branch;
  while (*link != 0) link = &branch_in(*link - 1).next;
  *link = index + 1;
  return Status::kOk;
}

Status TransactionLayer::build_branch(const StoredMessage& source, const RelayRequest& request, Task branch,
                                      Hop& to, PayloadRef& sent) {
  sent = kNoPayload;
  RoutePlan plan;
  if (!plan_route(source.data(), source.size, source.index, listeners_.self(), request.ruri,
                  request.destination, plan))
    return Status::kUnroutable;
  Status status = Status::kOk;
  switch (listeners_.locate(plan.next_hop, source.from, to)) {
    case Destination::kMalformed:
      return Status::kUnroutable;
    case Destination::kUnresolved:
      // Readdressed once it is known; until then any Via will do.
      status = Status::kUnresolved;
      unresolved_target() = plan.next_hop;
      to.socket = source.from.socket;
      break;
    case Destination::kOk:
      break;
  }
  const BranchName name = name_branch(branch.index, branch.generation, branch_in(branch.index).attempt);
  char* out = scratch_buffer();
  const size_t size = build_outgoing(source, request, plan, to.socket, {name.data(), name.size()}, out);
  if (size == 0) return Status::kNotAnswerable;
  sent = payloads_.try_allocate(sizeof(StoredMessage) + size);
  if (sent == kNoPayload) return Status::kSlotsExhausted;
  StoredMessage& stored = message_in(payloads_, sent);
  stored.from = to;
  stored.size = static_cast<uint32_t>(size);
  memcpy(stored.data(), out, size);
  if (index_message(stored.data(), size, kOwnLimits, stored.index) != IndexStatus::kOk) {
    payloads_.free(sent);  // what the script put into it made it none
    sent = kNoPayload;
    return Status::kNotAnswerable;
  }
  return status;
}

Status TransactionLayer::send_branch(Task branch, PayloadRef sent, Status built, bool has_route) {
  Status status = built;
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, branch.index);
    StoredBranch& own = branch_in(branch.index);
    own.sent = sent;
    free_request(branch.index);
    slots_.at(branch.index).route_type = static_cast<uint8_t>(RouteType::kReply);
    Word before(0);
    (void)slots_.end_run(branch.index, branch.generation, before);
    const bool is_wanted = waiting_parent(own) != kNone && !own.is_done;
    if (!is_wanted) {
      // The call ended, or the branch's time was up, while it was made.
      status = Status::kCancelled;
      own.state = BranchState::kCompleted;
      own.give_up_tick = tick_in(0);
      arm_branch(branch.index, out);
    } else if (status == Status::kOk) {
      start_client(branch.index, out);
    } else if (status == Status::kUnresolved) {
      own.give_up_tick = tick_in(config_.fr_ms);
      arm_branch(branch.index, out);
    } else if (has_route) {
      end_branch(branch.index, 500, kNoPayload, out, verdict);
      arm_branch(branch.index, out);
    } else {
      // The script is told. Released by its timer, like any other.
      own.state = BranchState::kCompleted;
      own.is_discarded = true;
      own.is_done = true;
      own.give_up_tick = tick_in(0);
      arm_branch(branch.index, out);
    }
  }
  pronounce(verdict);
  return status;
}

Status TransactionLayer::relay(Task task, const RelayRequest& request, Task& branch) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  Slot& slot = slots_.at(task.index);
  // An ACK that comes to a route belongs to a 2xx, and to nothing that is kept here.
  if (is_message(task) && slot.method == static_cast<uint8_t>(Method::kAck)) return forward(task, request);
  if (const Status refusal = check_may_relay(task); refusal != Status::kOk) return refusal;
  send_trying(task);
  if (const Status status = add_branch(task, request, false, kNone, branch); status != Status::kOk)
    return status;
  slot.trying |= kMade;
  slot.action_ns = core::now_ns();
  Hop to;
  PayloadRef sent = kNoPayload;
  const Status built = build_branch(message_in(payloads_, slot.request), request, branch, to, sent);
  return send_branch(branch, sent, built, false);
}

Status TransactionLayer::open_branch(Task task, const RelayRequest& request, uint32_t thread, Task& branch) {
  if (const Status refusal = check_may_relay(task); refusal != Status::kOk) return refusal;
  if (slots_.at(task.index).method == static_cast<uint8_t>(Method::kAck)) return Status::kNoTransaction;
  send_trying(task);
  const Status status = add_branch(task, request, true, thread, branch);
  if (status != Status::kOk) return status;
  slots_.at(task.index).trying |= kMade;
  // A branch route that never ends must not keep the call for ever.
  Dispatch out(engine_, transport_);
  Lock lock(table_, branch.index);
  branch_in(branch.index).give_up_tick = tick_in(config_.fr_ms);
  arm_branch(branch.index, out);
  lock.unlock();
  return Status::kOk;
}

Status TransactionLayer::relay_branch(Task branch, const RelayRequest& request) {
  if (!slots_.is_current(branch.index, branch.generation) || !is_branch(branch)) return Status::kStaleHandle;
  Slot& slot = slots_.at(branch.index);
  if (slots_.word(branch.index).run() != Run::kRunning) return Status::kAlreadySuspended;
  if (slot.route_type != static_cast<uint8_t>(RouteType::kBranch)) return Status::kNoTransaction;
  Hop to;
  PayloadRef sent = kNoPayload;
  const Status built = build_branch(message_in(payloads_, slot.request), request, branch, to, sent);
  {
    Lock lock(table_, branch.index);
    branch_in(branch.index).on_reply = request.on_reply;
  }
  return send_branch(branch, sent, built, true);
}

PayloadRef TransactionLayer::readdressed(uint32_t index, const Hop& to) {
  const StoredBranch& own = branch_in(index);
  const StoredMessage& old = message_in(payloads_, own.sent);
  const ViaIndex& via = old.index.via;
  char value[kMostViaBytes];
  const BranchName name = name_branch(index, slots_.word(index).generation(), own.attempt);
  const size_t value_bytes = write_via(to.socket, {name.data(), name.size()}, value);
  const size_t behind = size_t{via.value.offset} + via.value.length;
  // The Record-Route for the way out stands in front of the one for the way in; there is one of the two if both are the same.
  std::string away;
  size_t routes_at = old.size, routes_end = old.size;
  HeaderLine line;
  const std::string& was_away = listeners_.at(old.from.socket).record_route;
  for (uint16_t at = old.index.headers_at; next_header(old.data(), old.size, at, line); at = line.end) {
    if (line.id != HeaderId::kRecordRoute) continue;
    if (std::string_view(old.data() + at, line.end - at) == was_away) {
      routes_at = at;
      routes_end = line.end;
      const StoredCall* call =
          own.parent_generation == slots_.word(own.parent).generation() ? call_in(own.parent) : nullptr;
      const std::string& in =
          listeners_.at(call != nullptr ? call->upstream.socket : old.from.socket).record_route;
      const std::string& now_away = listeners_.at(to.socket).record_route;
      if (was_away == in) {
        // It was for both ways.
        away = now_away == in ? in : now_away + in;
      } else {
        away = now_away == in ? std::string() : now_away;
      }
    }
    break;
  }
  const size_t size = old.size - via.value.length + value_bytes - (routes_end - routes_at) + away.size();
  if (size > kMaxReplyBytes) return kNoPayload;
  const PayloadRef ref = payloads_.try_allocate(sizeof(StoredMessage) + size);
  if (ref == kNoPayload) return kNoPayload;
  StoredMessage& stored = message_in(payloads_, ref);
  stored.from = to;
  stored.size = static_cast<uint32_t>(size);
  char* at = stored.data();
  const auto put = [&at](const char* data, size_t bytes) {
    memcpy(at, data, bytes);
    at += bytes;
  };
  put(old.data(), via.value.offset);
  put(value, value_bytes);
  put(old.data() + behind, routes_at - behind);
  put(away.data(), away.size());
  put(old.data() + routes_end, old.size - routes_end);
  if (index_message(stored.data(), size, kOwnLimits, stored.index) == IndexStatus::kOk) return ref;
  payloads_.free(ref);
  return kNoPayload;
}

// With the Via of that attempt, which is all that was another then.
void TransactionLayer::send_late_ack(uint32_t index, uint8_t attempt, const ReplyView& reply, const Hop& to,
                                     Dispatch& out) {
  const StoredBranch& own = branch_in(index);
  const StoredMessage& sent = message_in(payloads_, own.sent);
  char* bytes = scratch_buffer();
  const std::string_view to_value = reply.index->to.value.of(reply.data);
  std::string ack(bytes, build_ack(sent.data(), sent.size, sent.index, to_value, bytes, kMaxReplyBytes));
  const std::string_view via = sent.index.via.value.of(sent.data());
  const size_t at = ack.find(via);
  if (at == std::string::npos) return;
  char value[kMostViaBytes];
  const BranchName name = name_branch(index, slots_.word(index).generation(), attempt);
  ack.replace(at, via.size(), value, write_via(to.socket, {name.data(), name.size()}, value));
  out.send(to, ack.data(), ack.size());
}

bool TransactionLayer::try_next_hop(uint32_t index, Dispatch& out) {
  StoredBranch& own = branch_in(index);
  if (own.hops == kNoPayload || own.sent == kNoPayload) return false;
  const auto* hops = reinterpret_cast<const Hop*>(payloads_.data(own.hops));
  while (own.next_hop < own.hop_count) {
    Hop to = hops[own.next_hop++];
    const StoredMessage& old = message_in(payloads_, own.sent);
    if (!listeners_.choose_socket(old.from, to)) continue;
    // Another branch parameter for each address: to the other side these are different transactions (RFC 3263 section 4.3).
    ++own.attempt;
    const PayloadRef next = readdressed(index, to);
    if (next == kNoPayload) {
      --own.attempt;  // what was sent last may still be answered
      return false;
    }
    payloads_.free(own.sent);
    own.sent = next;
    start_client(index, out);
    return true;
  }
  return false;
}

std::string_view TransactionLayer::name_of(const StoredBranch& branch) const {
  if (branch.hops == kNoPayload) return {};
  return {payloads_.data(branch.hops) + sizeof(Hop) * branch.hop_count, branch.name_bytes};
}

Status TransactionLayer::send_to(Task branch, const Hop* hops, size_t count, std::string_view name) {
  if (branch.index >= slots_.size()) return Status::kStaleHandle;
  Verdict verdict;
  Status status = Status::kOk;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, branch.index);
    if (!slots_.is_current(branch.index, branch.generation) || !is_branch(branch))
      return Status::kStaleHandle;
    StoredBranch& own = branch_in(branch.index);
    if (own.state != BranchState::kUnsent || own.is_done || own.is_discarded || waiting_parent(own) == kNone)
      return Status::kCancelled;
    count = std::min<size_t>(count, UINT8_MAX);
    name = name.substr(0, kMostNameBytes);
    own.hops = payloads_.try_allocate(sizeof(Hop) * count + name.size() + 1);
    if (own.hops != kNoPayload) {
      char* at = payloads_.data(own.hops);
      if (count != 0) memcpy(at, hops, sizeof(Hop) * count);
      if (!name.empty()) memcpy(at + sizeof(Hop) * count, name.data(), name.size());
      own.hop_count = static_cast<uint8_t>(count);
      own.name_bytes = static_cast<uint16_t>(name.size());
    }
    if (!try_next_hop(branch.index, out)) {
      status = Status::kUnroutable;
      end_branch(branch.index, 503, kNoPayload, out, verdict);
      arm_branch(branch.index, out);
    }
  }
  pronounce(verdict);
  return status;
}

Status TransactionLayer::fail_branch(Task branch, uint16_t code) {
  if (branch.index >= slots_.size()) return Status::kStaleHandle;
  Verdict verdict;
  {
    Dispatch out(engine_, transport_);
    Lock lock(table_, branch.index);
    if (!slots_.is_current(branch.index, branch.generation) || !is_branch(branch))
      return Status::kStaleHandle;
    if (branch_in(branch.index).state != BranchState::kUnsent) return Status::kCancelled;
    end_branch(branch.index, code, kNoPayload, out, verdict);
    arm_branch(branch.index, out);
  }
  pronounce(verdict);
  return Status::kOk;
}

}  // namespace sip_async::sip
