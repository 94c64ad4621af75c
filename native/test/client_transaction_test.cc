// Timers and messages of a client transaction (RFC 3261 section 17.1, RFC 6026): A, B and D, E, F and K, timer C, ACK, CANCEL
// once more, and replies that fit nothing.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

namespace {

// The times between repetitions of what comes, until `count` have come. They are never too short; how much too long they are
// is up to the machine.
std::vector<uint64_t> gaps_of(Ear& callee, size_t count) {
  std::vector<uint64_t> out;
  for (uint64_t last_ns = core::now_ns(); out.size() < count;) {
    callee.expect_repetition();
    const uint64_t now = core::now_ns();
    out.push_back((now - last_ns) / core::kNsPerMs);
    last_ns = now;
  }
  return out;
}

}  // namespace

TEST_CASE("silence: the request is repeated, and then it is 408") {
  for (const char* method : {"INVITE", "OPTIONS"}) {
    CAPTURE(method);
    RelayBed bed(hurried());
    Ear callee;
    const SipRequest request = numbered(1, method);
    bed.relayed(request, callee);
    callee.expect_request(method);
    gaps_of(callee, 3);
    const std::string timeout = request.method == "INVITE"
                                    ? (bed.caller.expect_reply(100), bed.final_reply(request, 408))
                                    : bed.final_reply(request, 408);
    CHECK(test::headers_of(timeout, "Via").size() == 1);
    CHECK(bed.layer.counters.repeated.load() >= 3);
    CHECK(bed.layer.counters.timed_out.load() == 1);
    bed.check_nothing_left();
  }
}

TEST_CASE("timer A doubles, timer E up to T2; a provisional reply ends the one and makes the other T2") {
  SipBedConfig config = calm();
  config.transactions.t1_ms = 32;
  config.transactions.t2_ms = 64;
  RelayBed bed(config);
  Ear callee;
  SUBCASE("INVITE") {
    const SipRequest invite = numbered(1);
    bed.relayed(invite, callee);
    const std::string got = callee.expect_request("INVITE");
    // 32, 64, 128 after the one before, or later; the first gap began before we looked.
    const std::vector<uint64_t> gaps = gaps_of(callee, 3);
    CHECK(gaps[0] + gaps[1] + gaps[2] >= 32 + 64 + 128 - 32);
    bed.reply(callee, got, 180);
    const uint64_t repeated = bed.layer.counters.repeated.load();
    bed.caller.expect_reply(100);
    bed.caller.expect_reply(180);
    callee.expect_nothing(200);
    CHECK(bed.layer.counters.repeated.load() == repeated);
    bed.reply(callee, got, 486);
    callee.expect_request("ACK");
    bed.final_reply(invite, 486);
  }
  SUBCASE("OPTIONS") {
    const SipRequest options = numbered(1, "OPTIONS");
    bed.relayed(options, callee);
    const std::string got = callee.expect_request("OPTIONS");
    const std::vector<uint64_t> gaps = gaps_of(callee, 4);
    CHECK(gaps[0] + gaps[1] + gaps[2] + gaps[3] >= 32 + 64 + 64 + 64 - 32);
    bed.reply(callee, got, 100);
    gaps_of(callee, 2);
    bed.reply(callee, got, 404);
    bed.final_reply(options, 404);
  }
  bed.check_nothing_left();
}

TEST_CASE("timer C: one that rings for ever is taken back, and has failed") {
  RelayBed bed(hurried());
  Ear callee;
  const SipRequest invite = numbered(1);
  bed.relayed(invite, callee, {.on_failure = 7});
  const std::string got = callee.expect_request("INVITE");
  bed.reply(callee, got, 180);
  const Task failure = bed.next_route(sip::Entry::kFailureRoute);
  CHECK(bed.layer.status_of(failure) == 408);
  CHECK_FALSE(bed.layer.is_cancelled(failure));
  const std::string cancel = callee.expect_request("CANCEL");
  CHECK_FALSE(bed.end(failure));
  bed.caller.expect_reply(100);
  bed.caller.expect_reply(180);
  bed.final_reply(invite, 408);
  SUBCASE("487") {
    bed.reply(callee, cancel, 200);
    bed.reply(callee, got, 487);
    callee.expect_request("ACK");
  }
  SUBCASE("200 crosses it") {
    bed.reply(callee, got, 200);
    bed.caller.expect_reply(200);
  }
  SUBCASE("nothing: CANCEL is repeated, and given up") {
    callee.expect_repetition();
  }
  bed.check_nothing_left();
}

