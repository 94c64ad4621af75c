// An engine with sockets: numbering, reading in batches, handing over, and the way of a call from its request to the
// reply of another thread.
#include <doctest/doctest.h>

#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sip/sip_engine.h"
#include "test/support/sip_peer.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using core::Status;
using sip::Address;
using sip::Outcome;
using sip::SipEngine;
using sip::SipEngineConfig;
using sip::Task;
using test::eventually;
using test::numbered;
using test::SipRequest;

namespace {

SipEngineConfig configured(uint32_t receivers = 1, uint32_t addresses = 1) {
  return {.transactions = {.max_transactions = 256, .t1_ms = 100, .t2_ms = 200, .wait_ms = 100},
          .receivers = receivers,
          .addresses = addresses,
          .groups = {{.name = "default", .workers = 2}}};
}

void drop(SipEngine& engine, Task task, uint32_t thread = 0) {
  REQUIRE(engine.engine().begin_run(task, thread, now_ns()) == Status::kOk);
  engine.transactions().finish(task, Outcome::kDropped);
}

// Stopped already: no thread uses it any more.
void check_all_zero(SipEngine& engine) {
  CHECK(engine.transactions().in_script() == 0);
  CHECK(engine.transactions().open_transactions() == 0);
  CHECK(engine.engine().counters.suspended.load() == 0);
  CHECK(engine.engine().slots().live() == 0);
  CHECK(engine.engine().payloads().blocks_in_use() == 0);
  CHECK(engine.engine().check_invariants());
}
void drain(SipEngine& engine) {
  CHECK(eventually([&] { return engine.engine().slots().live() == 0; }));
  engine.stop();
  check_all_zero(engine);
}

}  // namespace

TEST_CASE("listen tells what the system said") {
  SipEngine first(configured()), second(configured());
  REQUIRE(first.listen(0, test::loopback(), 1 << 20, false) == 0);
  const Address taken = first.transport().socket(0).local();
  CHECK(taken.port != 0);
  CHECK(second.listen(0, taken, 1 << 20, false) == EADDRINUSE);
  Address foreign;
  REQUIRE(Address::parse("192.0.2.1", 0, foreign));
  CHECK(second.listen(0, foreign, 1 << 20, false) == EADDRNOTAVAIL);
  first.stop();
  CHECK(first.transport().socket(0).fd() == -1);
  CHECK(second.listen(0, taken, 1 << 20, false) == 0);
}

TEST_CASE("the loop reads one batch at a time and is told whether there is more") {
  SipEngine engine(configured());
  REQUIRE(engine.listen(0, test::loopback(), 1 << 22, false) == 0);
  // Not started: nobody stands in, and the loop has the socket for itself.
  test::Peer peer;
  for (uint64_t i = 0; i < 100; ++i)
    peer.send(numbered(i, "OPTIONS").text(), engine.transport().socket(0).local());
  peer.send(numbered(3, "OPTIONS").text(), engine.transport().socket(0).local());
  std::vector<Task> tasks;
  const auto deliver = [&](Task fresh) { tasks.push_back(fresh); };
  CHECK(engine.read(0, deliver));
  CHECK(tasks.size() == 64);
  CHECK_FALSE(engine.read(0, deliver));
  CHECK(tasks.size() == 100);
  CHECK_FALSE(engine.read(0, deliver));
  CHECK(engine.transport().counters.received.load() == 101);
  CHECK(engine.transport().counters.retransmissions_absorbed.load() == 1);
  CHECK(engine.transport().counters.stood_in.load() == 0);
  std::set<std::string> ids;
  for (const Task task : tasks) {
    engine.transactions().with_request(task, false, [&](const sip::StoredMessage& stored) {
      CHECK(ids.insert(std::string(stored.index.call_id.of(stored.data()))).second);
    });
    drop(engine, task);
  }
  CHECK(ids.size() == 100);
  engine.start();
  drain(engine);
}

