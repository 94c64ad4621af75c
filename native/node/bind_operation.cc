// Operations of a script's own: what waits for one, and what became of it.
#include "node/args.h"
#include "node/bytes.h"
#include "node/environment.h"

namespace sip_async::node {

namespace {

using core::Status;
using core::Task;

napi_value suspend(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const uint32_t thread = channel->place().thread;
  const Status status = channel->transactions().suspend_for_operation(
      task_of(args), static_cast<uint64_t>(args.number(4)), static_cast<uint16_t>(args.u32(3)), thread);
  if (status == Status::kOk) channel->engine().operations().begin(thread);
  return make_status(env, status);
}

napi_value launch(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Bytes text(env, args[3], core::DataTasks::kMaxBytes);
  if (text.is_too_long) return make_status(env, Status::kPayloadTooLarge);
  core::LaunchRequest request;
  request.route = static_cast<uint16_t>(args.u32(1));
  request.thread = channel->place().thread;
  request.most_ns = static_cast<uint64_t>(args.number(2)) * core::kNsPerMs;
  request.text = text.view;
  request.has_text = text.is_there;
  Task task{};
  const Status status = channel->engine().tasks().launch(request, task);
  if (status == Status::kOk) {
    channel->engine().operations().begin(request.thread);
    put_pair(env, args[4], task.index, task.generation);
  }
  return make_status(env, status);
}

napi_value take(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Task task{args.u32(1), args.u32(2)};
  return make_status(env, channel->engine().tasks().take_launch(task, channel->place().thread));
}

napi_value text_of(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  const Task task{args.u32(1), args.u32(2)};
  if (channel == nullptr || !channel->engine().tasks().is_task(task)) return make_null(env);
  const core::TaskData& data = channel->engine().tasks().data(task);
  return data.is_text == 0 ? make_null(env) : make_text(env, {data.bytes(), data.size});
}

napi_value count(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return nullptr;
  channel->engine().operations().end(channel->place().thread, static_cast<core::OperationEnd>(args.u32(1)),
                                     args.boolean(2));
  return nullptr;
}

}  // namespace

const std::vector<Export> kOperationExports = {
    {"operationSuspend", suspend}, {"launchStart", launch}, {"launchTake", take},
    {"launchText", text_of},       {"operationEnd", count},
};

}  // namespace sip_async::node
