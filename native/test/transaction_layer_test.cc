// Server transactions over real UDP, the test being the script: replies, retransmissions, timers, and the ends of a
// route. CANCEL, and ending from outside, are in transaction_end_test.cc, threads against each other in
// transaction_race_test.cc.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "test/support/sip_bed.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using core::Run;
using core::Status;
using sip::Outcome;
using sip::Task;
using test::eventually;
using test::numbered;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

namespace {

// For cases that send again within the wait time: long enough for a machine that is busy elsewhere.
SipBedConfig patient() {
  SipBedConfig out;
  out.transactions.wait_ms = 400;
  return out;
}
// Timer G does not fire while the case still asks for other things; the slot lives on until it does.
SipBedConfig unhurried() {
  SipBedConfig out = patient();
  out.transactions.t1_ms = out.transactions.t2_ms = 500;
  return out;
}

uint64_t count_of(const std::atomic<uint64_t>& counter) {
  return counter.load();
}

}  // namespace

TEST_CASE("a request, its reply, and the same reply again until the wait timer ends") {
  SipBed bed(patient());
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.run(request.text());
  CHECK(bed.layer.open_transactions() == 1);
  CHECK(bed.layer.in_script() == 1);
  const uint64_t before = now_ns();
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  const std::string reply = bed.peer.expect(200);
  CHECK(test::to_tag_of(reply).size() == sip::KeyMaker::kTagBytes);
  CHECK(test::header_of(reply, "CSeq") == "1 OPTIONS");
  CHECK(reply.find(";rport=" + std::to_string(bed.peer.address().port) + ";received=127.0.0.1") !=
        std::string::npos);
  bed.absorbed(request.text());  // while the route still runs
  CHECK(bed.peer.receive() == reply);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  CHECK(bed.layer.in_script() == 0);
  bed.absorbed(request.text());
  CHECK(bed.peer.receive() == reply);
  CHECK(bed.absorbed_count() == 2);
  CHECK(bed.layer.open_transactions() == 1);
  REQUIRE(eventually([&] { return bed.layer.open_transactions() == 0; }));
  CHECK(now_ns() - before >= 400 * kNsPerMs);
  CHECK_FALSE(bed.layer.is_current(task));
  bed.peer.expect_silence();  // nobody repeats the reply to an OPTIONS

  // Behind the wait time it is a new request.
  const Task again = bed.run(request.text());
  CHECK(again.bits() != task.bits());
  REQUIRE(bed.answer(again, 404) == Status::kOk);
  CHECK(test::to_tag_of(bed.peer.expect(404)) != test::to_tag_of(reply));
  bed.layer.finish(again, Outcome::kEnded);
  CHECK(count_of(bed.layer.counters.completed) == 2);
  CHECK(count_of(bed.layer.counters.timed_out) == 0);
  bed.check_all_zero();
}

TEST_CASE("a retransmission before the final reply: 100 for an INVITE, silence for the rest") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1), options = numbered(2, "OPTIONS");
  const Task first = bed.fresh(invite.text());
  const Task second = bed.fresh(options.text());
  for (int round = 0; round < 2; ++round) {
    bed.absorbed(invite.text());
    const std::string trying = bed.peer.expect(100);
    CHECK(test::to_tag_of(trying).empty());
    bed.absorbed(options.text());
    bed.peer.expect_silence();
    if (round == 0) {
      bed.begin(first);
      bed.begin(second);
    }
  }
  // A provisional reply of the script's own takes the place of the 100.
  REQUIRE(bed.answer(first, 180) == Status::kOk);
  const std::string ringing = bed.peer.expect(180);
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == ringing);
  REQUIRE(bed.answer(first, 183) == Status::kOk);
  const std::string progress = bed.peer.expect(183);
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == progress);
  REQUIRE(bed.answer(first, 486) == Status::kOk);
  const std::string busy = bed.peer.expect(486);
  CHECK(test::to_tag_of(busy) == test::to_tag_of(ringing));
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == busy);
  bed.absorbed(invite.ack(test::to_tag_of(busy)).text());
  REQUIRE(bed.answer(second, 200) == Status::kOk);
  bed.peer.expect(200);
  bed.layer.finish(first, Outcome::kEnded);
  bed.layer.finish(second, Outcome::kEnded);
  CHECK(bed.absorbed_count() == 7);
  CHECK(count_of(bed.transport.counters.acks_absorbed) == 1);
  bed.check_all_zero();
}

