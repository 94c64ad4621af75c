// CANCEL for a call that was sent on, in every state of its branches and of its script.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

namespace {

// One branch, sent, and the script over.
struct Call {
  explicit Call(RelayBed& the_bed, Wish wish = {}) : bed(the_bed), task(bed.relayed(invite, callee, wish)) {
    bed.caller.expect_reply(100);
    got = callee.expect_request("INVITE");
  }
  void ring() {
    bed.reply(callee, got, 180);
    bed.caller.expect_reply(180);
  }
  // The CANCEL at the callee, and what it does about it.
  std::string cancelled() {
    const std::string cancel = callee.expect_request("CANCEL");
    CHECK(test::ruri_of(cancel) == test::ruri_of(got));
    CHECK(test::branch_of(cancel) == test::branch_of(got));
    CHECK(test::headers_of(cancel, "Via").size() == 1);
    CHECK(test::header_of(cancel, "CSeq") == "1 CANCEL");
    CHECK(test::header_of(cancel, "To") == test::header_of(got, "To"));
    return cancel;
  }
  void end_with_487() {
    bed.reply(callee, got, 487);
    const std::string ack = callee.expect_request("ACK");
    CHECK(test::branch_of(ack) == test::branch_of(got));
  }

  RelayBed& bed;
  SipRequest invite = numbered(1);
  Ear callee;
  Task task;
  std::string got;
};

}  // namespace

TEST_CASE("it rings: CANCEL goes on at once, and the callee's 487 comes back") {
  RelayBed bed;
  Call call(bed);
  call.ring();
  bed.cancel(call.invite, "Reason: SIP;cause=200;text=\"elsewhere\"\r\n");
  const std::string cancel = call.cancelled();
  CHECK(test::header_of(cancel, "Reason") == "SIP;cause=200;text=\"elsewhere\"");
  CHECK(bed.layer.is_cancelled(call.task));
  CHECK(bed.layer.cancel_reason(call.task) == "SIP;cause=200;text=\"elsewhere\"");
  // Once more: another 200, and nothing else.
  bed.send(bed.caller, call.invite.as("CANCEL").text());
  CHECK(test::code_of(bed.caller.expect_repetition()) == 200);
  bed.reply(call.callee, cancel, 200);
  bed.caller.expect_nothing(0);
  call.end_with_487();
  const std::string final = bed.final_reply(call.invite, 487);
  CHECK(test::to_tag_of(final) == "callee");
  CHECK(bed.layer.counters.cancelled.load() == 1);
  bed.check_nothing_left();
}

TEST_CASE(
    "nothing has come back: the caller has its 487 at once, the callee its CANCEL when something comes") {
  RelayBed bed;
  Call call(bed);
  bed.cancel(call.invite);
  bed.final_reply(call.invite, 487);
  call.callee.expect_nothing();
  SUBCASE("a provisional reply") {
    bed.reply(call.callee, call.got, 180);
    bed.reply(call.callee, call.cancelled(), 200);
    bed.caller.expect_nothing();
    call.end_with_487();
  }
  SUBCASE("100 is one, too") {
    bed.reply(call.callee, call.got, 100);
    bed.reply(call.callee, call.cancelled(), 200);
    call.end_with_487();
  }
  SUBCASE("a refusal: there is nothing to cancel any more") {
    bed.reply(call.callee, call.got, 486);
    call.callee.expect_request("ACK");
    call.callee.expect_nothing();
  }
  SUBCASE("200: the caller must know, to end it") {
    bed.reply(call.callee, call.got, 200);
    bed.caller.expect_reply(200);
    call.callee.expect_nothing();
  }
  bed.caller.expect_nothing(0);
  bed.check_nothing_left();
}

