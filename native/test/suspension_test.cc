// Open suspensions (t_suspend): continued, taken back, timed out, cancelled, and all of these at once.
#include <doctest/doctest.h>

#include <atomic>
#include <string>

#include "test/support/relay_bed.h"
#include "test/support/seed.h"

using namespace sip_async;
using namespace test::relay_case;
using core::Word;
using sip::kNoRoute;
using test::Random;
using test::rounds;
using test::run_together;

namespace {

constexpr uint64_t kLong = 600'000;

// A call whose route has suspended it.
struct Suspended {
  explicit Suspended(RelayBed& bed, uint64_t most_ms = kLong, uint16_t on_failure = kNoRoute,
                     const std::string& method = "OPTIONS")
      : request(numbered(1, method)), task(bed.call(request)) {
    REQUIRE(bed.layer.suspend_open(task, most_ms, on_failure, suspension) == Status::kOk);
    CHECK(bed.run_of(task) == Run::kSuspended);
    CHECK(bed.engine.slots().word(task.index).suspension() == suspension);
    if (method == "INVITE") bed.caller.expect_reply(100);
  }
  SipRequest request;
  Task task;
  uint32_t suspension = 0;
};

}  // namespace

TEST_CASE("continued in a group, and in the receiver") {
  RelayBed bed;
  Suspended call(bed, kLong, kNoRoute, "INVITE");
  uint16_t group = RelayBed::kGroup;
  SUBCASE("a group") {}
  SUBCASE("the receiver") {
    group = core::Engine::kOwnThread;
  }
  CHECK(bed.layer.continue_with(call.task, 9, group) == Status::kOk);
  CHECK(bed.layer.continue_with(call.task, 9, group) == Status::kNotSuspended);
  CHECK(bed.layer.undo_suspension(call.task, call.suspension, 0) == Status::kNotSuspended);
  if (group == RelayBed::kGroup) {
    const Task task = bed.take();
    bed.begin(task, bed.worker());
    CHECK_FALSE(bed.layer.runs_without_script(task));
    CHECK(bed.entry_of(task) == Entry::kRouteBlock);
  } else {
    CHECK(bed.next_route(Entry::kRouteBlock).bits() == call.task.bits());
  }
  CHECK(bed.route_of(call.task) == 9);
  CHECK(bed.layer.continue_with(call.task, 9, group) == Status::kNotSuspended);
  CHECK(bed.answer(call.task, 404) == Status::kOk);
  CHECK_FALSE(bed.end(call.task));
  bed.final_reply(call.request, 404);
  CHECK(bed.layer.continue_with(call.task, 9, group) == Status::kNotSuspended);
  bed.check_nothing_left();
  CHECK(bed.layer.continue_with(call.task, 9, group) == Status::kStaleHandle);
}

TEST_CASE("handles that mean nothing") {
  RelayBed bed;
  Suspended call(bed);
  const auto refused = [&](Task task) { return bed.layer.continue_with(task, 9, RelayBed::kGroup); };
  CHECK(refused({call.task.index, call.task.generation + 1}) == Status::kStaleHandle);
  CHECK(refused({call.task.index + 1, 0}) == Status::kStaleHandle);
  CHECK(refused({kNone, kNone}) == Status::kStaleHandle);
  CHECK(bed.layer.undo_suspension(call.task, call.suspension + 1, 0) == Status::kNotSuspended);
  CHECK(bed.layer.undo_suspension(call.task, call.suspension - 1, 0) == Status::kNotSuspended);
  CHECK(bed.run_of(call.task) == Run::kSuspended);
  // A sleeper's own script waits for it; a data task has no call behind it.
  const Task sleeper = bed.call(numbered(2, "OPTIONS"));
  CHECK(bed.layer.suspend_until(sleeper, kLong, 1, 0, core::Engine::kOwnThread, RelayBed::kReceiver) ==
        Status::kOk);
  CHECK(refused(sleeper) == Status::kNotSuspended);
  Task task{};
  REQUIRE(bed.engine.submit(
              3, RelayBed::kGroup, core::now_ns(), kLong * core::kNsPerMs,
              [](core::Slot& slot) {
                slot.kind.store(core::SlotKind::kTask);
                slot.entry.store(static_cast<uint8_t>(Entry::kSuspendTimeout));
              },
              task) == Status::kOk);
  CHECK(refused(task) == Status::kNotSuspended);
  Run was{};
  CHECK(bed.engine.conclude(task, 0, was) == Status::kOk);
  bed.engine.slots().release(task.index);
  // Not suspended at all.
  const Task running = bed.call(numbered(3, "OPTIONS"));
  CHECK(refused(running) == Status::kNotSuspended);
  CHECK(bed.end(running));
  CHECK(bed.layer.conclude_all(503, {}) == 2);
  bed.check_nothing_left();
}

