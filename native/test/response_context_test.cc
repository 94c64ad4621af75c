// What the caller hears of a request that was sent on (RFC 3261 section 16.7): which replies pass at once, which one is
// chosen when all branches have failed, challenges in one reply, 503, 6xx, and the failure route before that.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"
#include "test/support/seed.h"

using namespace sip_async;
using namespace test::relay_case;

namespace {

// One callee for each code; they answer in this order. What the caller gets.
struct Fork {
  explicit Fork(RelayBed& the_bed, const SipRequest& the_request, size_t count, Wish wish = {})
      : bed(the_bed), request(the_request), callees(count), got(count), task(bed.call(request)) {
    for (Ear& callee : callees) bed.relay(task, callee, wish);
    CHECK_FALSE(bed.end(task));
    for (size_t i = 0; i < count; ++i) got[i] = callees[i].expect_request(request.method);
    if (request.method == "INVITE") bed.caller.expect_reply(100);
  }
  void reply(size_t callee, int code, const test::Answer& parts = {}) {
    bed.reply(callees[callee], got[callee], code, parts);
    if (request.method == "INVITE" && code >= 300) callees[callee].expect_request("ACK");
  }

  RelayBed& bed;
  SipRequest request;
  std::vector<Ear> callees;
  std::vector<std::string> got;
  Task task;
};

}  // namespace

TEST_CASE("the choice among final replies") {
  struct Row {
    std::vector<int> codes;
    int chosen;
  };
  const Row rows[] = {
      {{404}, 404},           {{486}, 486},           {{302}, 302},           {{603}, 603},
      {{500}, 500},           {{503}, 500},           {{504}, 504},           {{404, 486}, 404},
      {{486, 404}, 404},      {{404, 302}, 302},      {{500, 404}, 404},      {{302, 500}, 302},
      {{486, 401}, 401},      {{404, 407}, 407},      {{401, 407}, 401},      {{407, 401}, 407},
      {{404, 415}, 415},      {{404, 420}, 420},      {{404, 484}, 484},      {{415, 401}, 401},
      {{408, 486}, 486},      {{408, 500}, 408},      {{503, 500}, 500},      {{503, 404}, 404},
      {{503, 504}, 500},      {{404, 603}, 603},      {{603, 404}, 603},      {{301, 603, 401}, 603},
      {{606, 600}, 600},      {{404, 486, 480}, 404}, {{480, 404, 486}, 404}, {{401, 302}, 302},
      {{501, 502, 503}, 501},
  };
  for (const Row& row : rows) {
    CAPTURE(row.codes);
    RelayBed bed;
    Fork fork(bed, numbered(1, "OPTIONS"), row.codes.size());
    for (size_t i = 0; i < row.codes.size(); ++i) {
      bed.caller.expect_nothing(0);
      fork.reply(i, row.codes[i], {.tag = "t" + std::to_string(row.codes[i])});
    }
    const std::string reply = bed.final_reply(fork.request, row.chosen);
    // It is the callee's own, with its tag, but for 503, which is not passed on.
    const bool is_own = row.chosen != 500 || row.codes == std::vector<int>{500};
    if (is_own) CHECK(test::to_tag_of(reply) == "t" + std::to_string(row.chosen));
    if (row.codes == std::vector<int>{503}) CHECK(test::to_tag_of(reply) != "t503");
    CHECK(test::headers_of(reply, "Via").size() == 1);
    bed.caller.expect_nothing(0);
    bed.check_nothing_left();
  }
}

