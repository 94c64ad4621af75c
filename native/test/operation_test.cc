// Calls that wait for an operation of the thread that suspended them: its end, its deadline, a CANCEL, and all at once.
#include <doctest/doctest.h>

#include <atomic>
#include <string>

#include "test/support/relay_bed.h"
#include "test/support/seed.h"

using namespace sip_async;
using namespace test::relay_case;
using core::Word;
using test::Random;
using test::rounds;
using test::run_together;

namespace {

constexpr uint64_t kLong = 600'000;
constexpr uint16_t kRoute = 9;

Status wait_for_operation(RelayBed& bed, Task task, uint64_t most_ms = kLong,
                          uint32_t thread = RelayBed::kReceiver) {
  return bed.layer.suspend_for_operation(task, most_ms, kRoute, thread);
}
bool is_resumed(RelayBed& bed, Task task) {
  return bed.engine.slots().word(task.index).has(Word::kResumed);
}

}  // namespace

TEST_CASE("a call goes on in the thread that suspended it, when the operation has ended") {
  RelayBed bed;
  uint32_t thread = RelayBed::kReceiver;
  SUBCASE("a receiver") {}
  SUBCASE("a worker") {
    thread = bed.worker(1);
  }
  const SipRequest request = numbered(1);
  const Task task = bed.fresh_from_caller(request.text());
  bed.begin(task, thread);
  REQUIRE(wait_for_operation(bed, task, kLong, thread) == Status::kOk);
  bed.caller.expect_reply(100);
  CHECK(bed.run_of(task) == Run::kSuspended);
  CHECK(wait_for_operation(bed, task, kLong, thread) == Status::kAlreadySuspended);
  // Its own operation ends it, and nobody who knows the handle.
  CHECK(bed.layer.continue_with(task, 1, RelayBed::kGroup) == Status::kNotSuspended);
  CHECK(bed.engine.resume(task, core::now_ns()) == Status::kOk);
  CHECK(bed.engine.resume(task, core::now_ns()) == Status::kNotSuspended);
  Task taken = bed.take_own(thread);
  bed.begin(taken, thread);
  CHECK(taken.bits() == task.bits());
  CHECK(is_resumed(bed, taken));
  CHECK_FALSE(bed.layer.runs_without_script(taken));
  CHECK(bed.entry_of(taken) == Entry::kOperation);
  CHECK(bed.route_of(taken) == kRoute);
  CHECK(bed.answer(taken, 404) == Status::kOk);
  CHECK_FALSE(bed.end(taken));
  bed.final_reply(request, 404);
  bed.check_nothing_left();
}

TEST_CASE("at the deadline the same route runs, and knows that it was the deadline") {
  RelayBed bed;
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  REQUIRE(wait_for_operation(bed, task, 5) == Status::kOk);
  CHECK(eventually([&] { return bed.run_of(task) == Run::kDue; }));
  CHECK(bed.engine.resume(task, core::now_ns()) == Status::kNotSuspended);
  const Task taken = bed.next_route(Entry::kOperation);
  CHECK_FALSE(is_resumed(bed, taken));
  CHECK(bed.answer(taken, 404) == Status::kOk);
  CHECK_FALSE(bed.end(taken));
  bed.final_reply(request, 404);
  bed.check_nothing_left();
}

TEST_CASE("one operation after the other: what belongs to an earlier one ends no later one") {
  RelayBed bed;
  const SipRequest request = numbered(1, "OPTIONS");
  Task task = bed.call(request);
  for (int i = 0; i < 20; ++i) {
    // The deadlines of the first ones are over long before the last.
    REQUIRE(wait_for_operation(bed, task, i < 10 ? 1 : kLong) == Status::kOk);
    if (i >= 10) REQUIRE(bed.engine.resume(task, core::now_ns()) == Status::kOk);
    task = bed.next_route(Entry::kOperation);
    CHECK(is_resumed(bed, task) == (i >= 10));
  }
  CHECK(bed.answer(task, 404) == Status::kOk);
  CHECK_FALSE(bed.end(task));
  bed.final_reply(request, 404);
  bed.check_nothing_left();
}

TEST_CASE("a CANCEL is told to the thread that waits") {
  RelayBed bed;
  const SipRequest request = numbered(1);
  const Task task = bed.call(request);
  REQUIRE(wait_for_operation(bed, task) == Status::kOk);
  bed.caller.expect_reply(100);
  CHECK(bed.layer.conclude(task, 487, {}, Word::kCancelled) == Status::kOk);
  bed.final_reply(request, 487);
  CHECK(bed.engine.resume(task, core::now_ns()) == Status::kNotSuspended);
  const Task told = bed.take_own(RelayBed::kReceiver);
  CHECK(told.bits() == task.bits());
  CHECK(bed.engine.begin_run(told, RelayBed::kReceiver, core::now_ns()) != Status::kOk);
  CHECK(bed.layer.is_cancelled(task));
  bed.check_nothing_left();
}

