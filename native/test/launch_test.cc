// Launches: tasks that wait in their own thread for an operation of a script's, and are reported once.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "core/data_task.h"
#include "core/operations.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/task_bed.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint16_t kReport = 4;

Task launch(TaskBed& bed, uint64_t most_ns = kHourNs, std::string_view text = "text", uint32_t worker = 0) {
  Task out{kNone, 0};
  const LaunchRequest request{
      .route = kReport, .thread = bed.worker(worker), .most_ns = most_ns, .text = text, .has_text = true};
  REQUIRE(bed.tasks.launch(request, out) == Status::kOk);
  return out;
}
// What stands in the inbox of the launching thread.
Task take(TaskBed& bed, uint32_t worker = 0) {
  Task out{kNone, 0};
  REQUIRE(eventually([&] { return bed.engine.take_inbox(bed.worker(worker), &out, 1) == 1; }));
  return out;
}
bool is_resumed(TaskBed& bed, Task task) {
  return bed.engine.slots().word(task.index).has(Word::kResumed);
}

TEST_CASE("a launch waits in its thread, and comes back to it when its operation has ended") {
  TaskBed bed;
  bed.engine.start(&bed.handler);
  const Task task = launch(bed, kHourNs, "a text");
  CHECK(bed.tasks.open() == 1);
  CHECK(bed.tasks.open_launches() == 1);
  CHECK(bed.engine.slots().word(task.index).run() == Run::kSuspended);
  CHECK(bed.engine.resume(task, now_ns()) == Status::kOk);
  CHECK(bed.engine.resume(task, now_ns()) == Status::kNotSuspended);
  const Task taken = take(bed);
  CHECK(taken.bits() == task.bits());
  REQUIRE(bed.engine.begin_run(taken, bed.worker(), now_ns()) == Status::kOk);
  CHECK(is_resumed(bed, taken));
  CHECK(bed.engine.slots().at(taken.index).route.load() == kReport);
  CHECK(std::string_view(bed.tasks.data(taken).bytes(), bed.tasks.data(taken).size) == "a text");
  bed.tasks.finish(taken);
  CHECK(bed.tasks.counters.done.load() == 1);
  CHECK(bed.tasks.open_launches() == 0);
  bed.check_all_zero();
}

TEST_CASE("a launch comes back at its deadline, and is not taken for one that has ended") {
  TaskBed bed;
  bed.engine.start(&bed.handler);
  const uint64_t begun = now_ns();
  const Task task = launch(bed, 5 * kNsPerMs);
  const Task taken = take(bed);
  CHECK(taken.bits() == task.bits());
  CHECK(now_ns() >= begun + 5 * kNsPerMs);
  REQUIRE(bed.engine.begin_run(taken, bed.worker(), now_ns()) == Status::kOk);
  CHECK_FALSE(is_resumed(bed, taken));
  CHECK(bed.engine.resume(task, now_ns()) == Status::kNotSuspended);
  bed.tasks.finish(taken);
  CHECK(bed.engine.resume(task, now_ns()) == Status::kStaleHandle);
  bed.check_all_zero();
}

TEST_CASE("a launch is cancelled by being reported, not by being dropped") {
  TaskBed bed;
  bed.engine.start(&bed.handler);
  const Task task = launch(bed);
  CHECK(bed.tasks.drop_all() == 0);
  CHECK(bed.tasks.cancel(task) == Status::kOk);
  CHECK(bed.tasks.cancel(task) == Status::kNotSuspended);
  CHECK(bed.tasks.open() == 1);
  const Task taken = take(bed);
  REQUIRE(bed.engine.begin_run(taken, bed.worker(), now_ns()) == Status::kOk);
  CHECK(bed.tasks.cancel(task) == Status::kNotSuspended);
  bed.tasks.finish(taken);
  CHECK(bed.tasks.cancel(task) == Status::kStaleHandle);
  bed.check_all_zero();
}