TEST_CASE("provisional replies pass from every branch, 100 from none, and a 2xx at once") {
  RelayBed bed;
  Fork fork(bed, numbered(1), 3);
  for (size_t i = 0; i < 3; ++i) bed.reply(fork.callees[i], fork.got[i], 100);
  bed.caller.expect_nothing();
  for (size_t i = 0; i < 3; ++i) {
    bed.reply(fork.callees[i], fork.got[i], 180, {.tag = "t" + std::to_string(i)});
    CHECK(test::to_tag_of(bed.caller.expect_reply(180)) == "t" + std::to_string(i));
  }
  // The last provisional reply is what a repeated INVITE gets.
  bed.send(bed.caller, fork.request.text());
  CHECK(test::to_tag_of(bed.caller.expect_repetition()) == "t2");
  bed.reply(fork.callees[1], fork.got[1], 200, {.tag = "t1", .body = "v=0\r\n"});
  const std::string ok = bed.final_reply(fork.request, 200);
  CHECK(test::to_tag_of(ok) == "t1");
  CHECK(test::body_of(ok) == "v=0\r\n");
  // The others are taken back, and their 487 is acknowledged and goes no further.
  for (const size_t i : {size_t{0}, size_t{2}}) {
    const std::string cancel = fork.callees[i].expect_request("CANCEL");
    bed.reply(fork.callees[i], cancel, 200);
    bed.reply(fork.callees[i], fork.got[i], 487);
    fork.callees[i].expect_request("ACK");
  }
  fork.callees[1].expect_nothing();
  bed.caller.expect_nothing(0);
  // A repeated INVITE gets the 200 again.
  bed.send(bed.caller, fork.request.text());
  CHECK(bed.caller.receive() == ok);
  bed.check_nothing_left();
}

TEST_CASE("each 2xx to an INVITE reaches the caller, also a repeated one and one that comes late") {
  RelayBed bed;
  Fork fork(bed, numbered(1), 2);
  bed.reply(fork.callees[0], fork.got[0], 200, {.tag = "a"});
  CHECK(test::to_tag_of(bed.caller.expect_reply(200)) == "a");
  bed.reply(fork.callees[1], fork.got[1], 200, {.tag = "b"});
  CHECK(test::to_tag_of(bed.caller.expect_reply(200)) == "b");
  for (const char* tag : {"a", "b", "a"}) {
    const size_t callee = tag[0] == 'a' ? 0 : 1;
    bed.reply(fork.callees[callee], fork.got[callee], 200, {.tag = tag});
    CHECK(test::to_tag_of(bed.caller.expect_repetition()) == tag);
  }
  // Another dialog out of the same branch (a fork further on).
  bed.reply(fork.callees[0], fork.got[0], 200, {.tag = "c"});
  CHECK(test::to_tag_of(bed.caller.expect_reply(200)) == "c");
  // The call's own wait time is over long before the branch's: then its Via shows the way.
  CHECK(eventually([&] { return bed.layer.open_transactions() == 0; }));
  bed.reply(fork.callees[0], fork.got[0], 200, {.tag = "a"});
  CHECK(test::to_tag_of(bed.caller.expect_repetition()) == "a");
  // And when nothing is left, the Via alone.
  CHECK(eventually([&] { return bed.engine.slots().live() == 0; }));
  bed.reply(fork.callees[0], fork.got[0], 200, {.tag = "a"});
  CHECK(test::to_tag_of(bed.caller.expect_repetition()) == "a");
  bed.check_nothing_left();
}

TEST_CASE("a refusal behind the end of everything goes nowhere") {
  for (const char* method : {"INVITE", "OPTIONS"}) {
    RelayBed bed;
    Fork fork(bed, numbered(1, method), 1);
    fork.reply(0, 486);
    bed.final_reply(fork.request, 486);
    CHECK(eventually([&] { return bed.engine.slots().live() == 0; }));
    bed.reply(fork.callees[0], fork.got[0], 487, {.tag = "late"});
    bed.reply(fork.callees[0], fork.got[0], 180, {.tag = "late"});
    if (fork.request.method == "OPTIONS") bed.reply(fork.callees[0], fork.got[0], 200, {.tag = "late"});
    bed.caller.expect_nothing();
    CHECK(bed.transport.counters.stray_responses.load() >= 2);
    bed.check_nothing_left();
  }
}

