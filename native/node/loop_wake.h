// Wakes an environment's event loop from any thread: an eventfd that the loop polls. A thread-safe function of Node-API would do
// the same, but it writes to the loop while it holds its lock, so that the loop wakes up only to wait for that lock. It is used
// where the loop cannot be had.
//
// Ground rules
// - wake() may be called by any thread, between start() and stop(). Everything else happens on the environment's own thread.
// - A loop that is waked several times before it comes round is told once.
#pragma once

#include <node_api.h>

#include <memory>

#include "node/loop_poll.h"

namespace sip_async::node {

class LoopWake {
 public:
  // A thread looks out for so long before it sleeps in its loop, if what it last had to do came within the second time. To sleep
  // and to be woken takes longer than most such waits, and the processor's time of both threads.
  static constexpr uint64_t kLookOutNs = 20'000;
  static constexpr uint64_t kBriefNs = 30'000;

  struct Woken {
    // On the loop, with neither a handle scope nor a callback scope.
    LoopPoll::Callback from_poll;
    // What a thread-safe function calls: both scopes are open.
    napi_threadsafe_function_call_js from_function;
  };

  ~LoopWake() { stop(); }

  // Once. `callback` is what from_function is handed, and both are handed `context`. A thread-safe function may call after
  // stop(), until the environment has ended: it holds `keep` so long. False, with an exception pending, where Node refuses.
  bool start(napi_env env, const char* name, napi_value callback, const Woken& woken, void* context,
             std::shared_ptr<void> keep);
  // Without the loop there is no telling what else it has to do: see loop_would_sleep().
  bool has_loop() const { return poll_ != nullptr; }

  void wake();
  // In from_poll, before it looks for what it was woken for.
  void clear();

  // As LoopPoll's, while has_loop().
  bool loop_would_sleep() const { return poll_->loop_would_sleep(); }
  void ref(napi_env env, bool on);
  void stop();

 private:
  int fd_ = -1;
  LoopPoll* poll_ = nullptr;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace sip_async::node