TEST_CASE(
    "several receivers and addresses: socket = address * receivers + receiver, and replies leave where it "
    "came in") {
  constexpr uint32_t kReceivers = 2, kAddresses = 3;
  SipEngine engine(configured(kReceivers, kAddresses));
  REQUIRE(engine.receivers() == kReceivers);
  REQUIRE(engine.transport().size() == kReceivers * kAddresses);
  for (uint32_t address = 0; address < kAddresses; ++address) {
    Address local = test::loopback();
    for (uint32_t receiver = 0; receiver < kReceivers; ++receiver) {
      const uint32_t socket = address * kReceivers + receiver;
      REQUIRE(engine.listen(socket, local, 1 << 20, true) == 0);
      CHECK(engine.receiver_of(socket) == receiver);
      local = engine.transport().socket(socket).local();
    }
  }
  uint64_t number = 0;
  for (uint32_t address = 0; address < kAddresses; ++address) {
    const Address to = engine.transport().socket(address * kReceivers).local();
    // Which of the two gets it is the kernel's choice by the sender's port.
    for (int i = 0; i < 12; ++i) {
      test::Peer peer;
      peer.send(numbered(++number, "OPTIONS").text(), to);
      std::vector<Task> fresh;
      for (uint32_t receiver = 0; receiver < kReceivers; ++receiver) {
        engine.read(address * kReceivers + receiver, [&](Task task) {
          CHECK(engine.transactions().with_request(task, false, [&](const sip::StoredMessage& stored) {
            CHECK(stored.from.socket == address * kReceivers + receiver);
          }));
          fresh.push_back(task);
        });
      }
      REQUIRE(fresh.size() == 1);
      REQUIRE(engine.engine().begin_run(fresh[0], 0, now_ns()) == Status::kOk);
      REQUIRE(engine.transactions().reply(fresh[0], 404, {}, {}, true) == Status::kOk);
      engine.transactions().finish(fresh[0], Outcome::kEnded);
      sockaddr_storage from;
      CHECK(test::code_of(peer.receive_from(from)) == 404);
      CHECK(Address::of(from).port == to.port);
    }
  }
  engine.stop();
  check_all_zero(engine);
}

TEST_CASE("what is read for a receiver goes to its inbox; when that is full, 503") {
  SipEngine engine(configured(2));
  Address local = test::loopback();
  REQUIRE(engine.listen(0, local, 1 << 20, true) == 0);
  REQUIRE(engine.listen(1, test::loopback(), 1 << 20, true) == 0);
  test::Peer peer;
  CHECK(engine.read_for(1) == 0);
  peer.send(numbered(1).text(), engine.transport().socket(1).local());
  CHECK(engine.read_for(0) == 0);
  CHECK(engine.read_for(1) == 1);
  peer.expect(100);
  CHECK(engine.engine().inbox_empty(0));
  Task task{};
  REQUIRE(engine.engine().take_inbox(1, &task, 1) == 1);
  drop(engine, task, 1);

  uint32_t filled = 0;
  while (engine.engine().post(1, Task{core::kNone, 0})) ++filled;
  CHECK(filled >= engine.engine().slots().size());
  const SipRequest invite = numbered(2);
  peer.send(invite.text(), engine.transport().socket(1).local());
  CHECK(engine.read_for(1) == 1);
  peer.expect(100);
  const std::string refused = peer.expect(503);
  CHECK(test::header_of(refused, "Retry-After") == "5");
  CHECK(engine.transport().counters.refused.load() == 1);
  CHECK(engine.transport().counters.stood_in.load() == 2);
  CHECK(engine.transactions().in_script() == 0);
  // The rest of the process goes on.
  peer.send(invite.ack(test::to_tag_of(refused)).text(), engine.transport().socket(1).local());
  CHECK(engine.read_for(1) == 1);
  CHECK(engine.transport().counters.acks_absorbed.load() == 1);
  engine.start();
  drain(engine);
}

