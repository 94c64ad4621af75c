// Contender: moodycamel::ConcurrentQueue, with a token for each thread, as its manual advises, and bulk dequeue. Not bounded
// here (a push allocates when it must), and in order for each producer only: each has a queue of its own inside.
#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <cstdint>

namespace sip_async::bench {

class MoodycamelQueue {
 public:
  explicit MoodycamelQueue(uint32_t capacity) : queue_(capacity) {}

  class Producer {
   public:
    explicit Producer(MoodycamelQueue& own) : queue_(own.queue_), token_(own.queue_) {}
    bool try_push(uint64_t value) { return queue_.enqueue(token_, value); }

   private:
    moodycamel::ConcurrentQueue<uint64_t>& queue_;
    moodycamel::ProducerToken token_;
  };
  class Consumer {
   public:
    explicit Consumer(MoodycamelQueue& own) : queue_(own.queue_), token_(own.queue_) {}
    uint32_t try_pop_many(uint64_t* values, uint32_t most) {
      return static_cast<uint32_t>(queue_.try_dequeue_bulk(token_, values, most));
    }

   private:
    moodycamel::ConcurrentQueue<uint64_t>& queue_;
    moodycamel::ConsumerToken token_;
  };

 private:
  moodycamel::ConcurrentQueue<uint64_t> queue_;
};

}  // namespace sip_async::bench
