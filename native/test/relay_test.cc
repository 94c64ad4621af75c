// Requests that are sent on: what leaves, branch routes, names that are looked up, next hops, reply routes and their queue,
// and what is full.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

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
    CHECK(bed.layer.send_to(branch, &hop, 1) != Status::kOk);
    CHECK(bed.layer.fail_branch(branch, 478) != Status::kOk);
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
      Ear silent;
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
  const auto lose = [&](const std::string& message) {
    bed.layer.undelivered(message.data(), message.size());
  };
  const std::string to_first = first.expect_request("OPTIONS");
  // What is not the request as it was sent says nothing about it.
  std::string forged = to_first;
  forged[forged.find("branch=z9hG4bK") + 30] ^= 1;
  for (const std::string& other : {request.text(), forged, test::reply_to(to_first, 200), std::string("x")})
    lose(other);
  second.expect_nothing();
  lose(to_first);
  const std::string to_second = second.expect_request("OPTIONS");
  lose(to_first);
  bed.caller.expect_nothing();
  lose(to_second);
  bed.final_reply(request, 500);
  bed.check_nothing_left();
}