TEST_CASE("of other methods the first 2xx is the only one") {
  RelayBed bed;
  Fork fork(bed, numbered(1, "OPTIONS"), 2);
  fork.reply(0, 200, {.tag = "a"});
  CHECK(test::to_tag_of(bed.caller.expect_reply(200)) == "a");
  fork.reply(1, 200, {.tag = "b"});
  fork.reply(0, 200, {.tag = "a"});
  bed.caller.expect_nothing();
  CHECK(bed.caller.repetitions == 0);
  bed.check_nothing_left();
}

TEST_CASE("all challenges come in one reply") {
  RelayBed bed;
  Fork fork(bed, numbered(1), 4);
  fork.reply(0, 401, {.more = "WWW-Authenticate: Digest realm=\"a\"\r\n"});
  fork.reply(1, 486);
  fork.reply(
      2, 407,
      {.more = "Proxy-Authenticate: Digest realm=\"b\"\r\nProxy-Authenticate: Digest realm=\"c\"\r\n"});
  fork.reply(3, 401, {.more = "X-Other: 1\r\nWWW-Authenticate: Digest realm=\"d\"\r\n", .body = "no"});
  const std::string reply = bed.final_reply(fork.request, 401);
  CHECK(test::headers_of(reply, "WWW-Authenticate") ==
        std::vector<std::string>{"Digest realm=\"a\"", "Digest realm=\"d\""});
  CHECK(test::headers_of(reply, "Proxy-Authenticate") ==
        std::vector<std::string>{"Digest realm=\"b\"", "Digest realm=\"c\""});
  CHECK(test::headers_of(reply, "X-Other").empty());
  CHECK(test::headers_of(reply, "Content-Length") == std::vector<std::string>{"0"});
  CHECK(test::body_of(reply).empty());
  sip::MessageIndex index;
  CHECK(sip::index_message(reply.data(), reply.size(), {}, index) == sip::IndexStatus::kOk);
  bed.check_nothing_left();
}

TEST_CASE("6xx takes the other branches back and is the answer") {
  RelayBed bed;
  Fork fork(bed, numbered(1), 3);
  bed.reply(fork.callees[1], fork.got[1], 180);
  bed.caller.expect_reply(180);
  fork.reply(0, 603);
  // One rings and is cancelled at once; of the other nothing has come, so that CANCEL has to wait.
  const std::string cancel = fork.callees[1].expect_request("CANCEL");
  fork.callees[2].expect_nothing();
  bed.caller.expect_nothing(0);
  bed.reply(fork.callees[2], fork.got[2], 100);
  const std::string second = fork.callees[2].expect_request("CANCEL");
  bed.reply(fork.callees[1], cancel, 200);
  fork.reply(1, 487);
  bed.reply(fork.callees[2], second, 200);
  bed.caller.expect_nothing();
  // It could have answered with 200 just now, too; then the caller has that.
  SUBCASE("487") {
    fork.reply(2, 487);
    bed.final_reply(fork.request, 603);
  }
  SUBCASE("200 all the same") {
    bed.reply(fork.callees[2], fork.got[2], 200);
    bed.final_reply(fork.request, 200);
  }
  bed.check_nothing_left();
}

