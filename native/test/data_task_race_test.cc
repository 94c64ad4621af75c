// Data tasks with submitters, workers, and whoever resumes, cancels and drops at once.
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

// Submitters, workers, and one thread that resumes, cancels and now and then drops everything.
class TaskTraffic {
 public:
  TaskTraffic(uint32_t tasks, bool drops)
      : tasks_(tasks), drops_(drops), handles_(tasks), fates_(tasks), bed_(1024, 900, kWorkers) {
    for (uint32_t i = 0; i < kWorkers; ++i) bed_.engine.group(Bed::kGroup).attach(i, &workers_[i]);
  }

  void run() {
    bed_.engine.start(&bed_.handler);
    run_together({[this] { submit(0); }, [this] { submit(1); }, [this] { work(0); }, [this] { work(1); },
                  [this] { meddle(); }});
    uint64_t accepted = 0, ran = 0, cancelled = 0, twice = 0, none = 0, wrong_mark = 0;
    for (Fate& fate : fates_) {
      const uint32_t outcomes = fate.ran + fate.cancelled;
      accepted += fate.accepted;
      ran += fate.ran;
      cancelled += fate.cancelled;
      twice += outcomes > 1 || (outcomes == 1 && !fate.accepted);
      none += fate.accepted && outcomes == 0;
      // Only who was told that it resumes has resumed it, and who was told so has, unless it was ended after that.
      wrong_mark += fate.ran == 1 && fate.ran_resumed != fate.resumed;
    }
    MESSAGE(accepted << " tasks: " << ran << " ran, " << cancelled << " were cancelled, " << dropped_.load()
                     << " dropped");
    CHECK(twice == 0);
    CHECK(none == dropped_.load());
    CHECK(wrong_mark == 0);
    CHECK(wrong_route_.load() == 0);
    CHECK(early_.load() == 0);
    CHECK(deaf_.load() == false);
    CHECK(ran > 0);
    CHECK(bed_.tasks.counters.done.load() == ran);
    CHECK(bed_.tasks.counters.dropped.load() == cancelled + dropped_.load());
    bed_.check_all_zero();
  }

 private:
  static constexpr uint32_t kWorkers = 2;
  struct Fate {
    std::atomic<uint32_t> accepted{0}, ran{0}, cancelled{0}, resumed{0}, ran_resumed{0};
  };
  static uint16_t route_of(uint32_t number) { return static_cast<uint16_t>(number * 7 + 3); }

  void submit(uint32_t parity) {
    Random random(10 + parity);
    for (uint32_t number = parity; number < tasks_; number += 2) {
      const uint64_t delay_ns =
          random.one_in(3) ? 0 : random.below(random.one_in(20) ? 20'000'000 : 2'000'000);
      const uint64_t due_ns = now_ns() + delay_ns;
      std::string bytes(sizeof due_ns, '\0');
      std::memcpy(bytes.data(), &due_ns, sizeof due_ns);
      Task out{kNone, 0};
      Status status = Status::kOk;
      do {
        status = bed_.tasks.submit({.route = route_of(number),
                                    .delay_ns = delay_ns,
                                    .bytes = bytes,
                                    .number = static_cast<int32_t>(number)},
                                   out);
        // No slot; or no room in the queue, where entries of cancelled tasks lie until a worker comes upon them.
        if (status != Status::kOk) std::this_thread::yield();
      } while (status != Status::kOk && !deaf_.load());
      if (status != Status::kOk) break;
      fates_[number].accepted.fetch_add(1);
      handles_[number].store(out.bits(), std::memory_order_release);
      submitted_.fetch_add(1, std::memory_order_release);
    }
  }

  bool done() const {
    return deaf_.load() || (submitted_.load(std::memory_order_acquire) == tasks_ && bed_.tasks.open() == 0);
  }

  void work(uint32_t worker) {
    WorkerGroup& group = bed_.engine.group(Bed::kGroup);
    Random random(20 + worker);
    Task batch[16];
    while (!done()) {
      const uint32_t count = group.take(batch, 16);
      // Some runs end by themselves, the others together.
      Task ended[16];
      uint32_t ended_count = 0;
      for (uint32_t i = 0; i < count; ++i) {
        if (!run_task(batch[i], worker, random)) continue;
        if (random.one_in(4)) {
          bed_.tasks.finish(batch[i]);
        } else {
          ended[ended_count++] = batch[i];
        }
      }
      bed_.tasks.finish_many(ended, ended_count);
      if (count != 0 || !group.go_idle(worker)) continue;
      // The last task may have been ended by somebody who wakes nobody.
      workers_[worker].park_for_ms(5);
      group.leave_idle(worker);
    }
  }

