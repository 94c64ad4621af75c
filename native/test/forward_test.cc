// Without a transaction: requests that the script forwards so, and replies that belong to nothing here.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

namespace {

Status forward(RelayBed& bed, Task task, const std::string& uri) {
  sip::RelayRequest request;
  request.ruri = uri;
  request.records_route = true;
  return bed.layer.forward(task, request);
}

}  // namespace

TEST_CASE("forwarded: the same branch for each repetition, and the reply goes back by Via alone") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  std::string first;
  for (int i = 0; i < 2; ++i) {
    const Task task = bed.call(request);
    CHECK(forward(bed, task, callee.uri()) == Status::kOk);
    CHECK(bed.answer(task, 404) == Status::kAlreadyAnswered);
    CHECK(forward(bed, task, callee.uri()) == Status::kAlreadyAnswered);
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.open_transactions() == 0);
    const std::string got = callee.receive();
    CHECK(test::headers_of(got, "Via").size() == 2);
    CHECK(test::headers_of(got, "Record-Route").size() == 1);
    CHECK(test::branch_of(got).rfind("z9hG4bKstateless", 0) == 0);
    if (i == 0) first = got;
    CHECK(got == first);
  }
  // The Via of the caller says 5060; what it got there is by received and rport.
  bed.reply(callee, first, 200);
  CHECK(test::headers_of(bed.caller.expect_reply(200), "Via").size() == 1);
  bed.reply(callee, first, 486);
  bed.caller.expect_reply(486);
  const SipRequest other = numbered(2, "OPTIONS");
  const Task task = bed.call(other);
  CHECK(forward(bed, task, callee.uri()) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  CHECK(test::branch_of(callee.receive()) != test::branch_of(first));
  CHECK(bed.transport.counters.stray_responses.load() == 2);
  bed.check_nothing_left();
}

TEST_CASE("what cannot be forwarded") {
  RelayBed bed;
  Ear callee;
  SipRequest request = numbered(1, "OPTIONS");
  Task task = bed.call(request);
  CHECK(forward(bed, task, "sip:example.com") ==
        Status::kUnresolved);  // the script looks it up and comes again
  CHECK(forward(bed, task, "tel:1") == Status::kUnroutable);
  CHECK(forward(bed, task, "sip:[::1]") == Status::kUnroutable);
  CHECK(forward(bed, task, "sip:127.0.0.1;transport=tcp") == Status::kUnroutable);
  CHECK(forward(bed, {task.index, task.generation + 1}, callee.uri()) == Status::kStaleHandle);
  CHECK(bed.end(task));
  bed.final_reply(request, 500);
  request = numbered(2, "OPTIONS");
  request.more = "Max-Forwards: 0\r\n";
  task = bed.call(request);
  CHECK(forward(bed, task, callee.uri()) == Status::kTooManyHops);
  CHECK(bed.answer(task, 483) == Status::kOk);
  CHECK(forward(bed, task, callee.uri()) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.end(task));
  bed.final_reply(request, 483);
  callee.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("an ACK that belongs to nothing here is forwarded, more than once if the script likes") {
  RelayBed bed;
  Ear callee;
  const Task task = bed.call(numbered(1).ack("far"));
  CHECK(forward(bed, task, callee.uri()) == Status::kOk);
  const std::string got = callee.expect_request("ACK");
  CHECK(test::headers_of(got, "Via").size() == 2);
  CHECK_FALSE(bed.end(task));
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("forwarded behind a relay: the branches are taken back") {
  RelayBed bed;
  Ear callee, other;
  const SipRequest invite = numbered(1);
  const Task task = bed.call(invite);
  bed.relay(task, callee);
  bed.caller.expect_reply(100);
  const std::string got = callee.expect_request("INVITE");
  CHECK(forward(bed, task, other.uri()) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  other.expect_request("INVITE");
  bed.reply(callee, got, 180);
  bed.reply(callee, callee.expect_request("CANCEL"), 200);
  bed.reply(callee, got, 487);
  callee.expect_request("ACK");
  bed.caller.expect_nothing();
  bed.check_nothing_left();
}

TEST_CASE("a reply of nobody's goes nowhere, and one of ours not to ourselves or to a name") {
  RelayBed bed;
  Ear callee;
  const std::string own = "127.0.0.1:" + std::to_string(bed.transport.socket(0).local().port);
  const std::string away = "127.0.0.1:" + std::to_string(bed.caller.address().port);
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  CHECK(forward(bed, task, callee.uri()) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  const std::string branch = ";branch=" + test::branch_of(callee.expect_request("OPTIONS"));
  std::string forged = branch;
  forged.back() = forged.back() == '0' ? '1' : '0';  // of the loop mark, which says nothing here
  const auto stray = [&](const std::vector<std::string>& vias) {
    std::string text = test::reply_to(request.text(), 200);
    const size_t at = text.find("Via: ");
    text.erase(at, text.find("\r\n", at) + 2 - at);
    std::string lines;
    for (const std::string& via : vias) lines += "Via: SIP/2.0/UDP " + via + "\r\n";
    return text.insert(at, lines);
  };
  bed.send(callee, stray({own + branch, away + ";branch=z9hG4bK-x"}));
  bed.caller.expect_reply(200);
  bed.send(callee, stray({own + forged, away + ";branch=z9hG4bK-x"}));
  bed.caller.expect_repetition();
  // One that a process before this one may have made: its keys were others.
  forged[8 + 30] = forged[8 + 30] == '0' ? '1' : '0';
  bed.send(callee, stray({own + forged, away + ";branch=z9hG4bK-x"}));
  bed.caller.expect_repetition();
  const std::string foreign = ";branch=z9hG4bK-x";
  bed.send(callee, stray({own + foreign, away + foreign}));
  bed.caller.expect_repetition();
  for (const std::vector<std::string>& vias : {std::vector<std::string>{own + branch},
                                               {"192.0.2.1" + foreign, away + foreign},
                                               {own + branch, own + foreign},
                                               {own + branch, "example.com" + foreign},
                                               {own + branch, "[::1]:5060" + foreign},
                                               {own + branch, "127.0.0.1:0" + foreign}}) {
    bed.send(callee, stray(vias));
    CHECK_FALSE(test::readable_within(bed.transport.socket(0), 0));
  }
  bed.caller.expect_nothing();
  CHECK(bed.transport.counters.stray_responses.load() >= 9);
  bed.check_nothing_left();
}
