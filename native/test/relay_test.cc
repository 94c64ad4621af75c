// Requests that are sent on: what leaves, branch routes, names that are looked up, next hops, reply routes and their queue,
// and what is full.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using core::kNone;
using core::Run;
using core::Status;
using sip::Entry;
using sip::Outcome;
using sip::Task;
using test::calm;
using test::Ear;
using test::eventually;
using test::hurried;
using test::numbered;
using test::RelayBed;
using test::SipBedConfig;
using test::SipRequest;
using test::Wish;

namespace {

// The port of a UDP socket that nobody reads, and that nobody else has while this lives.
using Mute = Ear;

sip::MessageEdits appended(std::string_view lines) {
  sip::MessageEdits out;
  out.appended_lines = lines;
  return out;
}

}  // namespace

TEST_CASE("what leaves: another Via in front, one hop less, the rest as it came") {
  RelayBed bed;
  Ear callee;
  SipRequest invite = numbered(1);
  invite.more = "Max-Forwards: 10\r\nX-One: 1\r\n";
  invite.body = "v=0\r\n";
  const Task task = bed.call(invite);
  bed.relay(task, callee, {.records_route = true});
  CHECK_FALSE(bed.end(task));
  const std::string got = callee.expect_request("INVITE");
  CHECK(test::ruri_of(got) == callee.uri());
  const std::vector<std::string> vias = test::headers_of(got, "Via");
  REQUIRE(vias.size() == 2);
  const std::string own = "127.0.0.1:" + std::to_string(bed.transport.socket(0).local().port);
  CHECK(vias[0].rfind("SIP/2.0/UDP " + own + ";branch=z9hG4bK", 0) == 0);
  CHECK(vias[1].find("received=127.0.0.1") != std::string::npos);
  CHECK(test::headers_of(got, "Record-Route") == std::vector<std::string>{"<sip:" + own + ";lr>"});
  CHECK(test::header_of(got, "Max-Forwards") == "9");
  CHECK(test::header_of(got, "X-One") == "1");
  CHECK(test::body_of(got) == "v=0\r\n");
  CHECK(bed.caller.expect_reply(100) != "");
  CHECK(bed.layer.counters.relayed.load() == 1);
  CHECK(bed.layer.open_branches() == 1);
  // A repetition is answered with 100 and goes nowhere; nor does it reach the script.
  bed.send(bed.caller, invite.text());
  CHECK(test::code_of(bed.caller.receive()) == 100);
  CHECK(bed.fresh_tasks.empty());
  bed.reply(callee, got, 200);
  bed.final_reply(invite, 200);
  bed.check_nothing_left();
}

TEST_CASE("what cannot be sent on, and what the script is told") {
  RelayBed bed;
  Task branch{};
  SipRequest request = numbered(1, "OPTIONS");
  Status expected = Status::kOk;
  std::string uri = "sip:127.0.0.1:1";
  SUBCASE("no address for this scheme") {
    uri = "tel:+49301234";
    expected = Status::kUnroutable;
  }
  SUBCASE("no socket for this kind of address") {
    uri = "sip:[::1]:5060";
    expected = Status::kUnroutable;
  }
  SUBCASE("no socket for this transport") {
    uri = "sip:127.0.0.1:5060;transport=tcp";
    expected = Status::kUnroutable;
  }
  SUBCASE("a transport that is none") {
    uri = "sip:127.0.0.1:5060;transport=sctp";
    expected = Status::kUnroutable;
  }
  SUBCASE("too many hops") {
    request.more = "Max-Forwards: 0\r\n";
    expected = Status::kTooManyHops;
  }
  const Task task = bed.call(request);
  CHECK(bed.try_relay(task, uri, {}, branch) == expected);
  CHECK(bed.end(task));  // 500, for nothing was sent
  bed.final_reply(request, 500);
  bed.check_nothing_left();
}

