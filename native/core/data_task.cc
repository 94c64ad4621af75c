#include "core/data_task.h"

#include <cstring>

namespace sip_async::core {

DataTasks::DataTasks(Engine& engine, uint32_t max_tasks)
    : engine_(engine), slots_(engine.slots()), payloads_(engine.payloads()), max_tasks_(max_tasks) {}

Status DataTasks::submit(const TaskRequest& request, Task& out) {
  if (draining_.load(std::memory_order_relaxed)) return Status::kClosed;
  if (request.bytes.size() > kMaxBytes) return Status::kPayloadTooLarge;
  // Asked here, too, so that a group that refuses is told before memory is taken; Engine::submit decides.
  if (engine_.group(request.group).config().workers == 0) return Status::kNoWorkers;
  if (open_.fetch_add(1, std::memory_order_relaxed) >= max_tasks_) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  const PayloadRef ref = payloads_.try_allocate(sizeof(TaskData) + request.bytes.size());
  if (ref == kNoPayload) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  auto* data = reinterpret_cast<TaskData*>(payloads_.data(ref));
  data->size = static_cast<uint32_t>(request.bytes.size());
  data->is_text = request.is_text ? 1 : 0;
  data->number = request.number;
  data->split = request.split;
  if (!request.bytes.empty()) memcpy(data->bytes(), request.bytes.data(), request.bytes.size());
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
  return kind == SlotKind::kTask || kind == SlotKind::kEvent;
}

const TaskData& DataTasks::data(Task task) const {
  return *reinterpret_cast<const TaskData*>(payloads_.data(slots_.at(task.index).data));
}

void DataTasks::release(uint32_t index) {
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

Status DataTasks::cancel(Task task) {
  if (!is_task(task)) return Status::kStaleHandle;
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
    if (!word.has(Word::kLive) || word.run() == Run::kIdle) continue;
    if (cancel(Task{index, word.generation()}) == Status::kOk) ++dropped;
  }
  return dropped;
}

uint32_t DataTasks::thread_gone(uint32_t thread) {
  uint32_t ended = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    if (!word.has(Word::kLive) || word.run() != Run::kRunning) continue;
    const Task task{index, word.generation()};
    if (!is_task(task) || slots_.at(index).thread.load(std::memory_order_relaxed) != thread) continue;
    Word before(0);
    if (slots_.end_run(index, task.generation, before) != Status::kOk) continue;
    counters.dropped.fetch_add(1, std::memory_order_relaxed);
    release(index);
    ++ended;
  }
  return ended;
}

}  // namespace sip_async::core
