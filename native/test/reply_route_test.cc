// Reply routes: one reply after the other, what they change, hold back and drop, and what comes while one runs.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

TEST_CASE("a reply route sees every reply but 100, one after the other, and each goes on when it has ended") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, {.on_reply = 5});
  bed.reply(callee, got, 100);
  Task none{};
  CHECK_FALSE(bed.try_next_route(none));
  bed.reply(callee, got, 180, {.more = "X-Number: 1\r\n"});
  bed.reply(callee, got, 183, {.more = "X-Number: 2\r\n"});
  bed.reply(callee, got, 200, {.more = "X-Number: 3\r\n"});
  bed.caller.expect_nothing();
  for (const int code : {180, 183, 200}) {
    const Task route = bed.next_route(Entry::kReplyRoute);
    CHECK(bed.route_of(route) == 5);
    CHECK(bed.layer.status_of(route) == code);
    CHECK_FALSE(bed.try_next_route(none));
    bed.layer.finish_reply(route, appended("X-Seen: " + std::to_string(code) + "\r\n"));
    const std::string reply = bed.caller.expect_reply(code);
    CHECK(test::header_of(reply, "X-Seen") == std::to_string(code));
    CHECK(test::headers_of(reply, "X-Number").size() == 1);
  }
  bed.check_nothing_left();
}

TEST_CASE("a provisional reply can be dropped, a final one cannot") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, {.on_reply = 5});
  bed.reply(callee, got, 180);
  CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute), Outcome::kDropped));
  bed.caller.expect_nothing();
  bed.reply(callee, got, 183);
  CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute), Outcome::kThrew));
  bed.caller.expect_reply(183);
  bed.reply(callee, got, 486);
  CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute), Outcome::kDropped));
  bed.final_reply(invite, 486);
  bed.check_nothing_left();
}

TEST_CASE("more provisional replies than can wait: the last place is the final one's") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, {.on_reply = 5});
  for (int i = 0; i < 6; ++i) bed.reply(callee, got, 180 + i);
  bed.reply(callee, got, 200);
  for (const int code : {180, 181, 182, 200}) {
    const Task route = bed.next_route(Entry::kReplyRoute);
    CHECK(bed.layer.status_of(route) == code);
    CHECK_FALSE(bed.end(route));
    bed.caller.expect_reply(code);
  }
  bed.check_nothing_left();
}

TEST_CASE("a reply route that is suspended holds its reply, and the failure route waits for it") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, {.on_failure = 7, .on_reply = 5});
  bed.reply(callee, got, 486);
  callee.expect_request("ACK");
  const Task route = bed.next_route(Entry::kReplyRoute);
  CHECK(bed.layer.suspend_until(route, 5, 1, 3, RelayBed::kGroup, RelayBed::kReceiver) == Status::kOk);
  const Task resumed = bed.take();
  CHECK(resumed.bits() == route.bits());
  bed.begin(resumed, bed.worker());
  CHECK(bed.layer.status_of(resumed) == 486);
  CHECK(bed.layer.save_variables(resumed, "variables") == Status::kOk);
  Task none{};
  CHECK_FALSE(bed.try_next_route(none));
  bed.caller.expect_nothing();
  CHECK_FALSE(bed.end(resumed));
  const Task failure = bed.next_route(Entry::kFailureRoute);
  CHECK(bed.layer.status_of(failure) == 486);
  CHECK_FALSE(bed.end(failure));
  bed.final_reply(invite, 486);
  bed.check_nothing_left();
}

TEST_CASE("a repeated 2xx does not overtake the one that is with the script, and is what that made of it") {
  SipBedConfig config = calm();
  Wish wish;
  SUBCASE("the call's own route") {
    wish.on_reply = 5;
  }
  SUBCASE("the route for all replies") {
    config.transactions.has_reply_route = true;
  }
  RelayBed bed(config);
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, wish);
  bed.reply(callee, got, 200, {.tag = "a"});
  const Task route = bed.next_route(Entry::kReplyRoute);
  bed.reply(callee, got, 200, {.tag = "a"});
  bed.caller.expect_nothing();
  // Another dialog, of a fork further on, waits for its own turn.
  bed.reply(callee, got, 200, {.tag = "b"});
  bed.layer.finish_reply(route, appended("X-Seen: a\r\n"));
  const std::string first = bed.caller.expect_reply(200);
  CHECK(test::header_of(first, "X-Seen") == "a");
  const Task second_route = bed.next_route(Entry::kReplyRoute);
  bed.layer.finish_reply(second_route, appended("X-Seen: b\r\n"));
  const std::string second = bed.caller.expect_reply(200);
  CHECK(test::to_tag_of(second) == "b");
  CHECK(test::header_of(second, "X-Seen") == "b");
  bed.reply(callee, got, 200, {.tag = "b"});
  CHECK(bed.caller.receive() == second);
  bed.check_nothing_left();
}

