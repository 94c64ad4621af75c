// Transactions (RFC 3261 section 17, RFC 6026) on the engine's slots: a server transaction for each call, and a client
// transaction for each branch that it is sent on to.
//
// Ground rules
// - Any thread calls any function. What a slot's state word decides (who answers, who owns) is decided there; what the
//   bucket's lock guards (chain, phase, cached reply, own timer) is touched under it only.
// - The request's payload belongs to the thread that runs the route, which reads it without a lock. Everybody else
//   reads it under the lock, and it is freed under the lock, after the final reply and the end of the route.
// - Nothing is sent, and nobody is woken, under a lock.
//
// Phases:   open -> accepted (INVITE, 2xx) ---- ACK ---> confirmed -> over
//           open -> completed (other finals) -- ACK ---> confirmed -> over      (INVITE)
//           open -> completed ---------------- wait timer ------------> over    (other methods)
//           stateless: no transaction; the slot ends with the route (ACK, sl_send_reply, table full)
//
// Where things are: transaction_layer.cc takes in, server_transaction.cc replies and ends calls, relay.cc sends on,
// client_transaction.cc keeps the branches' timers and replies, response_context.cc decides what goes upstream,
// stateless.cc forwards without a transaction, suspension.cc is t_suspend and t_continue, raw_message.cc is what comes before
// all of it: core:pre-routing, and handing a message over to a group.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/engine.h"
#include "core/lanes.h"
#include "sip/branch.h"
#include "sip/dispatch.h"
#include "sip/faked_request.h"
#include "sip/listeners.h"
#include "sip/loop_check.h"
#include "sip/reply_builder.h"
#include "sip/request_builder.h"
#include "sip/source_limit.h"
#include "sip/stored_message.h"
#include "sip/transaction_key.h"
#include "sip/transaction_table.h"
#include "sip/transports.h"

namespace sip_async::sip {

using core::Run;
using core::Status;
using core::Task;

enum class Phase : uint8_t { kNone, kOpen, kAccepted, kCompleted, kConfirmed, kStateless, kOver };

struct TransactionConfig {
  uint32_t max_transactions = 0;
  uint32_t max_message_bytes = kMaxMessageBytes;
  uint32_t t1_ms = 500;
  uint32_t t2_ms = 4000;
  uint32_t wait_ms = 5000;  // wt_timer: timers I, J and K
  bool auto_100 = true;
  uint32_t fr_ms = 30000;       // fr_timer: timers B and F
  uint32_t fr_inv_ms = 120000;  // fr_inv_timer: timer C
  uint32_t receivers = 1;
  bool has_cancel_event = false;  // the script wants to hear of each CANCEL
  bool has_reply_route = false;   // a script runs for each reply, whether one was armed or not
  bool has_pre_routing = false;   // a script runs for each message before anything is done with it
  uint16_t max_headers = IndexLimits{}.max_headers;
  uint16_t max_line_bytes = IndexLimits{}.max_line_bytes;
  uint16_t max_vias = IndexLimits{}.max_vias;
  uint32_t source_rate = 0;  // requests a second from one source; 0: no limit
  uint32_t source_burst = 0;

  IndexLimits index_limits() const {
    return {.max_message_bytes = max_message_bytes,
            .max_headers = max_headers,
            .max_line_bytes = max_line_bytes,
            .max_vias = max_vias};
  }
};

// One message as it came in: a datagram, or what a stream was cut into.
struct Incoming {
  const char* data;
  size_t size;
  Hop from;
  bool loop_stalled;  // read by the stand-in: the route will not run for a while
  // Of one that was stored when it came in: its block. Whoever keeps the message takes the block and leaves kNoPayload.
  core::PayloadRef* stored = nullptr;
  bool is_admitted = false;  // it was stored before the intake stopped
};

// What look_at() has found out about a message.
struct Arrival {
  MessageIndex index;
  Hash128 key{};  // of a request that is well-formed
};

// A message that a script sees and that is not answered by it: ACK never is, and CANCEL has been by then.
inline bool has_no_reply(Method method) {
  return method == Method::kAck || method == Method::kCancel;
}

// How a run of a route ended. Pending: an asynchronous handler goes on. Suspended: the call is elsewhere now.
enum class Outcome : uint8_t { kPending = 0, kEnded = 1, kThrew = 2, kDropped = 3, kSuspended = 4 };

// How a script wants a message sent on.
struct RelayRequest {
  std::string_view ruri;         // empty: as it came in
  std::string_view destination;  // a URI that says where to whatever the Request-URI is, or empty
  std::string_view server_name;  // forward(): whom a TLS server's certificate must name; empty: its address
  bool records_route = false;
  uint16_t on_failure = kNoRoute;
  uint16_t on_reply = kNoRoute;
  MessageEdits edits;
};

class TransactionLayer : public core::Engine::Handler {
 public:
  // Index and first lines of a request.
  static constexpr size_t kPrefetchBytes = 640;

