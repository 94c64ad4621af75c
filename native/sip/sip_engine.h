// The SIP engine: an engine with sockets. What a proxy is on the native side.
//
// Ground rules
// - Built and taken down by one thread. listen() before start(), close() once nobody calls anything any more.
// - A receiver is a JavaScript thread; it has one socket for each address that is listened on. Sockets are numbered
//   address by address: socket = address * receivers + receiver. An address of a stream has the number of receiver 0,
//   and no descriptor here.
// - A receiver's loop reads its sockets with read(); the stand-in thread does when the loop has not come round. Both may
//   read at the same time, each with its own batch.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/data_task.h"
#include "core/engine.h"
#include "core/operations.h"
#include "sip/transaction_layer.h"
#include "sip/transports.h"

namespace sip_async::sip {

class StandIn;

struct SipEngineConfig {
  TransactionConfig transactions;
  uint32_t receivers = 1;
  uint32_t addresses = 1;
  std::vector<core::GroupConfig> groups;
};

class SipEngine {
 public:
  explicit SipEngine(const SipEngineConfig& config);
  ~SipEngine();

  // Opens one receiver's socket for one address: 0 or an errno. `share` when several receivers have the same address.
  // `advertised`: the host that others know it by, or empty.
  int listen(uint32_t socket, const Address& local, uint32_t receive_buffer_bytes, bool share,
             std::string_view advertised = {});
  // Makes known what a socket number of a stream listener stands for; its socket is not ours.
  void listen_stream(uint32_t socket, Transport transport, const Address& local,
                     std::string_view advertised = {}) {
    transactions_.listeners().add(socket, transport, local, advertised);
  }
  void start();
  // Ends the threads and closes the sockets. Nothing is answered here; see TransactionLayer::conclude_all.
  void stop();

  core::Engine& engine() { return engine_; }
  TransactionLayer& transactions() { return transactions_; }
  core::DataTasks& tasks() { return tasks_; }
  core::OperationCounters& operations() { return operations_; }
  Transports& transport() { return transport_; }
  StandIn& stand_in() { return *stand_in_; }

  uint32_t receivers() const { return static_cast<uint32_t>(receivers_.size()); }
  uint32_t receiver_of(uint32_t socket) const { return socket % receivers(); }

  // By the receiver's loop: reads one batch and hands each new message to `deliver(Task)`. False when that emptied the
  // socket. With core:pre-routing it reads nothing while the inbox holds what the stand-in has read before, and is to be
  // called again.
  template <class Deliver>
  bool read(uint32_t socket, Deliver&& deliver);
  // By the thread that owns the connections: one message of a stream. A new request goes to the receivers in turn.
  void receive(const Incoming& incoming);
  // By the stand-in: the same, handing new messages to the receiver's inbox. Returns how many datagrams there were.
  uint32_t read_for(uint32_t socket);

  // How often the receiver's loop has come round; the stand-in watches it.
  uint64_t rounds(uint32_t receiver) const {
    return receivers_[receiver]->rounds.load(std::memory_order_relaxed);
  }
  void note_round(uint32_t receiver) { receivers_[receiver]->rounds.fetch_add(1, std::memory_order_relaxed); }

 private:
  struct Receiver {
    ReceiveBatch batch;
    // With core:pre-routing, whose messages keep their order: held while a batch is read, by the stand-in until it is in the
    // inbox. No script runs under it.
    std::mutex reading;
    // Written by the receiver's loop, read by the stand-in. Relaxed: only whether it moved counts.
    alignas(core::kCacheLine) std::atomic<uint64_t> rounds{0};
  };

  core::Engine engine_;
  Transports transport_;
  TransactionLayer transactions_;
  core::DataTasks tasks_;
  core::OperationCounters operations_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
  uint32_t next_receiver_ = 0;  // for messages of streams
  ReceiveBatch stand_in_batch_;
  std::unique_ptr<StandIn> stand_in_;
};

template <class Deliver>
bool SipEngine::read(uint32_t socket, Deliver&& deliver) {
  ReceiveBatch& batch = receivers_[receiver_of(socket)]->batch;
  uint32_t count = 0;
  if (transactions_.has_pre_routing()) {
    std::lock_guard order(receivers_[receiver_of(socket)]->reading);
    if (!engine_.inbox_empty(receiver_of(socket))) return true;
    count = transport_.socket(socket).receive(batch);
  } else {
    count = transport_.socket(socket).receive(batch);
  }
  const auto incoming = [&](uint32_t i) {
    return Incoming{batch.data(i), batch.size(i),
                    Hop{Address::of(batch.from(i)), 0, static_cast<uint16_t>(socket)}, false};
  };
  Arrival arrivals[2];
  if (count != 0) transactions_.look_at(incoming(0), arrivals[0]);
  for (uint32_t i = 0; i < count; ++i) {
    // One ahead: what it asks for is there when its turn comes.
    if (i + 1 < count) transactions_.look_at(incoming(i + 1), arrivals[(i + 1) % 2]);
    Task fresh{};
    if (transactions_.receive(incoming(i), arrivals[i % 2], fresh)) deliver(fresh);
  }
  return count == ReceiveBatch::kMessages;
}

}  // namespace sip_async::sip