TEST_CASE("taken back: the same run goes on, in its thread") {
  RelayBed bed;
  const SipRequest request = numbered(1);
  const Task task = bed.fresh_from_caller(request.text());
  bed.begin(task, bed.worker(1));
  uint32_t suspension = 0;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kOk);
    CHECK(bed.engine.counters.suspended.load() == 1);
    CHECK(bed.layer.undo_suspension(task, suspension, bed.worker(1)) == Status::kOk);
    CHECK(bed.layer.undo_suspension(task, suspension, bed.worker(1)) == Status::kNotSuspended);
    CHECK(bed.engine.counters.suspended.load() == 0);
    CHECK(bed.run_of(task) == Run::kRunning);
  }
  bed.caller.expect_reply(100);
  SUBCASE("it replies") {
    CHECK(bed.answer(task, 404) == Status::kOk);
    bed.final_reply(request, 404);
  }
  SUBCASE("its thread is told of a CANCEL") {
    bed.cancel(request);
    bed.final_reply(request, 487);
    CHECK(bed.take_own(bed.worker(1)).bits() == task.bits());
  }
  SUBCASE("its thread ends") {
    CHECK(bed.layer.thread_gone(RelayBed::kReceiver) == 0);
    CHECK(bed.layer.thread_gone(bed.worker(1)) == 1);
    bed.final_reply(request, 500);
  }
  CHECK_FALSE(bed.end(task));
  bed.check_nothing_left();
}

// It is due a moment before it is in an inbox. Led to no route.
void taken_up(RelayBed& bed, Task due) {
  Task none{};
  CHECK(eventually([&] {
    CHECK_FALSE(bed.try_next_route(none));
    return bed.run_of(due) != Run::kDue;
  }));
}

TEST_CASE("nobody continues it in time") {
  RelayBed bed;
  SUBCASE("408, by the receiver that the call came in by") {
    Suspended call(bed, 20);
    CHECK(eventually([&] { return bed.run_of(call.task) == Run::kDue; }));
    taken_up(bed, call.task);
    bed.final_reply(call.request, 408);
    CHECK(bed.layer.counters.timed_out.load() == 1);
  }
  SUBCASE("the failure route") {
    Suspended call(bed, 20, 7);
    const Task failure = bed.next_route(Entry::kFailureRoute);
    CHECK(bed.route_of(failure) == 7);
    CHECK(bed.layer.status_of(failure) == 408);
    CHECK(bed.answer(failure, 480) == Status::kOk);
    CHECK_FALSE(bed.end(failure));
    bed.final_reply(call.request, 480);
  }
  SUBCASE("the failure route, once") {
    Suspended call(bed, 20, 7);
    const Task failure = bed.next_route(Entry::kFailureRoute);
    uint32_t suspension = 0;
    CHECK(bed.layer.suspend_open(failure, 20, kNoRoute, suspension) == Status::kOk);
    CHECK(eventually([&] { return bed.run_of(failure) == Run::kDue; }));
    taken_up(bed, failure);
    bed.final_reply(call.request, 408);
  }
  bed.check_nothing_left();
}