  TransactionLayer(core::Engine& engine, Transports& transport, const TransactionConfig& config);
  // Before the engine starts.
  Listeners& listeners() { return listeners_; }

  // Asks for the memory that a route of this task will need; by the thread that is to run it.
  void prefetch(Task task) const {
    const core::Slot& slot = slots_.at(task.index);
    table_.prefetch(table_.key_of(task.index));
    if (slot.request != core::kNoPayload) payloads_.prefetch(slot.request, kPrefetchBytes);
  }
  void before_slot_timer(uint32_t index) override { table_.prefetch(table_.key_of(index)); }

  // Receiver side. True: `fresh` is a new message for requestRoute, or any message for core:pre-routing, and the caller hands
  // it to a thread.
  bool receive(const Incoming& incoming, Task& fresh);
  // The same in two steps, so that a caller with several messages looks at the next before the last is dealt with: reads the
  // message and asks for the memory that finding its call takes.
  void look_at(const Incoming& incoming, Arrival& arrival) const;
  bool receive(const Incoming& incoming, const Arrival& arrival, Task& fresh);
  // A stream cannot be cut any further behind this request, of which only the headers are there: answers it if it can be.
  void reject_framing(const Incoming& incoming, uint16_t code, std::string_view reason);
  // The caller of receive() could not hand it over: 503.
  void refuse(Task fresh);

  // The thread that runs the route.
  Status reply(Task task, uint16_t code, std::string_view reason, std::string_view extra_lines,
               bool stateless);
  // Makes the transaction known as one (t_newtran): from now on replies are stateful; an INVITE gets its 100.
  Status new_transaction(Task task);
  Status suspend_until(Task task, uint64_t delay_ms, uint32_t round_ms, uint16_t route, uint16_t group,
                       uint32_t thread);
  Status suspend_now(Task task, uint16_t route, uint16_t group);
  // Ends a run. A call that has no final reply, was not dropped and not sent on gets 500; true when that was sent. The run
  // of a branch's reply route passes the reply on, unless a provisional one was dropped.
  bool finish(Task task, Outcome outcome);

  // Raw messages, when there is an event route core:pre-routing. Such a slot ends with finish_raw(), or goes to a group.
  bool has_pre_routing() const { return lanes_ != nullptr; }
  bool is_raw(Task task) const {
    return is_current(task) &&
           slots_.at(task.index).kind.load(std::memory_order_relaxed) == core::SlotKind::kRaw;
  }
  // Ends the run of the event route. Unless the message was dropped or answered, it is dealt with now; true: `fresh` is a new
  // message, as from receive().
  bool finish_raw(Task raw, Outcome outcome, Task& fresh);
  // By the thread that runs the event route: the message goes to a group, behind those of the same Call-ID that wait there,
  // and `xdata` with it. kNoWorkers, kGroupFull, kAlreadyAnswered, kAlreadySuspended, kPayloadTooLarge, kSlotsExhausted (no
  // memory), kClosed; then nothing has happened.
  Status hand_over(Task raw, uint16_t group, std::string_view xdata);
  // By the worker, of one that has begun to run: deals with it as if it just came in. True as for receive(). Until
  // leave_lane() no other message of its Call-ID comes to a worker of the group.
  bool begin_handed_over(Task raw, Task& fresh);
  void leave_lane(Task raw);
  // What was handed over with it; until leave_lane().
  std::string_view xdata(Task raw) const;
  // From now on no message is taken that would need a script to decide on it.
  void close_raw_intake() { raw_closed_.store(true, std::memory_order_relaxed); }
  // Whose event route a message of a stream runs in: one receiver's for a call, so that its messages keep their order.
  uint32_t receiver_of(Task raw) const;

