#include "core/worker_group.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

struct Bed {
  explicit Bed(const GroupConfig& config, uint32_t capacity = 64)
      : region(TaskQueue::region_bytes(capacity)), group(region, config, capacity) {}
  Region region;
  WorkerGroup group;
};

// As Engine::suspend_now does it.
Status offer(WorkerGroup& group, Task task) {
  if (const Status refusal = group.admit(); refusal != Status::kOk) return refusal;
  return group.push(task) ? Status::kOk : Status::kGroupFull;
}

GroupConfig with_workers(uint32_t workers) {
  return {.name = "test", .workers = workers};
}

TEST_CASE("a task is an index and a generation, both whole") {
  for (const Task task :
       {Task{0, 0}, Task{0xffff'ffff, 0}, Task{0, 0xffff'ffff}, Task{0x1234'5678, 0x9abc'def0}}) {
    CHECK(Task::of(task.bits()).index == task.index);
    CHECK(Task::of(task.bits()).generation == task.generation);
  }
}

TEST_CASE("a group without workers takes nothing") {
  Bed bed(with_workers(0));
  CHECK(offer(bed.group, {1, 1}) == Status::kNoWorkers);
  CHECK(bed.group.queued() == 0);
  CHECK(bed.group.counters.refused.load() == 0);
  Task tasks[4];
  CHECK(bed.group.take(tasks, 4) == 0);
  bed.group.wake_one();
}

TEST_CASE("a nonblock group refuses when max_queue tasks wait, and nothing has changed") {
  Bed bed({.name = "test", .workers = 1, .nonblock = true, .usleep_us = 0, .max_queue = 3});
  for (uint32_t i = 0; i < 3; ++i) CHECK(offer(bed.group, {i, 0}) == Status::kOk);
  CHECK(offer(bed.group, {3, 0}) == Status::kGroupFull);
  CHECK(bed.group.queued() == 3);
  CHECK(bed.group.counters.refused.load() == 1);
  // What was accepted long ago comes in all the same.
  CHECK(bed.group.push({4, 0}));
  CHECK(bed.group.queued() == 4);
  CHECK(bed.group.counters.high_water.load() == 4);
  Task tasks[8];
  REQUIRE(bed.group.take(tasks, 8) == 4);
  const uint32_t expected[] = {0, 1, 2, 4};
  for (uint32_t i = 0; i < 4; ++i) CHECK(tasks[i].index == expected[i]);
  CHECK(offer(bed.group, {5, 0}) == Status::kOk);
  CHECK(bed.group.check_invariants());
}

TEST_CASE("any other group is bounded by its capacity only") {
  Bed bed({.name = "test", .workers = 1, .nonblock = false, .usleep_us = 0, .max_queue = 3}, 16);
  for (uint32_t i = 0; i < 16; ++i) CHECK(offer(bed.group, {i, 0}) == Status::kOk);
  CHECK(offer(bed.group, {16, 0}) == Status::kGroupFull);
  CHECK_FALSE(bed.group.push({16, 0}));
  CHECK(bed.group.queued() == 16);
}

TEST_CASE("one wake-up wakes one idle worker, the lowest number first") {
  // More than 64, so that the second word of the idle bits is used.
  constexpr uint32_t kWorkers = 70;
  Bed bed(with_workers(kWorkers));
  std::vector<CountingWakeable> workers(kWorkers);
  for (uint32_t i = 0; i < kWorkers; ++i) bed.group.attach(i, &workers[i]);
  bed.group.wake_one();  // nobody is idle, so nobody is woken
  for (const auto& worker : workers) CHECK(worker.wakes() == 0);

  for (const uint32_t worker : {3u, 64u, 69u, 2u}) CHECK(bed.group.go_idle(worker));
  CHECK(bed.group.idle() == 4);
  const uint32_t order[] = {2, 3, 64, 69};
  for (uint32_t i = 0; i < 4; ++i) {
    bed.group.wake_one();
    CHECK(bed.group.idle() == 3 - i);
    uint32_t sum = 0;
    for (const auto& worker : workers) sum += worker.wakes();
    CHECK(sum == i + 1);
    CHECK(workers[order[i]].wakes() == 1);
  }
  bed.group.wake_one();
  for (const uint32_t worker : order) CHECK(workers[worker].wakes() == 1);
}

