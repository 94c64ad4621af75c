// Contender: oneTBB's concurrent_bounded_queue. Bounded, first in first out; one at a time. It can also block; here its
// calls that do not wait are used, as with the others.
#pragma once

#include <oneapi/tbb/concurrent_queue.h>

#include <cstdint>

namespace sip_async::bench {

class TbbQueue {
 public:
  explicit TbbQueue(uint32_t capacity) { queue_.set_capacity(capacity); }

  class Producer {
   public:
    explicit Producer(TbbQueue& own) : queue_(own.queue_) {}
    bool try_push(uint64_t value) { return queue_.try_push(value); }

   private:
    tbb::concurrent_bounded_queue<uint64_t>& queue_;
  };
  class Consumer {
   public:
    explicit Consumer(TbbQueue& own) : queue_(own.queue_) {}
    uint32_t try_pop_many(uint64_t* values, uint32_t most) {
      uint32_t count = 0;
      while (count < most && queue_.try_pop(values[count])) ++count;
      return count;
    }

   private:
    tbb::concurrent_bounded_queue<uint64_t>& queue_;
  };

 private:
  tbb::concurrent_bounded_queue<uint64_t> queue_;
};

}  // namespace sip_async::bench