TEST_CASE("200 crosses the CANCEL: the caller gets it") {
  RelayBed bed;
  Call call(bed);
  call.ring();
  bed.cancel(call.invite);
  const std::string cancel = call.cancelled();
  bed.reply(call.callee, call.got, 200);
  bed.final_reply(call.invite, 200);
  bed.reply(call.callee, cancel, 481);
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("the callee answers neither CANCEL nor INVITE") {
  RelayBed bed(hurried());
  Call call(bed);
  call.ring();
  bed.cancel(call.invite);
  call.cancelled();
  // Repeated, and then given up for 487.
  const std::string again = call.callee.expect_repetition();
  CHECK(test::method_of(again) == "CANCEL");
  bed.final_reply(call.invite, 487);
  // What comes behind is acknowledged, or is the caller's.
  SUBCASE("nothing") {}
  SUBCASE("487") {
    call.end_with_487();
  }
  SUBCASE("200") {
    bed.reply(call.callee, call.got, 200);
    bed.caller.expect_reply(200);
  }
  bed.check_nothing_left();
}

TEST_CASE("CANCEL is answered, the INVITE rings on: it is given up all the same") {
  SipBedConfig config = hurried();
  config.transactions.fr_inv_ms = 600'000;
  RelayBed bed(config);
  Call call(bed);
  call.ring();
  bed.cancel(call.invite);
  bed.reply(call.callee, call.cancelled(), 200);
  bed.reply(call.callee, call.got, 183);
  bed.caller.expect_reply(183);
  bed.final_reply(call.invite, 487);
  bed.check_nothing_left();
}

TEST_CASE("while its target is looked up, or its branch route runs") {
  RelayBed bed;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  Ear callee;
  const sip::Hop hop = callee.hop();
  SUBCASE("looked up") {
    const Task branch = bed.relay_unresolved(task);
    CHECK_FALSE(bed.end(task));
    bed.caller.expect_reply(100);
    bed.cancel(invite);
    bed.final_reply(invite, 487);
    CHECK(bed.layer.send_to(branch, &hop, 1) == Status::kCancelled);
    CHECK(bed.layer.fail_branch(branch, 478) == Status::kCancelled);
  }
  SUBCASE("looked up, with a failure route") {
    bed.relay_unresolved(task, {.on_failure = 7});
    CHECK_FALSE(bed.end(task));
    bed.caller.expect_reply(100);
    bed.cancel(invite);
    const Task failure = bed.next_route(Entry::kFailureRoute);
    CHECK(bed.layer.status_of(failure) == 487);
    CHECK(bed.layer.is_cancelled(failure));
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(invite, 487);
  }
  SUBCASE("branch route") {
    Task branch{};
    REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.caller.expect_reply(100);
    CHECK_FALSE(bed.layer.is_cancelled(branch));
    bed.cancel(invite);
    CHECK(bed.layer.is_cancelled(branch));
    bed.final_reply(invite, 487);
    sip::RelayRequest wanted;
    const std::string uri = callee.uri();
    wanted.ruri = uri;
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kCancelled);
  }
  SUBCASE("branch route that throws afterwards") {
    Task branch{};
    REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.caller.expect_reply(100);
    bed.cancel(invite);
    bed.final_reply(invite, 487);
    CHECK_FALSE(bed.layer.finish(branch, Outcome::kThrew));
  }
  callee.expect_nothing();
  bed.caller.expect_nothing(0);
  bed.check_nothing_left();
}