TEST_CASE("a worker does not fall asleep over a task, and one that left is not woken") {
  Bed bed(with_workers(2));
  CountingWakeable workers[2];
  for (uint32_t i = 0; i < 2; ++i) bed.group.attach(i, &workers[i]);
  CHECK(offer(bed.group, {1, 0}) == Status::kOk);
  CHECK_FALSE(bed.group.go_idle(0));
  CHECK(bed.group.idle() == 0);
  Task task;
  CHECK(bed.group.take(&task, 1) == 1);
  CHECK(bed.group.go_idle(0));
  CHECK(bed.group.go_idle(1));
  bed.group.leave_idle(0);
  bed.group.wake_one();
  CHECK(workers[0].wakes() == 0);
  CHECK(workers[1].wakes() == 1);
}

TEST_CASE("a worker that looks out sees what comes and what calls it away, and sleeps only behind a look") {
  Bed bed(with_workers(2));
  std::atomic<bool> woken{false};
  CountingWakeable other;
  bed.group.attach(1, &other);
  CHECK_FALSE(bed.group.look_out(1, woken));
  woken.store(true);
  CHECK_FALSE(bed.group.look_out(1000 * kGuardNs, woken));
  // Nobody looks out any more, so a push wakes who sleeps.
  CHECK(bed.group.go_idle(1));
  REQUIRE(offer(bed.group, {1, 0}) == Status::kOk);
  bed.group.wake_one();
  CHECK(other.wakes() == 1);
  woken.store(false);
  CHECK(bed.group.look_out(1000 * kGuardNs, woken));
}

TEST_CASE("a worker takes its share of what waits, never nothing, never more than asked for") {
  for (const uint32_t workers : {1u, 2u, 3u, 8u}) {
    for (uint32_t waiting = 1; waiting <= 40; ++waiting) {
      for (const uint32_t most : {1u, 4u, 64u}) {
        Bed bed(with_workers(workers));
        for (uint32_t i = 0; i < waiting; ++i) REQUIRE(offer(bed.group, {i, 7}) == Status::kOk);
        Task tasks[64];
        const uint32_t share = waiting / workers + (waiting % workers != 0 ? 1 : 0);
        const uint32_t count = bed.group.take(tasks, most);
        REQUIRE(count == std::min(share, most));
        for (uint32_t i = 0; i < count; ++i) REQUIRE((tasks[i].index == i && tasks[i].generation == 7));
      }
    }
  }
}

TEST_CASE("a take of more than an internal batch leaves the rest in order") {
  Bed bed(with_workers(1), 1024);
  for (uint32_t i = 0; i < 600; ++i) REQUIRE(offer(bed.group, {i, 0}) == Status::kOk);
  std::vector<Task> tasks(600);
  uint32_t next = 0;
  for (uint32_t count; (count = bed.group.take(tasks.data(), 600)) != 0;) {
    for (uint32_t i = 0; i < count; ++i) REQUIRE(tasks[i].index == next++);
  }
  CHECK(next == 600);
}

TEST_CASE("a worker that leaves tasks behind wakes the next") {
  Bed bed(with_workers(3));
  CountingWakeable workers[3];
  for (uint32_t i = 0; i < 3; ++i) {
    bed.group.attach(i, &workers[i]);
    REQUIRE(bed.group.go_idle(i));
  }
  for (uint32_t i = 0; i < 3; ++i) REQUIRE(offer(bed.group, {i, 0}) == Status::kOk);
  bed.group.wake_one();
  CHECK(workers[0].wakes() == 1);
  Task tasks[8];
  CHECK(bed.group.take(tasks, 8) == 1);  // worker 0
  CHECK(workers[1].wakes() == 1);
  CHECK(bed.group.take(tasks, 8) == 1);  // worker 1
  CHECK(workers[2].wakes() == 1);
  CHECK(bed.group.take(tasks, 8) == 1);  // worker 2 takes the last and wakes nobody
  CHECK(workers[0].wakes() + workers[1].wakes() + workers[2].wakes() == 3);
}