TEST_CASE("without auto_100 nothing says 100 but the script") {
  SipBedConfig config = unhurried();
  config.transactions.auto_100 = false;
  SipBed bed(config);
  const SipRequest invite = numbered(1);
  const Task task = bed.fresh(invite.text(), true);
  bed.absorbed(invite.text());
  bed.begin(task);
  CHECK(bed.layer.new_transaction(task) == Status::kOk);
  REQUIRE(bed.layer.suspend_until(task, 1, 1, 5, SipBed::kGroup, SipBed::kReceiver) == Status::kOk);
  const Task back = bed.take();
  bed.begin(back, bed.worker());
  bed.peer.expect_silence();
  REQUIRE(bed.answer(task, 100) == Status::kOk);
  bed.peer.expect(100);
  REQUIRE(bed.answer(task, 404) == Status::kOk);
  bed.absorbed(invite.ack(test::to_tag_of(bed.peer.expect(404))).text());
  bed.layer.finish(task, Outcome::kEnded);
  bed.check_all_zero();
}

TEST_CASE("a suspended INVITE says 100 once, comes back on time with its route, and is answered there") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1);
  const Task task = bed.run(invite.text());
  for (uint16_t route = 1; route <= 4; ++route) {
    const uint64_t before = now_ns();
    const bool own = route == 3;
    if (route == 4) {
      REQUIRE(bed.layer.suspend_now(task, route, SipBed::kGroup) == Status::kOk);
    } else {
      REQUIRE(bed.layer.suspend_until(task, 30, route == 2 ? 10 : 1, route,
                                      own ? core::Engine::kOwnThread : SipBed::kGroup,
                                      bed.worker()) == Status::kOk);
    }
    CHECK_FALSE(bed.layer.finish(task, Outcome::kSuspended));
    CHECK(bed.engine.counters.suspended.load() == 1);
    CHECK(bed.layer.in_script() == 1);
    if (route == 1) bed.peer.expect(100);
    CHECK(bed.answer(task, 404) == Status::kAlreadySuspended);
    CHECK(bed.layer.new_transaction(task) == Status::kAlreadySuspended);
    CHECK(bed.layer.suspend_now(task, 9, SipBed::kGroup) == Status::kAlreadySuspended);
    CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
    bed.absorbed(invite.text());
    bed.peer.expect(100);
    const Task back = own ? bed.take_own(bed.worker()) : bed.take();
    if (route != 4) CHECK(now_ns() - before >= 30 * kNsPerMs);
    CHECK(back.bits() == task.bits());
    CHECK(bed.engine.slots().at(back.index).route == route);
    bed.begin(back, bed.worker());
    CHECK(bed.engine.counters.suspended.load() == 0);
  }
  // Even what asks for a stateless reply gets a stateful one now.
  REQUIRE(bed.answer(task, 404, true) == Status::kOk);
  const std::string reply = bed.peer.expect(404);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == reply);
  bed.absorbed(invite.ack(test::to_tag_of(reply)).text());
  bed.peer.expect_silence();
  CHECK(count_of(bed.layer.counters.timed_out) == 0);
  bed.check_all_zero();
}