TEST_CASE("a request that comes back as it was is a loop; one that was changed is none") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  bed.relay(task, callee);
  CHECK_FALSE(bed.end(task));
  const std::string got = callee.expect_request("OPTIONS");
  bed.send(callee, got);
  // Its Request-URI is another now, so it is none; it is sent on once more and comes back, and then it is one.
  REQUIRE(bed.fresh_tasks.size() == 1);
  const Task spiral = bed.fresh_tasks.front();
  bed.fresh_tasks.clear();
  bed.begin(spiral);
  bed.relay(spiral, callee);
  CHECK_FALSE(bed.end(spiral));
  const std::string again = callee.expect_request("OPTIONS");
  bed.send(callee, again);
  REQUIRE(bed.fresh_tasks.size() == 1);
  const Task loop = bed.fresh_tasks.front();
  bed.begin(loop);
  Task branch{};
  CHECK(bed.try_relay(loop, callee.uri(), {}, branch) == Status::kLoop);
  CHECK(bed.answer(loop, 482) == Status::kOk);
  CHECK_FALSE(bed.end(loop));
  // The refusal goes back all the way: by its Vias, which are ours twice.
  bed.read_one();
  bed.read_one();
  bed.final_reply(request, 482);
  bed.check_nothing_left();
}

TEST_CASE("the reply of the script after a relay takes the branches back, with a transaction or without") {
  for (const bool stateless : {false, true}) {
    CAPTURE(stateless);
    RelayBed bed;
    Ear callee;
    const SipRequest invite = numbered(1);
    const Task task = bed.call(invite);
    bed.relay(task, callee);
    bed.caller.expect_reply(100);
    const std::string got = callee.expect_request("INVITE");
    CHECK(bed.answer(task, 403, stateless) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.final_reply(invite, 403);
    bed.reply(callee, got, 180);
    bed.reply(callee, callee.expect_request("CANCEL"), 200);
    bed.reply(callee, got, 487);
    callee.expect_request("ACK");
    bed.caller.expect_nothing();
    bed.check_nothing_left();
  }
}

TEST_CASE("a drop after a relay leaves the call to its branches") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  bed.relay(task, callee);
  CHECK_FALSE(bed.end(task, Outcome::kDropped));
  bed.reply(callee, callee.expect_request("OPTIONS"), 404);
  bed.final_reply(request, 404);
  bed.check_nothing_left();
}

