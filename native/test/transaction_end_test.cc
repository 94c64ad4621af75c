// Ends that do not come from the route: CANCEL in every state, shutdown, a thread that died, a table or an arena that is
// full, and messages that are none.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/sip_bed.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using core::Run;
using core::Status;
using core::Word;
using sip::IndexStatus;
using sip::Outcome;
using sip::Task;
using test::eventually;
using test::numbered;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

namespace {

// Timer G does not fire while the case still asks for other things; the slot lives on until it does.
SipBedConfig unhurried() {
  SipBedConfig out;
  out.transactions.wait_ms = 400;
  out.transactions.t1_ms = out.transactions.t2_ms = 500;
  return out;
}

// Sends the CANCEL: 200 to itself, 487 to the INVITE, both with one tag; acknowledges the 487.
void cancel(SipBed& bed, const SipRequest& invite) {
  const uint64_t cancelled = bed.layer.counters.cancelled.load();
  const uint64_t completed = bed.layer.counters.completed.load();
  bed.absorbed(invite.as("CANCEL").text());
  const std::string ok = bed.peer.expect(200);
  CHECK(test::header_of(ok, "CSeq") == "1 CANCEL");
  const std::string terminated = bed.peer.expect(487);
  CHECK(test::header_of(terminated, "CSeq") == "1 INVITE");
  CHECK(test::to_tag_of(terminated) == test::to_tag_of(ok));
  // Once more, and the INVITE, too: one 200 for each, and the same 487.
  bed.absorbed(invite.as("CANCEL").text());
  CHECK(bed.peer.receive() == ok);
  bed.absorbed(invite.text());
  CHECK(bed.peer.receive() == terminated);
  bed.absorbed(invite.ack(test::to_tag_of(terminated)).text());
  CHECK(bed.layer.counters.cancelled.load() == cancelled + 1);
  CHECK(bed.layer.counters.completed.load() == completed + 1);
}

// The route that has a cancelled call can do nothing with it any more.
void check_inert(SipBed& bed, Task task) {
  CHECK(bed.answer(task, 180) == Status::kCancelled);
  CHECK(bed.answer(task, 200) == Status::kCancelled);
  CHECK(bed.layer.new_transaction(task) == Status::kCancelled);
  CHECK(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kCancelled);
  CHECK(bed.layer.suspend_until(task, 1, 1, 1, SipBed::kGroup, 0) == Status::kCancelled);
}

}  // namespace

TEST_CASE("CANCEL before the route has begun") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1);
  const Task task = bed.fresh(invite.text());
  cancel(bed, invite);
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.engine.begin_run(task, SipBed::kReceiver, now_ns()) == Status::kCancelled);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  CHECK(bed.engine.inbox_empty(SipBed::kReceiver));
  bed.peer.expect_silence();
  bed.check_all_zero();
}

TEST_CASE("CANCEL while the route runs: its thread is told, and its reply comes too late") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1);
  const Task task = bed.run(invite.text());
  REQUIRE(bed.answer(task, 180) == Status::kOk);
  bed.peer.expect(180);
  cancel(bed, invite);
  CHECK(bed.layer.in_script() == 1);
  CHECK(bed.take_own(SipBed::kReceiver).bits() == task.bits());
  CHECK(bed.engine.begin_run(task, SipBed::kReceiver, now_ns()) == Status::kCancelled);
  check_inert(bed, task);
  CHECK(bed.layer.with_request(task, true, [](const sip::StoredMessage&) {}));
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
  CHECK(bed.layer.in_script() == 0);
  CHECK_FALSE(bed.layer.with_request(task, false, [](const sip::StoredMessage&) {}));
  bed.peer.expect_silence();
  bed.check_all_zero();
}

