// What belongs to one JavaScript environment: its channels and listeners, by number.
#pragma once

#include <node_api.h>

#include <memory>
#include <vector>

#include "node/args.h"
#include "node/channel.h"
#include "node/notice_listener.h"

namespace sip_async::node {

class Environment {
 public:
  static Environment& of(napi_env env) {
    void* data = nullptr;
    napi_get_instance_data(env, &data);
    return *static_cast<Environment*>(data);
  }
  static void install(napi_env env) {
    napi_set_instance_data(
        env, new Environment, [](napi_env, void* self, void*) { delete static_cast<Environment*>(self); },
        nullptr);
  }

  uint32_t add(std::shared_ptr<Channel> channel) {
    channels_.push_back(std::move(channel));
    return static_cast<uint32_t>(channels_.size() - 1);
  }
  // nullptr for a channel that was closed.
  Channel* channel(uint32_t number) { return number < channels_.size() ? channels_[number].get() : nullptr; }
  void remove(uint32_t number) {
    if (number < channels_.size()) channels_[number].reset();
  }

  // Listeners are numbered from 1. They are open for as long as the environment is there.
  uint32_t add(std::shared_ptr<NoticeListener> listener) {
    listeners_.push_back(std::move(listener));
    return static_cast<uint32_t>(listeners_.size());
  }
  // nullptr for 0.
  std::shared_ptr<NoticeListener> listener(uint32_t number) {
    return number - 1 < listeners_.size() ? listeners_[number - 1] : nullptr;
  }

 private:
  std::vector<std::shared_ptr<Channel>> channels_;
  std::vector<std::shared_ptr<NoticeListener>> listeners_;
};

// Argument 0 of most exports: the number of a channel. nullptr for one that was closed.
template <size_t Count>
Channel* channel_of(napi_env env, const Args<Count>& args) {
  return Environment::of(env).channel(args.u32(0));
}
// Arguments 1 and 2 of those that are about a task.
template <size_t Count>
core::Task task_of(const Args<Count>& args) {
  return core::Task{args.u32(1), args.u32(2)};
}

// A function of the export table.
struct Export {
  const char* name;
  napi_callback function;
};

// Each bind_*.cc has its own part of the table.
extern const std::vector<Export> kEngineExports;
extern const std::vector<Export> kChannelExports;
extern const std::vector<Export> kTransactionExports;
extern const std::vector<Export> kMessageExports;
extern const std::vector<Export> kSharedExports;
extern const std::vector<Export> kTaskExports;
extern const std::vector<Export> kRelayExports;
extern const std::vector<Export> kStreamExports;
extern const std::vector<Export> kOperationExports;
extern const std::vector<Export> kNoticeExports;
napi_value make_constants(napi_env env);

}  // namespace sip_async::node