  // Sends the request on: one more branch of the call (t_relay). By the thread that runs its request or failure route.
  // kUnresolved: `branch` waits for send_to() or fail_branch(), and last_target() is the URI to look up.
  Status relay(Task task, const RelayRequest& request, Task& branch);
  // Of the last relay(), relay_branch() or forward() of this thread that came back unresolved.
  static const std::string& last_target() { return unresolved_target(); }
  // The same in two steps, for a branch route to run between them: the branch is running in `thread` then.
  Status open_branch(Task task, const RelayRequest& request, uint32_t thread, Task& branch);
  Status relay_branch(Task branch, const RelayRequest& request);
  // What the target of an unresolved branch came to: addresses in the order to try with the name that they are for, or a
  // failure that stands for a reply with this code.
  Status send_to(Task branch, const Hop* hops, size_t count, std::string_view name = {});
  Status fail_branch(Task branch, uint16_t code);
  // Sends it on without a transaction (forward).
  Status forward(Task task, const RelayRequest& request);
  // Ends the run of a reply route with the reply changed.
  void finish_reply(Task branch, const MessageEdits& edits);
  // The code that a failure route runs for, or that of the reply; 0 when there is none.
  uint16_t status_of(Task task);
  // CANCEL came for the call while it was relayed, or has ended it.
  bool is_cancelled(Task task);
  // The Reason of the CANCEL that ended the call, or empty.
  std::string cancel_reason(Task task);

  // A suspension that nobody but its handle ends (t_suspend); `on_failure` runs when nobody has after `most_ms`, else the
  // call gets 408. `suspension` is for undo_suspension() by the same run, which goes on in `thread`.
  Status suspend_open(Task task, uint64_t most_ms, uint16_t on_failure, uint32_t& suspension);
  Status undo_suspension(Task task, uint32_t suspension, uint32_t thread);
  // A suspension that ends with an operation of `thread` (Engine::resume), after `most_ms` at the latest; either way `route`
  // runs in that thread.
  Status suspend_for_operation(Task task, uint64_t most_ms, uint16_t route, uint32_t thread);
  // Runs `route` in `group`, or (kOwnThread) in the receiver that the call came in by.
  Status continue_with(Task task, uint16_t route, uint16_t group);
  // A task that has just begun to run, and for which no script is needed. True: it has been dealt with.
  bool runs_without_script(Task task);

  // A message of ours that no connection could be had for. The branch whose request it is has failed at this address; all
  // others that went there may still be answered, by whatever connection.
  void undelivered(const char* data, size_t size);

  // Any thread: ends a call from outside its route with a final reply of ours (CANCEL, shutdown, a thread that died).
  Status conclude(Task task, uint16_t code, std::string_view reason, uint64_t flags);
  // Everything that waits or runs gets this reply; returns how many did.
  uint32_t conclude_all(uint16_t code, std::string_view reason);
  // A JavaScript thread ended: what it was running, and what slept in it, gets 500.
  uint32_t thread_gone(uint32_t thread);
  // New requests get 503 from now on; retransmissions, ACK and CANCEL are served.
  void stop_intake() { draining_.store(true, std::memory_order_relaxed); }

  // The variables of a transaction, bytes that only the script can read. By the thread that runs its route; what is saved
  // is there for whoever runs it next. kPayloadTooLarge, kSlotsExhausted (no memory), kStaleHandle.
  Status save_variables(Task task, std::string_view bytes);
  std::string_view variables(Task task) const;
  // A branch's call's, copied, and saved for it, while it has no final reply. By the thread that runs the branch's route; the
  // call's own script may save at the same time, and the last one stays.
  std::string shared_variables(Task branch);
  void share_variables(Task branch, std::string_view bytes);
  // Whether a message belongs to a transaction.
  bool has_transaction(Task task);

  bool is_current(Task task) const { return slots_.is_current(task.index, task.generation); }
  // Gives `read` the stored request. `owner`: called by the thread that runs it, without a lock; otherwise `read` runs
  // under the lock and must only copy. False when the call has ended. Behind a data task or an event there is no request,
  // and they get a made-up one.
  template <class Read>
  bool with_request(Task task, bool owner, Read&& read);

