// Raw messages: the event route before everything, and what a group does with a message that was handed over.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/launch_scope.h"
#include "test/support/sip_bed.h"

using namespace sip_async;
using core::kNone;
using core::Run;
using core::SlotKind;
using core::Status;
using sip::Outcome;
using sip::Task;
using test::numbered;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

namespace {

SipBedConfig with_event_route(uint32_t max_transactions = 128) {
  SipBedConfig out;
  out.transactions.max_transactions = max_transactions;
  out.transactions.has_pre_routing = true;
  return out;
}

// The event route lets the message go on; the request that comes of it runs in the receiver.
Task pass(SipBed& bed, Task raw) {
  Task fresh{};
  REQUIRE(bed.layer.finish_raw(raw, Outcome::kEnded, fresh));
  bed.begin(fresh);
  return fresh;
}

// A worker takes what waits in the group; true when it is a new message, which it runs then.
bool work(SipBed& bed, Task& raw, Task& fresh) {
  raw = bed.take();
  bed.begin(raw, bed.worker());
  const bool is_fresh = bed.layer.begin_handed_over(raw, fresh);
  if (is_fresh) bed.begin(fresh, bed.worker());
  return is_fresh;
}

void finish(SipBed& bed, Task task, uint16_t code = 404) {
  CHECK(bed.answer(task, code) == Status::kOk);
  CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
}

}  // namespace

TEST_CASE("a raw message is read, and goes on when its event route has ended") {
  SipBed bed(with_event_route());
  const Task raw = bed.run(numbered(1, "OPTIONS").text());
  CHECK(bed.layer.is_raw(raw));
  CHECK(bed.layer.open_raw() == 1);
  CHECK(bed.layer.open_transactions() == 0);
  std::string call_id;
  const auto read = [&](const sip::StoredMessage& message) {
    call_id = message.index.call_id.of(message.data());
  };
  CHECK(bed.layer.with_request(raw, true, read));
  CHECK(call_id == "1@example.com");
  CHECK(bed.layer.with_request(raw, false, read));
  // Nothing of a transaction is to be had.
  CHECK(bed.layer.reply(raw, 200, {}, {}, false) == Status::kNoTransaction);
  CHECK(bed.layer.new_transaction(raw) == Status::kNoTransaction);
  CHECK(bed.layer.suspend_now(raw, 0, SipBed::kGroup) == Status::kNoTransaction);
  CHECK(bed.layer.save_variables(raw, "x") == Status::kNoTransaction);
  CHECK_FALSE(bed.layer.has_transaction(raw));
  CHECK(bed.layer.conclude(raw, 487, {}, 0) == Status::kNoTransaction);
  CHECK(bed.layer.continue_with(raw, 0, SipBed::kGroup) != Status::kOk);
  const Task fresh = pass(bed, raw);
  CHECK_FALSE(bed.layer.is_current(raw));
  CHECK(bed.layer.open_raw() == 0);
  finish(bed, fresh);
  bed.peer.expect(404);
  // A retransmission runs the event route, and is absorbed behind it.
  const Task again = bed.run(numbered(1, "OPTIONS").text());
  Task none{};
  CHECK_FALSE(bed.layer.finish_raw(again, Outcome::kThrew, none));
  bed.peer.expect(404);
  CHECK(bed.absorbed_count() == 1);
  bed.check_all_zero();
}

TEST_CASE("a raw message ends by drop, or by a reply without a transaction") {
  SipBed bed(with_event_route());
  Task none{};
  CHECK_FALSE(bed.layer.finish_raw(bed.run(numbered(1).text()), Outcome::kDropped, none));
  const Task raw = bed.run(numbered(2).text());
  CHECK(bed.layer.reply(raw, 183, {}, {}, true) == Status::kOk);
  CHECK(bed.layer.reply(raw, 486, {}, {}, true) == Status::kOk);
  CHECK(bed.layer.reply(raw, 487, {}, {}, true) == Status::kAlreadyAnswered);
  CHECK(bed.layer.hand_over(raw, SipBed::kGroup, {}) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.layer.finish_raw(raw, Outcome::kEnded, none));
  bed.peer.expect(183);
  const std::string reply = bed.peer.expect(486);
  // The ACK to it is recognised without anything being kept.
  const Task ack = bed.run(numbered(2).ack(test::to_tag_of(reply)).text());
  CHECK(bed.layer.reply(ack, 200, {}, {}, true) == Status::kNoTransaction);
  CHECK_FALSE(bed.layer.finish_raw(ack, Outcome::kEnded, none));
  CHECK(bed.transport.counters.acks_absorbed.load() == 1);
  bed.check_all_zero();
}

