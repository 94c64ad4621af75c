// What a route does with its transaction.
#include "node/args.h"
#include "node/environment.h"

namespace sip_async::node {

namespace {

using core::Status;

napi_value reply(napi_env env, napi_callback_info info) {
  const Args<7> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  char reason_buffer[1024];  // TypeScript lets 200 UTF-16 units through
  const std::string_view reason = args.text(4, reason_buffer, sizeof reason_buffer);
  const std::string extra_lines = args.text(5);
  return make_status(env, channel->transactions().reply(task_of(args), static_cast<uint16_t>(args.u32(3)),
                                                        reason, extra_lines, args.boolean(6)));
}

napi_value new_transaction(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(env, channel->transactions().new_transaction(task_of(args)));
}

napi_value suspend(napi_env env, napi_callback_info info) {
  const Args<7> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const auto delay_ms = static_cast<uint64_t>(args.number(5));
  return make_status(env, channel->transactions().suspend_until(
                              task_of(args), delay_ms, args.u32(6), static_cast<uint16_t>(args.u32(3)),
                              static_cast<uint16_t>(args.u32(4)), channel->place().thread));
}

napi_value queue_task(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(env,
                     channel->transactions().suspend_now(task_of(args), static_cast<uint16_t>(args.u32(3)),
                                                         static_cast<uint16_t>(args.u32(4))));
}

napi_value finish(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_bool(env, false);
  return make_bool(env, channel->finish(task_of(args), static_cast<sip::Outcome>(args.u32(3))));
}

}  // namespace

const std::vector<Export> kTransactionExports = {
    {"reply", reply},   {"newTransaction", new_transaction}, {"suspend", suspend}, {"queueTask", queue_task},
    {"finish", finish},
};

}  // namespace sip_async::node
