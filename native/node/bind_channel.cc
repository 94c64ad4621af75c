// Channels: connecting an environment to an engine.
#include "node/args.h"
#include "node/environment.h"

namespace sip_async::node {

namespace {

napi_value open(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  auto entry = Hub::instance().find(args.u32(0));
  if (entry == nullptr || entry->engine == nullptr) {
    napi_throw_error(env, "SIPASYNC_ERR_CLOSED", "the engine is closed");
    return nullptr;
  }
  Channel::Place place;
  place.thread = args.u32(1);
  place.group = args.i32(2);
  place.worker = args.u32(3);
  auto channel = std::make_shared<Channel>(std::move(entry), place);
  if (!channel->open(env, args[4], args[5])) {
    napi_throw_error(env, "SIPASYNC_ERR_ADDON", "Node refused a thread-safe function");
    return nullptr;
  }
  return make_u32(env, Environment::of(env).add(std::move(channel)));
}

template <class Action>
napi_value with_channel(napi_env env, napi_callback_info info, Action&& action) {
  const Args<2> args(env, info);
  if (Channel* channel = channel_of(env, args)) action(*channel, args);
  return nullptr;
}

napi_value listen(napi_env env, napi_callback_info info) {
  return with_channel(env, info, [](Channel& channel, const auto&) { channel.listen(); });
}
napi_value run(napi_env env, napi_callback_info info) {
  return with_channel(env, info, [](Channel& channel, const auto& args) { channel.run(args.u32(1)); });
}
napi_value task_bytes(napi_env env, napi_callback_info info) {
  return with_channel(env, info, [](Channel& channel, const auto& args) { channel.lay_tasks_in(args[1]); });
}
napi_value ref(napi_env env, napi_callback_info info) {
  return with_channel(env, info, [](Channel& channel, const auto& args) { channel.ref(args.boolean(1)); });
}
napi_value close(napi_env env, napi_callback_info info) {
  return with_channel(env, info, [env](Channel& channel, const auto& args) {
    channel.close();
    Environment::of(env).remove(args.u32(0));
  });
}

}  // namespace

const std::vector<Export> kChannelExports = {
    {"channelOpen", open}, {"channelListen", listen}, {"channelRun", run},
    {"channelRef", ref},   {"channelClose", close},   {"channelTaskBytes", task_bytes},
};

}  // namespace sip_async::node
