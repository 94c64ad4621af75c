// A table that all threads of the process share: keys are strings, values are SharedValues, entries may expire.
// Kamailio's htable module ($sht(name=>key)), and with no expiry its shared variables ($shv(name)).
//
// Ground rules
// - Any thread calls anything but check_invariants(). Each operation on one key is atomic.
// - The table is cut into parts by the hash of the key, each with a lock of its own. A thread holds one lock at a time,
//   for a look-up and a few pointers; text is copied before or after, and entries are deleted after. Nothing that can
//   call back runs under a lock.
// - Keys may come from strangers on the network, so the hash is keyed: nobody can aim at one bucket.
// - Time is an argument, in monotonic nanoseconds. An entry is there until its time has passed in full and is never seen
//   again from then on. Its memory comes back bit by bit: every operation drops a few expired entries of its part, every
//   write also some of the next part in turn, and a write that finds no room drops as many as it needs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cache_line.h"
#include "core/shared_table_part.h"
#include "core/shared_value.h"

namespace sip_async::core {

struct SharedTableLimits {
  uint64_t max_entries = 262'144;
  uint64_t max_bytes = uint64_t{64} << 20;
  uint64_t expire_ms = 0;      // what a set() that names no time gives; 0: never
  bool update_expire = false;  // inc() gives an entry that is there its whole time again

  bool operator==(const SharedTableLimits&) const = default;
};

enum class SharedOutcome : uint8_t {
  kOk,
  kFull,
  kPresent,     // set_if_absent: there is one
  kNotNumber,   // inc: the entry holds something else
  kOutOfRange,  // inc: the sum is beyond the whole numbers that a double holds exactly
};

struct SharedTableStats {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t expired = 0;
  uint64_t refused = 0;
};

// A copy of some entries; the keys stand one behind the other.
struct SharedSnapshot {
  struct Item {
    size_t key_end;
    SharedValue value;
  };
  std::string keys;
  std::vector<Item> items;
};

class SharedTable {
 public:
  static constexpr uint64_t kMostEntries = (uint64_t{1} << 24) - 1;
  static constexpr uint64_t kMostBytes = uint64_t{1} << 36;
  // What an entry counts for besides the bytes of its key and its value: about what it costs in memory.
  static constexpr uint64_t kEntryBytes = 192;
  // As expire_ms of an operation: the table's own.
  static constexpr uint64_t kTableExpiry = ~uint64_t{0};
  static constexpr double kMaxInteger = 9007199254740991.0;  // Number.MAX_SAFE_INTEGER

  // `key0` and `key1` are the secret of the hash.
  SharedTable(const SharedTableLimits& limits, uint64_t key0, uint64_t key1);
  SharedTable(const SharedTable&) = delete;
  SharedTable& operator=(const SharedTable&) = delete;

  const SharedTableLimits& limits() const { return limits_; }
  // Whether an entry of this size could be in the table at all.
  bool could_hold(uint64_t key_bytes, uint64_t value_bytes) const {
    return key_bytes + kEntryBytes <= limits_.max_bytes &&
           value_bytes <= limits_.max_bytes - kEntryBytes - key_bytes;
  }

  // Of kind kMissing when there is no entry.
  SharedValue get(std::string_view key, uint64_t now_ns);
  bool has(std::string_view key, uint64_t now_ns);
  SharedOutcome set(std::string_view key, SharedValue value, uint64_t now_ns,
                    uint64_t expire_ms = kTableExpiry) {
    return put(key, std::move(value), now_ns, expire_ms, false);
  }
  SharedOutcome set_if_absent(std::string_view key, SharedValue value, uint64_t now_ns,
                              uint64_t expire_ms = kTableExpiry) {
    return put(key, std::move(value), now_ns, expire_ms, true);
  }
  // Adds to a number; a missing entry is made, as if it were 0. `sum` is written on kOk only.
  SharedOutcome inc(std::string_view key, double by, uint64_t now_ns, uint64_t expire_ms, double& sum);
  // Whether there was one.
  bool erase(std::string_view key, uint64_t now_ns);
  void clear();

  // Drops everything that has expired, then counts.
  SharedTableStats stats(uint64_t now_ns);
  // For what an operation was refused before it came here.
  void count_refused() { refused_.fetch_add(1, std::memory_order_relaxed); }

  // Copies part by part, each as it is at one moment: an entry that is there from the first call to the last is found
  // exactly once, one that comes or goes meanwhile at most once.
  uint32_t parts() const { return parts_count_; }
  void snapshot(uint32_t part, uint64_t now_ns, SharedSnapshot& out);

  // True when parts, heaps and counters agree. Only while no other thread uses the table.
  bool check_invariants() const;

 private:
  struct alignas(kCacheLine) Part {
    mutable std::mutex mutex;
    SharedTablePart entries;
    uint32_t next_visit = 0;  // the part that the next write here looks at for expired entries
    // When the first entry expires. Written by whoever holds the lock (release), read without it by threads that look
    // for expired entries: a hint, the truth is looked up under the lock. Acquire in reclaim(): who passes a part over
    // because another thread has dropped its entries also sees that they are no longer counted.
    std::atomic<uint64_t> next_due_ns{kNeverDue};
  };
  class Removed;
  class Visit;

  static constexpr uint32_t kSweep = 4;     // expired entries that an operation drops in passing
  static constexpr uint32_t kReclaim = 64;  // and at most under one lock when room is needed

  uint64_t hash_of(std::string_view key) const;
  Part& part_of(uint64_t hash) { return parts_[hash >> part_shift_]; }
  uint64_t due_after(uint64_t now_ns, uint64_t expire_ms) const;
  static uint64_t bytes_of(size_t key_bytes, const SharedValue& value) {
    return kEntryBytes + key_bytes + value.data().size();
  }

  SharedOutcome put(std::string_view key, SharedValue value, uint64_t now_ns, uint64_t expire_ms,
                    bool only_if_absent);
  SharedEntry* find_live(Visit& visit, uint64_t hash, std::string_view key, uint64_t now_ns);
  void drop(Part& part, SharedEntry& entry, Removed& removed);
  uint32_t drop_due(Part& part, uint64_t now_ns, uint32_t most, Removed& removed);
  void finish_write(Visit& visit, uint64_t now_ns);
  void sweep_beside(uint32_t part, uint64_t now_ns);
  bool reclaim(uint64_t now_ns);
  template <class Attempt>
  SharedOutcome making_room(uint64_t now_ns, Attempt&& attempt);

  // Counts entries and bytes in; false when they do not fit, and then nothing is counted.
  bool try_count(int64_t entries, int64_t bytes);

  const SharedTableLimits limits_;
  const uint64_t key0_, key1_;
  const uint32_t parts_count_;  // a power of two
  const uint32_t part_shift_;
  std::unique_ptr<Part[]> parts_;

  //   63        40 39       0
  //   [ entries  ][  bytes  ]      in one word, so that both limits are kept or neither is touched
  // Written by every operation that makes or removes an entry or changes its size (compare-exchange), read by the same
  // and by stats(). Relaxed: counts only, the entries themselves are handed on by the locks.
  alignas(kCacheLine) std::atomic<uint64_t> used_{0};
  // Counted up by whoever drops or refuses, read by stats(); counts only, so relaxed.
  std::atomic<uint64_t> expired_{0};
  std::atomic<uint64_t> refused_{0};
};

}  // namespace sip_async::core