TEST_CASE("while the script runs, or is suspended: 487 at once, and the branches are taken back") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  bed.relay(task, callee, {.on_failure = 7});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
  bed.reply(callee, got, 180);
  bed.caller.expect_reply(180);
  bool runs = false;
  SUBCASE("runs") {
    runs = true;
  }
  SUBCASE("is suspended") {
    CHECK(bed.layer.suspend_until(task, 60'000, 1, 3, RelayBed::kGroup, RelayBed::kReceiver) == Status::kOk);
  }
  SUBCASE("stands in a queue") {
    CHECK(bed.layer.suspend_now(task, 3, RelayBed::kGroup) == Status::kOk);
  }
  SUBCASE("is suspended until somebody continues it") {
    uint32_t suspension = 0;
    CHECK(bed.layer.suspend_open(task, 60'000, sip::kNoRoute, suspension) == Status::kOk);
  }
  bed.cancel(invite);
  bed.final_reply(invite, 487);
  const std::string cancel = callee.expect_request("CANCEL");
  if (runs) {
    Task branch{};
    CHECK(bed.try_relay(task, callee.uri(), {}, branch) == Status::kCancelled);
    CHECK(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kCancelled);
    CHECK(bed.layer.forward(task, {}) == Status::kCancelled);
    CHECK_FALSE(bed.end(task));
  }
  bed.reply(callee, cancel, 200);
  bed.reply(callee, got, 487);
  callee.expect_request("ACK");
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("while the failure route runs") {
  RelayBed bed;
  Call call(bed, {.on_failure = 7});
  bed.reply(call.callee, call.got, 486);
  call.callee.expect_request("ACK");
  Ear second;
  SUBCASE("it waits in a queue") {
    bed.cancel(call.invite);
    bed.final_reply(call.invite, 487);
    Task none{};
    CHECK_FALSE(bed.try_next_route(none));
  }
  SUBCASE("it runs and has sent the call on again") {
    const Task failure = bed.next_route(Entry::kFailureRoute);
    bed.relay(failure, second);
    const std::string got = second.expect_request("INVITE");
    bed.reply(second, got, 100);
    bed.cancel(call.invite);
    bed.final_reply(call.invite, 487);
    bed.reply(second, second.expect_request("CANCEL"), 200);
    bed.reply(second, got, 487);
    CHECK_FALSE(bed.end(failure));
  }
  bed.check_nothing_left();
}

TEST_CASE("a failure route sees that the call was cancelled, and cannot send it on") {
  RelayBed bed;
  Call call(bed, {.on_failure = 7});
  call.ring();
  bed.cancel(call.invite);
  bed.reply(call.callee, call.cancelled(), 200);
  call.end_with_487();
  const Task failure = bed.next_route(Entry::kFailureRoute);
  CHECK(bed.layer.is_cancelled(failure));
  CHECK(bed.layer.status_of(failure) == 487);
  Task branch{};
  CHECK(bed.try_relay(failure, call.callee.uri(), {}, branch) == Status::kCancelled);
  CHECK(bed.layer.open_branch(failure, {}, RelayBed::kReceiver, branch) == Status::kCancelled);
  // Another CANCEL changes nothing.
  bed.send(bed.caller, call.invite.as("CANCEL").text());
  CHECK(test::code_of(bed.caller.expect_repetition()) == 200);
  CHECK_FALSE(bed.end(failure));
  bed.final_reply(call.invite, 487);
  bed.check_nothing_left();
}

TEST_CASE("while a reply is with its route") {
  RelayBed bed;
  Call call(bed, {.on_reply = 5});
  int code = 0;
  SUBCASE("180") {
    code = 180;
  }
  SUBCASE("486") {
    code = 486;
  }
  SUBCASE("200") {
    code = 200;
  }
  bed.reply(call.callee, call.got, code);
  if (code == 486) call.callee.expect_request("ACK");
  const Task route = bed.next_route(Entry::kReplyRoute);
  bed.cancel(call.invite);
  if (code == 180) {
    bed.reply(call.callee, call.cancelled(), 200);
    CHECK_FALSE(bed.end(route));
    bed.caller.expect_reply(180);
    bed.reply(call.callee, call.got, 487);
    call.callee.expect_request("ACK");
    CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute)));
    bed.final_reply(call.invite, 487);
  } else if (code == 486) {
    bed.final_reply(call.invite, 487);
    CHECK_FALSE(bed.end(route));
  } else {
    // It was there first.
    bed.caller.expect_nothing();
    CHECK_FALSE(bed.end(route));
    bed.final_reply(call.invite, 200);
  }
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("branches in all states at once") {
  RelayBed bed;
  const SipRequest invite = numbered(1);
  Ear ringing, calling, refused;
  const Task task = bed.call(invite);
  bed.relay(task, ringing);
  bed.relay(task, calling);
  bed.relay(task, refused);
  bed.relay_unresolved(task);
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_reply(100);
  const std::string rings = ringing.expect_request("INVITE");
  const std::string calls = calling.expect_request("INVITE");
  bed.reply(refused, refused.expect_request("INVITE"), 503);
  refused.expect_request("ACK");
  bed.reply(ringing, rings, 180);
  bed.caller.expect_reply(180);
  bed.cancel(invite);
  bed.caller.expect_nothing();
  bed.reply(ringing, ringing.expect_request("CANCEL"), 200);
  bed.reply(ringing, rings, 487);
  ringing.expect_request("ACK");
  bed.final_reply(invite, 487);
  bed.reply(calling, calls, 100);
  bed.reply(calling, calling.expect_request("CANCEL"), 200);
  bed.reply(calling, calls, 487);
  calling.expect_request("ACK");
  refused.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("CANCEL behind the final reply, for another call, and for another method") {
  RelayBed bed;
  Call call(bed);
  bed.reply(call.callee, call.got, 200);
  bed.final_reply(call.invite, 200);
  bed.cancel(call.invite);
  call.callee.expect_nothing();
  bed.send(bed.caller, numbered(2).as("CANCEL").text());
  bed.caller.expect_reply(481);
  const SipRequest options = numbered(3, "OPTIONS");
  bed.relayed(options, call.callee);
  const std::string got = call.callee.expect_request("OPTIONS");
  bed.send(bed.caller, options.as("CANCEL").text());
  bed.caller.expect_reply(481);
  bed.reply(call.callee, got, 404);
  bed.final_reply(options, 404);
  bed.check_nothing_left();
}

TEST_CASE("the CANCEL of a branch cannot be sent") {
  RelayBed bed;
  Call call(bed);
  call.ring();
  bed.cancel(call.invite);
  const std::string cancel = call.cancelled();
  bed.layer.undelivered(cancel.data(), cancel.size());
  bed.final_reply(call.invite, 487);
  bed.check_nothing_left();
}

TEST_CASE("the script hears of a CANCEL once") {
  SipBedConfig config = calm();
  config.transactions.has_cancel_event = true;
  RelayBed bed(config);
  Call call(bed);
  call.ring();
  bed.cancel(call.invite);
  REQUIRE(bed.fresh_tasks.size() == 1);
  const Task event = bed.fresh_tasks.front();
  CHECK(bed.entry_of(event) == Entry::kCancelEvent);
  bed.begin(event);
  Task branch{};
  CHECK(bed.try_relay(event, call.callee.uri(), {}, branch) != Status::kOk);
  CHECK(bed.answer(event, 200) == Status::kNoTransaction);
  CHECK_FALSE(bed.end(event));
  bed.send(bed.caller, call.invite.as("CANCEL").text());
  CHECK(bed.fresh_tasks.size() == 1);
  bed.reply(call.callee, call.cancelled(), 200);
  call.end_with_487();
  CHECK(test::code_of(bed.caller.expect_repetition()) == 200);
  bed.final_reply(call.invite, 487);
  bed.check_nothing_left();
}
