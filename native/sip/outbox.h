// What goes out by connections: messages that wait for the thread that owns them.
//
// Ground rules
// - Any thread pushes; nothing waits. A push that finds the queue, the bytes allowed or the payload pool used up says so.
// - A push wakes thread 0 of the engine, the one with the connections; only that thread takes.
// - A message lies in a payload block of its own, which belongs to the queue's entry and is freed by whoever takes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/engine.h"
#include "core/task_queue.h"
#include "sip/hop.h"

namespace sip_async::sip {

// A message in the outbox; the server's name and the bytes follow.
struct OutgoingMessage {
  Hop to;
  uint32_t size;
  uint32_t name_size;

  const char* name() const { return reinterpret_cast<const char*>(this + 1); }
  const char* data() const { return name() + name_size; }
};

class Outbox {
 public:
  static constexpr uint32_t kCapacity = 65536;
  // So that connections that nobody reads from cannot take the memory of the calls.
  static constexpr uint64_t kMostBytes = 64u << 20;
  static constexpr uint32_t kThread = 0;

  explicit Outbox(core::Engine& engine, uint32_t capacity = kCapacity, uint64_t most_bytes = kMostBytes)
      : engine_(engine),
        most_bytes_(most_bytes),
        region_(core::TaskQueue::region_bytes(capacity)),
        queue_(region_, capacity) {}

  bool push(const char* data, size_t size, const Hop& to, std::string_view server_name = {});

  // Gives the next message to `read(const OutgoingMessage&)`; false when there is none.
  template <class Read>
  bool take(Read&& read) {
    uint64_t value = 0;
    if (!queue_.try_pop(value)) return false;
    const auto ref = static_cast<core::PayloadRef>(value);
    const auto& message = *reinterpret_cast<const OutgoingMessage*>(engine_.payloads().data(ref));
    read(message);
    // Relaxed: a limit, and the queue hands the message on.
    bytes_.fetch_sub(bytes_of(message), std::memory_order_relaxed);
    engine_.payloads().free(ref);
    return true;
  }

  // Refuses from now on and frees what is left. Called once more when no thread pushes any longer, it leaves nothing.
  void close();

  bool empty() const { return queue_.size() == 0; }
  uint32_t size() const { return queue_.size(); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // Only while nobody pushes or takes.
  bool check_invariants() const { return queue_.check_invariants() && (!empty() || bytes() == 0); }

 private:
  static uint64_t bytes_of(const OutgoingMessage& message) {
    return sizeof message + message.name_size + message.size;
  }

  core::Engine& engine_;
  uint64_t most_bytes_;
  core::Region region_;
  core::TaskQueue queue_;
  // Bytes of what waits. Added to by pushers before they allocate, taken off by the thread that takes; relaxed.
  std::atomic<uint64_t> bytes_{0};
  // Set by close(), read by pushers; relaxed, a message more or less is freed by the last close().
  std::atomic<bool> closed_{false};
};

}  // namespace sip_async::sip
