// Sending on when something is full: slots, branches, transactions, memory; and when everything ends.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/support/relay_bed.h"

using namespace sip_async;
using namespace test::relay_case;

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

namespace {

// A call with all that takes memory, through to its end, by whatever way is left to it.
struct Scarce {
  Scarce(uint64_t payload_bytes, const std::string& method)
      : bed(config(payload_bytes)), request(numbered(1, method)) {}

  static SipBedConfig config(uint64_t payload_bytes) {
    SipBedConfig out = hurried();
    out.payload_bytes = payload_bytes;
    out.transactions.t1_ms = 2;
    out.transactions.t2_ms = 8;
    out.transactions.wait_ms = 2;
    out.transactions.fr_ms = 60;
    out.transactions.fr_inv_ms = 60;
    return out;
  }

  int run() {
    request.body = std::string(300, 'b');
    Task task{};
    if (!feed(request.text(), bed.caller.address(), task)) return listen();
    bed.begin(task);
    saved = bed.layer.save_variables(task, std::string(200, 'v')) == Status::kOk;
    script(task);
    bed.end(task);
    int code = 0;
    while (code == 0) {
      pump();
      code = listen();
    }
    // Nothing is kept for its sake any longer than the timers say.
    while (bed.engine.slots().live() != 0) pump();
    return code;
  }

  bool feed(const std::string& text, const sip::Address& from, Task& task) {
    return bed.layer.receive({text.data(), text.size(), sip::Hop{from}, false}, task);
  }
  void script(Task task) {
    Task branch{};
    bed.try_relay(task, callee.uri(), {.on_failure = 7, .on_reply = 5}, branch);
    const Status unresolved =
        bed.try_relay(task, "sip:callee@example.com", {.on_failure = 7, .on_reply = 5}, branch);
    const sip::Hop hops[] = {callee.hop(), callee.hop()};
    if (unresolved == Status::kUnresolved) bed.layer.send_to(branch, hops, 2, "example.com");
    const std::string uri = callee.uri();
    sip::RelayRequest wanted;
    wanted.ruri = uri;
    wanted.on_failure = 7;
    if (bed.layer.open_branch(task, wanted, RelayBed::kReceiver, branch) == Status::kOk)
      bed.layer.relay_branch(branch, wanted);
  }
  // The callee's side, and the routes.
  void pump() {
    for (std::string got = callee.next(0); !got.empty(); got = callee.next(0)) {
      Task none{};
      if (test::method_of(got) != request.method) continue;
      const test::Answer answer{.more = "X-More: 1\r\n", .body = std::string(500, 'r')};
      feed(test::reply_to(got, 180, answer), callee.address(), none);
      feed(test::reply_to(got, ++answered % 3 == 0 ? 401 : 503, answer), callee.address(), none);
    }
    Task task{};
    while (bed.try_next_route(task)) {
      if (bed.entry_of(task) == Entry::kFailureRoute && failures++ == 0) script(task);
      bed.layer.share_variables(task, std::string(200, 'w'));
      if (bed.entry_of(task) == Entry::kReplyRoute) {
        sip::MessageEdits edits;
        edits.appended_lines = "X-Seen: 1\r\n";
        bed.layer.finish_reply(task, edits);
      } else {
        bed.end(task);
      }
    }
  }
  // A final reply that has come, or 0.
  int listen() {
    for (std::string reply = bed.caller.next(1); !reply.empty(); reply = bed.caller.next(0)) {
      if (test::code_of(reply) >= 200) return test::code_of(reply);
    }
    return 0;
  }

  RelayBed bed;
  SipRequest request;
  Ear callee;
  bool saved = false;
  uint32_t answered = 0, failures = 0;
};

}  // namespace

TEST_CASE("memory that ends at every place: the call has its one reply, and nothing is left") {
  for (const char* method : {"OPTIONS", "INVITE"}) {
    CAPTURE(method);
    bool had_all = false, had_none = false;
    const uint64_t step = test::kSanitized ? 1024 : 256;
    for (uint64_t bytes = 64; !had_all && bytes < 64 << 10; bytes += step) {
      CAPTURE(bytes);
      Scarce call(bytes, method);
      const int code = call.run();
      CHECK(code >= 400);
      had_none = had_none || code == 503;
      had_all = call.saved && call.failures >= 2 &&
                call.bed.transport.counters.replies_not_kept.load() == 0 && code == 401;
      call.bed.caller.expect_nothing(0);
      call.bed.check_nothing_left();
    }
    CHECK(had_none);
    CHECK(had_all);
  }
}
