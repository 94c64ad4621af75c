#include "core/data_task.h"

#include <cstring>

namespace sip_async::core {

DataTasks::DataTasks(Engine& engine, uint32_t max_tasks)
    : engine_(engine), slots_(engine.slots()), payloads_(engine.payloads()), max_tasks_(max_tasks) {}

bool DataTasks::admit() {
  if (open_.fetch_add(1, std::memory_order_relaxed) < max_tasks_) return true;
  open_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

PayloadRef DataTasks::store(std::string_view bytes, bool is_text, int32_t number, uint32_t split) {
  const PayloadRef ref = payloads_.try_allocate(sizeof(TaskData) + bytes.size());
  if (ref == kNoPayload) return ref;
  auto* data = reinterpret_cast<TaskData*>(payloads_.data(ref));
  data->size = static_cast<uint32_t>(bytes.size());
  data->is_text = is_text ? 1 : 0;
  data->number = number;
  data->split = split;
  if (!bytes.empty()) memcpy(data->bytes(), bytes.data(), bytes.size());
  return ref;
}

Status DataTasks::submit(const TaskRequest& request, Task& out) {
  if (draining_.load(std::memory_order_relaxed)) return Status::kClosed;
  if (request.bytes.size() > kMaxBytes) return Status::kPayloadTooLarge;
  // Asked here, too, so that a group that refuses is told before memory is taken; Engine::submit decides.
  if (engine_.group(request.group).config().workers == 0) return Status::kNoWorkers;
  if (!admit()) return Status::kSlotsExhausted;
  const PayloadRef ref = store(request.bytes, request.is_text, request.number, request.split);
  if (ref == kNoPayload) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  const auto prepare = [&](Slot& slot) {
    slot.kind.store(request.kind, std::memory_order_relaxed);
    slot.request = kNoPayload;
    slot.reply = kNoPayload;
    slot.variables = kNoPayload;
    slot.data = ref;
    slot.method = 0;
  };
  const Status status =
      engine_.submit(request.route, request.group, now_ns(), request.delay_ns, prepare, out);
  if (status != Status::kOk) {
    payloads_.free(ref);
    open_.fetch_sub(1, std::memory_order_relaxed);
  }
  return status;
}

bool DataTasks::is_task(Task task) const {
  if (!slots_.is_current(task.index, task.generation)) return false;
  const SlotKind kind = slots_.at(task.index).kind.load(std::memory_order_relaxed);
  return kind == SlotKind::kTask || kind == SlotKind::kEvent || kind == SlotKind::kLaunch;
}

const TaskData& DataTasks::data(Task task) const {
  return *reinterpret_cast<const TaskData*>(payloads_.data(slots_.at(task.index).data));
}

void DataTasks::release(uint32_t index) {
  if (is_launch(index)) launches_.fetch_sub(1, std::memory_order_relaxed);
  payloads_.free(slots_.at(index).data);
  slots_.release(index);
  open_.fetch_sub(1, std::memory_order_relaxed);
}

void DataTasks::finish(Task task) {
  Word before(0);
  if (slots_.end_run(task.index, task.generation, before) != Status::kOk) return;
  counters.done.fetch_add(1, std::memory_order_relaxed);
  release(task.index);
}

void DataTasks::finish_many(const Task* tasks, uint32_t count) {
  uint32_t indexes[kMostFinished];
  PayloadRef data[kMostFinished];
  uint32_t ended = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Word before(0);
    if (slots_.end_run(tasks[i].index, tasks[i].generation, before) != Status::kOk) continue;
    indexes[ended] = tasks[i].index;
    data[ended++] = slots_.at(tasks[i].index).data;
  }
  if (ended == 0) return;
  counters.done.fetch_add(ended, std::memory_order_relaxed);
  payloads_.free_many(data, ended);
  slots_.release_many(indexes, ended);
  open_.fetch_sub(ended, std::memory_order_relaxed);
}

Status DataTasks::cancel(Task task) {
  if (!is_task(task)) return Status::kStaleHandle;
  // Its thread ends the operation, and reports that it did.
  if (is_launch(task.index)) return engine_.resume(task, now_ns());
  return cancel_waiting(task);
}

Status DataTasks::cancel_waiting(Task task) {
  if (slots_.word(task.index).run() == Run::kRunning) return Status::kNotSuspended;
  Run was = Run::kIdle;
  const Status status = engine_.conclude(task, 0, was);
  if (status != Status::kOk) return Status::kStaleHandle;
  // It began to run just now: its own end releases it. So does whoever is just ending it: idle is between the end of a run
  // and its release.
  if (was == Run::kRunning) return Status::kNotSuspended;
  if (was == Run::kIdle) return Status::kStaleHandle;
  counters.dropped.fetch_add(1, std::memory_order_relaxed);
  release(task.index);
  return Status::kOk;
}

uint32_t DataTasks::drop_all() {
  uint32_t dropped = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    if (!word.has(Word::kLive) || word.run() == Run::kIdle || is_launch(index)) continue;
    if (cancel(Task{index, word.generation()}) == Status::kOk) ++dropped;
  }
  return dropped;
}

uint32_t DataTasks::thread_gone(uint32_t thread) {
  uint32_t ended = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    if (!word.has(Word::kLive)) continue;
    const Task task{index, word.generation()};
    if (!is_task(task) || slots_.at(index).thread.load(std::memory_order_relaxed) != thread) continue;
    if (word.run() == Run::kSuspended && is_launch(index)) (void)engine_.resume(task, now_ns());
    if (word.run() != Run::kRunning) continue;
    Word before(0);
    if (slots_.end_run(index, task.generation, before) != Status::kOk) continue;
    counters.dropped.fetch_add(1, std::memory_order_relaxed);
    release(index);
    ++ended;
  }
  return ended;
}

}  // namespace sip_async::core
