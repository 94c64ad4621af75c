// Data tasks: against a model, step by step; with the ticker; and with submitters, workers, and whoever resumes, cancels and
// drops at once.
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

#include "test/support/engine_bed.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

constexpr uint64_t kHourNs = 3'600'000 * kNsPerMs;

// An engine with three groups, as Bed has them, and room for large payloads; tasks only, so no receiver.
struct TaskBed {
  explicit TaskBed(uint32_t slots = 512, uint32_t max_tasks = 512, uint32_t workers = 1)
      : engine({.slots = slots,
                .payload_bytes = 256u << 20,
                .receivers = 0,
                .groups = {{.name = "default", .workers = workers},
                           {.name = "tight", .workers = 1, .nonblock = true, .usleep_us = 0, .max_queue = 4},
                           {.name = "empty", .workers = 0}}}),
        tasks(engine, max_tasks) {}

  uint32_t worker(uint32_t number = 0) const { return engine.worker_thread(Bed::kGroup, number); }

  Task submit(uint64_t delay_ns = 0, uint16_t route = 0, std::string_view bytes = "data",
              int32_t number = 0) {
    Task out{kNone, 0};
    const TaskRequest request{.route = route, .delay_ns = delay_ns, .bytes = bytes, .number = number};
    REQUIRE(tasks.submit(request, out) == Status::kOk);
    return out;
  }
  Task take(uint32_t group = Bed::kGroup) {
    Task out{kNone, 0};
    engine.group(group).take(&out, 1);
    return out;
  }
  // Takes the next task of the group and begins to run it.
  Task run_next() {
    const Task out = take();
    REQUIRE(out.index != kNone);
    REQUIRE(engine.begin_run(out, worker(), now_ns()) == Status::kOk);
    return out;
  }

  void check_all_zero() {
    engine.stop();
    CHECK(tasks.open() == 0);
    CHECK(engine.counters.suspended.load() == 0);
    CHECK(engine.counters.scheduled.load() ==
          engine.counters.fired.load() + engine.counters.withdrawn.load());
    CHECK(engine.slots().live() == 0);
    CHECK(engine.payloads().blocks_in_use() == 0);
    CHECK(engine.check_invariants());
  }

  RecordingHandler handler;
  Engine engine;
  DataTasks tasks;
};

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

// What DataTasks shall answer, written down: which task is in which state, and what stands in the queue.
class Model {
 public:
  explicit Model(uint64_t stream) : random_(stream), nodes_left_(bed_.engine.suspension_nodes()) {}

  void step() {
    const uint64_t kind = random_.below(100);
    if (kind < 40) {
      submit();
    } else if (kind < 55) {
      resume();
    } else if (kind < 70) {
      cancel();
    } else if (kind < 84) {
      take();
    } else if (kind < 98) {
      finish();
    } else if (kind < 99) {
      drop_all();
    } else {
      thread_gone();
    }
    CHECK(bed_.tasks.open() == live_.size());
    CHECK(bed_.tasks.counters.done.load() == done_);
    CHECK(bed_.tasks.counters.dropped.load() == dropped_);
    CHECK(bed_.engine.payloads().blocks_in_use() == live_.size());
    CHECK(bed_.engine.group(Bed::kGroup).queued() == queue_.size());
    CHECK(bed_.engine.counters.suspended.load() == suspended_);
  }

  void end() {
    for (auto& [bits, task] : live_) {
      if (task.state == State::kRunning) bed_.tasks.finish(Task::of(bits));
    }
    bed_.tasks.drop_all();
    bed_.check_all_zero();
  }

 private:
  enum class State { kSuspended, kQueued, kRunning };
  struct Entry {
    State state;
    std::string bytes;
    uint16_t route;
    uint32_t thread;
    bool was_suspended;
    bool resumed;
  };

  bool is_counted(const Entry& task) const { return task.was_suspended && task.state != State::kRunning; }
  // A handle that is alive, was alive, or never was.
  Task any_handle() {
    if (random_.one_in(10) || known_.empty()) return {random_.below32(600), random_.below32(4)};
    if (random_.one_in(200)) return {kNone, random_.below32(4)};
    return Task::of(known_[random_.below(known_.size())]);
  }
  Entry* find(Task task) {
    const auto at = live_.find(task.bits());
    return at == live_.end() ? nullptr : &at->second;
  }
  void forget(Task task) {
    if (is_counted(live_.at(task.bits()))) --suspended_;
    live_.erase(task.bits());
  }