TEST_CASE("6xx while the target of another branch is still looked up") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  bed.relay(task, callee);
  const Task unresolved = bed.relay_unresolved(task);
  CHECK_FALSE(bed.end(task));
  const std::string got = callee.expect_request("INVITE");
  bed.caller.expect_reply(100);
  bed.reply(callee, got, 603);
  callee.expect_request("ACK");
  bed.final_reply(invite, 603);
  const sip::Hop hop = callee.hop();
  CHECK(bed.layer.send_to(unresolved, &hop, 1) != Status::kOk);
  callee.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("the failure route runs once, before the caller is told, and for the reply that would be chosen") {
  RelayBed bed;
  Fork fork(bed, numbered(1), 2, {.on_failure = 7});
  fork.reply(0, 500);
  Task none{};
  CHECK_FALSE(bed.try_next_route(none));
  fork.reply(1, 486);
  bed.caller.expect_nothing();
  const Task failure = bed.next_route(Entry::kFailureRoute);
  CHECK(failure.bits() == fork.task.bits());
  CHECK(bed.route_of(failure) == 7);
  CHECK(bed.layer.status_of(failure) == 486);
  CHECK(bed.layer.in_script() == 1);
  SUBCASE("it ends with nothing: the chosen reply goes on") {
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(fork.request, 486);
  }
  SUBCASE("it throws: the chosen reply goes on") {
    CHECK_FALSE(bed.end(failure, Outcome::kThrew));
    bed.final_reply(fork.request, 486);
  }
  SUBCASE("it replies itself") {
    CHECK(bed.answer(failure, 480) == Status::kOk);
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(fork.request, 480);
  }
  SUBCASE("it replies without a transaction, which there is one") {
    CHECK(bed.answer(failure, 480, true) == Status::kOk);
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(fork.request, 480);
    bed.send(bed.caller, fork.request.text());
    CHECK(bed.fresh_tasks.empty());
  }
  SUBCASE("it sends it on again without another failure route") {
    Ear other;
    bed.relay(failure, other);
    CHECK_FALSE(bed.end(failure));
    const std::string got = other.expect_request("INVITE");
    bed.reply(other, got, 404);
    other.expect_request("ACK");
    bed.final_reply(fork.request, 404);
  }
  SUBCASE("it arms another one") {
    Ear other;
    bed.relay(failure, other, {.on_failure = 8});
    CHECK_FALSE(bed.end(failure));
    const std::string got = other.expect_request("INVITE");
    bed.reply(other, got, 404);
    other.expect_request("ACK");
    const Task second = bed.next_route(Entry::kFailureRoute);
    CHECK(second.bits() == fork.task.bits());
    CHECK(bed.route_of(second) == 8);
    CHECK(bed.layer.status_of(second) == 404);
    CHECK_FALSE(bed.end(second));
    bed.final_reply(fork.request, 404);
  }
  SUBCASE("it sends it on, and that is answered") {
    Ear other;
    bed.relay(failure, other, {.on_failure = 8});
    CHECK_FALSE(bed.end(failure));
    const std::string got = other.expect_request("INVITE");
    bed.reply(other, got, 200);
    bed.final_reply(fork.request, 200);
  }
  SUBCASE("it cannot send it on") {
    Task branch{};
    CHECK(bed.try_relay(failure, "tel:+1", {.on_failure = 8}, branch) == Status::kUnroutable);
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(fork.request, 486);
  }
  SUBCASE("it suspends first") {
    CHECK(bed.layer.suspend_now(failure, 3, RelayBed::kGroup) == Status::kOk);
    const Task resumed = bed.take();
    bed.begin(resumed, bed.worker());
    CHECK(bed.engine.slots().at(resumed.index).route_type == static_cast<uint8_t>(sip::RouteType::kFailure));
    CHECK_FALSE(bed.end(resumed));
    bed.final_reply(fork.request, 486);
  }
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("a 2xx while the failure route of other branches runs") {
  RelayBed bed;
  Ear first, second;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  bed.relay(task, first, {.on_failure = 7});
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_reply(100);
  const std::string got = first.expect_request("INVITE");
  bed.reply(first, got, 486);
  first.expect_request("ACK");
  const Task failure = bed.next_route(Entry::kFailureRoute);
  bed.relay(failure, second);
  bed.reply(second, second.expect_request("INVITE"), 200);
  bed.final_reply(invite, 200);
  // Its script goes on for a while, and can do nothing any more.
  CHECK(bed.answer(failure, 480) == Status::kAlreadyAnswered);
  Task branch{};
  CHECK(bed.try_relay(failure, first.uri(), {}, branch) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.end(failure));
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("replies while the script still runs wait for its end, or for its own reply") {
  RelayBed bed;
  Ear callee;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  bed.relay(task, callee, {.on_failure = 7});
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
  bed.reply(callee, got, 486);
  callee.expect_request("ACK");
  bed.caller.expect_nothing();
  SUBCASE("its end: the failure route") {
    CHECK_FALSE(bed.end(task));
    CHECK_FALSE(bed.end(bed.next_route(Entry::kFailureRoute)));
    bed.final_reply(invite, 486);
  }
  SUBCASE("its own reply") {
    CHECK(bed.answer(task, 603) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    bed.final_reply(invite, 603);
  }
  SUBCASE("a suspension, and then its end") {
    CHECK(bed.layer.suspend_until(task, 1, 1, 3, RelayBed::kGroup, RelayBed::kReceiver) == Status::kOk);
    bed.begin(bed.take(), bed.worker());
    CHECK_FALSE(bed.end(task));
    CHECK_FALSE(bed.end(bed.next_route(Entry::kFailureRoute)));
    bed.final_reply(invite, 486);
  }
  bed.check_nothing_left();
}

TEST_CASE("a 2xx that goes on is the answer, whatever another branch comes to just then") {
  // Between the moment a 2xx is taken and the moment it is sent another branch may fail: nothing is left to be awaited then,
  // but the choice is not to be made.
  test::SipBedConfig config = calm();
  config.slots = 8192;
  config.payload_bytes = 64 << 20;
  config.transactions.max_transactions = 4000;
  RelayBed bed(config);
  const uint64_t calls = test::rounds(1000);
  Ear callee;
  test::Random random(72);
  for (uint64_t i = 0; i < calls; ++i) {
    const SipRequest request = numbered(i, "OPTIONS");
    const std::string text = request.text();
    Task task{};
    REQUIRE(bed.layer.receive({text.data(), text.size(), sip::Hop{bed.caller.address()}, false}, task));
    bed.begin(task);
    const Wish wish{.on_failure = i % 4 < 2 ? uint16_t{7} : sip::kNoRoute};
    bed.relay(task, callee, wish);
    const Task other = bed.relay_unresolved(task, wish);
    CHECK_FALSE(bed.end(task));
    std::string ok;
    while (test::header_of(ok, "Call-ID") != request.call_id) ok = callee.next();
    ok = test::reply_to(ok, 200, {.tag = "ok", .body = std::string(3000, 'o')});
    const uint64_t delay = random.below(400);
    test::run_together(2, [&](uint32_t side) {
      Task none{};
      if (side == 0) {
        bed.layer.receive({ok.data(), ok.size(), callee.hop(), false}, none);
      } else {
        for (uint64_t turn = 0; turn < delay; ++turn) core::cpu_relax();
        bed.layer.fail_branch(other, 486);
      }
    });
    Task none{};
    CHECK_FALSE(bed.try_next_route(none));
    const std::string reply = bed.caller.next();
    CAPTURE(reply);
    REQUIRE(test::code_of(reply) == 200);
    REQUIRE(test::to_tag_of(reply) == "ok");
    REQUIRE(test::body_of(reply).size() == 3000);
  }
  bed.check_nothing_left();
}

TEST_CASE("a final reply that cannot go upstream counts as a fault of that side") {
  for (const int code : {200, 486}) {
    for (const char* method : {"INVITE", "OPTIONS"}) {
      CAPTURE(code);
      CAPTURE(method);
      RelayBed bed;
      Fork fork(bed, numbered(1, method), 1);
      // It has forgotten all Vias but ours.
      std::string reply = test::reply_to(fork.got[0], code);
      const size_t second = reply.find("\r\nVia: ", reply.find("\r\nVia: ") + 2);
      reply.erase(second, reply.find("\r\n", second + 2) - second);
      bed.send(fork.callees[0], reply);
      bed.final_reply(fork.request, 502);
      bed.check_nothing_left();
    }
  }
}