TEST_CASE("100 is not sent where one, or something better, has been sent before") {
  SipBed bed(unhurried());
  // By the stand-in, because the loop hangs.
  const SipRequest stalled = numbered(1);
  const Task first = bed.fresh(stalled.text(), true);
  bed.peer.expect(100);
  // By the script itself.
  const SipRequest ringing = numbered(2);
  const Task second = bed.run(ringing.text());
  REQUIRE(bed.answer(second, 180) == Status::kOk);
  bed.peer.expect(180);
  // By t_newtran.
  const SipRequest made = numbered(3);
  const Task third = bed.run(made.text());
  REQUIRE(bed.layer.new_transaction(third) == Status::kOk);
  bed.peer.expect(100);
  CHECK(bed.layer.new_transaction(third) == Status::kOk);
  // Other methods have none.
  const Task fourth = bed.fresh(numbered(4, "OPTIONS").text(), true);
  bed.begin(first);
  bed.begin(fourth);
  for (const Task task : {first, second, third, fourth}) {
    REQUIRE(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kOk);
  }
  bed.peer.expect_silence();
  for (int i = 0; i < 4; ++i) {
    const Task task = bed.take();
    bed.begin(task, bed.worker());
    REQUIRE(bed.answer(task, 200) == Status::kOk);
    const std::string tag = test::to_tag_of(bed.peer.expect(200));
    if (i < 3) bed.absorbed((i == 0 ? stalled : i == 1 ? ringing : made).ack_in_own_transaction(tag).text());
    bed.layer.finish(task, Outcome::kEnded);
  }
  bed.check_all_zero();
}

TEST_CASE(
    "timer G: a final reply again after T1, twice as long each time up to T2, until 64 T1 have passed") {
  SipBed bed;
  struct Call {
    Task task;
    uint64_t answered_ns;
    std::string reply;
    uint64_t not_before_ms = 0;
    uint64_t interval_ms = 20;
    uint32_t repeats = 0;
  };
  std::vector<Call> calls;
  const uint16_t codes[] = {404, 200};
  for (const uint16_t code : codes) {
    const Task task = bed.run(numbered(code).text());
    const uint64_t before = now_ns();
    REQUIRE(bed.answer(task, code) == Status::kOk);
    bed.layer.finish(task, Outcome::kEnded);
    std::string reply = bed.peer.receive();
    // On a slow machine the first one is repeated already; that one is not looked at.
    while (!calls.empty() && reply == calls[0].reply) reply = bed.peer.receive();
    CHECK(test::code_of(reply) == code);
    calls.push_back({task, before, reply});
  }
  for (;;) {
    const bool over = bed.engine.slots().live() == 0;
    const std::string repeat = bed.peer.receive(over ? 0 : 5);
    if (repeat.empty() && over) break;
    if (repeat.empty()) continue;
    Call& call = calls[test::code_of(repeat) == 404 ? 0 : 1];
    CHECK(repeat == call.reply);
    ++call.repeats;
    call.not_before_ms += call.interval_ms;
    call.interval_ms = std::min<uint64_t>(2 * call.interval_ms, 80);
    CHECK(now_ns() - call.answered_ns >= call.not_before_ms * kNsPerMs);
  }
  for (const Call& call : calls) {
    CHECK(now_ns() - call.answered_ns >= 64 * 20 * kNsPerMs);
    // 20 60 140 220 .. 1260. A machine that stands still in between makes it less; without T2 it would be 6 at most.
    CHECK(call.repeats <= 17);
    CHECK(call.repeats > 6);
  }
  bed.peer.expect_silence(100);
  CHECK(count_of(bed.layer.counters.timed_out) == 2);
  CHECK(count_of(bed.layer.counters.completed) == 2);
  bed.check_all_zero();
}

