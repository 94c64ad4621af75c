// Finds a transaction by its key: an array of buckets, each with a lock of one bit and a chain through the slots.
//
// Ground rules
// - A bucket's lock guards the chain and, of every slot whose key falls into the bucket, the members that slot.h lists
//   under it. It is held for some dozen instructions and copies of a message at most: never during a system call, never
//   while script runs, never two at a time. That is why a spin lock serves.
// - Releasing a slot happens under its bucket's lock, so a handle found current under the lock stays so until unlock.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "core/region.h"
#include "core/siphash.h"
#include "core/slot_table.h"
#include "core/task_queue.h"

namespace sip_async::sip {

using core::Hash128;

class TransactionTable {
  struct Bucket {
    //   31     30        0
    //   [ lock ][ index + 1 ]
    // Written by lock (acquire) and unlock (release) of any thread; the pair hands on the chain and the guarded members.
    std::atomic<uint32_t> word;

    static constexpr uint32_t kLocked = 0x8000'0000;
    uint32_t lock() {
      for (uint32_t spins = 0;; ++spins) {
        uint32_t head = word.load(std::memory_order_relaxed);
        if ((head & kLocked) == 0 &&
            word.compare_exchange_weak(head, head | kLocked, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
          return head;
        }
        // The holder may have been taken off its core; then spinning only keeps it away.
        if (spins < 64) {
          core::cpu_relax();
        } else {
          sched_yield();
        }
      }
    }
    void unlock(uint32_t head) { word.store(head, std::memory_order_release); }
  };

 public:
  TransactionTable(core::SlotTable& slots, uint32_t buckets)
      : slots_(slots),
        mask_(core::TaskQueue::rounded(buckets) - 1),
        region_((size_t{mask_} + 1) * sizeof(Bucket) + 64, core::Region::Pages::kHuge),
        buckets_(region_.take<Bucket>(size_t{mask_} + 1)) {}

  // Holds the lock of the bucket that a key, or a slot, belongs to.
  class Lock {
   public:
    Lock(TransactionTable& table, const Hash128& key)
        : table_(table), bucket_(table.buckets_[key.low & table.mask_]) {
      head_ = bucket_.lock();
    }
    Lock(TransactionTable& table, uint32_t slot) : Lock(table, table.key_of(slot)) {}
    ~Lock() { unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    void unlock() {
      if (!held_) return;
      held_ = false;
      bucket_.unlock(head_);
    }
    // The slot with this key, or kNone.
    uint32_t find(const Hash128& key) const {
      for (uint32_t at = head_; at != 0; at = table_.slots_.at(at - 1).chain) {
        if (table_.key_of(at - 1) == key) return at - 1;
      }
      return core::kNone;
    }
    void insert(uint32_t index) {
      table_.slots_.at(index).chain = head_;
      head_ = index + 1;
    }
    void remove(uint32_t index) {
      uint32_t* link = &head_;
      while (*link != 0 && *link != index + 1) link = &table_.slots_.at(*link - 1).chain;
      if (*link == index + 1) *link = table_.slots_.at(index).chain;
    }

   private:
    TransactionTable& table_;
    Bucket& bucket_;
    uint32_t head_;
    bool held_ = true;
  };

  // A call is found in a random place of memory; asked for some calls ahead, it is there when it is needed.
  void prefetch(const Hash128& key) const { __builtin_prefetch(&buckets_[key.low & mask_], 1); }

  Hash128 key_of(uint32_t index) const {
    const core::Slot& slot = slots_.at(index);
    return {slot.key_high.load(std::memory_order_relaxed), slot.key_low.load(std::memory_order_relaxed)};
  }

 private:
  friend class Lock;
  core::SlotTable& slots_;
  uint32_t mask_;
  core::Region region_;
  Bucket* buckets_;
};

}  // namespace sip_async::sip