TEST_CASE("CANCEL of a suspended call takes it out of its wait at once") {
  for (const bool own : {false, true}) {
    CAPTURE(own);
    SipBed bed(unhurried());
    const SipRequest invite = numbered(1);
    const Task task = bed.run(invite.text());
    REQUIRE(bed.layer.suspend_until(task, 150, 1, 1, own ? core::Engine::kOwnThread : SipBed::kGroup,
                                    bed.worker()) == Status::kOk);
    bed.peer.expect(100);
    cancel(bed, invite);
    CHECK(bed.layer.in_script() == 0);
    CHECK(bed.engine.counters.suspended.load() == 0);
    CHECK(bed.engine.counters.withdrawn.load() == 1);
    CHECK_FALSE(bed.layer.with_request(task, false, [](const sip::StoredMessage&) {}));
    check_inert(bed, task);
    // A handler that sleeps is told; nobody else has to be.
    if (own) CHECK(bed.take_own(bed.worker()).bits() == task.bits());
    CHECK(eventually([&] { return bed.engine.counters.stale_timers.load() == 1; }));
    CHECK(bed.engine.inbox_empty(bed.worker()));
    CHECK(bed.engine.group(SipBed::kGroup).queued() == 0);
    CHECK(bed.engine.counters.fired.load() == 0);
    bed.check_all_zero();
  }
}

TEST_CASE("CANCEL of a call that stands in a queue: the worker finds it ended") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1);
  const Task task = bed.run(invite.text());
  REQUIRE(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kOk);
  bed.peer.expect(100);
  CHECK(bed.run_of(task) == Run::kDue);
  cancel(bed, invite);
  CHECK(bed.engine.counters.suspended.load() == 0);
  CHECK(bed.engine.counters.withdrawn.load() == 0);
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.take().bits() == task.bits());
  CHECK(bed.engine.begin_run(task, bed.worker(), now_ns()) == Status::kCancelled);
  bed.peer.expect_silence();
  bed.check_all_zero();
}

TEST_CASE("CANCEL of an answered call, and of none, changes nothing") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1);
  const uint16_t codes[] = {486, 200};
  for (const uint16_t code : codes) {
    SipRequest call = numbered(code);
    const Task task = bed.run(call.text());
    REQUIRE(bed.answer(task, code) == Status::kOk);
    const std::string reply = bed.peer.expect(code);
    bed.absorbed(call.as("CANCEL").text());
    const std::string ok = bed.peer.expect(200);
    CHECK(test::header_of(ok, "CSeq") == "1 CANCEL");
    CHECK(test::to_tag_of(ok) == test::to_tag_of(reply));
    CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
    bed.absorbed(call.text());
    CHECK(bed.peer.receive() == reply);
    const std::string tag = test::to_tag_of(reply);
    bed.absorbed((code == 200 ? call.ack_in_own_transaction(tag) : call.ack(tag)).text());
  }
  bed.absorbed(invite.as("CANCEL").text());
  bed.peer.expect(481);
  // A request of another method is none that CANCEL could end.
  const Task options = bed.run(numbered(3, "OPTIONS").text());
  bed.absorbed(numbered(3, "CANCEL").text());
  bed.peer.expect(481);
  CHECK(bed.answer(options, 200) == Status::kOk);
  bed.peer.expect(200);
  bed.layer.finish(options, Outcome::kEnded);
  // Nor is one that was answered without a transaction.
  const Task stateless = bed.run(invite.text());
  REQUIRE(bed.answer(stateless, 404, true) == Status::kOk);
  bed.peer.expect(404);
  bed.layer.finish(stateless, Outcome::kEnded);
  bed.absorbed(invite.as("CANCEL").text());
  bed.peer.expect(481);
  CHECK(bed.layer.counters.cancelled.load() == 0);
  bed.peer.expect_silence();
  bed.check_all_zero();
}

