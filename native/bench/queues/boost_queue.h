// Contender: boost::lockfree::queue with its nodes reserved beforehand, which bounds it. First in first out; one at a time.
#pragma once

#include <boost/lockfree/queue.hpp>
#include <cstdint>

namespace sip_async::bench {

class BoostQueue {
 public:
  explicit BoostQueue(uint32_t capacity) : queue_(capacity) {}

  class Producer {
   public:
    explicit Producer(BoostQueue& own) : queue_(own.queue_) {}
    bool try_push(uint64_t value) { return queue_.bounded_push(value); }

   private:
    boost::lockfree::queue<uint64_t>& queue_;
  };
  class Consumer {
   public:
    explicit Consumer(BoostQueue& own) : queue_(own.queue_) {}
    uint32_t try_pop_many(uint64_t* values, uint32_t most) {
      uint32_t count = 0;
      while (count < most && queue_.pop(values[count])) ++count;
      return count;
    }

   private:
    boost::lockfree::queue<uint64_t>& queue_;
  };

 private:
  boost::lockfree::queue<uint64_t> queue_;
};

}  // namespace sip_async::bench
