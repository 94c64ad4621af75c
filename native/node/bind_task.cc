// Data tasks, events, and what may be done with something that waits.
#include "node/args.h"
#include "node/bytes.h"
#include "node/environment.h"

namespace sip_async::node {

namespace {

using core::Run;
using core::Status;
using core::Task;

napi_value submit(napi_env env, napi_callback_info info) {
  const Args<9> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Bytes bytes(env, args[4], core::DataTasks::kMaxBytes);
  if (bytes.is_too_long) return make_status(env, Status::kPayloadTooLarge);
  core::TaskRequest request;
  request.kind = static_cast<core::SlotKind>(args.u32(1));
  request.route = static_cast<uint16_t>(args.u32(2));
  request.group = static_cast<uint16_t>(args.u32(3));
  request.bytes = bytes.view;
  request.is_text = bytes.is_text;
  request.number = args.i32(5);
  request.split = args.u32(6);
  request.delay_ns = static_cast<uint64_t>(args.number(7)) * core::kNsPerMs;
  Task task{};
  const Status status = channel->engine().tasks().submit(request, task);
  if (status == Status::kOk) put_pair(env, args[8], task.index, task.generation);
  return make_status(env, status);
}

napi_value task_data(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  const Task task{args.u32(1), args.u32(2)};
  if (channel == nullptr || !channel->engine().tasks().is_task(task)) return make_null(env);
  const core::TaskData& data = channel->engine().tasks().data(task);
  if (data.is_text != 0) return make_text(env, {data.bytes(), data.size});
  napi_value out;
  napi_create_buffer_copy(env, data.size, data.bytes(), nullptr, &out);
  return out;
}

// The two numbers that came with it, into the caller's array.
napi_value task_numbers(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  const Task task{args.u32(1), args.u32(2)};
  if (channel == nullptr || !channel->engine().tasks().is_task(task)) return nullptr;
  const core::TaskData& data = channel->engine().tasks().data(task);
  put_pair(env, args[3], static_cast<uint32_t>(data.number), data.split);
  return nullptr;
}

napi_value cancel(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Task task{args.u32(1), args.u32(2)};
  if (channel->engine().tasks().is_task(task))
    return make_status(env, channel->engine().tasks().cancel(task));
  core::SlotTable& slots = channel->engine().engine().slots();
  if (!slots.is_current(task.index, task.generation)) return make_status(env, Status::kStaleHandle);
  const Run run = slots.word(task.index).run();
  if (run != Run::kSuspended && run != Run::kDue) return make_status(env, Status::kNotSuspended);
  return make_status(env, channel->transactions().conclude(task, static_cast<uint16_t>(args.u32(3)),
                                                           args.text(4), core::Word::kCancelled));
}

napi_value resume(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(env, channel->engine().engine().resume(task_of(args), core::now_ns()));
}

napi_value save_variables(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Bytes bytes(env, args[3]);
  return make_status(env, channel->transactions().save_variables(task_of(args), bytes.view));
}

napi_value load_variables(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_null(env);
  const std::string_view bytes = channel->transactions().variables(task_of(args));
  if (bytes.empty()) return make_null(env);
  napi_value out;
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &out);
  return out;
}

napi_value sworker_task(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Bytes xdata(env, args[4], sip::kMaxVariablesBytes);
  if (xdata.is_too_long) return make_status(env, Status::kPayloadTooLarge);
  return make_status(
      env, channel->transactions().hand_over(task_of(args), static_cast<uint16_t>(args.u32(3)), xdata.view));
}

napi_value sworker_xdata(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Channel* channel = channel_of(env, args);
  const std::string_view text = channel == nullptr ? std::string_view() : channel->xdata(args.u32(1));
  return text.empty() ? make_null(env) : make_text(env, text);
}

}  // namespace

const std::vector<Export> kTaskExports = {
    {"taskSubmit", submit},
    {"taskData", task_data},
    {"taskNumbers", task_numbers},
    {"waitingCancel", cancel},
    {"waitingResume", resume},
    {"variablesSave", save_variables},
    {"variablesLoad", load_variables},
    {"sworkerTask", sworker_task},
    {"sworkerXdata", sworker_xdata},
};

}  // namespace sip_async::node