  void on_slot_timer(uint32_t index, uint64_t now_tick) override;
  void before_suspension(Task task) override;

  // Messages that wait for a route, are in one, or wait for what they were sent on to.
  uint32_t in_script() const { return in_script_.load(std::memory_order_relaxed); }

  struct Counters {
    // Statistics, relaxed.
    std::atomic<uint64_t> completed{0};
    std::atomic<uint64_t> cancelled{0};
    std::atomic<uint64_t> timed_out{0};
    std::atomic<uint64_t> relayed{0};   // branches that were sent
    std::atomic<uint64_t> repeated{0};  // requests that were sent again by a timer
  };
  Counters counters;
  const TransactionConfig& config() const { return config_; }
  uint32_t open_transactions() const { return open_.load(std::memory_order_relaxed); }
  uint32_t open_branches() const { return branches_.load(std::memory_order_relaxed); }
  uint32_t open_raw() const { return raw_open_.load(std::memory_order_relaxed); }
  bool lanes_hold() const { return lanes_ == nullptr || lanes_->check_invariants(); }

 private:
  using Lock = TransactionTable::Lock;
  static constexpr uint8_t kTryingSent = 1;
  static constexpr uint8_t kMade = 2;  // t_newtran, or sent on
  static constexpr uint8_t kProvisionalSent = 8;
  // Longer than any message waits in a batch.
  static constexpr uint64_t kSoonMs = 50;
  static constexpr uint8_t kAdmitted = 4;  // of a raw message: see Incoming

  // What is done with a message that is well-formed, with or without an event route before it.
  bool take_in(const Incoming& incoming, const MessageIndex& index, const Hash128& key, Task& fresh);
  bool accept_raw(const Incoming& incoming, const Arrival& arrival, Task& fresh);
  // By which a request finds its transaction: an ACK and a CANCEL that of their INVITE.
  Hash128 key_of(const Incoming& incoming, const MessageIndex& index) const;
  void refuse_raw(const Incoming& incoming, const MessageIndex& index);
  bool take_stored(Task raw, Task& fresh);
  Status reply_raw(Task raw, uint16_t code, std::string_view reason, std::string_view extra_lines);
  void queue_raw(Task raw, uint16_t group);
  void unlink_raw(uint32_t index);
  void end_raw(Task raw);
  void release_raw(uint32_t index);
  bool conclude_raw(Task raw, uint16_t code, std::string_view reason);
  bool raw_thread_gone(Task raw, uint32_t thread);
  void forget_queues();

