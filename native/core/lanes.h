// Lanes: tasks of one name (a Call-ID, say) go through a group one after the other, in the order in which they came.
//
// Ground rules
// - A lane is there as long as a task of its name is in it. The first of a lane is with its group: in its queue, or in a
//   worker. The others wait here, and the next one comes to the queue when the first leaves.
// - A task may have a key. While one with that key is in the lane and has not begun, another with the same key is the same
//   message once more and does not come in.
// - Any thread calls any function; none waits for anything but the lock of a bucket, which is held for some dozen
//   instructions. There are buckets for lanes and buckets for keys; a lane's lock is taken first, and never two of a kind.
// - A ticket belongs to a slot and is guarded by the lock of its lane. Its lane's name and its generation are written before
//   the commit of enter() and constant from there to leave(), so whoever owns the slot may read them without a lock.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "core/region.h"
#include "core/siphash.h"
#include "core/slot.h"
#include "core/task_queue.h"
#include "core/worker_group.h"

namespace sip_async::core {

class Lanes {
 public:
  static constexpr uint16_t kNoGroup = 0xffff;

  enum class Entry : uint8_t {
    kFirst,     // nobody is in front: the caller gives it to its group
    kBehind,    // it waits
    kRepeated,  // one with its key waits already; it is not in the lane
    kRefused,   // commit() did not agree; it is not in the lane
  };
  // What leave() found.
  enum class Left : uint8_t { kNothing, kWaiting, kFirst };

  // Keys draw from one source, so names and keys must be hashes that strangers cannot steer.
  explicit Lanes(uint32_t slots);

  // By the thread that owns the slot. `commit()` is called under the lane's lock when the task shall come in, and says whether
  // it may: from there others may have it. `key`: nullptr for a task that nothing repeats.
  template <class Commit>
  Entry enter(Task task, uint16_t group, const Hash128& lane, const Hash128* key, Commit&& commit);
  // The first of a lane has begun: nothing is taken for its repetition any more.
  void begin(uint32_t index);
  // The task is out of its lane, from wherever in it. When it was the first, and another waited, `next` is first now and to
  // be given to `group`; else next.index is kNone.
  Left leave(uint32_t index, Task& next, uint16_t& group);

  // Tasks in lanes that are not the first of theirs. Relaxed, for statistics and tests.
  uint32_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  // Only while no other thread uses the lanes.
  bool check_invariants() const;

 private:
  enum class Place : uint8_t { kOut, kFirst, kWaiting };
  // Links are index + 1, 0 for none.
  struct Ticket {
    Hash128 lane;
    Hash128 key;
    uint32_t generation;
    uint32_t chain;     // of the first of a lane: the first of the next lane in the bucket
    uint32_t next;      // behind it in the lane
    uint32_t previous;  // before it
    uint32_t last;      // of the first: the last of the lane
    uint32_t key_next;
    uint32_t key_previous;
    uint16_t group;
    Place place;
    bool has_key;  // is in the bucket of its key
  };
  struct Bucket {
    //   31     30        0
    //   [ lock ][ index + 1 ]
    // Written by lock (acquire) and unlock (release) of any thread; the pair hands on the chain and what it guards.
    std::atomic<uint32_t> word;
  };
  static constexpr uint32_t kLocked = 0x8000'0000;

  class Guard {
   public:
    explicit Guard(Bucket& bucket);
    // Release: pairs with the acquire of the next lock.
    ~Guard() { bucket_.word.store(head, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    uint32_t head;

   private:
    Bucket& bucket_;
  };

  Bucket& lane_bucket(const Hash128& lane) { return lane_buckets_[lane.low & mask_]; }
  Bucket& key_bucket(const Hash128& key) { return key_buckets_[key.low & mask_]; }
  // Under the lane's lock.
  bool is_listed(const Hash128& lane, const Hash128& key);
  void list_key(uint32_t index);
  void unlist_key(uint32_t index);
  // The first of this lane as index + 1, or 0.
  uint32_t find(uint32_t head, const Hash128& lane) const;
  Entry append(Guard& bucket, uint32_t first, uint32_t index);
  void replace_first(Guard& bucket, uint32_t index, uint32_t by);

  uint32_t size_;
  uint32_t mask_;
  Region region_;
  Ticket* tickets_;
  Bucket* lane_buckets_;
  Bucket* key_buckets_;
  // Counted by enter and leave; relaxed.
  alignas(kCacheLine) std::atomic<uint32_t> waiting_{0};
};

template <class Commit>
Lanes::Entry Lanes::enter(Task task, uint16_t group, const Hash128& lane, const Hash128* key,
                          Commit&& commit) {
  Guard bucket(lane_bucket(lane));
  const uint32_t first = find(bucket.head, lane);
  if (key != nullptr && first != 0 && is_listed(lane, *key)) return Entry::kRepeated;
  Ticket& ticket = tickets_[task.index];
  // Before the commit, behind which whoever ends the task from outside comes by these to its lane.
  ticket.lane = lane;
  ticket.generation = task.generation;
  ticket.group = group;
  if (!commit()) return Entry::kRefused;
  if (key != nullptr) {
    ticket.key = *key;
    list_key(task.index);
  }
  return append(bucket, first, task.index);
}

}  // namespace sip_async::core
