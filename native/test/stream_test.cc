// Server transactions over streams: which timers run, which way a reply goes, and what is said of a stream that cannot be
// cut. No socket is needed: the outbox is where a stream begins.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/sip_engine.h"
#include "test/support/sip_bed.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using core::Status;
using sip::Hop;
using sip::Outcome;
using sip::Task;
using sip::Transport;
using test::eventually;
using test::numbered;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

namespace {

constexpr uint32_t kFlow = 41;

Hop stream(Transport transport = Transport::kTcp, uint32_t flow = kFlow) {
  Hop out;
  REQUIRE(sip::Address::parse("192.0.2.5", 40'001, out.address));
  out.flow = flow;
  out.transport = transport;
  return out;
}

bool deliver(SipBed& bed, const std::string& text, Task& fresh, const Hop& from = stream()) {
  return bed.layer.receive({text.data(), text.size(), from, false}, fresh);
}
Task run(SipBed& bed, const std::string& text, const Hop& from = stream()) {
  Task fresh{};
  REQUIRE(deliver(bed, text, fresh, from));
  bed.begin(fresh);
  return fresh;
}

struct Sent {
  Hop to;
  std::string text;
};
std::vector<Sent> take_all(sip::Outbox& outbox) {
  std::vector<Sent> out;
  while (outbox.take([&](const sip::OutgoingMessage& message) {
    out.push_back({message.to, std::string(message.data(), message.size)});
  })) {
  }
  return out;
}
Sent expect_one(SipBed& bed, int code) {
  const std::vector<Sent> sent = take_all(bed.transport.outbox());
  REQUIRE(sent.size() == 1);
  CHECK(test::code_of(sent[0].text) == code);
  return sent[0];
}

// A wait that would be noticed, a T1 that ends soon, a timer H that does not.
SipBedConfig slow_wait() {
  SipBedConfig out;
  out.transactions.t1_ms = 20;
  out.transactions.t2_ms = 40;
  out.transactions.wait_ms = 3'600'000;
  return out;
}

}  // namespace

TEST_CASE("a reply goes back by the connection of its request, with the Via's port for when that is closed") {
  SipBed bed;
  SipRequest request = numbered(1, "OPTIONS");
  request.sent_by = "client.invalid";
  struct Case {
    Transport transport;
    const char* sent_by;
    uint16_t port;
  };
  uint64_t number = 1;
  for (const Case& one : {Case{Transport::kTcp, "client.invalid:5072", 5072},
                          {Transport::kTcp, "client.invalid", 5060},
                          {Transport::kTls, "client.invalid", 5061},
                          {Transport::kWs, "df7jal23ls0d.invalid", 80},
                          {Transport::kWss, "df7jal23ls0d.invalid", 443}}) {
    CAPTURE(one.sent_by);
    request = numbered(++number, "OPTIONS");
    request.sent_by = one.sent_by;
    const Task task = run(bed, request.text(), stream(one.transport));
    REQUIRE(bed.answer(task, 200) == Status::kOk);
    const Sent sent = expect_one(bed, 200);
    CHECK(sent.to.flow == kFlow);
    CHECK(sent.to.transport == one.transport);
    CHECK(sent.to.address.host() == "192.0.2.5");
    CHECK(sent.to.address.port == one.port);
    CHECK(sent.text.find(";rport=40001;received=192.0.2.5") != std::string::npos);
    bed.layer.finish(task, Outcome::kEnded);
  }
  bed.check_all_zero();
}

TEST_CASE("a refusal to an INVITE is sent once over a stream, and its ACK ends the transaction") {
  SipBed bed(slow_wait());
  const SipRequest invite = numbered(1);
  const Task task = run(bed, invite.text());
  REQUIRE(bed.answer(task, 486) == Status::kOk);
  const Sent sent = expect_one(bed, 486);
  bed.layer.finish(task, Outcome::kEnded);
  // Over UDP it would have been sent again several times by now.
  test::sleep_us(300'000);
  CHECK(take_all(bed.transport.outbox()).empty());
  CHECK(bed.layer.open_transactions() == 1);
  Task none{};
  CHECK_FALSE(deliver(bed, invite.ack(test::to_tag_of(sent.text)).text(), none));
  CHECK(bed.transport.counters.acks_absorbed.load() == 1);
  // Not after the wait time of an hour.
  CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
  CHECK(bed.layer.counters.timed_out.load() == 0);
  bed.check_all_zero();
}

TEST_CASE("without its ACK a refused INVITE ends with timer H") {
  SipBed bed;  // 64 times 20 ms
  const Task task = run(bed, numbered(1).text());
  REQUIRE(bed.answer(task, 486) == Status::kOk);
  bed.layer.finish(task, Outcome::kEnded);
  CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
  CHECK(bed.layer.counters.timed_out.load() == 1);
  CHECK(take_all(bed.transport.outbox()).size() == 1);
  bed.check_all_zero();
}

TEST_CASE("a 2xx to an INVITE is repeated over a stream, too, until its ACK comes") {
  SipBed bed(slow_wait());
  const SipRequest invite = numbered(1);
  const Task task = run(bed, invite.text());
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  bed.layer.finish(task, Outcome::kEnded);
  CHECK(eventually([&] { return bed.transport.outbox().size() >= 3; }));
  const std::vector<Sent> sent = take_all(bed.transport.outbox());
  for (const Sent& one : sent) {
    CHECK(one.text == sent[0].text);
    CHECK(one.to.flow == kFlow);
  }
  Task none{};
  CHECK_FALSE(deliver(bed, invite.ack_in_own_transaction(test::to_tag_of(sent[0].text)).text(), none));
  CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
  (void)take_all(bed.transport.outbox());
  bed.check_all_zero();
}

TEST_CASE("a request other than INVITE is over soon after its final reply") {
  SipBed bed(slow_wait());
  const SipRequest request = numbered(1, "MESSAGE");
  const Task task = run(bed, request.text());
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  bed.layer.finish(task, Outcome::kEnded);
  (void)expect_one(bed, 200);
  CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
  bed.check_all_zero();
}

TEST_CASE("CANCEL matches over another connection as well, and each reply goes its own way") {
  SipBed bed(slow_wait());
  const SipRequest invite = numbered(1);
  const Task task = run(bed, invite.text());
  Task none{};
  CHECK_FALSE(deliver(bed, invite.as("CANCEL").text(), none, stream(Transport::kTcp, 42)));
  const std::vector<Sent> sent = take_all(bed.transport.outbox());
  REQUIRE(sent.size() == 2);
  CHECK(test::code_of(sent[0].text) == 200);
  CHECK(sent[0].to.flow == 42);
  CHECK(test::code_of(sent[1].text) == 487);
  CHECK(sent[1].to.flow == kFlow);
  bed.layer.finish(task, Outcome::kEnded);
  CHECK_FALSE(deliver(bed, invite.ack(test::to_tag_of(sent[1].text)).text(), none));
  bed.check_all_zero();
}

TEST_CASE("a request whose length cannot be told is answered once, if it can be answered") {
  SipBed bed;
  const std::string headers = numbered(1, "OPTIONS").text();
  const auto reject = [&](const std::string& text) {
    bed.layer.reject_framing({text.data(), text.size(), stream(), false}, 400, "Missing Content-Length");
  };
  reject(headers);
  const Sent sent = expect_one(bed, 400);
  CHECK(sent.text.find("SIP/2.0 400 Missing Content-Length\r\n") == 0);
  CHECK(sent.to.flow == kFlow);
  reject(numbered(1).as("ACK").text());
  reject("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h\r\n\r\n");
  reject("garbage");
  reject("");
  CHECK(take_all(bed.transport.outbox()).empty());
  CHECK(bed.layer.open_transactions() == 0);
  bed.check_all_zero();
}

TEST_CASE("an outbox that takes nothing costs the reply and is counted, and the call ends all the same") {
  SipBed bed;
  bed.transport.outbox().close();
  const Task task = run(bed, numbered(1, "OPTIONS").text());
  CHECK(bed.answer(task, 200) == Status::kOk);
  CHECK(bed.transport.counters.send_failed.load() == 1);
  bed.transport.counters.send_failed.store(0);
  bed.layer.finish(task, Outcome::kEnded);
  bed.check_all_zero();
}

TEST_CASE("an engine knows its listeners and hands what streams bring to the receivers in turn") {
  sip::SipEngine engine(
      {.transactions = {.max_transactions = 64}, .receivers = 3, .addresses = 2, .groups = {}});
  sip::Address udp;
  sip::Address tcp;
  REQUIRE(sip::Address::parse("127.0.0.1", 0, udp));
  REQUIRE(sip::Address::parse("127.0.0.1", 5071, tcp));
  REQUIRE(engine.listen(0, udp, 1 << 16, false) == 0);
  engine.listen_stream(3, Transport::kTcp, tcp);
  CHECK(engine.transactions().listeners().at(0).transport == Transport::kUdp);
  CHECK(engine.transactions().listeners().at(0).local.port == engine.transport().socket(0).local().port);
  CHECK(engine.transactions().listeners().at(3).transport == Transport::kTcp);
  CHECK(engine.transactions().listeners().at(3).local.port == 5071);
  engine.start();
  for (uint64_t i = 0; i < 7; ++i) {
    const std::string text = numbered(i, "OPTIONS").text();
    engine.receive({text.data(), text.size(), stream(), false});
  }
  uint32_t total = 0;
  for (uint32_t receiver = 0; receiver < 3; ++receiver) {
    Task tasks[8];
    const uint32_t count = engine.engine().take_inbox(receiver, tasks, 8);
    CHECK(count >= 2);
    total += count;
    for (uint32_t i = 0; i < count; ++i) {
      REQUIRE(engine.engine().begin_run(tasks[i], receiver, now_ns()) == Status::kOk);
      engine.transactions().finish(tasks[i], Outcome::kEnded);  // 500
    }
  }
  CHECK(total == 7);
  CHECK(engine.transport().outbox().size() == 7);
  CHECK(eventually([&] { return engine.engine().slots().live() == 0; }));
  engine.stop();
  CHECK(engine.transport().outbox().empty());
  CHECK(engine.engine().payloads().blocks_in_use() == 0);
}
