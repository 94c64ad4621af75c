// A bounded queue for many producers and many consumers, without a lock (Dmitry Vyukov's, with stamped cells).
//
// Ground rules
// - try_push and try_pop never wait for another thread. A push that finds the queue full says so.
// - Each cell carries a stamp. stamp == position: free for the push of that position. stamp == position + 1: holds the
//   value of that position. The pop that takes it stamps it for the next lap, position + capacity.
// - A producer that is stopped between claiming a cell and stamping it holds up the consumers at that cell (they see
//   the queue as empty there), never other producers.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/cache_line.h"
#include "core/region.h"

namespace sip_async::core {

class TaskQueue {
 public:
  // `capacity` is rounded up to a power of two, at least 2.
  static uint32_t rounded(uint32_t capacity) {
    uint32_t power = 2;
    while (power < capacity && power < 0x8000'0000u) power *= 2;
    return power;
  }
  static size_t region_bytes(uint32_t capacity) {
    return Region::padded(sizeof(Ends)) + Region::padded(sizeof(Cell) * rounded(capacity));
  }

  TaskQueue(Region& region, uint32_t capacity)
      : ends_(region.take<Ends>(1)),
        cells_(region.take<Cell>(rounded(capacity))),
        mask_(rounded(capacity) - 1) {}

  uint32_t capacity() const { return static_cast<uint32_t>(mask_ + 1); }

  bool try_push(uint64_t value) {
    // Relaxed: the stamp decides whether the position is right.
    uint64_t position = ends_->tail.load(std::memory_order_relaxed);
    Backoff backoff;
    for (;;) {
      Cell& cell = cells_[position & mask_];
      // Acquire: pairs with the release in try_pop_many(), so the value taken out of the cell was read before we write.
      const uint64_t stamp = cell.stamp.load(std::memory_order_acquire) + (position & mask_);
      const auto lag = static_cast<int64_t>(stamp - position);
      if (lag == 0) {
        // Sequentially consistent, for the idle check of WorkerGroup: a worker that declares itself idle and then
        // sees the old tail is seen as idle by this push.
        if (ends_->tail.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst,
                                              std::memory_order_relaxed)) {
          cell.value = value;
          // Release: pairs with the acquire in try_pop_many().
          cell.stamp.store(position + 1 - (position & mask_), std::memory_order_release);
          return true;
        }
        backoff.pause();
        position = ends_->tail.load(std::memory_order_relaxed);
      } else if (lag < 0) {
        return false;  // a full lap behind: not yet emptied
      } else {
        position = ends_->tail.load(std::memory_order_relaxed);
      }
    }
  }

  // Takes up to `most` values in order, all with one compare-and-swap. Returns how many.
  uint32_t try_pop_many(uint64_t* values, uint32_t most) {
    uint64_t position = ends_->head.load(std::memory_order_relaxed);
    Backoff backoff;
    for (;;) {
      uint32_t ready = 0;
      bool behind = false;
      while (ready < most) {
        const uint64_t at = position + ready;
        const Cell& cell = cells_[at & mask_];
        // Acquire: pairs with the release in try_push(), so the value is there to be read.
        const uint64_t stamp = cell.stamp.load(std::memory_order_acquire) + (at & mask_);
        if (stamp != at + 1) {
          behind = static_cast<int64_t>(stamp - (at + 1)) > 0;
          break;
        }
        ++ready;
      }
      if (ready == 0) {
        if (!behind) return 0;
        position = ends_->head.load(std::memory_order_relaxed);
        continue;
      }
      // Relaxed: cells in [position, position + ready) can be emptied by nobody but the thread that moves head.
      if (ends_->head.compare_exchange_weak(position, position + ready, std::memory_order_relaxed)) {
        for (uint32_t i = 0; i < ready; ++i) {
          Cell& cell = cells_[(position + i) & mask_];
          values[i] = cell.value;
          // Release: pairs with the acquire in try_push() of the next lap.
          cell.stamp.store(position + i + mask_ + 1 - ((position + i) & mask_), std::memory_order_release);
        }
        return ready;
      }
      backoff.pause();
      position = ends_->head.load(std::memory_order_relaxed);
    }
  }

  bool try_pop(uint64_t& value) { return try_pop_many(&value, 1) == 1; }

  // About how many values wait; exact when nobody pushes or pops.
  uint32_t size() const {
    // Sequentially consistent: the other half of the idle check, see try_push().
    const uint64_t tail = ends_->tail.load(std::memory_order_seq_cst);
    const uint64_t head = ends_->head.load(std::memory_order_relaxed);
    return tail > head ? static_cast<uint32_t>(tail - head) : 0;
  }

  // True when every stamp fits its position. Only while nobody pushes or pops.
  bool check_invariants() const {
    const uint64_t tail = ends_->tail.load(std::memory_order_acquire);
    const uint64_t head = ends_->head.load(std::memory_order_acquire);
    if (tail < head || tail - head > capacity()) return false;
    for (uint64_t at = head; at < head + capacity(); ++at) {
      const uint64_t stamp = cells_[at & mask_].stamp.load(std::memory_order_acquire) + (at & mask_);
      if (stamp != (at < tail ? at + 1 : at)) return false;
    }
    return true;
  }

 private:
  // After a race that another thread has won: that one goes on for a while with the cells and the end in its own cache,
  // instead of both fetching them from each other for every few values. Twice as long after each race lost in a row, so only
  // an end that is fought over without a break ever sees the longest pause. That is a matter of microseconds (6 where a spin
  // takes 25 ns), less than it takes to wake a thread.
  class Backoff {
   public:
    void pause() {
      for (uint32_t i = 0; i < spins_; ++i) cpu_relax();
      if (spins_ < kMostSpins) spins_ *= 2;
    }

   private:
    static constexpr uint32_t kMostSpins = 256;
    uint32_t spins_ = 1;
  };
  struct Cell {
    // Stored less the cell's own number, so that a page of zeroes is a page of free cells and the queue need not be
    // touched before it is used. Written by the pusher and the popper of the cell, read by both kinds.
    std::atomic<uint64_t> stamp;
    uint64_t value;
  };
  struct Ends {
    // Next position to push to. Written by pushers, read by pushers and by size().
    alignas(kCacheLine) std::atomic<uint64_t> tail;
    // Next position to pop from. Written by poppers, read by poppers and by size().
    alignas(kCacheLine) std::atomic<uint64_t> head;
  };

  Ends* ends_;
  Cell* cells_;
  uint64_t mask_;
};

}  // namespace sip_async::core
