// Send batches: what is gathered arrives whole, once and in order; what cannot be sent is counted; what waits behind a thread
// that is stuck is sent for it.
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sip/send_scope.h"
#include "sip/sip_engine.h"
#include "sip/stand_in.h"
#include "test/support/seed.h"
#include "test/support/sip_peer.h"
#include "test/support/stress.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using sip::Address;
using sip::Hop;
using sip::SendBatch;
using sip::SendScope;
using test::eventually;

namespace {

constexpr uint32_t kThread = 1;

struct Bed {
  Bed()
      : engine({.transactions = {.max_transactions = 64},
                .receivers = 1,
                .addresses = 2,
                .groups = {{.name = "default", .workers = 1}}}) {
    for (uint32_t i = 0; i < 2; ++i) REQUIRE(engine.listen(i, test::loopback(), 1 << 22, false) == 0);
  }

  sip::Transports& out() { return engine.transport(); }
  SendBatch& batch() { return out().batch(kThread); }
  uint64_t sent() { return out().counters.sent.load(); }
  uint64_t failed() { return out().counters.send_failed.load(); }
  void send(const std::string& text, const Address& to, uint16_t socket = 0) {
    out().send(text.data(), text.size(), Hop{.address = to, .socket = socket});
  }

  sip::SipEngine engine;
  test::Peer peer;
};

uint16_t port_of(const sockaddr_storage& from) {
  return Address::of(from).port;
}

Address ipv6_loopback() {
  Address out;
  REQUIRE(Address::parse("::1", 9, out));
  return out;
}

}  // namespace

TEST_CASE("without a scope a message leaves at once, within one at its end") {
  Bed bed;
  bed.send("alone", bed.peer.address());
  CHECK(bed.peer.receive() == "alone");
  {
    SendScope scope(bed.out(), bed.batch());
    bed.send("first", bed.peer.address());
    bed.send("second", bed.peer.address());
    CHECK(bed.batch().waits());
    CHECK(bed.sent() == 3);
    bed.peer.expect_silence();
    scope.close();
    CHECK(bed.peer.receive() == "first");
    CHECK(bed.peer.receive() == "second");
    bed.send("behind", bed.peer.address());
    CHECK(bed.peer.receive() == "behind");
  }
  CHECK(!bed.batch().waits());
  CHECK(bed.failed() == 0);
}

TEST_CASE("a scope is its own engine's, and an inner one gives way to the outer") {
  Bed bed;
  Bed other;
  SendScope scope(bed.out(), bed.batch());
  other.send("other engine", other.peer.address());
  CHECK(other.peer.receive() == "other engine");
  {
    SendScope inner(bed.out(), bed.out().batch(0));
    bed.send("inner", bed.peer.address());
    CHECK(!bed.batch().waits());
  }
  CHECK(bed.peer.receive() == "inner");
  bed.send("outer", bed.peer.address());
  CHECK(bed.batch().waits());
  bed.out().flush();
  CHECK(bed.peer.receive() == "outer");
}