  // Asked once for each message that belongs to no transaction here and would be routed or answered.
  bool is_over_limit(const Incoming& incoming);
  bool on_request(const Incoming& incoming, const MessageIndex& index, const Hash128& key, Task& fresh);
  bool on_ack(const Incoming& incoming, const MessageIndex& index, const Hash128& key, Task& fresh);
  bool on_cancel(const Incoming& incoming, const MessageIndex& index, const Hash128& key, Task& fresh);
  bool accept(Lock& lock, const Incoming& incoming, const MessageIndex& index, const Hash128& key,
              Task& fresh);
  // Copies the message with its index; kNoPayload when there is no memory.
  core::PayloadRef store(const Incoming& incoming, const MessageIndex& index);
  void reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                         std::string_view reason, std::string_view to_tag, std::string_view extra_lines = {});
  void reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                         std::string_view reason);
  void send_trying(Task task);
  Status check_may_suspend(Task task);

  // Under the lock. The caller wakes the ticker afterwards when they return true.
  [[nodiscard]] bool arm(uint32_t index, uint64_t tick);
  [[nodiscard]] bool confirm(uint32_t index);
  // Stores the final reply and starts what follows; frees the one before, and cancels the branches that still ring.
  // `relayed`: a 2xx of another's, who repeats it himself.
  void complete(uint32_t index, core::PayloadRef reply, uint16_t code, Dispatch& out, bool relayed = false);
  void release(Lock& lock, uint32_t index);
  bool leave_script(Lock& lock, uint32_t index);
  void free_request(uint32_t index);

  // A final reply that is ready to be sent to the caller.
  struct Verdict {
    Task parent{core::kNone, 0};
    uint16_t code = 0;
    Hop to;
    bool is_relayed = false;
    bool is_invite = false;
    std::string bytes;
  };
  // A reply, ours or another's, while it is dealt with.
  struct ReplyView {
    const char* data;
    size_t size;
    const MessageIndex* index;
  };

  // Everything from here to the next blank line: under the lock of the call, unless it takes one itself.
  StoredBranch& branch_in(uint32_t index) {
    return *reinterpret_cast<StoredBranch*>(payloads_.data(slots_.at(index).data));
  }
  // nullptr when the call was never sent on.
  StoredCall* call_in(uint32_t index);
  // Makes it if need be; nullptr when there is no memory.
  StoredCall* make_call(uint32_t index);
  // The slot of the branch's call while that has no final reply, or kNone.
  uint32_t waiting_parent(const StoredBranch& branch) const;
  bool is_branch(Task task) const {
    return slots_.at(task.index).kind.load(std::memory_order_relaxed) == core::SlotKind::kBranch;
  }
  template <class Visit>
  void for_each_branch(uint32_t parent, Visit&& visit);

  Status check_may_relay(Task task);
  // The branch is running then, until send_branch().
  Status add_branch(Task task, const RelayRequest& request, bool has_route, uint32_t thread, Task& out);
  Status build_branch(const StoredMessage& source, const RelayRequest& request, Task branch, Hop& to,
                      core::PayloadRef& sent);
  Status send_branch(Task branch, core::PayloadRef sent, Status built, bool has_route);
  // Whom the certificate of a TLS server must name.
  std::string_view name_of(const StoredBranch& branch) const;
  core::PayloadRef readdressed(uint32_t index, const Hop& to);
  // The branch parameter of the attempt: what leads back to its slot, and the mark of the loop check.
  using BranchName = std::array<char, kBranchIdBytes + kLoopMarkBytes>;
  BranchName name_branch(uint32_t index, uint32_t generation, uint8_t attempt);
  size_t write_via(uint32_t socket, std::string_view branch, char* out) const;
  // The request as it leaves by `socket`; kMaxReplyBytes in `out`. 0: it cannot be built.
  size_t build_outgoing(const StoredMessage& source, const RelayRequest& request, const RoutePlan& plan,
                        uint32_t socket, std::string_view branch, char* out);
  void start_client(uint32_t index, Dispatch& out);
  bool try_next_hop(uint32_t index, Dispatch& out);
  void arm_branch(uint32_t index, Dispatch& out);
  void on_branch_timer(uint32_t index, uint64_t now_tick, Dispatch& out, Verdict& verdict);
  void give_up(uint32_t index, Dispatch& out, Verdict& verdict);
  void release_branch(uint32_t index);
  void send_ack(uint32_t index, const MessageIndex& reply, const char* data, Dispatch& out);
  void send_late_ack(uint32_t index, uint8_t attempt, const ReplyView& reply, const Hop& to, Dispatch& out);
  void send_cancel(uint32_t index, Dispatch& out);
  void cancel_branch(uint32_t index, Dispatch& out);
  void cancel_branches(uint32_t parent, Dispatch& out);
  void take_reply(uint32_t index, const ReplyView& reply, Dispatch& out, Verdict& verdict);
  void take_late_success(uint32_t index, const ReplyView& reply, Dispatch& out, Verdict& verdict);
  bool offer_reply(uint32_t index, const ReplyView& reply, Dispatch& out);
  void launch_reply_route(uint32_t index, Dispatch& out);
  void pass_on(uint32_t index, const ReplyView& reply, const MessageEdits& edits, Dispatch& out,
               Verdict& verdict);
  void pass_success(uint32_t index, const ReplyView& reply, const MessageEdits& edits, Dispatch& out,
                    Verdict& verdict);
  void end_branch(uint32_t index, uint16_t status, core::PayloadRef reply, Dispatch& out, Verdict& verdict);
  void decide(uint32_t parent, Dispatch& out, Verdict& verdict);
  uint32_t choose_branch(uint32_t parent);
  void write_verdict(uint32_t parent, uint32_t branch, Verdict& verdict);
  bool cancel_relayed(uint32_t parent, Dispatch& out, Verdict& verdict);
  void end_reply_run(Task branch, const MessageEdits& edits, bool drops);
  void finish_branch(Task branch, Outcome outcome);
  bool leaves_to_branches(Task task);

  // Of this thread.
  static std::string& unresolved_target();
  // The whole branch parameter of a request of ours; false when it is none, or not of this process.
  bool read_branch_name(std::string_view name, KeyMaker::BranchId& out) const;
  void on_response(const Incoming& incoming, const MessageIndex& index);
  void forward_stray(const Incoming& incoming, const MessageIndex& index);
  bool accept_cancel_event(const Incoming& incoming, const MessageIndex& index, Task& fresh);
  void keep_reason(uint32_t index, const Incoming& incoming, const MessageIndex& message);
  // Without the lock: sends the reply that was decided on, if nobody was quicker.
  void pronounce(Verdict& verdict);
  void conclude_with(Task task, uint64_t flags, uint16_t code, const char* bytes, size_t size, const Hop& to,
                     bool relayed, Status& status);
  bool branch_thread_gone(Task branch);
  // How long a transaction that is over absorbs what may still come: timers I and J.
  uint32_t wait_of(const core::Slot& slot) const;
  core::PayloadRef keep_reply(const char* data, size_t size, uint16_t code, const Hop& to);

  uint64_t tick_in(uint64_t delay_ms) const;
  bool has_faked_request(Task task) const {
    const auto kind = slots_.at(task.index).kind.load(std::memory_order_relaxed);
    return kind == core::SlotKind::kTask || kind == core::SlotKind::kEvent || kind == core::SlotKind::kLaunch;
  }
  bool is_message(Task task) const {
    return slots_.at(task.index).kind.load(std::memory_order_relaxed) == core::SlotKind::kMessage;
  }

  core::Engine& engine_;
  core::SlotTable& slots_;
  core::PayloadPool& payloads_;
  Transports& transport_;
  TransactionConfig config_;
  KeyMaker keys_;
  LoopCheck loops_;
  std::unique_ptr<SourceLimit> source_limit_;  // nullptr: no limit
  FakedRequest faked_;
  Listeners listeners_;
  TransactionTable table_;
  // Transactions in the table; relaxed, decides only on admission.
  std::atomic<uint32_t> open_{0};
  std::atomic<uint32_t> in_script_{0};   // relaxed, see in_script()
  std::atomic<uint32_t> branches_{0};    // relaxed; decides only on admission
  std::unique_ptr<core::Lanes> lanes_;   // nullptr: there is no core:pre-routing
  std::atomic<uint32_t> raw_open_{0};    // relaxed; decides only on admission
  std::atomic<bool> raw_closed_{false};  // set once at the end; relaxed, as draining_
  std::atomic<bool> draining_{false};  // set once at the end; relaxed, a request more or less does not matter
};

