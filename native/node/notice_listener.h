// How one JavaScript environment hears what was raised (core/notice_board.h).
//
// Ground rules
// - wake() may be called by any thread. It only schedules, and only until close() has returned.
// - Everything else happens on the environment's own thread.
// - The environment's clean-up hook closes the listener. It is registered after what wakes the loop was made, so it runs before
//   Node's own (hooks run newest first), while that is still valid.
#pragma once

#include <node_api.h>

#include <memory>

#include "core/notice_board.h"
#include "node/loop_wake.h"

namespace sip_async::node {

class NoticeListener : public core::NoticeReader, public std::enable_shared_from_this<NoticeListener> {
 public:
  // The one board of the process. Never destroyed: threads may outlive static destructors.
  static core::NoticeBoard& board() {
    static core::NoticeBoard* board = new core::NoticeBoard;
    return *board;
  }

  // False where Node refuses.
  bool open(napi_env env, napi_value on_notice);

 private:
  // Turns, with a lookout between them, before the loop gets its turn: timers are not looked at meanwhile.
  static constexpr uint32_t kTurnsPerWake = 16;

  static void on_wake(napi_env env, napi_value callback, void* context, void* data);
  static void on_woken(void* context);
  static void on_environment_end(void* self);

  void wake() override { loop_wake_.wake(); }
  void close();
  // Tells the script of all there is.
  void deliver(napi_value on_notice);
  // True when there is more already.
  bool look_out_for_more();

  napi_env env_ = nullptr;
  napi_ref on_notice_ = nullptr;
  napi_async_context async_context_ = nullptr;
  // When there was nothing left to tell; and whether the wait before that was short.
  uint64_t empty_since_ns_ = 0;
  bool waited_briefly_ = false;
  // Touched by wake() of other threads, too, which end() keeps apart from close().
  LoopWake loop_wake_;
};

}  // namespace sip_async::node