TEST_CASE("an idle number without a thread behind it is passed over") {
  Bed bed(with_workers(2));
  CountingWakeable second;
  bed.group.attach(1, &second);
  REQUIRE(bed.group.go_idle(0));
  REQUIRE(bed.group.go_idle(1));
  bed.group.wake_one();
  CHECK(second.wakes() == 1);
}

TEST_CASE("who leaves for good hands its wake-up on") {
  Bed bed(with_workers(2));
  CountingWakeable workers[2];
  for (uint32_t i = 0; i < 2; ++i) {
    bed.group.attach(i, &workers[i]);
    REQUIRE(bed.group.go_idle(i));
  }
  REQUIRE(offer(bed.group, {1, 0}) == Status::kOk);
  bed.group.wake_one();
  REQUIRE(workers[0].wakes() == 1);
  REQUIRE(workers[1].wakes() == 0);
  bed.group.detach(0, &workers[0]);  // died before it took the task
  CHECK(workers[1].wakes() == 1);
  bed.group.wake_one();
  CHECK(workers[0].wakes() == 1);
}

TEST_CASE("a late detach does not take the place from a successor") {
  Bed bed(with_workers(1));
  CountingWakeable dead, successor;
  bed.group.attach(0, &dead);
  bed.group.attach(0, &successor);
  bed.group.detach(0, &dead);
  REQUIRE(bed.group.go_idle(0));
  REQUIRE(offer(bed.group, {1, 0}) == Status::kOk);
  bed.group.wake_one();
  CHECK(dead.wakes() == 0);
  CHECK(successor.wakes() == 1);
}

TEST_CASE("a late detach does not make a sleeping successor deaf") {
  Bed bed(with_workers(1));
  CountingWakeable dead, successor;
  bed.group.attach(0, &dead);
  bed.group.attach(0, &successor);
  REQUIRE(bed.group.go_idle(0));  // the successor found nothing and sleeps
  bed.group.detach(0, &dead);
  REQUIRE(offer(bed.group, {1, 0}) == Status::kOk);
  bed.group.wake_one();
  CHECK(dead.wakes() == 0);
  CHECK(successor.wakes() == 1);
}

// What a worker thread does: takes as long as there is something, then sleeps. False when it was left asleep.
bool work(WorkerGroup& group, uint32_t worker, ParkedThread& self, const std::atomic<bool>& end,
          const std::function<void(Task)>& run, uint64_t look_out_ns = 0) {
  Task tasks[16];
  while (!end.load()) {
    const uint32_t count = group.take(tasks, 16);
    for (uint32_t i = 0; i < count; ++i) run(tasks[i]);
    if (count != 0 || (look_out_ns != 0 && group.look_out(look_out_ns, end)) || !group.go_idle(worker))
      continue;
    const bool woken = end.load() || self.park();
    group.leave_idle(worker);
    if (!woken) return false;
  }
  return true;
}