TEST_CASE("two receivers and the stand-in on one address: every message comes once") {
  SipEngine engine(configured(2));
  REQUIRE(engine.listen(0, test::loopback(), 1 << 22, true) == 0);
  const Address to = engine.transport().socket(0).local();
  REQUIRE(engine.listen(1, to, 1 << 22, true) == 0);
  engine.start();
  const uint64_t messages = test::rounds(2000);
  std::atomic<uint64_t> seen{0};
  const uint64_t end_ns = now_ns() + test::kGuardNs;
  test::run_together(3, [&](uint32_t thread) {
    if (thread == 2) {
      std::vector<test::Peer> peers(4);
      for (uint64_t i = 0; i < messages; ++i) {
        peers[i % 4].send(numbered(i, "OPTIONS").text(), to);
        if (i % 16 == 15) test::sleep_us(500);
      }
      return;
    }
    const auto handle = [&](Task task) {
      seen.fetch_add(1);
      CHECK(engine.engine().begin_run(task, thread, now_ns()) == Status::kOk);
      CHECK(engine.transactions().reply(task, 200, {}, {}, true) == Status::kOk);
      engine.transactions().finish(task, Outcome::kEnded);
    };
    for (uint32_t turn = 0; seen.load() < messages && now_ns() < end_ns; ++turn) {
      engine.note_round(thread);
      while (engine.read(thread, handle)) {
      }
      Task tasks[64];
      const uint32_t got = engine.engine().take_inbox(thread, tasks, 64);
      for (uint32_t i = 0; i < got; ++i) handle(tasks[i]);
      // Receiver 1 hangs now and then.
      test::sleep_us(thread == 1 && turn % 50 == 0 ? 25'000 : 200);
    }
  });
  CHECK(seen.load() == messages);
  CHECK(engine.transport().counters.received.load() == messages);
  CHECK(engine.transport().counters.retransmissions_absorbed.load() == 0);
  CHECK(engine.transport().counters.sent.load() == messages);
  drain(engine);
}

TEST_CASE("a suspended INVITE: 100 at once, the reply on time from a worker's thread") {
  SipEngine engine(configured());
  REQUIRE(engine.listen(0, test::loopback(), 1 << 22, false) == 0);
  engine.start();
  constexpr uint64_t kCalls = 40;
  std::atomic<uint64_t> answered{0};
  const uint64_t end_ns = now_ns() + test::kGuardNs;
  std::vector<test::ParkedThread> parked(2);
  std::vector<std::thread> workers;
  for (uint32_t number = 0; number < 2; ++number) {
    core::WorkerGroup& group = engine.engine().group(0);
    group.attach(number, &parked[number]);
    workers.emplace_back([&, number] {
      while (answered.load() < kCalls && now_ns() < end_ns) {
        Task task{};
        if (group.take(&task, 1) == 1) {
          REQUIRE(engine.engine().begin_run(task, engine.engine().worker_thread(0, number), now_ns()) ==
                  Status::kOk);
          CHECK(engine.engine().slots().at(task.index).route == 7);
          CHECK(engine.transactions().reply(task, 404, "Not found", {}, false) == Status::kOk);
          CHECK_FALSE(engine.transactions().finish(task, Outcome::kEnded));
          answered.fetch_add(1);
        } else if (group.go_idle(number)) {
          parked[number].park_for_ms(50);
          group.leave_idle(number);
        }
      }
    });
  }
  test::Peer peer;
  const Address to = engine.transport().socket(0).local();
  std::vector<uint64_t> sent_ns(kCalls);
  for (uint64_t i = 0; i < kCalls; ++i) {
    sent_ns[i] = now_ns();
    peer.send(numbered(i).text(), to);
    uint64_t fresh = 0;
    engine.note_round(0);
    engine.read(0, [&](Task task) {
      ++fresh;
      REQUIRE(engine.engine().begin_run(task, 0, now_ns()) == Status::kOk);
      REQUIRE(engine.transactions().suspend_until(task, 1 + i, 1, 7, 0, 0) == Status::kOk);
      engine.transactions().finish(task, Outcome::kSuspended);
    });
    CHECK(fresh == 1);
  }
  std::vector<int> tryings(kCalls, 0), finals(kCalls, 0);
  for (uint64_t have = 0; have < kCalls;) {
    const std::string reply = peer.receive();
    REQUIRE_FALSE(reply.empty());
    const auto call = static_cast<size_t>(std::stoul(test::header_of(reply, "Call-ID")));
    REQUIRE(call < kCalls);
    if (test::code_of(reply) == 100) {
      ++tryings[call];
      continue;
    }
    CHECK(reply.rfind("SIP/2.0 404 Not found\r\n", 0) == 0);
    if (++finals[call] > 1) continue;  // repeated by timer G
    ++have;
    CHECK(now_ns() - sent_ns[call] >= (1 + call) * kNsPerMs);
    peer.send(numbered(call).ack(test::to_tag_of(reply)).text(), to);
    engine.note_round(0);
    engine.read(0, [](Task) { FAIL("an ACK that is not absorbed"); });
  }
  for (std::thread& worker : workers) worker.join();
  for (uint64_t i = 0; i < kCalls; ++i) CHECK(tryings[i] == 1);
  CHECK(answered.load() == kCalls);
  CHECK(engine.transactions().counters.completed.load() == kCalls);
  CHECK(engine.transactions().counters.timed_out.load() == 0);
  for (uint32_t number = 0; number < 2; ++number) engine.engine().group(0).detach(number, &parked[number]);
  drain(engine);
}

TEST_CASE("it ends with calls in every state, answered by conclude_all") {
  SipEngine engine(configured());
  REQUIRE(engine.listen(0, test::loopback(), 1 << 22, false) == 0);
  test::Peer peer;
  for (uint64_t i = 0; i < 4; ++i)
    peer.send(numbered(i, "OPTIONS").text(), engine.transport().socket(0).local());
  std::vector<Task> tasks;
  engine.read(0, [&](Task task) { tasks.push_back(task); });
  REQUIRE(tasks.size() == 4);
  engine.start();
  for (uint64_t i = 1; i < 4; ++i) REQUIRE(engine.engine().begin_run(tasks[i], 0, now_ns()) == Status::kOk);
  REQUIRE(engine.transactions().suspend_until(tasks[2], 3'600'000, 1, 1, 0, 0) == Status::kOk);
  REQUIRE(engine.transactions().suspend_now(tasks[3], 1, 0) == Status::kOk);
  CHECK(engine.transactions().in_script() == 4);
  engine.transactions().stop_intake();
  CHECK(engine.transactions().conclude_all(503, {}) == 4);
  for (int i = 0; i < 4; ++i) peer.expect(503);
  engine.transactions().finish(tasks[1], Outcome::kEnded);
  CHECK(engine.transactions().in_script() == 0);
  engine.stop();
  // The wait timers were still to come.
  CHECK(engine.transactions().open_transactions() == 4);
  CHECK(engine.engine().check_invariants());
}
