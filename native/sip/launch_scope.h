// Routes that a thread launches while it deals with one message, and keeps for itself: a worker that was handed a reply runs the
// routes that this leads to, too.
//
// Ground rules
// - A scope belongs to the thread that made it and is seen by that thread only. Scopes of a thread end in the order opposite
//   to that of their making.
// - What is launched within a scope has the scope's thread, and is begun by it: nobody else is told.
#pragma once

#include <vector>

#include "core/engine.h"

namespace sip_async::sip {

class LaunchScope {
 public:
  LaunchScope(uint32_t thread, std::vector<core::Engine::Launch>& launches)
      : thread_(thread), launches_(launches), before_(current()) {
    current() = this;
  }
  ~LaunchScope() { current() = before_; }
  LaunchScope(const LaunchScope&) = delete;
  LaunchScope& operator=(const LaunchScope&) = delete;

  // Whom a route is launched for.
  static uint32_t thread_or(uint32_t usual) { return current() == nullptr ? usual : current()->thread_; }
  // False: it is to be delivered.
  static bool take(const core::Engine::Launch& launch) {
    if (current() == nullptr || launch.thread != current()->thread_) return false;
    current()->launches_.push_back(launch);
    return true;
  }

 private:
  static LaunchScope*& current() {
    thread_local LaunchScope* scope = nullptr;
    return scope;
  }

  uint32_t thread_;
  std::vector<core::Engine::Launch>& launches_;
  LaunchScope* before_;
};

}  // namespace sip_async::sip