TEST_CASE("messages of one Call-ID come to a group one after the other") {
  SipBed bed(with_event_route());
  std::vector<Task> raws;
  for (uint64_t i = 0; i < 3; ++i) {
    SipRequest request = numbered(i, "MESSAGE");
    request.call_id = "same";
    raws.push_back(bed.run(request.text()));
    CHECK(bed.layer.hand_over(raws.back(), SipBed::kGroup, std::string(i, 'x')) == Status::kOk);
    CHECK(bed.layer.hand_over(raws.back(), SipBed::kGroup, {}) == Status::kAlreadySuspended);
  }
  CHECK(bed.engine.group(SipBed::kGroup).queued() == 3);
  for (uint64_t i = 0; i < 3; ++i) {
    Task raw{}, fresh{}, other{};
    REQUIRE(work(bed, raw, fresh));
    CHECK(raw.index == raws[i].index);
    CHECK(bed.layer.xdata(raw) == std::string(i, 'x'));
    CHECK(bed.engine.group(SipBed::kGroup).take(&other, 1) == 0);
    finish(bed, fresh);
    bed.peer.expect(404);
    bed.layer.leave_lane(raw);
    CHECK_FALSE(bed.layer.is_current(raw));
  }
  CHECK(bed.engine.group(SipBed::kGroup).queued() == 0);
  CHECK(bed.engine.group(SipBed::kGroup).counters.high_water.load() == 3);
  CHECK(bed.layer.lanes_hold());
  bed.check_all_zero();
}

TEST_CASE("a repetition is absorbed as long as the first waits; ACK and CANCEL are none") {
  SipBed bed(with_event_route());
  const SipRequest invite = numbered(1);
  const auto hand_over = [&](const SipRequest& request) {
    const Task raw = bed.run(request.text());
    REQUIRE(bed.layer.hand_over(raw, SipBed::kGroup, {}) == Status::kOk);
    return raw;
  };
  hand_over(invite);
  CHECK_FALSE(bed.layer.is_current(hand_over(invite)));
  bed.peer.expect(100);
  CHECK(bed.absorbed_count() == 1);
  hand_over(invite.as("CANCEL"));
  CHECK(bed.engine.group(SipBed::kGroup).queued() == 2);

  Task raw{}, fresh{}, cancel{}, none{};
  REQUIRE(work(bed, raw, fresh));
  // It has begun: the transaction layer has it.
  CHECK(bed.layer.is_current(hand_over(invite)));
  bed.layer.leave_lane(raw);
  CHECK_FALSE(work(bed, cancel, none));
  bed.peer.expect(200);
  bed.peer.expect(487);
  bed.layer.leave_lane(cancel);
  CHECK_FALSE(work(bed, raw, none));
  bed.peer.expect(487);
  bed.layer.leave_lane(raw);
  CHECK_FALSE(bed.layer.finish(fresh, Outcome::kEnded));
  CHECK(bed.absorbed_count() == 2);
  bed.check_all_zero();
}

TEST_CASE("groups that do not take it") {
  SipBed bed(with_event_route());
  const Task one = bed.run(numbered(1, "OPTIONS").text());
  CHECK(bed.layer.hand_over(one, SipBed::kEmptyGroup, {}) == Status::kNoWorkers);
  CHECK(bed.layer.hand_over(one, SipBed::kTightGroup, std::string(sip::kMaxVariablesBytes + 1, 'x')) ==
        Status::kPayloadTooLarge);
  CHECK(bed.layer.hand_over(one, SipBed::kTightGroup, "x") == Status::kOk);
  const Task two = bed.run(numbered(2, "OPTIONS").text());
  CHECK(bed.layer.hand_over(two, SipBed::kTightGroup, "x") == Status::kGroupFull);
  CHECK(bed.run_of(two) == Run::kRunning);
  finish(bed, pass(bed, two));
  const Task request = bed.take(SipBed::kTightGroup);
  bed.begin(request, bed.worker());
  Task fresh{};
  REQUIRE(bed.layer.begin_handed_over(request, fresh));
  bed.begin(fresh, bed.worker());
  CHECK(bed.layer.hand_over(fresh, SipBed::kGroup, {}) == Status::kNoTransaction);
  finish(bed, fresh);
  bed.layer.leave_lane(request);
  bed.check_all_zero();
}

