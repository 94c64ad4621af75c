#include "core/engine.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <vector>

#include "test/support/engine_bed.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint64_t kHourMs = 3'600'000;

TEST_CASE("threads are numbered: receivers, then the workers of one group after the other") {
  Engine engine(
      {.slots = 4,
       .payload_bytes = 4096,
       .receivers = 2,
       .groups = {{.name = "a", .workers = 3}, {.name = "b", .workers = 0}, {.name = "c", .workers = 2}}});
  CHECK(engine.thread_count() == 7);
  CHECK(engine.group_count() == 3);
  CHECK(engine.worker_thread(0, 0) == 2);
  CHECK(engine.worker_thread(0, 2) == 4);
  CHECK(engine.worker_thread(2, 1) == 6);
  CHECK(engine.suspension_timers() == 8);
  CHECK(engine.check_invariants());
}

TEST_CASE("suspended calls come back, never early, each once, with what they were suspended with") {
  Bed bed;
  bed.start();
  Random random(1);
  constexpr uint32_t kCalls = 60;
  std::vector<uint64_t> due_ns(kCalls);
  std::vector<Task> tasks(kCalls);
  for (uint32_t i = 0; i < kCalls; ++i) {
    tasks[i] = bed.running_call();
    due_ns[i] = now_ns() + random.below(30'000'000);
    // A time that has passed is due at once.
    if (random.one_in(10)) due_ns[i] = now_ns() - random.below(5'000'000);
    const uint32_t round_ticks = random.one_in(3) ? 10 : 1;
    REQUIRE(bed.engine.suspend_until(tasks[i], due_ns[i], round_ticks, static_cast<uint16_t>(i), Bed::kGroup,
                                     Bed::kReceiver) == Status::kOk);
    const uint64_t due_tick = bed.engine.slots().at(tasks[i].index).due_tick;
    CHECK(due_tick % round_ticks == 0);
    CHECK(bed.engine.clock().ns_of(due_tick) >= due_ns[i]);
    CHECK(due_tick < bed.engine.clock().tick_not_before(due_ns[i]) + round_ticks);
  }
  std::set<uint32_t> back;
  REQUIRE(eventually([&] {
    Task batch[64];
    const uint32_t count = bed.engine.group(Bed::kGroup).take(batch, 64);
    const uint64_t now = now_ns();
    for (uint32_t i = 0; i < count; ++i) {
      REQUIRE(bed.engine.begin_run(batch[i], bed.worker(), now) == Status::kOk);
      const uint32_t call = bed.engine.slots().at(batch[i].index).route;
      CHECK(tasks[call].index == batch[i].index);
      CHECK(now >= due_ns[call]);
      CHECK(back.insert(call).second);
      bed.end_call(batch[i]);
    }
    return back.size() == kCalls;
  }));
  CHECK(bed.engine.counters.scheduled.load() == kCalls);
  CHECK(bed.engine.counters.fired.load() == kCalls);
  CHECK(bed.engine.counters.lateness.snapshot().count == kCalls);
  bed.check_all_zero();
}

TEST_CASE("one call suspends again and again: timer, at once, own thread") {
  Bed bed;
  bed.start();
  const Task task = bed.running_call();
  uint64_t timed = 0;
  for (uint16_t route = 1; route <= 60; ++route) {
    const uint64_t due_ns = now_ns() + (route % 5) * 500'000;
    const bool own = route % 3 == 2;
    if (route % 3 == 0) {
      REQUIRE(bed.engine.suspend_now(task, now_ns(), route, Bed::kGroup) == Status::kOk);
    } else {
      ++timed;
      REQUIRE(bed.engine.suspend_until(task, due_ns, 1, route, own ? Engine::kOwnThread : Bed::kGroup,
                                       bed.worker()) == Status::kOk);
    }
    CHECK(bed.engine.counters.suspended.load() == 1);
    Task back{kNone, 0};
    REQUIRE(eventually([&] {
      return (own ? bed.engine.take_inbox(bed.worker(), &back, 1)
                  : bed.engine.group(Bed::kGroup).take(&back, 1)) == 1;
    }));
    if (route % 3 != 0) CHECK(now_ns() >= due_ns);
    CHECK(back.index == task.index);
    REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
    CHECK(bed.engine.slots().at(task.index).route == route);
    CHECK(bed.engine.slots().word(task.index).suspension() == route);
    CHECK(bed.engine.counters.suspended.load() == 0);
  }
  bed.end_call(task);
  CHECK(bed.engine.counters.scheduled.load() == timed);
  CHECK(bed.engine.counters.fired.load() == timed);
  bed.check_all_zero();
}

