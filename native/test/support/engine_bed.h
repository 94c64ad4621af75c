// An engine with one receiver, three groups and a handler that remembers, and the steps of a call in short.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "core/engine.h"

namespace sip_async::test {

class RecordingHandler : public core::Engine::Handler {
 public:
  struct Timer {
    uint32_t index;
    uint64_t tick;
  };
  void on_slot_timer(uint32_t index, uint64_t now_tick) override {
    const std::lock_guard lock(mutex_);
    timers_.push_back({index, now_tick});
  }
  std::vector<Timer> timers() const {
    const std::lock_guard lock(mutex_);
    return timers_;
  }
  size_t count() const { return timers().size(); }

 private:
  mutable std::mutex mutex_;
  std::vector<Timer> timers_;
};

struct Bed {
  static constexpr uint16_t kGroup = 0;       // one worker, bounded by the slots only
  static constexpr uint16_t kTightGroup = 1;  // refuses when one task waits
  static constexpr uint16_t kEmptyGroup = 2;  // no workers
  static constexpr uint32_t kReceiver = 0;

  explicit Bed(uint32_t slots = 64)
      : engine({.slots = slots,
                .payload_bytes = 65'536,
                .receivers = 1,
                .groups = {{.name = "default", .workers = 1},
                           {.name = "tight", .workers = 1, .nonblock = true, .usleep_us = 0, .max_queue = 1},
                           {.name = "empty", .workers = 0}}}) {}

  void start() { engine.start(&handler); }
  uint32_t worker() const { return engine.worker_thread(kGroup, 0); }

  // A call whose route runs in the receiver.
  core::Task running_call() {
    const uint32_t index = engine.slots().try_acquire();
    REQUIRE(index != core::kNone);
    const core::Task task{index, engine.slots().word(index).generation()};
    REQUIRE(engine.begin_run(task, kReceiver, core::now_ns()) == core::Status::kOk);
    return task;
  }

  // Answers a running call, unless that has been done, and gives its slot back.
  void end_call(core::Task task) {
    engine.slots().answer(task.index, task.generation);
    core::Word before(0);
    REQUIRE(engine.slots().end_run(task.index, task.generation, before) == core::Status::kOk);
    engine.slots().release(task.index);
  }

  // Suspends and withdraws calls until no timer is left. Returns how many there were.
  uint32_t use_up_timers() {
    uint32_t used = 0;
    for (;; ++used) {
      const core::Task task = running_call();
      const uint64_t late_ns = core::now_ns() + 3'600'000 * core::kNsPerMs;
      const core::Status status = engine.suspend_until(task, late_ns, 1, 0, kGroup, kReceiver);
      if (status != core::Status::kOk) {
        REQUIRE(status == core::Status::kSlotsExhausted);
        end_call(task);
        return used;
      }
      core::Run was = core::Run::kIdle;
      REQUIRE(engine.conclude(task, 0, was) == core::Status::kOk);
      engine.slots().release(task.index);
    }
  }

  // Stops the ticker and sees to it that nothing is left of any call.
  void check_all_zero() {
    engine.stop();
    CHECK(engine.counters.suspended.load() == 0);
    CHECK(engine.counters.scheduled.load() ==
          engine.counters.fired.load() + engine.counters.withdrawn.load());
    CHECK(engine.slots().live() == 0);
    CHECK(engine.payloads().blocks_in_use() == 0);
    CHECK(engine.check_invariants());
  }

  RecordingHandler handler;
  core::Engine engine;
};

}  // namespace sip_async::test