TEST_CASE("a call that was sent on and then suspended") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  const Task task = bed.call(request);
  bed.relay(task, callee);
  uint32_t suspension = 0;
  SUBCASE("its branch answers 200: that is the answer") {
    CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kOk);
    bed.reply(callee, callee.expect_request("OPTIONS"), 200);
    bed.final_reply(request, 200);
    CHECK(bed.layer.continue_with(task, 9, RelayBed::kGroup) == Status::kNotSuspended);
  }
  SUBCASE("its branch fails: the script is waited for") {
    CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kOk);
    bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.caller.expect_nothing();
    CHECK(bed.layer.continue_with(task, 9, RelayBed::kGroup) == Status::kOk);
    bed.begin(bed.take(), bed.worker());
    CHECK_FALSE(bed.end(task));
    bed.final_reply(request, 404);
  }
  SUBCASE("its time is up: what the branches come to is the answer") {
    CHECK(bed.layer.suspend_open(task, 20, kNoRoute, suspension) == Status::kOk);
    const std::string got = callee.expect_request("OPTIONS");
    CHECK(eventually([&] { return bed.run_of(task) == Run::kDue; }));
    taken_up(bed, task);
    bed.caller.expect_nothing(0);
    bed.reply(callee, got, 404);
    bed.final_reply(request, 404);
  }
  bed.check_nothing_left();
}

TEST_CASE("a reply route and a branch route that are suspended so") {
  RelayBed bed;
  Ear callee;
  const SipRequest request = numbered(1, "OPTIONS");
  uint32_t suspension = 0;
  SUBCASE("a reply route whose time is up: its reply goes on") {
    bed.relayed(request, callee, {.on_reply = 5});
    bed.reply(callee, callee.expect_request("OPTIONS"), 200);
    const Task route = bed.next_route(Entry::kReplyRoute);
    CHECK(bed.layer.suspend_open(route, 20, 7, suspension) == Status::kOk);
    CHECK(eventually([&] { return bed.run_of(route) == Run::kDue; }));
    taken_up(bed, route);
    bed.final_reply(request, 200);
  }
  SUBCASE("a reply route that is continued") {
    bed.relayed(request, callee, {.on_reply = 5});
    bed.reply(callee, callee.expect_request("OPTIONS"), 200);
    const Task route = bed.next_route(Entry::kReplyRoute);
    CHECK(bed.layer.suspend_open(route, kLong, kNoRoute, suspension) == Status::kOk);
    bed.caller.expect_nothing();
    CHECK(bed.layer.continue_with(route, 9, core::Engine::kOwnThread) == Status::kOk);
    CHECK_FALSE(bed.end(bed.next_route(Entry::kRouteBlock)));
    bed.final_reply(request, 200);
  }
  SUBCASE("a branch route whose time is up: the branch has failed") {
    const Task task = bed.call(request);
    Task branch{};
    REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
    CHECK(bed.layer.suspend_open(branch, 20, kNoRoute, suspension) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    CHECK(eventually([&] { return bed.run_of(branch) == Run::kDue; }));
    taken_up(bed, branch);
    bed.final_reply(request, 500);
  }
  SUBCASE("a branch route that is continued") {
    const Task task = bed.call(request);
    Task branch{};
    REQUIRE(bed.layer.open_branch(task, {}, RelayBed::kReceiver, branch) == Status::kOk);
    CHECK(bed.layer.suspend_open(branch, kLong, kNoRoute, suspension) == Status::kOk);
    CHECK_FALSE(bed.end(task));
    CHECK(bed.layer.continue_with(branch, 9, core::Engine::kOwnThread) == Status::kOk);
    const Task again = bed.next_route(Entry::kRouteBlock);
    sip::RelayRequest wanted;
    const std::string uri = callee.uri();
    wanted.ruri = uri;
    CHECK(bed.layer.relay_branch(again, wanted) == Status::kOk);
    bed.reply(callee, callee.expect_request("OPTIONS"), 404);
    bed.final_reply(request, 404);
  }
  bed.check_nothing_left();
}

TEST_CASE("what cannot be suspended so") {
  RelayBed bed;
  uint32_t suspension = 0;
  const Task ack = bed.call(numbered(1).ack("x"));
  CHECK(bed.layer.suspend_open(ack, kLong, kNoRoute, suspension) == Status::kNoTransaction);
  CHECK_FALSE(bed.end(ack));
  const Task task = bed.call(numbered(2, "OPTIONS"));
  CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kOk);
  CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kAlreadySuspended);
  CHECK(bed.layer.continue_with(task, 1, RelayBed::kGroup) == Status::kOk);
  CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kAlreadySuspended);
  bed.begin(bed.take(), bed.worker());
  CHECK(bed.answer(task, 404) == Status::kOk);
  CHECK(bed.layer.suspend_open(task, kLong, kNoRoute, suspension) == Status::kAlreadyAnswered);
  CHECK_FALSE(bed.end(task));
  CHECK(bed.layer.suspend_open({kNone, 0}, kLong, kNoRoute, suspension) == Status::kStaleHandle);
  bed.check_nothing_left();
}

