// All ways out of an engine: UDP sockets of its own, one for each receiver, and the outbox for connections; and what is
// counted about the traffic.
//
// Ground rules
// - Any thread sends. UDP leaves from that very thread; what goes by a connection waits in the outbox for the thread that
//   owns the connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "sip/hop.h"
#include "sip/outbox.h"
#include "sip/send_scope.h"
#include "sip/udp_socket.h"

namespace sip_async::sip {

struct TransportCounters {
  // Statistics; any thread counts, stats() reads; relaxed, nothing is published through them.
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> sent{0};
  std::atomic<uint64_t> send_failed{0};
  std::atomic<uint64_t> retransmissions_absorbed{0};
  std::atomic<uint64_t> acks_absorbed{0};
  std::atomic<uint64_t> keep_alives{0};
  std::atomic<uint64_t> stray_responses{0};
  std::atomic<uint64_t> refused{0};           // 503 without a route: no slot left, or closing
  std::atomic<uint64_t> replies_refused{0};   // not taken in: no slot left, or closing
  std::atomic<uint64_t> limited{0};           // dropped: the source had no request left
  std::atomic<uint64_t> replies_not_kept{0};  // sent, but no block left to keep it for retransmissions
  std::atomic<uint64_t> stood_in{0};          // read by the stand-in thread
  std::atomic<uint64_t> malformed[static_cast<size_t>(IndexStatus::kCount)] = {};
};

class Transports {
 public:
  Transports(core::Engine& engine, uint32_t sockets) : sockets_(sockets), outbox_(engine) {
    for (auto& socket : sockets_) socket = std::make_unique<UdpSocket>();
    for (uint32_t i = 0; i < engine.thread_count(); ++i)
      batches_.push_back(std::make_unique<SendBatch>(*this));
  }
  uint32_t size() const { return static_cast<uint32_t>(sockets_.size()); }
  UdpSocket& socket(uint32_t number) { return *sockets_[number]; }

  Outbox& outbox() { return outbox_; }
  // Of one JavaScript thread.
  SendBatch& batch(uint32_t thread) { return *batches_[thread]; }
  uint32_t batch_count() const { return static_cast<uint32_t>(batches_.size()); }
  // Whom a batch with something in it wakes; before the first is used.
  void set_watcher(core::Wakeable* watcher) { watcher_ = watcher; }
  void watch() {
    if (watcher_ != nullptr) watcher_->wake();
  }
  // What this thread has sent is with the kernel when this returns.
  void flush() {
    if (SendBatch* batch = SendScope::batch_of(*this)) batch->flush();
  }

  // `server_name`: whom the certificate must name when a TLS connection has to be opened for this; without it, the address.
  void send(const char* data, size_t size, const Hop& to, std::string_view server_name = {}) {
    // Counted first: whoever has got a message finds it in the statistics.
    counters.sent.fetch_add(1, std::memory_order_relaxed);
    if (!(to.transport == Transport::kUdp ? send_udp(data, size, to)
                                          : outbox_.push(data, size, to, server_name)))
      count_failed();
  }
  void count_failed() {
    counters.sent.fetch_sub(1, std::memory_order_relaxed);
    counters.send_failed.fetch_add(1, std::memory_order_relaxed);
  }

  TransportCounters counters;

 private:
  bool send_udp(const char* data, size_t size, const Hop& to) {
    SendBatch* batch = SendScope::batch_of(*this);
    return (batch != nullptr && batch->add(to.socket, data, size, to.address, core::now_ns())) ||
           sockets_[to.socket]->send(data, size, to.address);
  }

  std::vector<std::unique_ptr<UdpSocket>> sockets_;
  std::vector<std::unique_ptr<SendBatch>> batches_;
  core::Wakeable* watcher_ = nullptr;
  Outbox outbox_;
};

}  // namespace sip_async::sip