// The most that the variables of one transaction may take.
inline constexpr size_t kMaxVariablesBytes = 1u << 20;

// Room to build or copy a message in, one for each thread.
char* scratch_buffer();
inline constexpr size_t kScratchBytes = 65536;

template <class Visit>
void TransactionLayer::for_each_branch(uint32_t parent, Visit&& visit) {
  const StoredCall* call = call_in(parent);
  if (call == nullptr) return;
  for (uint32_t at = call->first_branch; at != 0; at = branch_in(at - 1).next) visit(at - 1);
}

template <class Read>
bool TransactionLayer::with_request(Task task, bool owner, Read&& read) {
  const bool has_no_slot = task.bits() == FakedRequest::kName.bits();
  if (!has_no_slot && !slots_.is_current(task.index, task.generation)) return false;
  if (has_no_slot || has_faked_request(task)) {
    read(faked_.request());
    return true;
  }
  if (owner) {
    const core::PayloadRef ref = slots_.at(task.index).request;
    if (ref == core::kNoPayload) return false;
    read(static_cast<const StoredMessage&>(message_in(payloads_, ref)));
    return true;
  }
  Lock lock(table_, task.index);
  if (!slots_.is_current(task.index, task.generation)) return false;
  const core::PayloadRef ref = slots_.at(task.index).request;
  if (ref == core::kNoPayload) return false;
  read(static_cast<const StoredMessage&>(message_in(payloads_, ref)));
  return true;
}

}  // namespace sip_async::sip