TEST_CASE("a full table: the route runs without a transaction") {
  SipBedConfig config = unhurried();
  config.transactions.max_transactions = 2;
  SipBed bed(config);
  const Task first = bed.run(numbered(1, "OPTIONS").text());
  const Task second = bed.run(numbered(2).text());
  const SipRequest invite = numbered(3);
  const Task third = bed.run(invite.text());
  CHECK(bed.layer.open_transactions() == 2);
  CHECK(bed.layer.in_script() == 3);
  CHECK(bed.layer.suspend_until(third, 1, 1, 1, SipBed::kGroup, 0) == Status::kSlotsExhausted);
  CHECK(bed.layer.suspend_now(third, 1, SipBed::kGroup) == Status::kSlotsExhausted);
  CHECK(bed.layer.new_transaction(third) == Status::kSlotsExhausted);
  CHECK(bed.run_of(third) == Run::kRunning);
  bed.peer.expect_silence();
  REQUIRE(bed.answer(third, 180) == Status::kOk);
  bed.peer.expect(180);
  REQUIRE(bed.answer(third, 503) == Status::kOk);
  bed.peer.expect(503);
  CHECK(bed.answer(third, 503) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.layer.finish(third, Outcome::kEnded));
  CHECK(bed.engine.slots().live() == 2);
  // One that the route forgets, one that is ended from outside while it waits, one while it runs.
  const Task forgotten = bed.run(invite.text());
  CHECK(bed.layer.finish(forgotten, Outcome::kEnded));
  bed.peer.expect(500);
  const Task waiting = bed.fresh(invite.text());
  CHECK(bed.layer.conclude(waiting, 503, {}, 0) == Status::kOk);
  bed.peer.expect(503);
  const Task running = bed.run(invite.text());
  CHECK(bed.layer.conclude(running, 503, {}, 0) == Status::kOk);
  bed.peer.expect(503);
  CHECK(bed.layer.is_current(running));
  CHECK_FALSE(bed.layer.finish(running, Outcome::kEnded));
  CHECK(bed.engine.slots().live() == 2);
  CHECK(bed.layer.in_script() == 2);
  // A place that is free again is one for a transaction.
  REQUIRE(bed.answer(first, 200, true) == Status::kOk);
  bed.peer.expect(200);
  bed.layer.finish(first, Outcome::kEnded);
  const Task fourth = bed.run(invite.text());
  CHECK(bed.layer.new_transaction(fourth) == Status::kOk);
  bed.peer.expect(100);
  bed.layer.finish(second, Outcome::kDropped);
  bed.layer.finish(fourth, Outcome::kDropped);
  CHECK(bed.transport.counters.refused.load() == 0);
  bed.check_all_zero();
}

