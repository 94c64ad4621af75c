#include "node/loop_wake.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace sip_async::node {

bool LoopWake::start(napi_env env, const char* name, napi_value callback, const Woken& woken, void* context,
                     std::shared_ptr<void> keep) {
  fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ >= 0) poll_ = LoopPoll::start(env, fd_, woken.from_poll, context);
  if (poll_ != nullptr) return true;
  stop();
  napi_value resource_name;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource_name);
  auto held = std::make_unique<std::shared_ptr<void>>(std::move(keep));
  const auto let_go = [](napi_env, void* kept, void*) { delete static_cast<std::shared_ptr<void>*>(kept); };
  if (napi_create_threadsafe_function(env, callback, nullptr, resource_name, 0, 1, held.get(), let_go,
                                      context, woken.from_function, &function_) != napi_ok) {
    return false;
  }
  static_cast<void>(held.release());  // let_go deletes it
  return true;
}

void LoopWake::wake() {
  if (function_ != nullptr) {
    napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
    return;
  }
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the loop is woken all the same.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

void LoopWake::clear() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(fd_, &count, sizeof count);
}

void LoopWake::ref(napi_env env, bool on) {
  if (poll_ != nullptr) {
    poll_->ref(on);
  } else if (function_ != nullptr) {
    (on ? napi_ref_threadsafe_function : napi_unref_threadsafe_function)(env, function_);
  }
}

void LoopWake::stop() {
  if (poll_ != nullptr) poll_->stop();
  poll_ = nullptr;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (function_ != nullptr) napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

}  // namespace sip_async::node
