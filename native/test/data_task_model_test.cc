// Data tasks against a model of what they shall answer.
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

// What DataTasks shall answer, written down: which task is in which state, and what stands in the queue.
class Model {
 public:
  explicit Model(uint64_t stream) : random_(stream), timers_left_(bed_.engine.suspension_timers()) {}

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
    if (live_.size() == kMaxTasks || (entry.was_suspended && timers_left_ == 0)) {
      expected = Status::kSlotsExhausted;
    } else if (!entry.was_suspended && queue_.size() == kSlots) {
      expected = Status::kGroupFull;  // of entries whose tasks were cancelled
    }
    REQUIRE(bed_.tasks.submit(request, task) == expected);
    if (expected != Status::kOk) return;
    REQUIRE(live_.find(task.bits()) == live_.end());
    REQUIRE(std::find(known_.begin(), known_.end(), task.bits()) == known_.end());  // no handle comes twice
    if (entry.was_suspended) {
      --timers_left_;  // nothing brings it back: no ticker
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
                 : timers_left_ == 0               ? Status::kSlotsExhausted
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
  uint32_t timers_left_;
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

}  // namespace
