// Watches a socket on the environment's own event loop through libuv's uv_poll.
//
// node-api-headers has no uv.h, and the functions that are needed have had the same signatures since libuv 1.19, so
// they are looked up in the process by name instead: the addon builds without libuv's header and loads without its
// library. Where they are not found, start() says so, and the receiver is woken by the stand-in thread instead.
#pragma once

#include <node_api.h>

namespace sip_async::node {

class LoopPoll {
 public:
  using Callback = void (*)(void* context);

  // Starts to call `callback(context)` on the loop whenever `fd` is readable. nullptr when libuv is not to be had.
  static LoopPoll* start(napi_env env, int fd, Callback callback, void* context);
  // No call of the callback after this. The object frees itself once the loop has let go of it.
  void stop();
  void ref(bool on);
  // Whether the loop has nothing to do but wait. On the loop; it costs a system call.
  bool loop_would_sleep() const;

 private:
  LoopPoll() = default;
  ~LoopPoll();
  static void on_poll(void* handle, int status, int events);
  static void on_closed(void* handle);
  static void on_environment_end(napi_async_cleanup_hook_handle hook, void* self);

  void* handle_ = nullptr;  // uv_poll_t
  Callback callback_ = nullptr;
  void* context_ = nullptr;
  bool closing_ = false;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace sip_async::node
