// Data tasks on an engine of their own: three groups as Bed has them, and room for large payloads; no receiver.
#pragma once

#include <doctest/doctest.h>

#include <string_view>

#include "core/data_task.h"
#include "test/support/engine_bed.h"

namespace sip_async::test {

using core::DataTasks;
using core::Engine;
using core::kNone;
using core::Status;
using core::Task;
using core::TaskRequest;

inline constexpr uint64_t kHourNs = 3'600'000 * core::kNsPerMs;

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
    REQUIRE(engine.begin_run(out, worker(), core::now_ns()) == Status::kOk);
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

}  // namespace sip_async::test