TEST_CASE("an ACK is sent on without a transaction") {
  RelayBed bed;
  Ear callee;
  SipRequest ack = numbered(1).ack("callee");
  const Task task = bed.call(ack);
  Task branch{};
  CHECK(bed.try_relay(task, callee.uri(), {}, branch) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  callee.expect_request("ACK");
  CHECK(bed.layer.open_branches() == 0);
  bed.check_nothing_left();
}

TEST_CASE("a branch route: the branch is sent at its end, with its own changes") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  Task branch{};
  REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
  CHECK(bed.run_of(branch) == Run::kRunning);
  CHECK(bed.layer.with_request(branch, true, [](const sip::StoredMessage&) {}));
  sip::RelayRequest wanted;
  const std::string uri = callee.uri();
  wanted.ruri = uri;
  wanted.edits = appended("X-Branch: 1\r\n");
  SUBCASE("at once") {
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kOk);
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kAlreadySuspended);
    CHECK_FALSE(bed.end(task));
    const std::string got = callee.expect_request("OPTIONS");
    CHECK(test::header_of(got, "X-Branch") == "1");
    bed.reply(callee, got, 404);
    bed.final_reply(request, 404);
  }
  SUBCASE("after a suspension, when the call's script is over") {
    CHECK(bed.layer.suspend_now(branch, 3, RelayBed::kGroup) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.begin(bed.take(), bed.worker());
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kOk);
    bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.final_reply(request, 404);
  }
  SUBCASE("it drops the branch, the only one") {
    CHECK_FALSE(bed.layer.finish(branch, Outcome::kDropped));
    CHECK(bed.end(task));
    bed.final_reply(request, 500);
  }
  SUBCASE("it drops the branch later") {
    CHECK(bed.layer.suspend_now(branch, 3, RelayBed::kGroup) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.begin(bed.take(), bed.worker());
    CHECK_FALSE(bed.layer.finish(branch, Outcome::kDropped));
    bed.final_reply(request, 500);
  }
  SUBCASE("it drops the branch, and there is another") {
    bed.relay(task, callee);
    CHECK_FALSE(bed.layer.finish(branch, Outcome::kDropped));
    CHECK_FALSE(bed.end(task));
    bed.reply(callee, callee.expect_request("OPTIONS"), 504);
    bed.final_reply(request, 504);
  }
  SUBCASE("it throws") {
    CHECK_FALSE(bed.layer.finish(branch, Outcome::kThrew));
    CHECK_FALSE(bed.end(task));
    bed.final_reply(request, 500);
  }
  SUBCASE("it cannot be sent") {
    wanted.ruri = "tel:+1";
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kUnroutable);
    bed.final_reply(request, 500);
  }
  SUBCASE("the call is over by then") {
    CHECK(bed.answer(task, 404) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.final_reply(request, 404);
    // Longer than its slot would have been kept for, were it not running.
    CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
    CHECK(bed.layer.is_current(branch));
    CHECK(bed.layer.relay_branch(branch, wanted) == Status::kCancelled);
    callee.expect_nothing();
  }
  SUBCASE("its thread ends") {
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
    bed.final_reply(request, 500);
    CHECK(bed.layer.relay_branch(branch, wanted) != Status::kOk);
  }
  SUBCASE("it sleeps while its thread ends") {
    CHECK(bed.layer.suspend_until(branch, 60'000, 1, 0, core::Engine::kOwnThread, bed.worker()) ==
          Status::kOk);
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.thread_gone(bed.worker(1)) == 0);
    CHECK(bed.layer.thread_gone(bed.worker()) == 1);
    bed.final_reply(request, 500);
  }
  SUBCASE("it has slept, and its thread ends before it wakes") {
    CHECK(bed.layer.suspend_until(branch, 1, 1, 0, core::Engine::kOwnThread, bed.worker()) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    CHECK(eventually([&] { return bed.run_of(branch) == Run::kDue; }));
    CHECK(bed.layer.thread_gone(bed.worker()) == 1);
    bed.final_reply(request, 500);
    Task stale{};
    CHECK(bed.engine.take_inbox(bed.worker(), &stale, 1) == 1);
    CHECK(bed.engine.begin_run(stale, bed.worker(), core::now_ns()) != Status::kOk);
  }
  bed.check_nothing_left();
}

TEST_CASE("a name that is looked up") {
  RelayBed bed;
  Ear callee;
  const sip::Hop hop = callee.hop();
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  const Task branch = bed.relay_unresolved(task);
  CHECK(sip::TransactionLayer::last_target() == "sip:callee@example.com");
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_reply(100);
  SUBCASE("it is found") {
    CHECK(bed.layer.send_to(branch, &hop, 1) == Status::kOk);
    const std::string got = callee.expect_request("INVITE");
    CHECK(test::ruri_of(got) == "sip:callee@example.com");
    // No second time, and no failure any more.
    CHECK(bed.layer.send_to(branch, &hop, 1) == Status::kCancelled);
    CHECK(bed.layer.fail_branch(branch, 478) == Status::kCancelled);
    bed.reply(callee, got, 200);
    bed.final_reply(invite, 200);
  }
  SUBCASE("it is not") {
    CHECK(bed.layer.fail_branch(branch, 478) == Status::kOk);
    CHECK(bed.layer.fail_branch(branch, 478) == Status::kCancelled);
    bed.final_reply(invite, 478);
  }
  SUBCASE("it has no address") {
    CHECK(bed.layer.send_to(branch, nullptr, 0) == Status::kUnroutable);
    bed.final_reply(invite, 500);
  }
  SUBCASE("its addresses are none that we can send to") {
    sip::Hop away[2];
    REQUIRE(sip::Address::parse("::1", 5060, away[0].address));
    away[1] = hop;
    away[1].transport = sip::Transport::kTls;
    CHECK(bed.layer.send_to(branch, away, 2) == Status::kUnroutable);
    bed.final_reply(invite, 500);
  }
  SUBCASE("the call is over by then") {
    CHECK(bed.layer.conclude(task, 480, {}, 0) == Status::kOk);
    bed.final_reply(invite, 480);
    CHECK(bed.layer.send_to(branch, &hop, 1) == Status::kCancelled);
    CHECK(bed.layer.fail_branch(branch, 478) == Status::kCancelled);
    callee.expect_nothing();
  }
  SUBCASE("all is over by then, and its slot is another's") {
    CHECK(bed.layer.conclude(task, 480, {}, 0) == Status::kOk);
    bed.final_reply(invite, 480);
    CHECK(eventually([&] { return bed.engine.slots().live() == 0; }));
    const Task second = bed.call(numbered(2, "OPTIONS"));
    const Task reused = bed.relay(second, callee);
    CHECK_FALSE(bed.end(second));
    for (const Task stale :
         {branch, task, Task{kNone, 0}, Task{reused.index, reused.generation + 1}, second}) {
      CHECK(bed.layer.send_to(stale, &hop, 1) == Status::kStaleHandle);
      CHECK(bed.layer.fail_branch(stale, 478) == Status::kStaleHandle);
    }
    bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.final_reply(numbered(2, "OPTIONS"), 404);
  }
  bed.check_nothing_left();
}

TEST_CASE("a name that never resolves has failed when its time is up") {
  RelayBed bed(hurried());
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  const Task branch = bed.relay_unresolved(task, {.on_failure = 7});
  CHECK_FALSE(bed.end(task));
  const Task failure = bed.next_route(Entry::kFailureRoute);
  CHECK(bed.layer.status_of(failure) == 408);
  CHECK(bed.layer.fail_branch(branch, 478) == Status::kCancelled);
  CHECK_FALSE(bed.end(failure));
  bed.final_reply(request, 408);
  bed.check_nothing_left();
}

TEST_CASE("a branch route that never ends does not keep the call") {
  RelayBed bed(hurried());
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  Task branch{};
  REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  bed.final_reply(request, 408);
  CHECK(bed.layer.relay_branch(branch, {}) == Status::kCancelled);
  bed.check_nothing_left();
}

TEST_CASE("several addresses: the next one after silence and after 503, each with a branch of its own") {
  enum class End { kAnswered, kBusyToo, kRefused, kLateRefusal, kLateSuccess };
  for (const char* method : {"INVITE", "OPTIONS"}) {
    for (const End end :
         {End::kAnswered, End::kBusyToo, End::kRefused, End::kLateRefusal, End::kLateSuccess}) {
      CAPTURE(method);
      CAPTURE(static_cast<int>(end));
      RelayBed bed(hurried());
      Mute silent;
      Ear busy, good;
      const sip::Hop hops[] = {silent.hop(), busy.hop(), good.hop()};
      const SipRequest request = numbered(1, method);
      const Task task = bed.call(request);
      const Task branch = bed.relay_unresolved(task);
      CHECK_FALSE(bed.end(task));
      if (request.method == "INVITE") bed.caller.expect_reply(100);
      CHECK(bed.layer.send_to(branch, hops, 3) == Status::kOk);
      const std::string first = silent.expect_request(method);
      const std::string second = busy.expect_request(method);
      CHECK(test::branch_of(first) != test::branch_of(second));
      bed.reply(busy, second, 503);
      if (request.method == "INVITE")
        CHECK(test::branch_of(busy.expect_request("ACK")) == test::branch_of(second));
      const std::string third = good.expect_request(method);
      CHECK(test::branch_of(third) != test::branch_of(second));
      CHECK(test::headers_of(third, "Via").size() == 2);
      bed.caller.expect_nothing(0);
      if (end == End::kAnswered) {
        bed.reply(good, third, 200);
        bed.final_reply(request, 200);
      }
      if (end == End::kBusyToo) {
        bed.reply(good, third, 503);
        bed.final_reply(request, 500);
      }
      if (end == End::kRefused) {
        bed.reply(good, third, 486);
        bed.final_reply(request, 486);
      }
      if (end == End::kLateRefusal) {
        bed.reply(busy, second, 503);
        if (request.method == "INVITE") {
          const std::string ack = busy.expect_repetition();
          CHECK(test::method_of(ack) == "ACK");
          bed.reply(silent, first, 486);
          CHECK(test::branch_of(silent.expect_request("ACK")) == test::branch_of(first));
        }
        bed.caller.expect_nothing();
        bed.reply(good, third, 404);
        bed.final_reply(request, 404);
      }
      if (end == End::kLateSuccess) {
        bed.reply(silent, first, 200, {.tag = "late"});
        if (request.method == "INVITE") {
          // There is a dialog now, and only the caller can use or end it; the others are taken back.
          CHECK(test::to_tag_of(bed.final_reply(request, 200)) == "late");
          bed.reply(good, third, 180);
          bed.reply(good, good.expect_request("CANCEL"), 200);
          bed.reply(good, third, 487);
        } else {
          bed.reply(good, third, 404);
          bed.final_reply(request, 404);
        }
      }
      bed.check_nothing_left();
    }
  }
}

TEST_CASE("an address that nothing can be sent to by a connection is tried no longer") {
  RelayBed bed;
  Ear first, second;
  const sip::Hop hops[] = {first.hop(), second.hop()};
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  const Task branch = bed.relay_unresolved(task);
  CHECK_FALSE(bed.end(task));
  CHECK(bed.layer.send_to(branch, hops, 2) == Status::kOk);
  first.expect_request("OPTIONS");
  sip::Hop other = first.hop();
  other.address.port = 1;
  bed.layer.hop_failed(other);
  bed.layer.flow_closed(17);
  second.expect_nothing();
  bed.layer.hop_failed(first.hop());
  second.expect_request("OPTIONS");
  bed.layer.hop_failed(second.hop());
  bed.final_reply(request, 500);
  bed.check_nothing_left();
}

// ---- reply routes ----

TEST_CASE("a reply route sees every reply but 100, one after the other, and each goes on when it has ended") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  bed.relayed(invite, callee, {.on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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
  bed.relayed(invite, callee, {.on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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
  bed.relayed(invite, callee, {.on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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
  bed.relayed(invite, callee, {.on_failure = 7, .on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  bed.relayed(invite, callee, {.on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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
  bed.relayed(invite, callee, {.on_reply = 5});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
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

// ---- what is full ----

TEST_CASE("no slot, no branch, no place: the script is told, and nothing is kept") {
  SipBedConfig config = calm();
  SUBCASE("slots") {
    config.slots = 4;
    RelayBed bed(config);
    Ear callee;
    const SipRequest request = numbered(1, "OPTIONS");
    const Task task = bed.call(request);
    for (int i = 0; i < 3; ++i) bed.relay(task, callee);
    Task branch{};
    CHECK(bed.try_relay(task, callee.uri(), {}, branch) == Status::kSlotsExhausted);
    CHECK(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kSlotsExhausted);
    CHECK(bed.layer.open_branches() == 3);
    CHECK(bed.answer(task, 503) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.final_reply(request, 503);
    for (int i = 0; i < 3; ++i) bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.check_nothing_left();
  }
  SUBCASE("branches in all") {
    config.transactions.max_transactions = 2;
    RelayBed bed(config);
    Ear callee;
    const Task task = bed.call(numbered(1, "OPTIONS"));
    for (int i = 0; i < 4; ++i) bed.relay(task, callee);
    Task branch{};
    CHECK(bed.try_relay(task, callee.uri(), {}, branch) == Status::kSlotsExhausted);
    CHECK_FALSE(bed.end(task));
    for (int i = 0; i < 4; ++i) bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.final_reply(numbered(1, "OPTIONS"), 404);
    bed.check_nothing_left();
  }
  SUBCASE("branches of one call") {
    RelayBed bed(config);
    Ear callee;
    const Task task = bed.call(numbered(1, "OPTIONS"));
    for (uint32_t i = 0; i < sip::StoredCall::kMostBranches; ++i) bed.relay(task, callee);
    Task branch{};
    CHECK(bed.try_relay(task, callee.uri(), {}, branch) == Status::kSlotsExhausted);
    CHECK(bed.layer.open_branches() == sip::StoredCall::kMostBranches);
    CHECK_FALSE(bed.end(task));
    for (uint32_t i = 0; i < sip::StoredCall::kMostBranches; ++i)
      bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.final_reply(numbered(1, "OPTIONS"), 404);
    bed.check_nothing_left();
  }
  SUBCASE("a message without a transaction, for the table is full") {
    config.transactions.max_transactions = 1;
    RelayBed bed(config);
    Ear callee;
    const Task first = bed.call(numbered(1, "OPTIONS"));
    const Task second = bed.call(numbered(2, "OPTIONS"));
    Task branch{};
    CHECK(bed.try_relay(second, callee.uri(), {}, branch) == Status::kSlotsExhausted);
    CHECK(bed.layer.open_branch(second, {}, RelayBed::kReceiver, branch) == Status::kSlotsExhausted);
    CHECK(bed.end(second));
    bed.final_reply(numbered(2, "OPTIONS"), 500);
    CHECK(bed.end(first));
    bed.final_reply(numbered(1, "OPTIONS"), 500);
    bed.check_nothing_left();
  }
}

TEST_CASE("the calls end with the process: conclude_all, with branches in every state") {
  RelayBed bed;
  Ear callee;
  const SipRequest ringing = numbered(1), calling = numbered(2), unresolved = numbered(3),
                   routed = numbered(4), running = numbered(5);
  bed.relayed(ringing, callee);
  bed.reply(callee, callee.expect_request("INVITE"), 180);
  bed.caller.expect_reply(100);
  bed.caller.expect_reply(180);
  bed.relayed(calling, callee);
  const std::string got = callee.expect_request("INVITE");
  bed.caller.expect_reply(100);
  CHECK(bed.layer.conclude_all(503, {}) == 2);
  bed.final_reply(ringing, 503);
  bed.final_reply(calling, 503);
  const std::string cancel = callee.expect_request("CANCEL");
  bed.reply(callee, cancel, 200);
  bed.reply(callee, got, 486);
  callee.expect_request("ACK");

  const Task task = bed.call(unresolved);
  bed.relay_unresolved(task);
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_reply(100);
  const Task second = bed.call(routed);
  Task branch{};
  REQUIRE(bed.layer.open_branch(second, {}, RelayBed::kReceiver, branch) == Status::kOk);
  CHECK_FALSE(bed.end(second));
  bed.caller.expect_reply(100);
  const Task third = bed.call(running);
  bed.relay(third, callee);
  bed.caller.expect_reply(100);
  CHECK(bed.layer.conclude_all(503, {}) == 3);
  for (const SipRequest& request : {unresolved, routed, running}) bed.final_reply(request, 503);
  CHECK_FALSE(bed.end(third));
  bed.reply(callee, callee.expect_request("INVITE"), 486);
  callee.expect_request("ACK");
  sip::RelayRequest wanted;
  wanted.ruri = "sip:127.0.0.1:1";
  CHECK(bed.layer.relay_branch(branch, wanted) == Status::kCancelled);
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