TEST_CASE("continue, CANCEL, its time and the taking back, all at once: one of them") {
  test::SipBedConfig config = test::calm();
  config.slots = 8192;
  config.payload_bytes = 32 << 20;
  config.transactions.max_transactions = 8192;
  RelayBed bed(config);
  Random random(73);
  const uint64_t calls = rounds(3000);
  uint64_t continued = 0, cancelled = 0, taken_back = 0, timed_out = 0;
  for (uint64_t i = 0; i < calls; ++i) {
    const std::string text = numbered(i, "OPTIONS").text();
    Task task{};
    REQUIRE(bed.layer.receive({text.data(), text.size(), sip::Hop{bed.caller.address()}, false}, task));
    bed.begin(task);
    uint32_t suspension = 0;
    const uint64_t most_ms = random.one_in(3) ? random.below(2) : kLong;
    REQUIRE(bed.layer.suspend_open(task, most_ms, kNoRoute, suspension) == Status::kOk);
    Status first = Status::kOk, second = Status::kOk, cancel = Status::kOk, undo = Status::kOk;
    const uint64_t kind = random.below(4);
    run_together({[&] { first = bed.layer.continue_with(task, 1, RelayBed::kGroup); },
                  [&] {
                    second = kind == 0 ? Status::kNotSuspended
                                       : bed.layer.continue_with(task, 2, core::Engine::kOwnThread);
                  },
                  [&] {
                    cancel = kind == 1 ? Status::kNotSuspended
                                       : bed.layer.conclude(task, 487, {}, Word::kCancelled);
                  },
                  [&] {
                    undo = kind == 2 ? Status::kNotSuspended
                                     : bed.layer.undo_suspension(task, suspension, RelayBed::kReceiver);
                  }});
    const int went_on = (first == Status::kOk) + (second == Status::kOk) + (undo == Status::kOk);
    CHECK(went_on <= 1);
    if (kind == 1) {
      CHECK(cancel == Status::kNotSuspended);
    } else {
      CHECK(cancel == Status::kOk);  // nobody else has answered
    }
    continued += first == Status::kOk || second == Status::kOk;
    taken_back += undo == Status::kOk;
    cancelled += cancel == Status::kOk;
    // Whoever has it now ends it; the call is over then, whatever happened.
    if (undo == Status::kOk) {
      bed.end(task);
    } else {
      Task due{};
      if (bed.engine.group(RelayBed::kGroup).take(&due, 1) == 1 &&
          bed.engine.begin_run(due, bed.worker(), core::now_ns()) == Status::kOk)
        bed.end(due);
      while (cancel != Status::kOk && !bed.engine.slots().word(task.index).has(Word::kAnswered)) {
        if (bed.try_next_route(due)) bed.end(due);
        timed_out += went_on == 0;
      }
    }
    CHECK((!bed.layer.is_current(task) || bed.engine.slots().word(task.index).has(Word::kAnswered)));
    CHECK((!bed.layer.is_current(task) || bed.run_of(task) == Run::kIdle));
  }
  Task stale{};
  while (bed.try_next_route(stale)) bed.end(stale);
  WARN(continued > 0);
  WARN(taken_back > 0);
  CHECK(cancelled > 0);
  CHECK(bed.layer.counters.completed.load() == calls);
  bed.check_nothing_left();
}