TEST_CASE("the ACK ends the repeating, for a refusal in the INVITE's transaction, for a 2xx by our tag") {
  SipBed bed;
  for (const bool accepted : {false, true}) {
    CAPTURE(accepted);
    const SipRequest invite = numbered(accepted ? 1 : 2);
    const Task task = bed.run(invite.text());
    REQUIRE(bed.answer(task, accepted ? 200 : 486) == Status::kOk);
    bed.layer.finish(task, Outcome::kEnded);
    const std::string reply = bed.peer.expect(accepted ? 200 : 486);
    CHECK(bed.peer.receive() == reply);
    const std::string tag = test::to_tag_of(reply);
    const std::string ack = (accepted ? invite.ack_in_own_transaction(tag) : invite.ack(tag)).text();
    const uint64_t acked = now_ns();
    bed.absorbed(ack);
    while (!bed.peer.receive(1).empty()) {
    }  // what was on its way
    bed.absorbed(ack);
    bed.peer.expect_silence(250);
    REQUIRE(eventually([&] { return !bed.layer.is_current(task); }));
    CHECK(now_ns() - acked >= 100 * kNsPerMs);
    // An ACK that comes once more, when all is over: by its tag it is known to be ours, by its branch it is not.
    if (accepted) {
      bed.absorbed(ack);
    }
  }
  CHECK(count_of(bed.transport.counters.acks_absorbed) == 5);
  CHECK(count_of(bed.layer.counters.timed_out) == 0);
  bed.check_all_zero();
}

TEST_CASE("a stateless reply lets go of the request at once") {
  SipBed bed;
  const SipRequest invite = numbered(1);
  std::string tag;
  for (int round = 0; round < 2; ++round) {
    const Task task = bed.run(invite.text());
    REQUIRE(bed.answer(task, 404, true) == Status::kOk);
    tag = test::to_tag_of(bed.peer.expect(404));
    CHECK(bed.layer.open_transactions() == 0);
    CHECK(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kAlreadyAnswered);
    CHECK(bed.answer(task, 200) == Status::kAlreadyAnswered);
    CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
    CHECK(bed.engine.slots().live() == 0);
    CHECK(bed.engine.payloads().blocks_in_use() == 0);
  }
  // Its ACK is known by the tag; another is a message for the script.
  bed.absorbed(invite.ack(tag).text());
  Task foreign{};
  REQUIRE(bed.deliver(invite.ack(std::string(tag.rbegin(), tag.rend())).text(), foreign));
  bed.begin(foreign);
  CHECK_FALSE(bed.layer.finish(foreign, Outcome::kEnded));
  bed.peer.expect_silence();

  // Made a transaction on purpose, it is answered as one.
  const Task made = bed.run(numbered(2, "OPTIONS").text());
  REQUIRE(bed.layer.new_transaction(made) == Status::kOk);
  REQUIRE(bed.answer(made, 404, true) == Status::kOk);
  const std::string reply = bed.peer.expect(404);
  bed.layer.finish(made, Outcome::kEnded);
  CHECK(bed.layer.open_transactions() == 1);
  CHECK(test::to_tag_of(reply) != tag);
  CHECK(bed.absorbed_count() == 0);
  bed.check_all_zero();
}

TEST_CASE("a route that ends without a reply, or throws: 500, and only then") {
  SipBed bed(unhurried());
  const SipRequest first = numbered(1);
  const Task task = bed.run(first.text());
  CHECK_FALSE(bed.layer.finish(task, Outcome::kPending));
  CHECK_FALSE(bed.layer.finish(task, Outcome::kSuspended));
  CHECK(bed.layer.in_script() == 1);
  CHECK(bed.layer.finish(task, Outcome::kEnded));
  const std::string ended = bed.peer.expect(500);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  CHECK_FALSE(bed.layer.finish(Task{task.index, task.generation + 1}, Outcome::kEnded));
  // The reply is the transaction's, so the route runs once however often the request comes.
  bed.absorbed(first.text());
  CHECK(bed.peer.receive() == ended);
  bed.absorbed(first.ack(test::to_tag_of(ended)).text());

  const SipRequest invite = numbered(2);
  const Task resumed = bed.run(invite.text());
  REQUIRE(bed.layer.suspend_now(resumed, 1, SipBed::kGroup) == Status::kOk);
  bed.peer.expect(100);
  bed.begin(bed.take(), bed.worker());
  CHECK(bed.layer.finish(resumed, Outcome::kThrew));
  const std::string reply = bed.peer.expect(500);
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == reply);
  bed.absorbed(invite.ack(test::to_tag_of(reply)).text());

  const SipRequest third = numbered(3);
  const Task provisional = bed.run(third.text());
  REQUIRE(bed.answer(provisional, 180) == Status::kOk);
  bed.peer.expect(180);
  CHECK(bed.layer.finish(provisional, Outcome::kThrew));
  bed.absorbed(third.ack(test::to_tag_of(bed.peer.expect(500))).text());
  bed.peer.expect_silence();
  CHECK(count_of(bed.layer.counters.completed) == 3);
  bed.check_all_zero();
}

