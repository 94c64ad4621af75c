// Contender: std::deque behind a std::mutex. Bounded by a look at its size, first in first out; several taken at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

namespace sip_async::bench {

class MutexDeque {
 public:
  explicit MutexDeque(uint32_t capacity) : capacity_(capacity) {}

  class Producer {
   public:
    explicit Producer(MutexDeque& queue) : queue_(queue) {}
    bool try_push(uint64_t value) {
      const std::lock_guard lock(queue_.mutex_);
      if (queue_.values_.size() == queue_.capacity_) return false;
      queue_.values_.push_back(value);
      return true;
    }

   private:
    MutexDeque& queue_;
  };
  class Consumer {
   public:
    explicit Consumer(MutexDeque& queue) : queue_(queue) {}
    uint32_t try_pop_many(uint64_t* values, uint32_t most) {
      const std::lock_guard lock(queue_.mutex_);
      uint32_t count = 0;
      for (; count < most && !queue_.values_.empty(); ++count) {
        values[count] = queue_.values_.front();
        queue_.values_.pop_front();
      }
      return count;
    }

   private:
    MutexDeque& queue_;
  };

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::deque<uint64_t> values_;
};

}  // namespace sip_async::bench