TEST_CASE("launches are refused like tasks, and leave nothing") {
  TaskBed bed(512, 3);
  bed.engine.start(&bed.handler);
  for (int i = 0; i < 3; ++i) launch(bed);
  Task out{kNone, 0};
  const LaunchRequest request{.route = kReport, .thread = bed.worker(), .most_ns = kHourNs};
  CHECK(bed.tasks.launch(request, out) == Status::kSlotsExhausted);
  const std::string huge(DataTasks::kMaxBytes + 1, 'x');
  CHECK(bed.tasks.launch({.thread = bed.worker(), .most_ns = 1, .text = huge, .has_text = true}, out) ==
        Status::kPayloadTooLarge);
  bed.tasks.stop_intake();
  CHECK(bed.tasks.launch(request, out) == Status::kClosed);
  CHECK(bed.tasks.open() == 3);
  CHECK(bed.tasks.drop_launches() == 3);
  bed.check_all_zero();
}

TEST_CASE("a launch without a slot although tasks may still be taken") {
  TaskBed bed(4, 100);
  bed.engine.start(&bed.handler);
  for (int i = 0; i < 4; ++i) launch(bed);
  Task out{kNone, 0};
  CHECK(bed.tasks.launch({.route = kReport, .thread = bed.worker(), .most_ns = kHourNs}, out) ==
        Status::kSlotsExhausted);
  CHECK(bed.tasks.open_launches() == 4);
  CHECK(bed.tasks.drop_launches() == 4);
  bed.check_all_zero();
}

TEST_CASE("a launch is taken by whoever reports it instead, waiting or on its way") {
  TaskBed bed;
  bed.engine.start(&bed.handler);
  const Task waiting = launch(bed);
  const Task due = launch(bed);
  REQUIRE(bed.engine.resume(due, now_ns()) == Status::kOk);
  for (const Task task : {waiting, due}) {
    CHECK(bed.tasks.take_launch(task, bed.worker()) == Status::kOk);
    CHECK(bed.tasks.take_launch(task, bed.worker()) == Status::kNotSuspended);
    bed.tasks.finish(task);
    CHECK(bed.tasks.take_launch(task, bed.worker()) == Status::kStaleHandle);
  }
  // What stood in the inbox is nothing any more.
  CHECK(bed.engine.begin_run(take(bed), bed.worker(), now_ns()) == Status::kStaleHandle);
  const Task task = bed.submit(kHourNs);
  CHECK(bed.tasks.take_launch(task, bed.worker()) == Status::kStaleHandle);
  CHECK(bed.tasks.cancel(task) == Status::kOk);
  bed.check_all_zero();
}

TEST_CASE(
    "the launches of a thread that died are there for the next in its place; what it was reporting has "
    "ended") {
  TaskBed bed(512, 512, 2);
  bed.engine.start(&bed.handler);
  const Task waiting = launch(bed);
  const Task running = launch(bed);
  const Task elsewhere = launch(bed, kHourNs, "text", 1);
  REQUIRE(bed.engine.resume(running, now_ns()) == Status::kOk);
  REQUIRE(bed.engine.begin_run(take(bed), bed.worker(), now_ns()) == Status::kOk);
  CHECK(bed.tasks.thread_gone(bed.worker()) == 1);
  const Task taken = take(bed);
  CHECK(taken.bits() == waiting.bits());
  REQUIRE(bed.engine.begin_run(taken, bed.worker(), now_ns()) == Status::kOk);
  bed.tasks.finish(taken);
  CHECK(bed.tasks.open_launches() == 1);
  CHECK(bed.tasks.take_launch(elsewhere, bed.worker(1)) == Status::kOk);
  bed.tasks.finish(elsewhere);
  bed.check_all_zero();
}

TEST_CASE("operations are counted by thread, and those of a thread that died are not pending any more") {
  OperationCounters counters(3);
  for (int i = 0; i < 5; ++i) counters.begin(0);
  for (int i = 0; i < 3; ++i) counters.begin(2);
  CHECK(counters.pending() == 8);
  counters.end(0, OperationEnd::kDone, true);
  counters.end(0, OperationEnd::kLate, false);
  counters.end(2, OperationEnd::kTimedOut, true);
  counters.end(2, static_cast<OperationEnd>(99), true);
  CHECK(counters.pending() == 6);
  counters.thread_gone(0);
  counters.thread_gone(0);
  counters.thread_gone(99);
  CHECK(counters.pending() == 2);
  const auto ended = [&](OperationEnd how) { return counters.ended(static_cast<uint32_t>(how)); };
  CHECK(ended(OperationEnd::kDone) == 1);
  CHECK(ended(OperationEnd::kTimedOut) == 1);
  CHECK(ended(OperationEnd::kLate) == 1);
  CHECK(ended(OperationEnd::kCancelled) == 4);
}