  // False when it has ended meanwhile.
  bool run_task(Task task, uint32_t worker, Random& random) {
    const uint64_t now = now_ns();
    if (bed_.engine.begin_run(task, bed_.worker(worker), now) != Status::kOk) return false;
    const TaskData& data = bed_.tasks.data(task);
    Fate& fate = fates_[static_cast<uint32_t>(data.number)];
    uint64_t due_ns = 0;
    std::memcpy(&due_ns, data.bytes(), sizeof due_ns);
    const bool resumed = bed_.engine.slots().word(task.index).has(Word::kResumed);
    if (bed_.engine.slots().at(task.index).route.load() != route_of(static_cast<uint32_t>(data.number))) {
      wrong_route_.fetch_add(1);
    }
    if (!resumed && due_ns > now) early_.fetch_add(1);
    fate.ran.fetch_add(1);
    fate.ran_resumed.store(resumed);
    if (random.one_in(50)) sleep_us(50);
    return true;
  }

  void meddle() {
    Random random(30);
    const uint64_t end_ns = now_ns() + 3 * kGuardNs;
    while (!done()) {
      if (now_ns() > end_ns) deaf_.store(true);
      // One of the last, most often: those that are just being submitted, waiting, running, ending.
      const uint32_t made = submitted_.load(std::memory_order_acquire);
      const uint32_t back = random.below32(random.one_in(2) ? 8 : 400);
      const uint32_t number = made > back ? std::min(made - back, tasks_ - 1) : random.below32(tasks_);
      const uint64_t bits = handles_[number].load(std::memory_order_acquire);
      // Zero is a handle, too, if nobody's in particular.
      const Task task = Task::of(bits);
      const uint64_t kind = random.below(100);
      if (kind < 50) {
        if (bits != 0 && bed_.engine.resume(task, now_ns()) == Status::kOk) fates_[number].resumed.store(1);
      } else if (kind < 99) {
        if (bits != 0 && bed_.tasks.cancel(task) == Status::kOk) fates_[number].cancelled.fetch_add(1);
      } else if (drops_) {
        dropped_.fetch_add(bed_.tasks.drop_all());
      }
      if (random.one_in(40)) sleep_us(20);
    }
    for (ParkedThread& worker : workers_) worker.wake();
  }

  uint32_t tasks_;
  bool drops_;
  std::vector<std::atomic<uint64_t>> handles_;
  std::vector<Fate> fates_;
  TaskBed bed_;
  ParkedThread workers_[kWorkers];
  std::atomic<uint32_t> submitted_{0};
  std::atomic<uint64_t> dropped_{0}, wrong_route_{0}, early_{0};
  std::atomic<bool> deaf_{false};
};

TEST_CASE("threads: every task has one outcome, however its time, resume and cancel meet") {
  TaskTraffic traffic(static_cast<uint32_t>(rounds(100'000)), false);
  traffic.run();
}

TEST_CASE("threads: every task has one outcome, with everything dropped again and again, too") {
  TaskTraffic traffic(static_cast<uint32_t>(rounds(100'000)), true);
  traffic.run();
}

// Handles that are recent: their tasks are just beginning and ending.
TEST_CASE("threads: a cancel that meets the end of a run never ends a task a second time") {
  TaskBed bed(16, 8);
  std::atomic<uint64_t> at{0};
  std::atomic<bool> over{false};
  std::atomic<uint64_t> cancelled{0};
  uint64_t ran = 0;
  const uint64_t tasks = rounds(300'000);
  run_together({[&] {
                  for (uint64_t i = 0; i < tasks; ++i) {
                    const Task task = bed.submit();
                    at.store(task.bits() + 1);
                    Task taken = bed.take();
                    if (bed.engine.begin_run(taken, bed.worker(), 0) != Status::kOk) continue;
                    ++ran;
                    bed.tasks.finish(taken);
                  }
                  over.store(true);
                },
                [&] {
                  while (!over.load()) {
                    const uint64_t bits = at.load();
                    if (bits != 0 && bed.tasks.cancel(Task::of(bits - 1)) == Status::kOk)
                      cancelled.fetch_add(1);
                  }
                }});
  MESSAGE(ran << " ran, " << cancelled.load() << " were cancelled");
  CHECK(ran + cancelled.load() == tasks);
  bed.check_all_zero();
}

}  // namespace
