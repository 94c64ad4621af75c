// A transaction layer with an engine and a socket, read by the test itself, and a peer. Timers are short: T1 20 ms,
// T2 80 ms, wait 100 ms.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/transaction_layer.h"
#include "test/support/sip_peer.h"
#include "test/support/stress.h"

namespace sip_async::test {

struct SipBedConfig {
  uint32_t slots = 256;
  uint64_t payload_bytes = 1 << 20;
  sip::TransactionConfig transactions = {.max_transactions = 128, .t1_ms = 20, .t2_ms = 80, .wait_ms = 100};
};

class SipBed {
 public:
  static constexpr uint16_t kGroup = 0;       // two workers
  static constexpr uint16_t kTightGroup = 1;  // refuses when one task waits
  static constexpr uint16_t kEmptyGroup = 2;  // no workers
  static constexpr uint32_t kReceiver = 0;

  explicit SipBed(const SipBedConfig& config = {})
      : engine({.slots = config.slots,
                .payload_bytes = config.payload_bytes,
                .receivers = 1,
                .groups = {{.name = "default", .workers = 2},
                           {.name = "tight", .workers = 1, .nonblock = true, .usleep_us = 0, .max_queue = 1},
                           {.name = "empty", .workers = 0}}}),
        transport(1),
        layer(engine, transport, config.transactions) {
    REQUIRE(transport.socket(0).open(loopback(), 1 << 22, false) == 0);
    layer.listeners().add(0, sip::Transport::kUdp, transport.socket(0).local());
    engine.start(&layer);
  }
  ~SipBed() { engine.stop(); }

  uint32_t worker(uint32_t number = 0) const { return engine.worker_thread(kGroup, number); }
  core::Run run_of(sip::Task task) { return engine.slots().word(task.index).run(); }

  // Sends it and has the layer read it; true when it is a new message.
  bool deliver(const std::string& text, sip::Task& fresh, bool loop_stalled = false) {
    peer.send(text, transport.socket(0).local());
    REQUIRE(readable_within(transport.socket(0), kReplyMs));
    REQUIRE(transport.socket(0).receive(batch_) == 1);
    return layer.receive(
        {batch_.data(0), batch_.size(0), sip::Hop{sip::Address::of(batch_.from(0))}, loop_stalled}, fresh);
  }
  sip::Task fresh(const std::string& text, bool loop_stalled = false) {
    sip::Task out{};
    REQUIRE(deliver(text, out, loop_stalled));
    return out;
  }
  void absorbed(const std::string& text) {
    sip::Task none{};
    CHECK_FALSE(deliver(text, none));
  }
  // A message whose route runs in the receiver.
  sip::Task run(const std::string& text) {
    const sip::Task task = fresh(text);
    begin(task);
    return task;
  }
  void begin(sip::Task task, uint32_t thread = kReceiver) {
    REQUIRE(engine.begin_run(task, thread, core::now_ns()) == core::Status::kOk);
  }
  sip::Status answer(sip::Task task, uint16_t code, bool stateless = false) {
    return layer.reply(task, code, {}, {}, stateless);
  }
  // A task that has come to the group's queue.
  sip::Task take(uint16_t group = kGroup) {
    sip::Task out{core::kNone, 0};
    REQUIRE(eventually([&] { return engine.group(group).take(&out, 1) == 1; }));
    return out;
  }
  sip::Task take_own(uint32_t thread) {
    sip::Task out{core::kNone, 0};
    REQUIRE(eventually([&] { return engine.take_inbox(thread, &out, 1) == 1; }));
    return out;
  }
  uint64_t absorbed_count() const { return transport.counters.retransmissions_absorbed.load(); }

  // Waits for the wait timers, and sees to it that nothing is left of any call.
  void check_all_zero() {
    CHECK(eventually([&] { return engine.slots().live() == 0; }));
    engine.stop();
    CHECK(layer.open_transactions() == 0);
    CHECK(layer.in_script() == 0);
    CHECK(engine.counters.suspended.load() == 0);
    CHECK(engine.payloads().blocks_in_use() == 0);
    CHECK(transport.counters.send_failed.load() == 0);
    CHECK(engine.check_invariants());
  }

  core::Engine engine;
  sip::UdpTransport transport;
  sip::TransactionLayer layer;
  Peer peer;

 private:
  sip::ReceiveBatch batch_;
};

}  // namespace sip_async::test