TEST_CASE("drop says nothing, and neither do the retransmissions") {
  SipBed bed(unhurried());
  for (const char* method : {"INVITE", "OPTIONS"}) {
    const SipRequest request = numbered(1, method);
    const Task task = bed.run(request.text());
    if (request.method == "INVITE") {
      REQUIRE(bed.answer(task, 180) == Status::kOk);
      bed.peer.expect(180);
    }
    const uint64_t before = now_ns();
    CHECK_FALSE(bed.layer.finish(task, Outcome::kDropped));
    CHECK(bed.layer.in_script() == 0);
    bed.absorbed(request.text());
    bed.peer.expect_silence();
    REQUIRE(eventually([&] { return !bed.layer.is_current(task); }));
    CHECK(now_ns() - before >= 400 * kNsPerMs);
  }
  // Answered first, the drop is only an end.
  const SipRequest request = numbered(2, "OPTIONS");
  const Task task = bed.run(request.text());
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kDropped));
  const std::string reply = bed.peer.expect(200);
  bed.absorbed(request.text());
  CHECK(bed.peer.receive() == reply);
  CHECK(count_of(bed.layer.counters.completed) == 1);
  bed.check_all_zero();
}

TEST_CASE("an ACK has no transaction: no reply, no suspension, nothing left behind") {
  SipBed bed;
  const Task task = bed.run(numbered(1, "ACK").text());
  CHECK(bed.layer.open_transactions() == 0);
  CHECK(bed.answer(task, 200) == Status::kNoTransaction);
  CHECK(bed.layer.new_transaction(task) == Status::kNoTransaction);
  CHECK(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kNoTransaction);
  CHECK(bed.layer.suspend_until(task, 1, 1, 1, SipBed::kGroup, 0) == Status::kNoTransaction);
  CHECK(bed.layer.in_script() == 1);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  CHECK(bed.engine.slots().live() == 0);
  bed.peer.expect_silence();
  bed.check_all_zero();
}