TEST_CASE("what finds the queue of its group full is offered again") {
  SipBed bed(with_event_route());
  core::WorkerGroup& group = bed.engine.group(SipBed::kGroup);
  uint32_t stale = 0;
  while (group.push(Task{0, 0xffff'ffff})) ++stale;
  const Task raw = bed.run(numbered(1, "OPTIONS").text());
  const Task dropped = bed.run(numbered(2, "OPTIONS").text());
  CHECK(bed.layer.hand_over(raw, SipBed::kGroup, {}) == Status::kOk);
  CHECK(bed.layer.hand_over(dropped, SipBed::kGroup, {}) == Status::kOk);
  // One ends before there is room.
  bed.layer.refuse(dropped);
  bed.peer.expect(503);
  for (uint32_t i = 0; i < stale; ++i) bed.take();
  Task worked{}, fresh{};
  REQUIRE(work(bed, worked, fresh));
  CHECK(worked.index == raw.index);
  finish(bed, fresh);
  bed.layer.leave_lane(worked);
  bed.check_all_zero();
}

TEST_CASE("no room: a request gets 503, a reply is dropped, and both are counted") {
  SipBed bed(with_event_route(1));
  const Task first = bed.run(numbered(1, "OPTIONS").text());
  bed.absorbed(numbered(2, "OPTIONS").text());
  CHECK(bed.peer.expect(503).find("Retry-After: 5") != std::string::npos);
  bed.absorbed(numbered(3, "ACK").text());
  bed.absorbed(
      "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: "
      "<sip:a@b>;tag=2\r\n"
      "Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n");
  CHECK(bed.transport.counters.refused.load() == 2);
  CHECK(bed.transport.counters.replies_refused.load() == 1);
  bed.peer.expect_silence();
  finish(bed, pass(bed, first));
  bed.check_all_zero();
}

TEST_CASE("a thread that ends leaves its lanes, and what it had of the event route goes on") {
  SipBed bed(with_event_route());
  SipRequest request = numbered(1, "MESSAGE");
  request.call_id = "same";
  REQUIRE(bed.layer.hand_over(bed.run(request.text()), SipBed::kGroup, {}) == Status::kOk);
  request.branch += "2";
  REQUIRE(bed.layer.hand_over(bed.run(request.text()), SipBed::kGroup, {}) == Status::kOk);
  Task raw{}, fresh{};
  REQUIRE(work(bed, raw, fresh));
  CHECK(bed.layer.thread_gone(bed.worker()) == 1);
  bed.peer.expect(500);
  CHECK_FALSE(bed.layer.is_current(raw));
  REQUIRE(work(bed, raw, fresh));
  finish(bed, fresh);
  bed.peer.expect(404);
  bed.layer.leave_lane(raw);

  bed.run(numbered(3, "OPTIONS").text());
  bed.layer.thread_gone(SipBed::kReceiver);
  const Task gone_on = bed.take_own(SipBed::kReceiver);
  bed.begin(gone_on);
  finish(bed, gone_on);
  bed.peer.expect(404);
  bed.check_all_zero();
}

TEST_CASE("the end: what waits is refused, and what its event route still has as well") {
  SipBed bed(with_event_route());
  SipRequest request = numbered(1, "MESSAGE");
  request.call_id = "same";
  for (int i = 0; i < 3; ++i) {
    request.branch += "x";
    REQUIRE(bed.layer.hand_over(bed.run(request.text()), SipBed::kGroup, {}) == Status::kOk);
  }
  REQUIRE(bed.layer.hand_over(bed.run(request.ack("t").text()), SipBed::kGroup, {}) == Status::kOk);
  bed.run(numbered(5, "OPTIONS").text());
  bed.fresh(numbered(6, "OPTIONS").text());
  bed.layer.stop_intake();
  bed.layer.close_raw_intake();
  CHECK(bed.layer.conclude_all(503, {}) == 4);
  bed.absorbed(numbered(7, "OPTIONS").text());
  bed.layer.thread_gone(SipBed::kReceiver);
  for (int i = 0; i < 6; ++i) bed.peer.expect(503);
  CHECK(bed.engine.group(SipBed::kGroup).queued() == 0);
  CHECK(bed.layer.open_raw() == 0);
  CHECK(bed.layer.lanes_hold());
  bed.check_all_zero();
}

TEST_CASE("routes launched in a scope are the thread's own") {
  std::vector<core::Engine::Launch> outer_launches, launches;
  CHECK(sip::LaunchScope::thread_or(3) == 3);
  {
    const sip::LaunchScope outer(7, outer_launches);
    {
      const sip::LaunchScope scope(5, launches);
      CHECK(sip::LaunchScope::thread_or(3) == 5);
      CHECK(sip::LaunchScope::take({{1, 2}, 5}));
      CHECK_FALSE(sip::LaunchScope::take({{1, 2}, 4}));
    }
    CHECK(sip::LaunchScope::thread_or(3) == 7);
  }
  CHECK_FALSE(sip::LaunchScope::take({{1, 2}, 5}));
  CHECK(launches.size() == 1);
  CHECK(outer_launches.empty());
}
