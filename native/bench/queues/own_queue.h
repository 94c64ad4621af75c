// Contender: the task queue of this project. Bounded, first in first out, never waits; several taken at a time.
#pragma once

#include <cstdint>

#include "core/task_queue.h"

namespace sip_async::bench {

class OwnQueue {
 public:
  explicit OwnQueue(uint32_t capacity)
      : region_(core::TaskQueue::region_bytes(capacity)), queue_(region_, capacity) {}

  class Producer {
   public:
    explicit Producer(OwnQueue& own) : queue_(own.queue_) {}
    bool try_push(uint64_t value) { return queue_.try_push(value); }

   private:
    core::TaskQueue& queue_;
  };
  class Consumer {
   public:
    explicit Consumer(OwnQueue& own) : queue_(own.queue_) {}
    uint32_t try_pop_many(uint64_t* values, uint32_t most) { return queue_.try_pop_many(values, most); }

   private:
    core::TaskQueue& queue_;
  };

 private:
  core::Region region_;
  core::TaskQueue queue_;
};

}  // namespace sip_async::bench