TEST_CASE("what cannot be done says why and changes nothing") {
  SipBed bed(unhurried());
  const Task task = bed.run(numbered(1, "OPTIONS").text());
  CHECK(bed.layer.suspend_now(task, 1, SipBed::kEmptyGroup) == Status::kNoWorkers);
  CHECK(bed.layer.suspend_until(task, 1, 1, 1, SipBed::kEmptyGroup, 0) == Status::kNoWorkers);
  const Task ahead = bed.run(numbered(2, "OPTIONS").text());
  REQUIRE(bed.layer.suspend_now(ahead, 1, SipBed::kTightGroup) == Status::kOk);
  CHECK(bed.layer.suspend_now(task, 1, SipBed::kTightGroup) == Status::kGroupFull);
  CHECK(bed.engine.counters.suspended.load() == 1);
  const std::string long_lines(70'000, 'x');
  CHECK(bed.layer.reply(task, 200, {}, long_lines, false) == Status::kNotAnswerable);
  CHECK(bed.run_of(task) == Run::kRunning);
  bed.peer.expect_silence();
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  bed.peer.expect(200);
  CHECK(bed.answer(task, 404) == Status::kAlreadyAnswered);
  CHECK(bed.answer(task, 180) == Status::kAlreadyAnswered);
  CHECK(bed.layer.new_transaction(task) == Status::kAlreadyAnswered);
  CHECK(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kAlreadyAnswered);
  bed.layer.finish(task, Outcome::kEnded);
  for (const Task stale : {Task{task.index, task.generation + 1}, Task{100'000, 0}, Task{core::kNone, 0}}) {
    CHECK(bed.answer(stale, 200) == Status::kStaleHandle);
    CHECK(bed.layer.new_transaction(stale) == Status::kStaleHandle);
    CHECK(bed.layer.suspend_now(stale, 1, SipBed::kGroup) == Status::kStaleHandle);
    CHECK(bed.layer.suspend_until(stale, 1, 1, 1, SipBed::kGroup, 0) == Status::kStaleHandle);
    CHECK(bed.layer.conclude(stale, 500, {}, 0) == Status::kStaleHandle);
    CHECK_FALSE(bed.layer.finish(stale, Outcome::kEnded));
    CHECK_FALSE(bed.layer.with_request(stale, true, [](const sip::StoredMessage&) { FAIL("read"); }));
    CHECK_FALSE(bed.layer.with_request(stale, false, [](const sip::StoredMessage&) { FAIL("read"); }));
  }
  const Task back = bed.take(SipBed::kTightGroup);
  bed.begin(back, bed.engine.worker_thread(SipBed::kTightGroup, 0));
  CHECK(bed.layer.finish(back, Outcome::kEnded));
  bed.peer.expect(500);
  bed.check_all_zero();
}

TEST_CASE("the stored request can be read until the route has ended and the reply is out") {
  SipBed bed(unhurried());
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.fresh(request.text());
  const auto read = [&](bool owner) {
    std::string text;
    const bool there = bed.layer.with_request(task, owner, [&](const sip::StoredMessage& stored) {
      text.assign(stored.data(), stored.size);
      CHECK(stored.from.address.port == bed.peer.address().port);
      CHECK(stored.index.call_id.of(stored.data()) == "1@example.com");
    });
    CHECK(there == !text.empty());
    return text;
  };
  CHECK(read(false) == request.text());
  bed.begin(task);
  CHECK(read(true) == request.text());
  REQUIRE(bed.answer(task, 200) == Status::kOk);
  CHECK(read(true) == request.text());
  CHECK(read(false) == request.text());
  bed.layer.finish(task, Outcome::kEnded);
  CHECK(read(false).empty());  // nobody owns it any more
  CHECK(bed.layer.is_current(task));
  bed.check_all_zero();
}

TEST_CASE("a call may suspend more often than a suspension's number counts") {
  SipBed bed(unhurried());
  const Task task = bed.run(numbered(1, "OPTIONS").text());
  // The number has 20 bits; in the middle of a life it comes back to where it began.
  for (uint32_t i = 0; i <= core::Word::kSuspensionMask + 1; ++i) {
    if (bed.engine.suspend_now(task, 0, 1, SipBed::kGroup) != Status::kOk) FAIL("suspension " << i);
    Task back{core::kNone, 0};
    if (bed.engine.group(SipBed::kGroup).take(&back, 1) != 1) FAIL("take " << i);
    if (bed.engine.begin_run(back, bed.worker(), 0) != Status::kOk) FAIL("begin_run " << i);
  }
  CHECK(bed.engine.counters.suspended.load() == 0);
  REQUIRE(bed.answer(task, 404, true) == Status::kOk);
  bed.peer.expect(404);
  bed.layer.finish(task, Outcome::kEnded);
  CHECK(bed.layer.open_transactions() == 1);
  bed.check_all_zero();
}
