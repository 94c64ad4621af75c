// Data tasks and events: data of a script's own that a route gets in some worker, now or after a while, without a message
// behind it. And launches (launch.cc): an operation of a script's own that goes on in a thread, whose report a route gets in
// that same thread, when the operation has ended or its time is over.
//
// Ground rules
// - A task takes a slot of the same table as the calls, up to a number of its own, so that a flood of tasks leaves room
//   for calls and the other way round.
// - Its data belongs to whoever owns the slot: the submitter until the task can be taken, then the thread that runs it,
//   or whoever concludes it while it waits.
// - Any thread calls any function; none waits.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/engine.h"

namespace sip_async::core {

// The data of a task as it lies in its payload block; the bytes follow.
struct TaskData {
  uint32_t size;
  // 1: the bytes are the UTF-8 of a text.
  uint32_t is_text;
  // Two numbers for the layer above: the type of an event, and where its key ends.
  int32_t number;
  uint32_t split;

  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
};

struct TaskRequest {
  SlotKind kind = SlotKind::kTask;
  uint16_t route = 0;
  uint16_t group = 0;
  uint64_t delay_ns = 0;
  std::string_view bytes;
  bool is_text = false;
  int32_t number = 0;
  uint32_t split = 0;
};

struct LaunchRequest {
  uint16_t route = 0;  // the report route, or a number that is none
  uint32_t thread = 0;
  uint64_t most_ns = 0;
  std::string_view text = {};
  bool has_text = false;
};

class DataTasks {
 public:
  static constexpr size_t kMaxBytes = 1u << 20;

  DataTasks(Engine& engine, uint32_t max_tasks);

  // kNoWorkers, kGroupFull, kPayloadTooLarge, kSlotsExhausted (no slot or no memory), kClosed; then nothing has happened.
  Status submit(const TaskRequest& request, Task& out);
  // A launch waits in its thread until it is resumed (Engine::resume: its operation has ended) or its time is over. kClosed,
  // kPayloadTooLarge, kSlotsExhausted; then nothing has happened.
  Status launch(const LaunchRequest& request, Task& out);
  // A launch that waits, or that is on its way to its thread, runs in `thread` now: nobody else reports it.
  Status take_launch(Task task, uint32_t thread);
  // Ends the launches that nobody can report any more; returns how many.
  uint32_t drop_launches();
  bool is_task(Task task) const;
  // The same, and no launch.
  bool is_data(Task task) const { return is_task(task) && !is_launch(task.index); }
  // By the thread that runs it, until it calls finish().
  const TaskData& data(Task task) const;
  // The end of a run.
  void finish(Task task);
  // The ends of several runs, none of a launch: what many threads write to is written to once.
  void finish_many(const Task* tasks, uint32_t count);
  static constexpr uint32_t kMostFinished = 64;
  // Ends a task that waits. kNotSuspended when it runs already. A launch is not ended but reported at once.
  Status cancel(Task task);
  // Ends everything that waits, but launches, which are reported; returns how many.
  uint32_t drop_all();
  // A JavaScript thread ended: what it was running is over. Returns how many. Its launches are reported by the thread that takes
  // its place.
  uint32_t thread_gone(uint32_t thread);
  // From now on no task is taken.
  void stop_intake() { draining_.store(true, std::memory_order_relaxed); }

  // Tasks that wait or run.
  uint32_t open() const { return open_.load(std::memory_order_relaxed); }
  // Launches that wait for their report, or run it.
  uint32_t open_launches() const { return launches_.load(std::memory_order_relaxed); }
  struct Counters {
    // Statistics, relaxed.
    std::atomic<uint64_t> done{0};
    std::atomic<uint64_t> dropped{0};  // cancelled, or ended with the engine or with their thread
  };
  Counters counters;

 private:
  void release(uint32_t index);
  Status cancel_waiting(Task task);
  // Admission: counts one more task. False when there are as many as may be.
  bool admit();
  // A block with these bytes, or kNoPayload.
  PayloadRef store(std::string_view bytes, bool is_text, int32_t number, uint32_t split);
  bool is_launch(uint32_t index) const {
    return slots_.at(index).kind.load(std::memory_order_relaxed) == SlotKind::kLaunch;
  }

  Engine& engine_;
  SlotTable& slots_;
  PayloadPool& payloads_;
  uint32_t max_tasks_;
  // Counted up by submit, down by release; relaxed, it decides only on admission.
  std::atomic<uint32_t> open_{0};
  std::atomic<uint32_t> launches_{0};  // of them, launches; relaxed, a statistic
  std::atomic<bool> draining_{false};  // set once at the end; relaxed, a task more or less does not matter
};

}  // namespace sip_async::core
