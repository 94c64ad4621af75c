// What a thread sends by UDP while it runs a batch of routes: kept together, and given to the kernel in one system call.
//
// Ground rules
// - Only the batch's own thread adds, and only inside a SendScope of its own; everybody else sends at once. Its owner
//   flushes it at the end of the scope, when it is full, and before it adds to what has waited for kMostWaitNs.
// - A route that blocks must not keep back the replies of the routes before it: a batch that gets its first message wakes
//   its watcher, the stand-in thread, which flushes what has waited too long.
// - Nothing is lost when the process ends by exit(): what waits then is flushed.
// - Messages to one destination leave in the order in which they were sent. Those of one size that follow each other leave
//   as the segments of one message to the kernel (UDP_SEGMENT), which goes through its stack once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "sip/address.h"

namespace sip_async::sip {

class Transports;

class SendBatch {
 public:
  static constexpr uint32_t kMessages = 64;
  static constexpr size_t kBytes = 64 * 1024;
  // Longer ones may be larger than what a link takes, and the kernel cuts only whole datagrams.
  static constexpr size_t kMostSegmentBytes = 1400;
  static constexpr uint64_t kMostWaitNs = 200'000;

  explicit SendBatch(Transports& transports);
  ~SendBatch();
  SendBatch(const SendBatch&) = delete;
  SendBatch& operator=(const SendBatch&) = delete;

  // By the owner. False: too large for any batch, to be sent alone.
  bool add(uint16_t socket, const char* data, size_t size, const Address& to, uint64_t now);
  // By any thread.
  void flush();
  // The same for what has waited since `since_ns` or longer.
  void flush_older_than(uint64_t since_ns);
  // Whether a message waits. By any thread.
  bool waits() const { return waits_since_ns_.load(std::memory_order_seq_cst) != 0; }
  // How many times a message has begun to wait. By any thread.
  uint64_t begun() const { return begun_.load(std::memory_order_relaxed); }

 private:
  struct Buffers;
  struct Group;

  void append(uint16_t socket, const char* data, uint32_t bytes, const Address& to);
  void flush_locked();
  void send_group(const Group& group);

  Transports& transports_;
  // Between the owner and whoever flushes for it.
  std::mutex mutex_;
  std::unique_ptr<Buffers> buffers_;
  uint32_t messages_ = 0;
  uint32_t groups_ = 0;
  size_t bytes_ = 0;
  // When the oldest message came; 0: there is none. Written under the mutex, read by the watcher without it. Sequentially
  // consistent: a batch that gets its first message either finds its watcher awake or wakes it, see StandIn::wake().
  std::atomic<uint64_t> waits_since_ns_{0};
  // Written under the mutex, read by the watcher without it; relaxed, only whether it moved counts.
  std::atomic<uint64_t> begun_{0};
};

}  // namespace sip_async::sip
