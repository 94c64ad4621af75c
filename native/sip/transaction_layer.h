// Server transactions (RFC 3261 section 17.2, RFC 6026) on the engine's slots.
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
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/engine.h"
#include "sip/faked_request.h"
#include "sip/reply_builder.h"
#include "sip/stored_message.h"
#include "sip/transaction_key.h"
#include "sip/transaction_table.h"
#include "sip/transports.h"

namespace sip_async::sip {

using core::Status;
using core::Task;

enum class Phase : uint8_t { kNone, kOpen, kAccepted, kCompleted, kConfirmed, kStateless, kOver };

struct TransactionConfig {
  uint32_t max_transactions = 0;
  uint32_t max_message_bytes = kMaxMessageBytes;
  uint32_t t1_ms = 500;
  uint32_t t2_ms = 4000;
  uint32_t wait_ms = 5000;  // wt_timer: timers I and J
  bool auto_100 = true;
};

// One message as it came in: a datagram, or what a stream was cut into.
struct Incoming {
  const char* data;
  size_t size;
  Hop from;
  bool loop_stalled;  // read by the stand-in: the route will not run for a while
};

// How a run of a route ended. Pending: an asynchronous handler goes on. Suspended: the call is elsewhere now.
enum class Outcome : uint8_t { kPending = 0, kEnded = 1, kThrew = 2, kDropped = 3, kSuspended = 4 };

class TransactionLayer : public core::Engine::Handler {
 public:
  TransactionLayer(core::Engine& engine, Transports& transport, const TransactionConfig& config);

  // Receiver side. True: `fresh` is a new message for requestRoute, and the caller hands it to a thread.
  bool receive(const Incoming& incoming, Task& fresh);
  // A stream cannot be cut any further behind this request, of which only the headers are there: answers it if it can be.
  void reject_framing(const Incoming& incoming, uint16_t code, std::string_view reason);
  // A connection has ended; nothing comes from it or goes to it any more.
  void flow_closed(uint32_t) {}
  // No connection to this place could be opened.
  void hop_failed(const Hop&) {}
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
  // Ends a run. A call that has no final reply and was not dropped gets 500; true when that was sent.
  bool finish(Task task, Outcome outcome);

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

  bool is_current(Task task) const { return slots_.is_current(task.index, task.generation); }
  // Gives `read` the stored request. `owner`: called by the thread that runs it, without a lock; otherwise `read` runs
  // under the lock and must only copy. False when the call has ended. Behind a data task or an event there is no request,
  // and they get a made-up one.
  template <class Read>
  bool with_request(Task task, bool owner, Read&& read);

  void on_slot_timer(uint32_t index, uint64_t now_tick) override;
  void before_suspension(Task task) override {
    if (is_message(task)) send_trying(task);
  }

  // Messages that wait for a route or are in one.
  uint32_t in_script() const { return in_script_.load(std::memory_order_relaxed); }

  struct Counters {
    // Statistics, relaxed.
    std::atomic<uint64_t> completed{0};
    std::atomic<uint64_t> cancelled{0};
    std::atomic<uint64_t> timed_out{0};
  };
  Counters counters;
  const TransactionConfig& config() const { return config_; }
  uint32_t open_transactions() const { return open_.load(std::memory_order_relaxed); }

 private:
  using Lock = TransactionTable::Lock;
  static constexpr uint8_t kTryingSent = 1;
  static constexpr uint8_t kMade = 2;  // t_newtran, or suspended before

  bool on_request(const Incoming& incoming, const MessageIndex& index, Task& fresh);
  bool on_ack(const Incoming& incoming, const MessageIndex& index, Task& fresh);
  void on_cancel(const Incoming& incoming, const MessageIndex& index);
  bool accept(Lock& lock, const Incoming& incoming, const MessageIndex& index, const Hash128& key,
              Task& fresh);
  void reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                         std::string_view reason, std::string_view to_tag, std::string_view extra_lines = {});
  void reply_statelessly(const Incoming& incoming, const MessageIndex& index, uint16_t code,
                         std::string_view reason);
  void send_trying(Task task);
  Status check_may_suspend(Task task);

  // Under the lock. The caller wakes the ticker afterwards when they return true.
  [[nodiscard]] bool arm(uint32_t index, uint64_t tick);
  [[nodiscard]] bool confirm(uint32_t index);
  // Stores the final reply and starts what follows; frees the one before.
  [[nodiscard]] bool complete(uint32_t index, core::PayloadRef reply, uint16_t code);
  void release(Lock& lock, uint32_t index);
  void free_request(uint32_t index);
  // How long a transaction that is over absorbs what may still come: timers I and J.
  uint32_t wait_of(const core::Slot& slot) const;
  core::PayloadRef keep_reply(const char* data, size_t size, uint16_t code, const Hop& to);

  uint64_t tick_in(uint64_t delay_ms) const;
  bool is_message(Task task) const {
    return slots_.at(task.index).kind.load(std::memory_order_relaxed) == core::SlotKind::kMessage;
  }

  core::Engine& engine_;
  core::SlotTable& slots_;
  core::PayloadPool& payloads_;
  Transports& transport_;
  TransactionConfig config_;
  KeyMaker keys_;
  FakedRequest faked_;
  TransactionTable table_;
  // Transactions in the table; relaxed, decides only on admission.
  std::atomic<uint32_t> open_{0};
  std::atomic<uint32_t> in_script_{0};  // relaxed, see in_script()
  std::atomic<bool> draining_{false};  // set once at the end; relaxed, a request more or less does not matter
};

// The most that the variables of one transaction may take.
inline constexpr size_t kMaxVariablesBytes = 1u << 20;

// Room to build or copy a message in, one for each thread.
char* scratch_buffer();
inline constexpr size_t kScratchBytes = 65536;

template <class Read>
bool TransactionLayer::with_request(Task task, bool owner, Read&& read) {
  if (!slots_.is_current(task.index, task.generation)) return false;
  if (!is_message(task)) {
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