TEST_CASE("a batch sends what it has when it is full, too large or too old") {
  Bed bed;
  SendBatch& batch = bed.batch();
  const Address& to = bed.peer.address();
  for (uint32_t i = 0; i < SendBatch::kMessages; ++i) CHECK(batch.add(0, "x", 1, to, 1000));
  bed.peer.expect_silence();
  CHECK(batch.add(0, "y", 1, to, 1000));
  for (uint32_t i = 0; i < SendBatch::kMessages; ++i) CHECK(bed.peer.receive() == "x");
  bed.peer.expect_silence();

  CHECK(batch.add(0, "z", 1, to, 1000 + SendBatch::kMostWaitNs));
  bed.peer.expect_silence();
  CHECK(batch.add(0, "later", 5, to, 1001 + SendBatch::kMostWaitNs));
  CHECK(bed.peer.receive() == "y");
  CHECK(bed.peer.receive() == "z");
  bed.peer.expect_silence();

  const std::string large(40'000, 'l');
  CHECK(batch.add(0, large.data(), large.size(), to, 1002 + SendBatch::kMostWaitNs));
  CHECK(batch.add(0, large.data(), large.size(), to, 1003 + SendBatch::kMostWaitNs));
  CHECK(bed.peer.receive() == "later");
  CHECK(bed.peer.receive() == large);
  const std::string too_large(SendBatch::kBytes + 1, 'l');
  CHECK(!batch.add(0, too_large.data(), too_large.size(), to, 1000));
  batch.flush();
  CHECK(bed.peer.receive() == large);
  bed.peer.expect_silence();
}

TEST_CASE("only what has waited long enough is flushed for others") {
  Bed bed;
  CHECK(bed.batch().add(0, "x", 1, bed.peer.address(), 5000));
  bed.batch().flush_older_than(4999);
  bed.peer.expect_silence();
  bed.batch().flush_older_than(5000);
  CHECK(bed.peer.receive() == "x");
  CHECK(!bed.batch().waits());
}

TEST_CASE("a destination that cannot be reached takes no other message with it, and is counted") {
  Bed bed;
  {
    SendScope scope(bed.out(), bed.batch());
    bed.send("before", bed.peer.address());
    // From a socket of the other family: one, and three of one size, which would be one message to the kernel.
    bed.send("lost", ipv6_loopback());
    bed.send("between", bed.peer.address(), 1);
    for (int i = 0; i < 3; ++i) bed.send("gone", ipv6_loopback());
    bed.send("behind", bed.peer.address());
  }
  std::map<std::string, int> seen;
  for (int i = 0; i < 3; ++i) ++seen[bed.peer.receive()];
  CHECK(seen == std::map<std::string, int>{{"before", 1}, {"between", 1}, {"behind", 1}});
  bed.peer.expect_silence();
  CHECK(bed.sent() == 3);
  CHECK(bed.failed() == 4);
}

// Against a model that is a list for each pair of socket and destination: all sizes, runs of one size, which the kernel gets as
// one, and runs whose last is shorter.
TEST_CASE(
    "random messages to several peers arrive whole, once, in the order of each, from the right socket") {
  Bed bed;
  test::Random random(1);
  std::vector<std::unique_ptr<test::Peer>> peers;
  for (int i = 0; i < 12; ++i) peers.push_back(std::make_unique<test::Peer>());
  for (int round = 0; round < 60; ++round) {
    std::map<std::pair<size_t, uint16_t>, std::vector<std::string>> expected;
    {
      SendScope scope(bed.out(), bed.batch());
      const uint64_t messages = random.between(1, 150);
      const bool many_peers = random.one_in(2);
      size_t size = random.between(1, 1500);
      for (uint64_t i = 0; i < messages; ++i) {
        if (random.one_in(4)) size = random.one_in(20) ? random.between(1, 9000) : random.between(1, 1500);
        const size_t peer = many_peers ? random.below(peers.size()) : 0;
        const auto socket = static_cast<uint16_t>(random.below(2));
        std::string text = std::to_string(round) + ' ' + std::to_string(i) + ' ';
        text.resize(std::max(size, text.size()), static_cast<char>('a' + i % 26));
        bed.send(text, peers[peer]->address(), socket);
        expected[{peer, socket}].push_back(text);
        if (random.one_in(40)) bed.out().flush();
      }
    }
    for (size_t peer = 0; peer < peers.size(); ++peer) {
      std::map<uint16_t, std::vector<std::string>> seen;
      const size_t count = expected[{peer, 0}].size() + expected[{peer, 1}].size();
      for (size_t i = 0; i < count; ++i) {
        sockaddr_storage from;
        const std::string text = peers[peer]->receive_from(from);
        REQUIRE(!text.empty());
        seen[port_of(from)].push_back(text);
      }
      for (uint16_t socket = 0; socket < 2; ++socket) {
        CHECK(seen[bed.out().socket(socket).local().port] == expected[{peer, socket}]);
      }
      CHECK(!test::readable_within(peers[peer]->socket(), 0));
    }
  }
  CHECK(bed.failed() == 0);
}

TEST_CASE("what a call has sent leaves before others may answer it, and only then") {
  Bed bed;
  const auto receive = [&](uint64_t number, const char* method = "INVITE") {
    bed.peer.send(test::numbered(number, method).text(), bed.out().socket(0).local());
    REQUIRE(test::readable_within(bed.out().socket(0), test::kReplyMs));
    sip::Task task{};
    bed.engine.read(0, [&](sip::Task fresh) { task = fresh; });
    REQUIRE(bed.engine.engine().begin_run(task, kThread, now_ns()) == core::Status::kOk);
    return task;
  };
  sip::TransactionLayer& layer = bed.engine.transactions();
  // No stand-in, which would send what waits in its own time.
  bed.engine.engine().start_without_ticker(&layer);
  SendScope scope(bed.out(), bed.batch());
  CHECK(layer.suspend_until(receive(1), 10'000, 1, 0, 0, kThread) == core::Status::kOk);
  CHECK(bed.batch().waits());
  CHECK(layer.suspend_until(receive(2), 5, 1, 0, 0, kThread) == core::Status::kOk);
  CHECK(!bed.batch().waits());
  bed.peer.expect(100);
  bed.peer.expect(100);

  // Before a failure route replies of its branches have been sent on, which nobody has noted down.
  for (const auto type : {sip::RouteType::kRequest, sip::RouteType::kFailure}) {
    const sip::Task task = receive(static_cast<uint64_t>(type) + 10, "OPTIONS");
    bed.engine.engine().slots().at(task.index).route_type = static_cast<uint8_t>(type);
    bed.send("sent on", bed.peer.address());
    CHECK(layer.suspend_until(task, 5, 1, 0, 0, kThread) == core::Status::kOk);
    CHECK(bed.batch().waits() == (type == sip::RouteType::kRequest));
    bed.out().flush();
    CHECK(bed.peer.receive() == "sent on");
  }

  // A data task has sent nothing, whatever its slot was before.
  const sip::Task dropped = receive(3);
  CHECK(layer.reply(dropped, 180, {}, {}, true) == core::Status::kOk);
  layer.finish(dropped, sip::Outcome::kDropped);
  CHECK(bed.batch().waits());
  for (uint32_t i = 0; i < 16; ++i) bed.engine.engine().slots().at(i).trying = 0xff;
  sip::Task data{};
  for (int i = 0; i < 5; ++i) {
    CHECK(bed.engine.engine().submit(
              0, 0, now_ns(), kNsPerMs, [](core::Slot& slot) { slot.kind.store(core::SlotKind::kTask); },
              data) == core::Status::kOk);
  }
  CHECK(bed.batch().waits());
}

TEST_CASE("what the stand-in sends does not overtake what its receiver has gathered") {
  Bed bed;
  const uint32_t receiver = bed.engine.receiver_of(0);
  SendScope scope(bed.out(), bed.out().batch(receiver));
  bed.send("gathered", bed.peer.address());
  std::thread([&] { CHECK(bed.engine.read_for(0) == 0); }).join();
  CHECK(bed.out().batch(receiver).waits());  // there was nothing to read
  // Refused, and answered by whoever reads it.
  const std::string cancel = test::numbered(1, "CANCEL").text();
  bed.peer.send(cancel, bed.out().socket(0).local());
  REQUIRE(test::readable_within(bed.out().socket(0), test::kReplyMs));
  std::thread([&] { CHECK(bed.engine.read_for(0) == 1); }).join();
  CHECK(bed.peer.receive() == "gathered");
  bed.peer.expect(481);
}

TEST_CASE("one adds while others flush: nothing is lost or doubled, and the order stays") {
  Bed bed;
  const uint64_t messages = test::rounds(20'000);
  std::atomic<uint64_t> received{0};
  std::atomic<bool> done{false};
  test::run_together({
      [&] {
        for (uint64_t i = 0; i < messages; ++i) {
          const std::string text = std::to_string(i);
          CHECK(bed.batch().add(0, text.data(), text.size(), bed.peer.address(), now_ns()));
          // No faster than it is read: the peer's buffer is bounded.
          while (i > received.load() + 500) test::sleep_us(20);
        }
        bed.batch().flush();
        done.store(true);
      },
      [&] {
        while (!done.load()) bed.batch().flush_older_than(now_ns());
      },
      [&] {
        for (uint64_t i = 0; i < messages; ++i) {
          const std::string text = bed.peer.receive();
          REQUIRE(text == std::to_string(i));
          received.store(i + 1);
        }
      },
  });
  CHECK(!bed.batch().waits());
  CHECK(bed.failed() == 0);
}

TEST_CASE("what waits behind a thread that is stuck is sent by the stand-in, again and again") {
  Bed bed;
  bed.engine.start();
  for (int i = 0; i < 4; ++i) {
    // Nobody comes back to this scope before its message has arrived.
    SendScope scope(bed.out(), bed.batch());
    const std::string text = "stuck " + std::to_string(i);
    bed.send(text, bed.peer.address());
    CHECK(bed.peer.receive() == text);
    // The message is there a moment before the batch says so.
    CHECK(eventually([&] { return !bed.batch().waits(); }));
    // The second and the fourth find the watcher asleep.
    if (i % 2 == 0) test::sleep_us(5 * sip::StandIn::kGraceMs * 1000);
  }
  bed.engine.stop();
}

TEST_CASE("batches that come and go never leave one behind") {
  Bed bed;
  bed.engine.start();
  const uint64_t rounds = test::rounds(3000);
  test::run_together(2, [&](uint32_t thread) {
    test::Peer peer;
    test::Random random(2 + thread);
    for (uint64_t i = 0; i < rounds; ++i) {
      SendScope scope(bed.out(), bed.out().batch(thread));
      const std::string text = std::to_string(i);
      bed.send(text, peer.address());
      // Either side sends it; most often this one, sometimes the stand-in, and both at once.
      if (!random.one_in(100)) scope.close();
      REQUIRE(peer.receive() == text);
      if (random.one_in(50)) test::sleep_us(random.below(15'000));
    }
  });
  bed.engine.stop();
  CHECK(bed.failed() == 0);
}
