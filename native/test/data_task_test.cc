// Data tasks: step by step, and with the ticker.
#include "core/data_task.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/task_bed.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

TEST_CASE("a task carries its data, its numbers and its kind to whoever runs it") {
  TaskBed bed;
  const std::string large(DataTasks::kMaxBytes, 'x');
  const std::string binary("\0\xff\r\n\0", 5);
  for (const std::string& bytes : {std::string(), std::string("text"), binary, large}) {
    CAPTURE(bytes.size());
    Task submitted{kNone, 0};
    const TaskRequest request{.kind = SlotKind::kEvent,
                              .route = 7,
                              .bytes = bytes,
                              .is_text = true,
                              .number = -5,
                              .split = 0xffff'ffff};
    REQUIRE(bed.tasks.submit(request, submitted) == Status::kOk);
    CHECK(bed.tasks.open() == 1);
    const Task task = bed.run_next();
    CHECK(task.bits() == submitted.bits());
    CHECK(bed.tasks.is_task(task));
    const TaskData& data = bed.tasks.data(task);
    CHECK(std::string_view(data.bytes(), data.size) == bytes);
    CHECK(data.is_text == 1);
    CHECK(data.number == -5);
    CHECK(data.split == 0xffff'ffff);
    const Slot& slot = bed.engine.slots().at(task.index);
    CHECK(slot.kind.load() == SlotKind::kEvent);
    CHECK(slot.route.load() == 7);
    CHECK(slot.group.load() == Bed::kGroup);
    CHECK(slot.thread.load() == bed.worker());
    CHECK_FALSE(bed.engine.slots().word(task.index).has(Word::kResumed));
    bed.tasks.finish(task);
    CHECK_FALSE(bed.tasks.is_task(task));
  }
  CHECK(bed.tasks.counters.done.load() == 4);
  bed.check_all_zero();
}

TEST_CASE("a refused task leaves nothing behind, and says why") {
  TaskBed bed(/*slots=*/8, /*max_tasks=*/4);
  Task out{kNone, 0};
  const std::string too_long(DataTasks::kMaxBytes + 1, 'x');
  CHECK(bed.tasks.submit({.bytes = too_long}, out) == Status::kPayloadTooLarge);
  CHECK(bed.tasks.submit({.group = Bed::kEmptyGroup, .bytes = "x"}, out) == Status::kNoWorkers);
  CHECK(bed.tasks.submit({.group = Bed::kEmptyGroup, .delay_ns = kHourNs, .bytes = "x"}, out) ==
        Status::kNoWorkers);
  CHECK(bed.tasks.open() == 0);
  CHECK(bed.engine.payloads().blocks_in_use() == 0);

  std::vector<Task> waiting;
  for (uint32_t i = 0; i < 4; ++i) waiting.push_back(bed.submit(i % 2 == 0 ? 0 : kHourNs));
  CHECK(bed.tasks.submit({.bytes = "x"}, out) == Status::kSlotsExhausted);
  CHECK(bed.tasks.open() == 4);
  CHECK(bed.engine.payloads().blocks_in_use() == 4);
  bed.tasks.stop_intake();
  CHECK(bed.tasks.submit({.bytes = "x"}, out) == Status::kClosed);
  for (const Task task : waiting) CHECK(bed.tasks.cancel(task) == Status::kOk);
  for (const Task task : waiting) CHECK(bed.tasks.cancel(task) == Status::kStaleHandle);
  bed.check_all_zero();
}

TEST_CASE("a group that is full refuses at once, and takes a task that comes later all the same") {
  TaskBed bed;
  Task out{kNone, 0};
  for (uint32_t i = 0; i < 4; ++i) {
    CHECK(bed.tasks.submit({.group = Bed::kTightGroup, .bytes = "x"}, out) == Status::kOk);
  }
  CHECK(bed.tasks.submit({.group = Bed::kTightGroup, .bytes = "x"}, out) == Status::kGroupFull);
  // With a delay, too: what the group has no room for now is refused now.
  CHECK(bed.tasks.submit({.group = Bed::kTightGroup, .delay_ns = kHourNs, .bytes = "x"}, out) ==
        Status::kGroupFull);
  CHECK(bed.engine.group(Bed::kTightGroup).counters.refused.load() == 2);
  CHECK(bed.tasks.drop_all() == 4);
  CHECK(bed.tasks.counters.dropped.load() == 4);
  bed.check_all_zero();
}

TEST_CASE("a suspended task that is resumed runs once, and says that it was resumed") {
  TaskBed bed;
  const Task first = bed.submit(kHourNs, 1);
  const Task second = bed.submit(kHourNs, 2);
  CHECK(bed.engine.counters.suspended.load() == 2);
  CHECK(bed.engine.resume(second, now_ns()) == Status::kOk);
  CHECK(bed.engine.resume(second, now_ns()) == Status::kNotSuspended);
  CHECK(bed.engine.counters.suspended.load() == 2);  // due still counts
  const Task running = bed.run_next();
  CHECK(running.bits() == second.bits());
  CHECK(bed.engine.slots().word(running.index).has(Word::kResumed));
  CHECK(bed.engine.slots().at(running.index).route.load() == 2);
  CHECK(bed.engine.resume(second, now_ns()) == Status::kNotSuspended);
  CHECK(bed.tasks.cancel(second) == Status::kNotSuspended);
  bed.tasks.finish(second);
  CHECK(bed.engine.resume(second, now_ns()) == Status::kStaleHandle);
  CHECK(bed.tasks.cancel(second) == Status::kStaleHandle);

  // Resumed and cancelled before anybody took it: its entry in the queue means nothing any more.
  CHECK(bed.engine.resume(first, now_ns()) == Status::kOk);
  CHECK(bed.tasks.cancel(first) == Status::kOk);
  CHECK(bed.engine.resume(first, now_ns()) == Status::kStaleHandle);
  const Task stale = bed.take();
  CHECK(stale.bits() == first.bits());
  CHECK(bed.engine.begin_run(stale, bed.worker(), now_ns()) == Status::kStaleHandle);
  CHECK(bed.engine.counters.withdrawn.load() == 2);
  bed.check_all_zero();
}

TEST_CASE("the mark of a resumed suspension does not outlive it") {
  Bed bed;
  const Task call = bed.running_call();
  SlotTable& slots = bed.engine.slots();
  for (const bool resumed : {true, false, true}) {
    const uint64_t due_ns = now_ns() + (resumed ? kHourNs : kNsPerMs);
    REQUIRE(bed.engine.suspend_until(call, due_ns, 1, 0, Bed::kGroup, Bed::kReceiver) == Status::kOk);
    CHECK_FALSE(slots.word(call.index).has(Word::kResumed));
    if (resumed) {
      REQUIRE(bed.engine.resume(call, now_ns()) == Status::kOk);
    } else {
      bed.start();
    }
    Task back{kNone, 0};
    REQUIRE(eventually([&] { return bed.engine.group(Bed::kGroup).take(&back, 1) == 1; }));
    REQUIRE(bed.engine.begin_run(back, bed.worker(), now_ns()) == Status::kOk);
    CHECK(slots.word(call.index).has(Word::kResumed) == resumed);
  }
  bed.end_call(call);
  bed.check_all_zero();
}

TEST_CASE("a task whose run is just ending cannot be cancelled, and is given back once") {
  TaskBed bed;
  bed.submit();
  const Task task = bed.run_next();
  // The first half of finish().
  Word before(0);
  REQUIRE(bed.engine.slots().end_run(task.index, task.generation, before) == Status::kOk);
  CHECK(bed.tasks.cancel(task) == Status::kStaleHandle);
  CHECK(bed.tasks.drop_all() == 0);
  CHECK(bed.tasks.counters.dropped.load() == 0);
  CHECK(bed.tasks.open() == 1);
  CHECK(bed.engine.slots().live() == 1);
  CHECK(bed.engine.payloads().blocks_in_use() == 1);
}

TEST_CASE(
    "runs that end together are each given back once, whatever their sizes, and others are left alone") {
  TaskBed bed;
  std::vector<Task> tasks;
  for (const size_t size : {0, 10, 10, 5000, 10, 5000, 5000, 100'000}) {
    const std::string bytes(size, 'x');
    Task submitted{kNone, 0};
    REQUIRE(bed.tasks.submit({.bytes = bytes}, submitted) == Status::kOk);
    tasks.push_back(bed.run_next());
  }
  const Task waiting = [&] {
    Task out{kNone, 0};
    REQUIRE(bed.tasks.submit({.bytes = "waits"}, out) == Status::kOk);
    return out;
  }();
  // Ended before, ended in the list before, never run, never was.
  bed.tasks.finish(tasks[2]);
  std::vector<Task> ended = tasks;
  ended.insert(ended.end(), {tasks[0], waiting, Task{kNone, 0}, Task{tasks[0].index, 77}});
  bed.tasks.finish_many(ended.data(), static_cast<uint32_t>(ended.size()));
  CHECK(bed.tasks.counters.done.load() == 8);
  CHECK(bed.tasks.open() == 1);
  CHECK(bed.engine.slots().live() == 1);
  CHECK(bed.engine.payloads().blocks_in_use() == 1);
  CHECK(bed.engine.slots().check_invariants());
  CHECK(bed.engine.payloads().check_invariants());
  CHECK(bed.run_next().bits() == waiting.bits());
  bed.tasks.finish_many(&waiting, 1);
  bed.tasks.finish_many(nullptr, 0);
  // What was given back is handed out again, the one that came last first, as with any stack.
  for (uint32_t i = 0; i < 8; ++i) {
    bed.submit();
    bed.tasks.finish(bed.run_next());
  }
  CHECK(bed.engine.slots().high_water() == 9);
  bed.check_all_zero();
}

TEST_CASE("what should come back to a thread that is none comes back to nobody") {
  TaskBed bed;
  CHECK_FALSE(bed.engine.post(kNone, Task{0, 0}));
  CHECK_FALSE(bed.engine.post(bed.engine.thread_count(), Task{0, 0}));
}

TEST_CASE("a thread that is gone takes down what it was running, and nothing else") {
  TaskBed bed(64, 64, /*workers=*/2);
  for (uint32_t i = 0; i < 6; ++i) bed.submit(i == 5 ? kHourNs : 0);
  std::vector<Task> of_first, of_second;
  for (uint32_t i = 0; i < 4; ++i) {
    Task task = bed.take();
    REQUIRE(bed.engine.begin_run(task, bed.worker(i % 2), now_ns()) == Status::kOk);
    (i % 2 == 0 ? of_first : of_second).push_back(task);
  }
  CHECK(bed.tasks.thread_gone(bed.worker(0)) == 2);
  CHECK(bed.tasks.thread_gone(bed.worker(0)) == 0);
  for (const Task task : of_first) {
    CHECK_FALSE(bed.tasks.is_task(task));
    bed.tasks.finish(task);  // comes too late and does nothing
  }
  CHECK(bed.tasks.open() == 4);
  CHECK(bed.tasks.counters.dropped.load() == 2);
  for (const Task task : of_second) bed.tasks.finish(task);
  CHECK(bed.tasks.counters.done.load() == 2);
  CHECK(bed.tasks.drop_all() == 2);
  bed.check_all_zero();
}

TEST_CASE("tasks come in the order of their times, equal ones in the order of submission, none early") {
  TaskBed bed(4096, 4096);
  bed.engine.start(&bed.handler);
  Random random(2);
  constexpr uint32_t kTasks = 1000;
  std::vector<uint64_t> not_before_ns(kTasks);
  std::vector<Task> tasks;
  for (uint32_t i = 0; i < kTasks; ++i) {
    const uint64_t delay_ms = 1 + random.below(random.one_in(20) ? 400 : 30);
    not_before_ns[i] = now_ns() + delay_ms * kNsPerMs;
    tasks.push_back(bed.submit(delay_ms * kNsPerMs, 0, "x", static_cast<int32_t>(i)));
  }
  std::vector<std::pair<uint64_t, int32_t>> order;
  REQUIRE(eventually([&] {
    Task batch[64];
    const uint32_t count = bed.engine.group(Bed::kGroup).take(batch, 64);
    const uint64_t now = now_ns();
    for (uint32_t i = 0; i < count; ++i) {
      REQUIRE(bed.engine.begin_run(batch[i], bed.worker(), now) == Status::kOk);
      const int32_t number = bed.tasks.data(batch[i]).number;
      CHECK(now >= not_before_ns[static_cast<size_t>(number)]);
      order.emplace_back(bed.engine.slots().at(batch[i].index).due_tick.load(), number);
      bed.tasks.finish(batch[i]);
    }
    return order.size() == kTasks;
  }));
  CHECK(std::is_sorted(order.begin(), order.end()));
  bed.check_all_zero();
}

// As calls do that wait five minutes for an answer, and get it at once.
TEST_CASE("waits that end long before their time never use the engine up, and disturb no other") {
  TaskBed bed(64, 40);
  bed.engine.start(&bed.handler);
  Random random(3);
  uint32_t timed = 0, came = 0, early = 0;
  const auto run_what_is_due = [&] {
    for (Task task = bed.take(); task.index != kNone; task = bed.take()) {
      const uint64_t now = now_ns();
      if (bed.engine.begin_run(task, bed.worker(), now) != Status::kOk) continue;
      uint64_t due_ns = 0;
      std::memcpy(&due_ns, bed.tasks.data(task).bytes(), sizeof due_ns);
      came += due_ns != 0;
      early += due_ns > now;
      bed.tasks.finish(task);
    }
  };
  const auto wait_with = [&](uint64_t delay_ns, uint64_t due_ns) {
    const std::string bytes(reinterpret_cast<const char*>(&due_ns), sizeof due_ns);
    Task out{kNone, 0};
    // The ticker may need a moment to make room.
    REQUIRE(eventually([&] {
      run_what_is_due();
      return bed.tasks.submit({.delay_ns = delay_ns, .bytes = bytes}, out) == Status::kOk;
    }));
    return out;
  };
  for (uint64_t i = 0; i < rounds(30'000); ++i) {
    const Task task = wait_with(kHourNs + random.below(kHourNs), 0);
    if (random.one_in(2)) {
      REQUIRE(bed.tasks.cancel(task) == Status::kOk);
    } else {
      // It needs a timer for the case that the queue is full.
      REQUIRE(eventually([&] { return bed.engine.resume(task, now_ns()) == Status::kOk; }));
    }
    if (random.one_in(20)) {
      ++timed;
      const uint64_t delay_ns = random.below(20'000'000);
      wait_with(delay_ns, now_ns() + delay_ns);
    }
  }
  REQUIRE(eventually([&] {
    run_what_is_due();
    return bed.tasks.open() == 0;
  }));
  CHECK(came == timed);
  CHECK(early == 0);
  bed.check_all_zero();
}

}  // namespace