TEST_CASE("the thread that waits dies: a call gets 500, a reply goes on, a branch has failed") {
  RelayBed bed;
  Ear callee;
  SUBCASE("a call") {
    const SipRequest request = numbered(1, "OPTIONS");
    const Task task = bed.call(request);
    REQUIRE(wait_for_operation(bed, task) == Status::kOk);
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
    bed.final_reply(request, 500);
  }
  SUBCASE("a call whose operation has just ended") {
    const SipRequest request = numbered(1, "OPTIONS");
    const Task task = bed.call(request);
    REQUIRE(wait_for_operation(bed, task) == Status::kOk);
    REQUIRE(bed.engine.resume(task, core::now_ns()) == Status::kOk);
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
    bed.final_reply(request, 500);
  }
  SUBCASE("a reply route") {
    const SipRequest request = numbered(1, "OPTIONS");
    bed.relayed(request, callee, {.on_reply = 5});
    bed.reply(callee, callee.expect_request("OPTIONS"), 200);
    const Task route = bed.next_route(Entry::kReplyRoute);
    REQUIRE(wait_for_operation(bed, route) == Status::kOk);
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
    bed.final_reply(request, 200);
  }
  SUBCASE("a branch route") {
    const SipRequest request = numbered(1, "OPTIONS");
    const Task task = bed.call(request);
    Task branch{};
    REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
    REQUIRE(wait_for_operation(bed, branch) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 1);
    bed.final_reply(request, 500);
  }
  Task stale{};
  while (bed.try_next_route(stale)) bed.end(stale);
  bed.check_nothing_left();
}

TEST_CASE("what cannot wait for an operation") {
  RelayBed bed;
  const Task ack = bed.call(numbered(1).ack("x"));
  CHECK(wait_for_operation(bed, ack) == Status::kNoTransaction);
  CHECK_FALSE(bed.end(ack));
  const Task task = bed.call(numbered(2, "OPTIONS"));
  CHECK(bed.answer(task, 404) == Status::kOk);
  CHECK(wait_for_operation(bed, task) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.end(task));
  CHECK(wait_for_operation(bed, {kNone, 0}) == Status::kStaleHandle);
  bed.check_nothing_left();
}

TEST_CASE("the made-up request is there for a report without a slot, by its own name only") {
  RelayBed bed;
  const Task name = sip::FakedRequest::kName;
  size_t size = 0;
  const auto read = [&](const sip::StoredMessage& one) { size = one.size; };
  CHECK_FALSE(bed.layer.with_request({kNone, 0}, true, read));
  CHECK(size == 0);
  CHECK(bed.layer.with_request(name, true, read));
  CHECK(size > 0);
  CHECK(bed.layer.with_request(name, false, read));
  CHECK_FALSE(bed.layer.has_transaction(name));
  CHECK(bed.layer.reply(name, 200, {}, {}, false) == Status::kStaleHandle);
  CHECK_FALSE(bed.end(name));
}

TEST_CASE("threads: result, deadline, CANCEL and a forged handle, all at once: one of them") {
  test::SipBedConfig config = test::calm();
  config.slots = 8192;
  config.payload_bytes = 32 << 20;
  config.transactions.max_transactions = 8192;
  RelayBed bed(config);
  Random random(91);
  const uint64_t calls = rounds(3000);
  uint64_t by_result = 0, by_deadline = 0, cancelled = 0;
  for (uint64_t i = 0; i < calls; ++i) {
    const std::string text = numbered(i, "OPTIONS").text();
    Task task{};
    REQUIRE(bed.layer.receive({text.data(), text.size(), sip::Hop{bed.caller.address()}, false}, task));
    bed.begin(task);
    const uint64_t most_ms = random.one_in(2) ? random.below(2) : kLong;
    const bool cancels = random.one_in(2);
    REQUIRE(wait_for_operation(bed, task, most_ms) == Status::kOk);
    Status result = Status::kOk, cancel = Status::kOk, forged = Status::kOk;
    run_together(
        {[&] { result = bed.engine.resume(task, core::now_ns()); },
         [&] { cancel = cancels ? bed.layer.conclude(task, 487, {}, Word::kCancelled) : Status::kOk; },
         [&] { forged = bed.layer.continue_with(task, 1, RelayBed::kGroup); }});
    CHECK(forged != Status::kOk);
    if (cancels) CHECK(cancel == Status::kOk);  // nobody has answered before
    cancelled += cancels;
    uint64_t ran = 0;
    Task due{};
    // At the latest the deadline brings it back, unless it was cancelled before a route began.
    while (ran == 0 && !cancels) {
      if (!bed.try_next_route(due)) continue;
      CHECK(due.bits() == task.bits());
      CHECK(is_resumed(bed, due) == (result == Status::kOk));
      by_result += result == Status::kOk;
      by_deadline += result != Status::kOk;
      ++ran;
      bed.end(due);
    }
    while (bed.try_next_route(due)) {
      ++ran;
      bed.end(due);
    }
    CHECK(ran == (cancels ? 0 : 1));
  }
  MESSAGE(by_result << " by their results, " << by_deadline << " by their deadlines, " << cancelled
                    << " cancelled");
  CHECK(by_result > 0);
  WARN(by_deadline > 0);
  CHECK(cancelled > 0);
  CHECK(bed.layer.counters.completed.load() == calls);
  bed.check_nothing_left();
}
