// Launches: operations of a script's own that no call waits for.
#include "core/data_task.h"

namespace sip_async::core {

Status DataTasks::launch(const LaunchRequest& request, Task& out) {
  if (draining_.load(std::memory_order_relaxed)) return Status::kClosed;
  if (request.text.size() > kMaxBytes) return Status::kPayloadTooLarge;
  if (!admit()) return Status::kSlotsExhausted;
  // The text lies with the slot and not with the thread, so that whoever takes a dead thread's place has it.
  const PayloadRef ref = store(request.text, request.has_text, 0, 0);
  if (ref == kNoPayload) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Status::kSlotsExhausted;
  }
  // Counted before it can be seen, as `open_`.
  launches_.fetch_add(1, std::memory_order_relaxed);
  const auto prepare = [&](Slot& slot) {
    slot.kind.store(SlotKind::kLaunch, std::memory_order_relaxed);
    slot.request = kNoPayload;
    slot.reply = kNoPayload;
    slot.variables = kNoPayload;
    slot.data = ref;
    slot.method = 0;
    slot.route_type = 0;
  };
  const Status status =
      engine_.submit_own(request.route, request.thread, now_ns(), request.most_ns, prepare, out);
  if (status != Status::kOk) {
    payloads_.free(ref);
    launches_.fetch_sub(1, std::memory_order_relaxed);
    open_.fetch_sub(1, std::memory_order_relaxed);
  }
  return status;
}

Status DataTasks::take_launch(Task task, uint32_t thread) {
  if (!is_task(task) || !is_launch(task.index)) return Status::kStaleHandle;
  const Word word = slots_.word(task.index);
  if (word.run() == Run::kSuspended && engine_.take_back(task, word.suspension(), thread) == Status::kOk) {
    return Status::kOk;
  }
  // Its time came, or its operation ended, just now: what stands in the inbox will find it running.
  return engine_.begin_run(task, thread, now_ns());
}

uint32_t DataTasks::drop_launches() {
  uint32_t dropped = 0;
  for (uint32_t index = 0, bound = slots_.high_water(); index < bound; ++index) {
    const Word word = slots_.word(index);
    if (!word.has(Word::kLive) || !is_launch(index)) continue;
    if (cancel_waiting(Task{index, word.generation()}) == Status::kOk) ++dropped;
  }
  return dropped;
}

}  // namespace sip_async::core
