// Wakes an environment's event loop from any thread: an eventfd that the loop polls. A thread-safe function of Node-API would do
// the same, but it writes to the loop while it holds its lock, so that the loop wakes up only to wait for that lock.
#pragma once

#include <node_api.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "node/loop_poll.h"

namespace sip_async::node {

class LoopWake {
 public:
  // A thread looks out for so long before it sleeps in its loop, if what it last had to do came within the second time. To sleep
  // and to be woken takes longer than most such waits, and the processor's time of both threads.
  static constexpr uint64_t kLookOutNs = 20'000;
  static constexpr uint64_t kBriefNs = 30'000;

  ~LoopWake() { stop(); }

  // False where the loop cannot be had.
  bool start(napi_env env, LoopPoll::Callback callback, void* context) {
    fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd_ >= 0) poll_ = LoopPoll::start(env, fd_, callback, context);
    if (poll_ == nullptr) stop();
    return poll_ != nullptr;
  }
  bool is_started() const { return poll_ != nullptr; }

  // By any thread, between start() and stop().
  void wake() {
    const uint64_t one = 1;
    // It can only fail when the counter is full, and then the loop is woken all the same.
    [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
  }
  // On the loop, before it looks for what it was woken for.
  void clear() {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = read(fd_, &count, sizeof count);
  }

  // As LoopPoll's.
  bool loop_would_sleep() const { return poll_->loop_would_sleep(); }
  void ref(bool on) { poll_->ref(on); }
  void stop() {
    if (poll_ != nullptr) poll_->stop();
    poll_ = nullptr;
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
  LoopPoll* poll_ = nullptr;
};

}  // namespace sip_async::node