TEST_CASE("a repeated refusal is acknowledged again, and goes no further") {
  RelayBed bed;
  Ear callee;
  SipRequest invite = numbered(1);
  invite.more = "Route: <sip:127.0.0.1:9;lr>\r\n";
  const Task task = bed.call(invite);
  // By way of the Route, which the ACK carries as well.
  sip::RelayRequest request;
  const std::string away = callee.uri(";lr");
  request.destination = away;
  Task branch{};
  REQUIRE(bed.layer.relay(task, request, branch) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
  bed.reply(callee, got, 486, {.tag = "busy"});
  const std::string ack = callee.expect_request("ACK");
  CHECK(test::ruri_of(ack) == test::ruri_of(got));
  CHECK(test::headers_of(ack, "Via") == std::vector<std::string>{test::header_of(got, "Via")});
  CHECK(test::headers_of(ack, "Route") == test::headers_of(got, "Route"));
  CHECK(test::to_tag_of(ack) == "busy");
  CHECK(test::header_of(ack, "CSeq") == "1 ACK");
  CHECK(test::header_of(ack, "Call-ID") == test::header_of(got, "Call-ID"));
  bed.final_reply(invite, 486);
  for (int i = 0; i < 3; ++i) {
    bed.reply(callee, got, 486, {.tag = "busy"});
    CHECK(callee.expect_repetition() == ack);
  }
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("replies that fit nothing change nothing") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  bed.relayed(request, callee);
  const std::string got = callee.expect_request("OPTIONS");
  const std::string good = test::reply_to(got, 404);
  const auto changed = [&](const std::string& what, const std::string& with) {
    std::string out = good;
    const size_t at = out.find(what);
    REQUIRE(at != std::string::npos);
    return out.replace(at, what.size(), with);
  };
  for (const std::string& reply :
       {changed("1 OPTIONS", "1 INVITE"), changed("1 OPTIONS", "1 CANCEL"), changed("404", "999"),
        changed("SIP/2.0 404", "SIP/3.0 404"), std::string("SIP/2.0 404 x\r\n\r\n")}) {
    CAPTURE(reply);
    bed.send(callee, reply);
    bed.caller.expect_nothing(0);
    CHECK(bed.layer.open_branches() == 1);
  }
  bed.send(callee, good);
  bed.final_reply(request, 404);
  bed.check_nothing_left();
}

TEST_CASE("from another address a reply is taken all the same: its branch is what counts") {
  RelayBed bed;
  Ear callee, other;
  const SipRequest request = numbered(1, "OPTIONS");
  bed.relayed(request, callee);
  bed.send(other, test::reply_to(callee.expect_request("OPTIONS"), 200));
  bed.final_reply(request, 200);
  bed.check_nothing_left();
}

TEST_CASE("a refusal behind timer B is acknowledged, a 2xx reaches the caller") {
  RelayBed bed(hurried());
  Ear callee;
  const SipRequest invite = numbered(1);
  bed.relayed(invite, callee);
  const std::string got = callee.expect_request("INVITE");
  bed.caller.expect_reply(100);
  bed.final_reply(invite, 408);
  SUBCASE("486") {
    bed.reply(callee, got, 486);
    callee.expect_request("ACK");
    bed.caller.expect_nothing();
  }
  SUBCASE("200") {
    bed.reply(callee, got, 200);
    bed.caller.expect_reply(200);
  }
  bed.check_nothing_left();
}

TEST_CASE("the slot of a branch is used again: late replies to the first one are not the second one's") {
  SipBedConfig config = calm();
  config.slots = 2;
  config.transactions.wait_ms = 16;
  RelayBed bed(config);
  Ear callee;
  std::string first;
  for (uint64_t i = 1; i <= 3; ++i) {
    const SipRequest request = numbered(i, "OPTIONS");
    bed.relayed(request, callee);
    const std::string got = callee.expect_request("OPTIONS");
    if (!first.empty()) {
      bed.reply(callee, first, 603);
      bed.caller.expect_nothing();
    }
    bed.reply(callee, got, 404);
    bed.final_reply(request, 404);
    first = got;
    CHECK(eventually([&] { return bed.engine.slots().live() == 0; }));
  }
  bed.check_nothing_left();
}