TEST_CASE("a sleeper of a thread comes back to that thread's inbox, and the thread is woken") {
  Bed bed;
  CountingWakeable receiver, worker;
  bed.engine.attach(Bed::kReceiver, &receiver);
  bed.engine.attach(bed.worker(), &worker);
  bed.start();
  const Task task = bed.running_call();
  REQUIRE(bed.engine.suspend_until(task, now_ns() + 2'000'000, 1, 0, Engine::kOwnThread, bed.worker()) ==
          Status::kOk);
  CHECK(bed.engine.inbox_empty(bed.worker()));
  REQUIRE(eventually([&] { return !bed.engine.inbox_empty(bed.worker()); }));
  REQUIRE(eventually([&] { return worker.wakes() == 1; }));
  CHECK(receiver.wakes() == 0);
  CHECK(bed.engine.inbox_empty(Bed::kReceiver));
  CHECK(bed.engine.group(Bed::kGroup).queued() == 0);
  Task back{kNone, 0};
  REQUIRE(bed.engine.take_inbox(bed.worker(), &back, 1) == 1);
  CHECK(back.bits() == task.bits());
  CHECK(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
  bed.end_call(task);

  // A thread that has gone is not woken any more; its successor is.
  CountingWakeable successor;
  bed.engine.attach(bed.worker(), &successor);
  bed.engine.detach(bed.worker(), &worker);
  REQUIRE(bed.engine.post(bed.worker(), task));
  CHECK(worker.wakes() == 1);
  CHECK(successor.wakes() == 1);
  bed.engine.detach(bed.worker(), &successor);
  REQUIRE(bed.engine.post(bed.worker(), task));
  CHECK(successor.wakes() == 1);
  Task two[4];
  CHECK(bed.engine.take_inbox(bed.worker(), two, 4) == 2);
  bed.check_all_zero();
}

TEST_CASE("a call that is concluded while it sleeps stays away, and its timer is swept when its time comes") {
  Bed bed;
  bed.start();
  const Task task = bed.running_call();
  REQUIRE(bed.engine.suspend_until(task, now_ns() + 3'000'000, 1, 0, Bed::kGroup, Bed::kReceiver) ==
          Status::kOk);
  Run was = Run::kIdle;
  REQUIRE(bed.engine.conclude(task, Word::kCancelled, was) == Status::kOk);
  // The timer may have been faster on a busy machine; then there is a task, which begin_run must refuse.
  CHECK((was == Run::kSuspended || was == Run::kDue));
  CHECK(bed.engine.conclude(task, Word::kCancelled, was) == Status::kCancelled);
  bed.engine.slots().release(task.index);
  // The index lives on in another call: the timer in the wheel must not touch it.
  const Task other = bed.running_call();
  REQUIRE(other.index == task.index);
  REQUIRE(bed.engine.suspend_until(other, now_ns() + kHourMs * kNsPerMs, 1, 0, Bed::kGroup, Bed::kReceiver) ==
          Status::kOk);
  if (was == Run::kSuspended) {
    CHECK(bed.engine.counters.withdrawn.load() == 1);
    REQUIRE(eventually([&] { return bed.engine.counters.stale_timers.load() == 1; }));
    CHECK(bed.engine.counters.fired.load() == 0);
    CHECK(bed.engine.group(Bed::kGroup).queued() == 0);
  }
  CHECK(bed.engine.slots().word(other.index).run() == Run::kSuspended);
  REQUIRE(bed.engine.conclude(other, 0, was) == Status::kOk);
  CHECK(was == Run::kSuspended);
  bed.engine.slots().release(other.index);
  bed.check_all_zero();
}

TEST_CASE("a timer of an earlier suspension of the same call does not end a later one") {
  Bed bed;
  bed.start();
  const Task task = bed.running_call();
  const uint64_t soon_ns = now_ns() + 20'000'000;
  REQUIRE(bed.engine.suspend_until(task, soon_ns, 1, 1, Bed::kGroup, Bed::kReceiver) == Status::kOk);
  // Taken back by the thread that suspended it, as after a failure behind the suspension.
  if (bed.engine.slots().take_back(task.index, task.generation) == Status::kOk) {
    bed.engine.counters.suspended.fetch_sub(1);
    bed.engine.counters.withdrawn.fetch_add(1);
  }
  REQUIRE(bed.engine.suspend_until(task, now_ns() + kHourMs * kNsPerMs, 1, 2, Bed::kGroup, Bed::kReceiver) ==
          Status::kOk);
  REQUIRE(eventually(
      [&] { return bed.engine.counters.stale_timers.load() + bed.engine.counters.fired.load() == 1; }));
  CHECK(bed.engine.slots().word(task.index).run() == Run::kSuspended);
  Run was = Run::kIdle;
  REQUIRE(bed.engine.conclude(task, 0, was) == Status::kOk);
  bed.engine.slots().release(task.index);
}

TEST_CASE("a sleeping handler is told when its call is concluded, a call of a group has nobody to tell") {
  Bed bed;
  CountingWakeable worker;
  bed.engine.attach(bed.worker(), &worker);
  const uint64_t due_ns = now_ns() + kHourMs * kNsPerMs;
  for (const uint64_t flags : {uint64_t{0}, Word::kCancelled}) {
    const uint32_t woken = worker.wakes();
    Run was = Run::kIdle;
    const Task sleeper = bed.running_call();
    REQUIRE(bed.engine.suspend_until(sleeper, due_ns, 1, 0, Engine::kOwnThread, bed.worker()) == Status::kOk);
    REQUIRE(bed.engine.conclude(sleeper, flags, was) == Status::kOk);
    CHECK(was == Run::kSuspended);
    CHECK(worker.wakes() == woken + 1);
    Task told[2];
    REQUIRE(bed.engine.take_inbox(bed.worker(), told, 2) == 1);
    CHECK(told[0].bits() == sleeper.bits());
    bed.engine.slots().release(sleeper.index);

    const Task grouped = bed.running_call();
    REQUIRE(bed.engine.suspend_until(grouped, due_ns, 1, 0, Bed::kGroup, bed.worker()) == Status::kOk);
    REQUIRE(bed.engine.conclude(grouped, flags, was) == Status::kOk);
    bed.engine.slots().release(grouped.index);
    CHECK(bed.engine.inbox_empty(bed.worker()));
    CHECK(bed.engine.inbox_empty(Bed::kReceiver));

    const Task running = bed.running_call();  // by the receiver
    REQUIRE(bed.engine.conclude(running, flags, was) == Status::kOk);
    CHECK(was == Run::kRunning);
    REQUIRE(bed.engine.take_inbox(Bed::kReceiver, told, 2) == 1);
    CHECK(told[0].bits() == running.bits());
    bed.end_call(running);
  }
  CHECK(bed.engine.counters.withdrawn.load() == 4);
  bed.check_all_zero();
}

TEST_CASE("suspend_now into a full group is refused and the route goes on") {
  Bed bed;
  WorkerGroup& tight = bed.engine.group(Bed::kTightGroup);
  const Task first = bed.running_call();
  const Task second = bed.running_call();
  REQUIRE(bed.engine.suspend_now(first, now_ns(), 1, Bed::kTightGroup) == Status::kOk);
  CHECK(bed.engine.suspend_now(second, now_ns(), 1, Bed::kTightGroup) == Status::kGroupFull);
  CHECK(bed.engine.slots().word(second.index).run() == Run::kRunning);
  CHECK(tight.queued() == 1);
  CHECK(tight.counters.refused.load() == 1);
  CHECK(bed.engine.counters.suspended.load() == 1);
  // It can still do all that a running route can.
  REQUIRE(bed.engine.suspend_until(second, now_ns(), 1, 1, Bed::kGroup, Bed::kReceiver) == Status::kOk);
  Run was = Run::kIdle;
  CHECK(bed.engine.conclude(second, 0, was) == Status::kOk);
  bed.engine.slots().release(second.index);
  Task back{kNone, 0};
  REQUIRE(tight.take(&back, 1) == 1);
  REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
  bed.end_call(back);
  bed.check_all_zero();
}

TEST_CASE("a refused suspension leaves the call as it was") {
  Bed bed;
  const uint64_t later_ns = now_ns() + kHourMs * kNsPerMs;
  const Task task = bed.running_call();
  const Word running = bed.engine.slots().word(task.index);
  CHECK(bed.engine.suspend_until(task, later_ns, 1, 1, Bed::kEmptyGroup, 0) == Status::kNoWorkers);
  CHECK(bed.engine.suspend_now(task, now_ns(), 1, Bed::kEmptyGroup) == Status::kNoWorkers);
  const Task stale{task.index, task.generation + 1};
  CHECK(bed.engine.suspend_until(stale, later_ns, 1, 1, Bed::kGroup, 0) == Status::kStaleHandle);
  CHECK(bed.engine.suspend_now(stale, now_ns(), 1, Bed::kGroup) == Status::kStaleHandle);
  CHECK(bed.engine.suspend_until({kNone, 0}, later_ns, 1, 1, Bed::kGroup, 0) == Status::kStaleHandle);
  CHECK(bed.engine.slots().word(task.index).bits() == running.bits());

  // A second suspension of a route that goes on after its first must not change where the first one leads.
  REQUIRE(bed.engine.suspend_until(task, later_ns, 1, 7, Bed::kGroup, bed.worker()) == Status::kOk);
  const Slot& slot = bed.engine.slots().at(task.index);
  const uint64_t due_tick = slot.due_tick;
  CHECK(bed.engine.suspend_until(task, later_ns + 5'000'000'000, 1, 8, Engine::kOwnThread, Bed::kReceiver) ==
        Status::kAlreadySuspended);
  CHECK(bed.engine.suspend_now(task, now_ns(), 9, Bed::kTightGroup) == Status::kAlreadySuspended);
  CHECK(slot.route == 7);
  CHECK(slot.group.load() == Bed::kGroup);
  CHECK(slot.due_tick == due_tick);
  CHECK(slot.thread.load() == bed.worker());
  CHECK(bed.engine.counters.scheduled.load() == 1);
  CHECK(bed.engine.counters.suspended.load() == 1);
  Run was = Run::kIdle;
  CHECK(bed.engine.conclude(task, 0, was) == Status::kOk);
  CHECK(bed.engine.suspend_until(task, later_ns, 1, 1, Bed::kGroup, 0) == Status::kAlreadyAnswered);
  bed.engine.slots().release(task.index);
  bed.check_all_zero();
  // None of the refusals has kept a timer: all but the first suspension's are still there to be had.
  CHECK(bed.use_up_timers() == bed.engine.suspension_timers() - 1);
}

TEST_CASE("without a timer left a suspension is refused and nothing has changed") {
  Bed bed;
  CHECK(bed.use_up_timers() == bed.engine.suspension_timers());
  const auto scheduled = bed.engine.counters.scheduled.load();
  const Task task = bed.running_call();
  const Word before = bed.engine.slots().word(task.index);
  CHECK(bed.engine.suspend_until(task, now_ns() + kHourMs * kNsPerMs, 1, 1, Bed::kGroup, 0) ==
        Status::kSlotsExhausted);
  CHECK(bed.engine.slots().word(task.index).bits() == before.bits());
  CHECK(bed.engine.counters.scheduled.load() == scheduled);
  // A suspension without a wait needs none.
  CHECK(bed.engine.suspend_now(task, now_ns(), 1, Bed::kGroup) == Status::kOk);
  Task back{kNone, 0};
  REQUIRE(bed.engine.group(Bed::kGroup).take(&back, 1) == 1);
  REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
  bed.end_call(back);
  bed.check_all_zero();
}

TEST_CASE("with all timers taken, those that come out can be had again, and no more") {
  Bed bed(8);
  bed.engine.start_without_ticker(&bed.handler);
  const Task sleeper = bed.running_call();
  const uint64_t due_ns = now_ns() + 1000 * kNsPerMs;
  REQUIRE(bed.engine.suspend_until(sleeper, due_ns, 1, 0, Bed::kGroup, Bed::kReceiver) == Status::kOk);
  bed.engine.tick(now_ns());
  CHECK(bed.use_up_timers() == bed.engine.suspension_timers() - 1);
  CHECK(bed.engine.timers_taken() == bed.engine.suspension_timers());
  CHECK(bed.engine.resume(sleeper, now_ns()) == Status::kSlotsExhausted);
  CHECK(bed.engine.check_invariants());
  // The one that is due; of the withdrawn ones, more than half of all, none is left behind a sweep.
  bed.engine.tick(due_ns + 2 * kNsPerMs);
  CHECK(bed.engine.timers_taken() == 0);
  CHECK(bed.engine.check_invariants());
  CHECK(bed.use_up_timers() == bed.engine.suspension_timers());
  bed.engine.tick(due_ns + 4 * kNsPerMs);
  Task task{};
  REQUIRE(bed.engine.group(Bed::kGroup).take(&task, 1) == 1);
  REQUIRE(bed.engine.begin_run(task, bed.worker(), now_ns()) == Status::kOk);
  bed.end_call(task);
  CHECK(bed.engine.timers_taken() == 0);
  bed.check_all_zero();
}

TEST_CASE("timers that come out of the wheel can be used again, those of concluded calls, too") {
  Bed bed(4);
  bed.start();
  const uint32_t laps = static_cast<uint32_t>(rounds(100)) + 20;
  REQUIRE(laps > 2 * bed.engine.suspension_timers());
  for (uint32_t lap = 1; lap <= laps; ++lap) {
    const Task task = bed.running_call();
    REQUIRE(bed.engine.suspend_until(task, now_ns() + 500'000, 1, 0, Bed::kGroup, 0) == Status::kOk);
    Run was = Run::kIdle;
    const bool conclude = lap % 2 == 0;
    if (conclude) {
      REQUIRE(bed.engine.conclude(task, 0, was) == Status::kOk);
      bed.engine.slots().release(task.index);
    }
    REQUIRE(eventually(
        [&] { return bed.engine.counters.fired.load() + bed.engine.counters.stale_timers.load() == lap; }));
    if (conclude && was == Run::kSuspended) continue;
    Task back{kNone, 0};
    REQUIRE(eventually([&] { return bed.engine.group(Bed::kGroup).take(&back, 1) == 1; }));
    // A call may have become due before it was concluded; then its task is there, but stale.
    const Status expected = conclude ? Status::kStaleHandle : Status::kOk;
    REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == expected);
    if (!conclude) bed.end_call(back);
  }
  CHECK(bed.engine.counters.stale_timers.load() > 0);
  bed.check_all_zero();
}

TEST_CASE("a call that finds no room in the queue is offered again until there is") {
  for (const bool own_thread : {false, true}) {
    CAPTURE(own_thread);
    Bed bed(2);
    bed.start();
    const Task nobody{0, 77};  // of a generation that never comes
    const auto push = [&] {
      return own_thread ? bed.engine.post(bed.worker(), nobody) : bed.engine.group(Bed::kGroup).push(nobody);
    };
    const auto take = [&](Task* tasks, uint32_t most) {
      return own_thread ? bed.engine.take_inbox(bed.worker(), tasks, most)
                        : bed.engine.group(Bed::kGroup).take(tasks, most);
    };
    while (push()) {
    }
    const Task waits = bed.running_call();
    const Task ends = bed.running_call();
    const uint16_t group = own_thread ? Engine::kOwnThread : Bed::kGroup;
    for (const Task task : {waits, ends}) {
      REQUIRE(bed.engine.suspend_until(task, now_ns(), 1, 0, group, bed.worker()) == Status::kOk);
    }
    REQUIRE(eventually([&] { return bed.engine.counters.fired.load() == 2; }));
    CHECK(bed.engine.slots().word(waits.index).run() == Run::kDue);
    CHECK(bed.engine.counters.suspended.load() == 2);
    sleep_us(5'000);  // a few more offers that are refused
    // One of the two ends while it waits for room.
    Run was = Run::kIdle;
    REQUIRE(bed.engine.conclude(ends, Word::kCancelled, was) == Status::kOk);
    CHECK(was == Run::kDue);

    std::vector<Task> found;
    REQUIRE(eventually([&] {
      Task tasks[4];
      const uint32_t count = take(tasks, 4);
      for (uint32_t i = 0; i < count; ++i) {
        if (tasks[i].generation != nobody.generation) found.push_back(tasks[i]);
      }
      return !found.empty() && found.back().index == waits.index;
    }));
    CHECK(bed.engine.begin_run(waits, bed.worker(), now_ns()) == Status::kOk);
    CHECK(bed.engine.begin_run(ends, bed.worker(), now_ns()) == Status::kCancelled);
    CHECK(bed.engine.counters.fired.load() == 2);  // an offer that is repeated is not counted again
    bed.end_call(waits);
    bed.engine.slots().release(ends.index);
    bed.check_all_zero();  // the timers of both are not lost
  }
}

TEST_CASE("a slot's own timer goes to the handler, not before its tick") {
  Bed bed;
  bed.start();
  const uint64_t from = bed.engine.clock().tick_at(now_ns());
  const auto arm = [&](uint32_t index, uint64_t tick) {
    if (bed.engine.arm_slot_timer(index, tick)) bed.engine.wake_ticker();
  };
  arm(5, from + 4);
  arm(3, from + 2);
  arm(1, 0);
  REQUIRE(eventually([&] { return bed.handler.count() == 3; }));
  std::set<uint32_t> fired;
  for (const auto& timer : bed.handler.timers()) {
    CHECK(fired.insert(timer.index).second);
    CHECK((timer.index == 1 || timer.index == 3 || timer.index == 5));
    CHECK(timer.tick >= from + (timer.index == 1 ? 0 : timer.index - 1));
  }
}

TEST_CASE("an engine stops with sleepers in it, without ever having started, and twice") {
  Bed never_started;
  never_started.engine.stop();

  Bed idle;
  idle.start();
  idle.engine.stop();

  Bed bed;
  bed.start();
  const Task soon = bed.running_call();
  const Task late = bed.running_call();
  REQUIRE(bed.engine.suspend_until(late, now_ns() + kHourMs * kNsPerMs, 1, 0, Bed::kGroup, 0) == Status::kOk);
  bed.engine.stop();
  bed.engine.stop();
  REQUIRE(bed.engine.suspend_until(soon, now_ns(), 1, 0, Bed::kGroup, 0) == Status::kOk);
  sleep_us(5'000);
  // What sleeps stays asleep, and can be concluded.
  CHECK(bed.engine.group(Bed::kGroup).queued() == 0);
  CHECK(bed.engine.counters.suspended.load() == 2);
  for (const Task task : {soon, late}) {
    Run was = Run::kIdle;
    REQUIRE(bed.engine.conclude(task, 0, was) == Status::kOk);
    CHECK(was == Run::kSuspended);
    bed.engine.slots().release(task.index);
  }
  bed.check_all_zero();
}

TEST_CASE("the count of suspended calls survives more suspensions than the word can number") {
  Bed bed;
  const Task task = bed.running_call();
  Slot& slot = bed.engine.slots().at(task.index);
  slot.word = Word::make(task.generation, Word::kSuspensionMask - 2, Word::kLive, Run::kRunning).bits();
  for (uint32_t i = 0; i < 5; ++i) {
    REQUIRE(bed.engine.suspend_now(task, now_ns(), 0, Bed::kGroup) == Status::kOk);
    CHECK(bed.engine.counters.suspended.load() == 1);
    Task back{kNone, 0};
    REQUIRE(bed.engine.group(Bed::kGroup).take(&back, 1) == 1);
    REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
    CHECK(bed.engine.counters.suspended.load() == 0);
  }
  bed.end_call(task);
}

}  // namespace