TEST_CASE("a branch that fails while the 2xx of another is on its way does not start the choice") {
  // What another reply that waits leads to is done between taking the 2xx and sending it: there a thread comes in.
  struct Interruption : core::Wakeable {
    std::function<void()> what;
    void wake() override {
      if (!what) return;
      std::thread(std::exchange(what, nullptr)).join();
    }
  };
  for (const uint16_t on_failure : {uint16_t{7}, sip::kNoRoute}) {
    RelayBed bed;
    Ear callee;
    Interruption interruption;
    const SipRequest invite = numbered(1);
    const Task task = bed.call(invite);
    bed.relay(task, callee, {.on_failure = on_failure, .on_reply = 5});
    const Task other = bed.relay_unresolved(task, {.on_failure = on_failure, .on_reply = 5});
    CHECK_FALSE(bed.end(task));
    bed.caller.expect_reply(100);
    const std::string got = callee.expect_request("INVITE");
    bed.reply(callee, got, 200, {.tag = "a", .body = "v=0\r\n"});
    bed.reply(callee, got, 200, {.tag = "b"});
    const Task route = bed.next_route(Entry::kReplyRoute);
    bed.engine.attach(RelayBed::kReceiver, &interruption);
    interruption.what = [&] { bed.layer.fail_branch(other, 486); };
    CHECK_FALSE(bed.end(route));
    CHECK_FALSE(interruption.what);
    bed.engine.detach(RelayBed::kReceiver, &interruption);
    const std::string reply = bed.caller.expect_reply(200);
    CHECK(test::to_tag_of(reply) == "a");
    CHECK(test::body_of(reply) == "v=0\r\n");
    CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute)));
    CHECK(test::to_tag_of(bed.caller.expect_reply(200)) == "b");
    bed.check_nothing_left();
  }
}

TEST_CASE("the thread of a reply route ends: its reply goes on as it came") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const std::string got = bed.relayed_invite(invite, callee, {.on_reply = 5});
  bed.reply(callee, got, 180);
  bed.reply(callee, got, 200);
  const Task route = bed.next_route(Entry::kReplyRoute);
  SUBCASE("running") {
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
  }
  SUBCASE("asleep") {
    CHECK(bed.layer.suspend_until(route, 60'000, 1, 0, core::Engine::kOwnThread, RelayBed::kReceiver) ==
          Status::kOk);
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
  }
  SUBCASE("about to wake") {
    CHECK(bed.layer.suspend_until(route, 1, 1, 0, core::Engine::kOwnThread, RelayBed::kReceiver) ==
          Status::kOk);
    CHECK(eventually([&] { return bed.run_of(route) == Run::kDue; }));
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
  }
  bed.caller.expect_reply(180);
  CHECK_FALSE(bed.end(bed.next_route(Entry::kReplyRoute)));
  bed.caller.expect_reply(200);
  bed.check_nothing_left();
}

TEST_CASE("variables of the call in reply routes") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  CHECK(bed.layer.save_variables(task, "one") == Status::kOk);
  bed.relay(task, callee, {.on_reply = 5});
  CHECK_FALSE(bed.end(task));
  const std::string got = callee.expect_request("INVITE");
  bed.reply(callee, got, 180);
  const Task first = bed.next_route(Entry::kReplyRoute);
  CHECK(bed.layer.shared_variables(first) == "one");
  bed.layer.share_variables(first, "two");
  CHECK_FALSE(bed.end(first));
  bed.reply(callee, got, 200);
  const Task second = bed.next_route(Entry::kReplyRoute);
  CHECK(bed.layer.shared_variables(second) == "two");
  CHECK(bed.layer.conclude(task, 480, {}, 0) == Status::kOk);
  CHECK(bed.layer.shared_variables(second).empty());
  bed.layer.share_variables(second, "three");
  CHECK_FALSE(bed.end(second));
  bed.check_nothing_left();
}