  void submit() {
    Entry entry{};
    entry.bytes.assign(random_.one_in(50) ? random_.below(70'000) : random_.below(600), 'a');
    for (char& byte : entry.bytes) byte = static_cast<char>(random_.bits());
    entry.route = static_cast<uint16_t>(random_.bits());
    entry.was_suspended = random_.one_in(2);
    entry.state = entry.was_suspended ? State::kSuspended : State::kQueued;
    const uint64_t delay_ns = entry.was_suspended ? kHourNs + random_.below(kHourNs) : 0;
    Task task{kNone, 0};
    const TaskRequest request{.route = entry.route, .delay_ns = delay_ns, .bytes = entry.bytes};
    Status expected = Status::kOk;
    if (live_.size() == kMaxTasks || (entry.was_suspended && nodes_left_ == 0)) {
      expected = Status::kSlotsExhausted;
    } else if (!entry.was_suspended && queue_.size() == kSlots) {
      expected = Status::kGroupFull;  // of entries whose tasks were cancelled
    }
    REQUIRE(bed_.tasks.submit(request, task) == expected);
    if (expected != Status::kOk) return;
    REQUIRE(live_.find(task.bits()) == live_.end());
    REQUIRE(std::find(known_.begin(), known_.end(), task.bits()) == known_.end());  // no handle comes twice
    if (entry.was_suspended) {
      --nodes_left_;  // nothing brings it back: no ticker
      ++suspended_;
    } else {
      queue_.push_back(task.bits());
    }
    known_.push_back(task.bits());
    live_.emplace(task.bits(), std::move(entry));
  }

  void resume() {
    if (queue_.size() == kSlots) return;  // it would wait for room with the ticker, which is not there
    const Task task = any_handle();
    Entry* entry = find(task);
    Status expected = Status::kStaleHandle;
    if (entry != nullptr) {
      expected = entry->state != State::kSuspended ? Status::kNotSuspended
                 : nodes_left_ == 0                ? Status::kSlotsExhausted
                                                   : Status::kOk;
    }
    REQUIRE(bed_.engine.resume(task, now_ns()) == expected);
    if (expected != Status::kOk) return;
    entry->state = State::kQueued;
    entry->resumed = true;
    queue_.push_back(task.bits());
  }

  void cancel() {
    const Task task = any_handle();
    const Entry* entry = find(task);
    const Status expected = entry == nullptr                  ? Status::kStaleHandle
                            : entry->state == State::kRunning ? Status::kNotSuspended
                                                              : Status::kOk;
    REQUIRE(bed_.tasks.cancel(task) == expected);
    if (expected != Status::kOk) return;
    ++dropped_;
    forget(task);
  }

  void take() {
    const Task task = bed_.take();
    if (queue_.empty()) {
      REQUIRE(task.index == kNone);
      return;
    }
    REQUIRE(task.bits() == queue_.front());
    queue_.pop_front();
    Entry* entry = find(task);
    const uint32_t thread = random_.below32(bed_.engine.thread_count());
    const bool runs = entry != nullptr && entry->state == State::kQueued;
    REQUIRE((bed_.engine.begin_run(task, thread, now_ns()) == Status::kOk) == runs);
    if (!runs) return;
    if (is_counted(*entry)) --suspended_;
    entry->state = State::kRunning;
    entry->thread = thread;
    const TaskData& data = bed_.tasks.data(task);
    REQUIRE(std::string_view(data.bytes(), data.size) == entry->bytes);
    REQUIRE(bed_.engine.slots().at(task.index).route.load() == entry->route);
    REQUIRE(bed_.engine.slots().word(task.index).has(Word::kResumed) == entry->resumed);
  }

  void finish() {
    const Task task = any_handle();
    const Entry* entry = find(task);
    bed_.tasks.finish(task);
    if (entry == nullptr || entry->state != State::kRunning) return;
    ++done_;
    forget(task);
  }

  void drop_all() {
    uint32_t expected = 0;
    for (auto at = live_.begin(); at != live_.end();) {
      if (at->second.state == State::kRunning) {
        ++at;
        continue;
      }
      ++expected;
      if (is_counted(at->second)) --suspended_;
      at = live_.erase(at);
    }
    REQUIRE(bed_.tasks.drop_all() == expected);
    dropped_ += expected;
  }

  void thread_gone() {
    const uint32_t thread = random_.below32(bed_.engine.thread_count());
    uint32_t expected = 0;
    for (auto at = live_.begin(); at != live_.end();) {
      const bool ends = at->second.state == State::kRunning && at->second.thread == thread;
      expected += ends;
      at = ends ? live_.erase(at) : std::next(at);
    }
    REQUIRE(bed_.tasks.thread_gone(thread) == expected);
    dropped_ += expected;
  }

  static constexpr uint32_t kSlots = 64;
  static constexpr uint32_t kMaxTasks = 40;
  TaskBed bed_{kSlots, kMaxTasks, /*workers=*/2};
  Random random_;
  std::map<uint64_t, Entry> live_;
  std::vector<uint64_t> known_;
  std::deque<uint64_t> queue_;
  uint32_t nodes_left_;
  uint64_t done_ = 0, dropped_ = 0;
  int64_t suspended_ = 0;
};

TEST_CASE("random: every function, on handles in every state, as the model says") {
  for (uint64_t lap = 0; lap < rounds(200); ++lap) {
    CAPTURE(lap);
    Model model(1000 + lap);
    for (uint32_t i = 0; i < 500; ++i) model.step();
    model.end();
  }
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
      // It needs a node for the case that the queue is full.
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
      for (uint32_t i = 0; i < count; ++i) run_task(batch[i], worker, random);
      if (count != 0 || !group.go_idle(worker)) continue;
      // The last task may have been ended by somebody who wakes nobody.
      workers_[worker].park_for_ms(5);
      group.leave_idle(worker);
    }
  }

  void run_task(Task task, uint32_t worker, Random& random) {
    const uint64_t now = now_ns();
    if (bed_.engine.begin_run(task, bed_.worker(worker), now) != Status::kOk) return;
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
    bed_.tasks.finish(task);
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