// One thread launches and reports, as a script's does; one ends operations, one cancels, and the ticker has deadlines.
class LaunchTraffic {
 public:
  explicit LaunchTraffic(uint32_t launches) : launches_(launches), handles_(launches), fates_(launches) {
    bed_.engine.attach(bed_.worker(), &script_);
  }

  void run() {
    bed_.engine.start(&bed_.handler);
    run_together({[this] { run_script(); }, [this] { meddle(0); }, [this] { meddle(1); }});
    uint64_t once = 0, wrong_mark = 0, told_twice = 0;
    for (const Fate& fate : fates_) {
      once += fate.reported == 1;
      told_twice += fate.ended > 1;
      wrong_mark += fate.resumed != (fate.ended == 1);
    }
    MESSAGE(launches_ << " launches, " << early_ << " early, " << ended_.load()
                      << " ended before their time");
    CHECK(once == launches_);
    CHECK(told_twice == 0);
    CHECK(wrong_mark == 0);
    CHECK(early_ == 0);
    CHECK(bed_.tasks.counters.done.load() == launches_);
    CHECK(bed_.tasks.open_launches() == 0);
    bed_.check_all_zero();
  }

 private:
  struct Fate {
    std::atomic<uint32_t> ended{0};  // somebody was told that he ended the wait
    uint32_t reported = 0;
    bool resumed = false;
    uint64_t due_ns = 0;
  };

  void run_script() {
    Random random(40);
    uint32_t made = 0;
    uint32_t reported = 0;
    while (reported < launches_) {
      while (made < launches_ && bed_.tasks.open() < 400 && !random.one_in(8)) {
        const uint64_t most_ns = kNsPerMs * (1 + random.below(4));
        fates_[made].due_ns = now_ns() + most_ns;
        Task out{kNone, 0};
        const std::string text = std::to_string(made);
        const LaunchRequest request{
            .route = kReport, .thread = bed_.worker(), .most_ns = most_ns, .text = text, .has_text = true};
        if (bed_.tasks.launch(request, out) != Status::kOk) break;
        handles_[made].store(out.bits() + 1, std::memory_order_release);
        made_.store(++made, std::memory_order_release);
      }
      Task batch[64];
      const uint32_t count = bed_.engine.take_inbox(bed_.worker(), batch, 64);
      for (uint32_t i = 0; i < count; ++i) {
        const uint64_t now = now_ns();
        if (bed_.engine.begin_run(batch[i], bed_.worker(), now) != Status::kOk) continue;
        const TaskData& data = bed_.tasks.data(batch[i]);
        Fate& fate = fates_[std::stoul(std::string(data.bytes(), data.size))];
        ++fate.reported;
        fate.resumed = is_resumed(bed_, batch[i]);
        if (!fate.resumed && now < fate.due_ns) ++early_;
        bed_.tasks.finish(batch[i]);
        ++reported;
      }
      if (count == 0 && made == launches_) script_.park_for_ms(1);
    }
    over_.store(true);
  }

  void meddle(uint32_t which) {
    Random random(50 + which);
    while (!over_.load()) {
      const uint32_t made = made_.load(std::memory_order_acquire);
      if (made == 0) continue;
      const uint32_t back = random.below32(random.one_in(2) ? 16 : 400);
      const uint32_t number = made > back + 1 ? made - back - 1 : random.below32(made);
      const Task task = Task::of(handles_[number].load(std::memory_order_acquire) - 1);
      const Status status = which == 0 ? bed_.engine.resume(task, now_ns()) : bed_.tasks.cancel(task);
      if (status == Status::kOk) {
        fates_[number].ended.fetch_add(1);
        ended_.fetch_add(1);
      }
      if (random.one_in(4)) sleep_us(20);
    }
  }

  uint32_t launches_;
  std::vector<std::atomic<uint64_t>> handles_;
  std::vector<Fate> fates_;
  TaskBed bed_{1024, 900};
  ParkedThread script_;
  std::atomic<uint32_t> made_{0};
  std::atomic<uint64_t> ended_{0};
  std::atomic<bool> over_{false};
  uint64_t early_ = 0;
};

TEST_CASE("threads: a launch is reported once, however result, cancel and deadline meet") {
  LaunchTraffic traffic(static_cast<uint32_t>(rounds(50'000)));
  traffic.run();
}

}  // namespace
