#include "node/loop_poll.h"

#include <dlfcn.h>
#include <poll.h>

#include <cstdlib>

struct uv_loop_s;

namespace sip_async::node {

namespace {

constexpr int kUvPoll = 8;      // UV_POLL in uv_handle_type
constexpr int kUvReadable = 1;  // UV_READABLE

struct Libuv {
  size_t (*handle_size)(int type) = nullptr;
  void* (*handle_get_data)(const void* handle) = nullptr;
  void (*handle_set_data)(void* handle, void* data) = nullptr;
  int (*poll_init)(uv_loop_s* loop, void* handle, int fd) = nullptr;
  int (*poll_start)(void* handle, int events, void (*callback)(void*, int, int)) = nullptr;
  int (*poll_stop)(void* handle) = nullptr;
  void (*close)(void* handle, void (*callback)(void*)) = nullptr;
  void (*ref)(void* handle) = nullptr;
  void (*unref)(void* handle) = nullptr;
  uv_loop_s* (*get_loop)(const void* handle) = nullptr;
  int (*backend_fd)(const uv_loop_s* loop) = nullptr;
  int (*backend_timeout)(const uv_loop_s* loop) = nullptr;
  bool found = false;

  Libuv() {
    // For tests of the path without libuv.
    if (std::getenv("SIP_ASYNC_NO_UV") != nullptr) return;
    found = look("uv_handle_size", handle_size) && look("uv_handle_get_data", handle_get_data) &&
            look("uv_handle_set_data", handle_set_data) && look("uv_poll_init", poll_init) &&
            look("uv_poll_start", poll_start) && look("uv_poll_stop", poll_stop) && look("uv_close", close) &&
            look("uv_ref", ref) && look("uv_unref", unref) && look("uv_handle_get_loop", get_loop) &&
            look("uv_backend_fd", backend_fd) && look("uv_backend_timeout", backend_timeout);
  }
  template <class Function>
  static bool look(const char* name, Function& out) {
    out = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    return out != nullptr;
  }
};

const Libuv& libuv() {
  static const Libuv* functions = new Libuv;
  return *functions;
}

}  // namespace

LoopPoll::~LoopPoll() {
  std::free(handle_);
}

LoopPoll* LoopPoll::start(napi_env env, int fd, Callback callback, void* context) {
  const Libuv& uv = libuv();
  uv_loop_s* loop = nullptr;
  if (!uv.found || napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  auto* self = new LoopPoll;
  self->handle_ = std::calloc(1, uv.handle_size(kUvPoll));
  self->callback_ = callback;
  self->context_ = context;
  if (uv.poll_init(loop, self->handle_, fd) != 0) {
    delete self;
    return nullptr;
  }
  uv.handle_set_data(self->handle_, self);
  // Asynchronous: the environment waits for on_closed before it takes its loop down.
  napi_add_async_cleanup_hook(env, on_environment_end, self, &self->hook_);
  uv.poll_start(self->handle_, kUvReadable, on_poll);
  return self;
}

void LoopPoll::on_poll(void* handle, int status, int) {
  auto* self = static_cast<LoopPoll*>(libuv().handle_get_data(handle));
  if (status >= 0 && !self->closing_) self->callback_(self->context_);
}

void LoopPoll::stop() {
  if (closing_) return;
  closing_ = true;
  libuv().poll_stop(handle_);
  libuv().close(handle_, on_closed);
}

void LoopPoll::ref(bool on) {
  on ? libuv().ref(handle_) : libuv().unref(handle_);
}

bool LoopPoll::loop_would_sleep() const {
  const uv_loop_s* loop = libuv().get_loop(handle_);
  if (libuv().backend_timeout(loop) == 0) return false;
  pollfd events{libuv().backend_fd(loop), POLLIN, 0};
  return poll(&events, 1, 0) == 0;
}

void LoopPoll::on_closed(void* handle) {
  auto* self = static_cast<LoopPoll*>(libuv().handle_get_data(handle));
  napi_remove_async_cleanup_hook(self->hook_);
  delete self;
}

void LoopPoll::on_environment_end(napi_async_cleanup_hook_handle, void* self) {
  static_cast<LoopPoll*>(self)->stop();
}

}  // namespace sip_async::node