// Pushers send bursts and wait in between until all of a burst is done, so that the workers fall asleep again
// and again.
void stress(uint32_t pushers, uint32_t workers, uint32_t burst, uint64_t bursts, uint64_t look_out_ns = 0) {
  CAPTURE(look_out_ns);
  CAPTURE(pushers);
  CAPTURE(workers);
  CAPTURE(burst);
  Bed bed(with_workers(workers), 32);
  WorkerGroup& group = bed.group;
  std::vector<ParkedThread> parked(workers);
  for (uint32_t i = 0; i < workers; ++i) group.attach(i, &parked[i]);
  std::vector<std::atomic<uint64_t>> done(pushers);
  std::atomic<bool> end{false}, lost{false};
  std::atomic<uint32_t> pushers_left{pushers};
  std::atomic<uint64_t> disordered{0};

  std::vector<std::function<void()>> bodies;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    bodies.push_back([&, worker] {
      std::vector<int64_t> last(pushers, -1);
      const bool good = work(
          group, worker, parked[worker], end,
          [&](Task task) {
            if (last[task.index] >= static_cast<int64_t>(task.generation)) disordered.fetch_add(1);
            last[task.index] = task.generation;
            done[task.index].fetch_add(1);
          },
          look_out_ns);
      if (!good) lost.store(true);
    });
  }
  for (uint32_t pusher = 0; pusher < pushers; ++pusher) {
    bodies.push_back([&, pusher] {
      Random random(10 + pusher);
      uint32_t sent = 0;
      for (uint64_t i = 0; i < bursts && !lost.load(); ++i) {
        for (uint32_t count = random.below32(burst) + 1; count > 0; --count) {
          while (offer(group, {pusher, sent}) != Status::kOk) std::this_thread::yield();
          group.wake_one();
          ++sent;
        }
        const uint64_t end_ns = now_ns() + kGuardNs;
        while (done[pusher].load() != sent && !lost.load()) {
          if (now_ns() > end_ns) lost.store(true);
          std::this_thread::yield();
        }
      }
      if (pushers_left.fetch_sub(1) == 1) {
        end.store(true);
        for (ParkedThread& thread : parked) thread.wake();
      }
    });
  }
  run_together(bodies);
  CHECK_FALSE(lost);
  CHECK(disordered == 0);
  CHECK(group.queued() == 0);
  CHECK(group.check_invariants());
}

TEST_CASE("threads: no task is left with every worker asleep") {
  stress(1, 1, 1, rounds(10'000));
  stress(1, 2, 4, rounds(10'000));
  stress(2, 2, 3, rounds(10'000));
  stress(2, 2, 40, rounds(2'000));
}

TEST_CASE("threads: nor with one that has looked out for it in vain") {
  for (const uint64_t look_out_ns : {1, 2'000, 20'000}) {
    stress(1, 1, 1, rounds(5'000), look_out_ns);
    stress(1, 2, 4, rounds(5'000), look_out_ns);
    stress(2, 2, 3, rounds(5'000), look_out_ns);
  }
}

TEST_CASE("threads: a worker that dies and is replaced loses nothing") {
  Bed bed(with_workers(1), 32);
  WorkerGroup& group = bed.group;
  const uint64_t tasks = rounds(10'000);
  std::atomic<uint64_t> done{0};
  std::atomic<bool> end{false}, lost{false};
  run_together({[&] {
                  Random random(20);
                  // Each life takes a few batches, and each begins with a look at what its predecessor
                  // left behind. The wakeables outlive the group, as the engine asks for.
                  std::vector<std::unique_ptr<ParkedThread>> lives;
                  while (!end.load()) {
                    lives.push_back(std::make_unique<ParkedThread>());
                    ParkedThread& self = *lives.back();
                    group.attach(0, &self);
                    std::atomic<bool> dead{false};
                    uint64_t left = random.below(100) + 1;
                    const bool good = work(group, 0, self, dead, [&](Task) {
                      done.fetch_add(1);
                      if (--left == 0 || end.load()) dead.store(true);
                      if (left == 0) left = 1000;  // the batch that it has taken is still its own
                    });
                    if (!good && !end.load()) lost.store(true);
                    group.detach(0, &self);
                    if (lost.load()) return;
                  }
                },
                [&] {
                  for (uint64_t i = 1; i <= tasks && !lost.load(); ++i) {
                    while (offer(group, {0, 0}) != Status::kOk) std::this_thread::yield();
                    group.wake_one();
                    const bool wait = i % 7 == 0 || i == tasks;
                    const uint64_t end_ns = now_ns() + kGuardNs;
                    while (wait && done.load() < i - (i == tasks ? 1 : 0) && !lost.load()) {
                      if (now_ns() > end_ns) lost.store(true);
                      std::this_thread::yield();
                    }
                  }
                  // The last task ends the worker.
                  end.store(true);
                  while (offer(group, {0, 0}) != Status::kOk) std::this_thread::yield();
                  group.wake_one();
                }});
  CHECK_FALSE(lost);
  CHECK(done + group.queued() == tasks + 1);
  CHECK(group.check_invariants());
}

}  // namespace
