// The stand-in: a thread that reads a receiver's socket while that receiver's event loop is stuck in somebody's script,
// so that retransmissions, CANCEL and 100 never wait for a route that blocks.
//
// Ground rules
// - It never asks the loop anything; it watches the loop's round counter. A datagram wakes it once (EPOLLONESHOT), it
//   gives the loop a grace of some milliseconds, and looks again: if the socket is empty it goes back to sleep, if the
//   loop has not come round it reads. While the loop comes round it naps from grace to grace without asking the kernel
//   for datagrams. So it costs one short wake-up for each grace under load, nothing while no datagram comes, and a loop
//   that gets stuck is noticed after one to two graces.
// - Where the loop cannot poll the socket itself (no libuv symbols in the process), the receiver asks to be woken
//   instead: then a datagram wakes the loop through `waker` and the loop calls rearm() when it has read.
// - It also watches what threads have gathered to send (SendBatch). The first message of a batch wakes it unless it is awake
//   anyway, as it is under load; it looks at all batches after each grace and sends what has waited longer.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/worker_group.h"

namespace sip_async::sip {

class SipEngine;

class StandIn : public core::Wakeable {
 public:
  static constexpr int kGraceMs = 10;
  // While it stands in, it looks this often whether the loop is back.
  static constexpr int kRecheckMs = 2;
  // A message that waits this long in a batch is behind a route that blocks.
  static constexpr uint64_t kBatchGraceNs = core::kNsPerMs;

  explicit StandIn(SipEngine& engine);
  ~StandIn() override { stop(); }

  void start();
  void stop();

  // The socket's loop cannot poll and wants to be woken through `waker` for each datagram.
  void wake_for(uint32_t socket, core::Wakeable* waker);
  // By that loop when it has emptied the socket.
  void rearm(uint32_t socket);

  // By any thread: something waits in a batch.
  void wake() override;

 private:
  enum class Watch : uint8_t { kArmed, kGrace, kNap, kStanding };
  struct Watched {
    Watch state = Watch::kArmed;
    uint64_t seen_rounds = 0;
    uint64_t look_at_ns = 0;
    // Written by wake_for (the receiver's thread), read by the stand-in; release and acquire.
    std::atomic<core::Wakeable*> waker{nullptr};
  };

  void run();
  void on_readable(uint32_t socket, uint64_t now);
  void look(uint32_t socket, uint64_t now);
  void look_again_after_grace(Watched& watched, Watch state, uint64_t rounds, uint64_t now);
  int next_timeout_ms(uint64_t now) const;
  void look_at_batches(uint64_t now);
  uint64_t batches_begun() const;
  bool any_batch_waits() const;

  SipEngine& engine_;
  std::vector<Watched> watched_;
  // Whether batches are looked at after each grace. Set by wake() of any thread, cleared by the stand-in when none was used
  // for a grace. Sequentially consistent: either a batch that gets its first message finds it set, or the look at the
  // batches that follows the clearing finds the message.
  std::atomic<bool> watches_batches_{false};
  uint64_t look_at_batches_ns_ = 0;
  uint64_t batches_moved_ns_ = 0;
  uint64_t seen_begun_ = 0;
  int epoll_ = -1;
  int stop_event_ = -1;
  int batch_event_ = -1;
  std::thread thread_;
};

}  // namespace sip_async::sip