TEST_CASE("no slot, and no room for the message: 503 with Retry-After, nothing kept") {
  SipBedConfig config = unhurried();
  config.slots = 8;
  config.payload_bytes = 64 << 10;
  SipBed bed(config);
  const auto check_refused = [&](const std::string& text, uint64_t refused) {
    bed.absorbed(text);
    const std::string reply = bed.peer.expect(503);
    CHECK(test::header_of(reply, "Retry-After") == "5");
    CHECK(bed.transport.counters.refused.load() == refused);
    return test::to_tag_of(reply);
  };
  std::vector<Task> tasks;
  for (uint64_t i = 0; i < 8; ++i) tasks.push_back(bed.run(numbered(i).text()));
  const std::string tag = check_refused(numbered(8).text(), 1);
  bed.absorbed(numbered(8).ack(tag).text());  // ours by its tag
  bed.absorbed(numbered(9, "ACK").text());    // nobody's, and no room to ask the script
  bed.peer.expect_silence();
  for (const Task task : tasks) {
    REQUIRE(bed.answer(task, 404, true) == Status::kOk);
    bed.peer.expect(404);
    bed.layer.finish(task, Outcome::kEnded);
  }
  tasks.clear();

  SipRequest big = numbered(10);
  big.body = std::string(30'000, 'x');
  tasks.push_back(bed.run(big.text()));
  big.branch = "z9hG4bK-11";
  check_refused(big.text(), 2);
  // A small one still fits, but its reply may not: it is sent all the same, and not kept.
  SipRequest small = numbered(12);
  std::vector<Task> fillers;
  SipRequest filler = numbered(100, "OPTIONS");
  for (uint64_t i = 0; i < 7; ++i) {
    filler.branch = "z9hG4bK-" + std::to_string(100 + i);
    filler.body = std::string(12'000, 'x');
    Task task{};
    if (!bed.deliver(filler.text(), task)) {
      bed.peer.expect(503);
      break;
    }
    bed.begin(task);
    fillers.push_back(task);
  }
  while (bed.engine.payloads().try_allocate(100) != core::kNoPayload) {
  }
  REQUIRE_FALSE(fillers.empty());
  const uint64_t held = bed.engine.payloads().blocks_in_use() - 1 - fillers.size();
  REQUIRE(bed.layer.reply(tasks[0], 404, {}, {}, false) == Status::kOk);
  bed.peer.expect(404);
  CHECK(bed.transport.counters.replies_not_kept.load() == 1);
  bed.layer.finish(tasks[0], Outcome::kEnded);
  for (const Task task : fillers) {
    REQUIRE(bed.answer(task, 200) == Status::kOk);
    bed.peer.expect(200);
    bed.layer.finish(task, Outcome::kEnded);
  }
  CHECK(eventually([&] { return bed.engine.slots().live() == 0; }));
  CHECK(bed.engine.payloads().blocks_in_use() == held);
  CHECK(bed.layer.open_transactions() == 0);
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.layer.counters.timed_out.load() == 0);
  bed.engine.stop();
  CHECK(bed.engine.check_invariants());
}

TEST_CASE("draining: new requests get 503, what is there is served to its end") {
  SipBed bed(unhurried());
  const SipRequest invite = numbered(1), cancelled = numbered(2);
  const Task task = bed.run(invite.text());
  const Task second = bed.fresh(cancelled.text());
  bed.layer.stop_intake();
  for (const char* method : {"INVITE", "OPTIONS"}) {
    bed.absorbed(numbered(3, method).text());
    const std::string reply = bed.peer.expect(503);
    CHECK(test::header_of(reply, "Retry-After") == "5");
    if (std::string_view(method) == "INVITE") bed.absorbed(numbered(3).ack(test::to_tag_of(reply)).text());
  }
  CHECK(bed.transport.counters.refused.load() == 2);
  // An ACK that belongs to nothing here is to a 2xx between others, whose call it sets up: it has its route.
  bed.layer.finish(bed.run(numbered(4, "ACK").text()), Outcome::kEnded);
  bed.peer.expect_silence();
  bed.absorbed(invite.text());
  bed.peer.expect(100);
  cancel(bed, cancelled);
  REQUIRE(bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kOk);
  bed.peer.expect(100);
  bed.begin(bed.take(), bed.worker());
  REQUIRE(bed.answer(task, 404) == Status::kOk);
  bed.absorbed(invite.ack(test::to_tag_of(bed.peer.expect(404))).text());
  bed.layer.finish(task, Outcome::kEnded);
  CHECK_FALSE(bed.layer.is_current(Task{second.index, second.generation + 1}));
  bed.check_all_zero();
}

TEST_CASE("conclude_all answers everything that waits or runs, once") {
  SipBed bed(unhurried());
  std::vector<Task> tasks;
  for (uint64_t i = 0; i < 6; ++i) tasks.push_back(bed.fresh(numbered(i, "OPTIONS").text()));
  for (uint64_t i = 1; i < 6; ++i) bed.begin(tasks[i]);
  REQUIRE(bed.layer.suspend_until(tasks[2], 60'000, 1, 1, SipBed::kGroup, 0) == Status::kOk);
  REQUIRE(bed.layer.suspend_until(tasks[3], 60'000, 1, 1, core::Engine::kOwnThread, bed.worker()) ==
          Status::kOk);
  REQUIRE(bed.layer.suspend_now(tasks[4], 1, SipBed::kGroup) == Status::kOk);
  REQUIRE(bed.answer(tasks[5], 200) == Status::kOk);
  bed.peer.expect(200);
  const Task ack = bed.run(numbered(7, "ACK").text());
  CHECK(bed.layer.conclude_all(503, "Going down") == 6);
  std::vector<bool> answered(5, false);
  for (int i = 0; i < 5; ++i) {
    const std::string reply = bed.peer.expect(503);
    CHECK(reply.rfind("SIP/2.0 503 Going down\r\n", 0) == 0);
    const auto call = static_cast<size_t>(std::stoi(test::header_of(reply, "Call-ID")));
    REQUIRE(call < 5);
    CHECK_FALSE(answered[call]);
    answered[call] = true;
  }
  CHECK(bed.layer.conclude_all(503, {}) == 0);
  bed.peer.expect_silence();
  CHECK(bed.layer.in_script() == 3);
  CHECK_FALSE(bed.layer.finish(tasks[1], Outcome::kEnded));
  CHECK_FALSE(bed.layer.finish(tasks[5], Outcome::kEnded));
  CHECK_FALSE(bed.layer.finish(ack, Outcome::kEnded));
  CHECK(bed.answer(tasks[0], 200) == Status::kAlreadyAnswered);
  bed.check_all_zero();
}

TEST_CASE("a thread that died: what ran and slept in it gets 500, the rest is left alone") {
  SipBed bed(unhurried());
  std::vector<Task> tasks;
  for (uint64_t i = 0; i < 6; ++i) tasks.push_back(bed.fresh(numbered(i, "OPTIONS").text()));
  for (uint64_t i = 0; i < 5; ++i) bed.begin(tasks[i], bed.worker(i == 4 ? 1 : 0));
  REQUIRE(bed.layer.suspend_until(tasks[1], 60'000, 1, 1, core::Engine::kOwnThread, bed.worker()) ==
          Status::kOk);
  REQUIRE(bed.layer.suspend_now(tasks[2], 1, SipBed::kGroup) == Status::kOk);
  REQUIRE(bed.answer(tasks[3], 200) == Status::kOk);
  bed.peer.expect(200);
  CHECK(bed.layer.thread_gone(bed.worker(0)) == 2);
  bed.peer.expect(500);
  bed.peer.expect(500);
  bed.peer.expect_silence();
  CHECK(bed.layer.in_script() == 3);
  CHECK(bed.layer.thread_gone(bed.worker(0)) == 0);
  // The others go on as if nothing had been.
  bed.begin(bed.take(), bed.worker(1));
  bed.begin(tasks[5], bed.worker(1));
  for (const uint64_t i : {2, 4, 5}) {
    REQUIRE(bed.answer(tasks[i], 404) == Status::kOk);
    bed.peer.expect(404);
    CHECK_FALSE(bed.layer.finish(tasks[i], Outcome::kEnded));
  }
  bed.check_all_zero();
}

TEST_CASE("a message that could not be handed to a thread: 503, or nothing when it ended meanwhile") {
  SipBed bed(unhurried());
  const Task task = bed.fresh(numbered(1).text());
  bed.layer.refuse(task);
  CHECK(test::header_of(bed.peer.expect(503), "Retry-After") == "5");
  CHECK(bed.engine.slots().live() == 0);
  const SipRequest invite = numbered(2);
  const Task cancelled = bed.fresh(invite.text());
  cancel(bed, invite);
  bed.layer.refuse(cancelled);
  const Task ack = bed.fresh(numbered(3, "ACK").text());
  bed.layer.refuse(ack);
  bed.peer.expect_silence();
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.transport.counters.refused.load() == 3);
  bed.check_all_zero();
}

TEST_CASE("what is no request of ours is answered where it can be, counted, and forgotten") {
  SipBed bed(unhurried());
  const auto malformed = [&](IndexStatus status) {
    return bed.transport.counters.malformed[static_cast<size_t>(status)].load();
  };
  bed.absorbed("\r\n\r\n");
  CHECK(bed.transport.counters.keep_alives.load() == 1);
  bed.absorbed("SIP/2.0 200 OK" + numbered(1).text().substr(numbered(1).text().find("\r\n")));
  CHECK(bed.transport.counters.stray_responses.load() == 1);
  for (const std::string& text : {std::string(), std::string("x"), std::string("INVITE sip:a SIP/2.0\r\n"),
                                  std::string("\0\r\n\r\n", 5)}) {
    bed.absorbed(text);
  }
  SipRequest negative = numbered(2);
  negative.more = "Max-Forwards: many\r\n";
  bed.peer.expect_silence();
  bed.absorbed(negative.text());
  CHECK(bed.peer.expect(400).rfind("SIP/2.0 400 Bad Request (badMaxForwards)\r\n", 0) == 0);
  CHECK(malformed(IndexStatus::kBadMaxForwards) == 1);
  bed.absorbed(negative.as("ACK").text());
  bed.peer.expect_silence();
  std::string version = numbered(3).text();
  version.replace(version.find(" SIP/2.0\r\n"), 10, " SIP/3.0\r\n");
  bed.absorbed(version);
  bed.peer.expect(505);
  CHECK(malformed(IndexStatus::kBadVersion) == 1);
  SipRequest long_line = numbered(4);
  long_line.more = "X: " + std::string(9000, 'x') + "\r\n";
  bed.absorbed(long_line.text());
  bed.peer.expect(513);
  CHECK(malformed(IndexStatus::kTooLarge) == 1);
  CHECK(bed.transport.counters.received.load() == 10);
  CHECK(bed.engine.slots().live() == 0);
  bed.check_all_zero();
}
