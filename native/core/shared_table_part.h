// One part of a shared table: a chained hash table whose entries also stand in a heap by the time at which they expire.
//
// Ground rules
// - Not safe for threads: whoever calls holds the lock of the part.
// - Time is a number here. What has expired stays until somebody removes it; first_due() says where to begin.
// - Entries that were removed are given out, not deleted, so that the caller can delete them after it has unlocked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/shared_value.h"

namespace sip_async::core {

inline constexpr uint64_t kNeverDue = ~uint64_t{0};

struct SharedEntry {
  static constexpr uint32_t kNotInHeap = 0xffff'ffff;

  SharedEntry* next = nullptr;  // in its bucket; after removal in a list of removed ones
  uint64_t hash = 0;
  uint64_t due_ns = kNeverDue;
  uint32_t heap_at = kNotInHeap;
  SharedValue value;
  std::string key;
};

class SharedTablePart {
 public:
  SharedTablePart() = default;
  ~SharedTablePart();
  SharedTablePart(const SharedTablePart&) = delete;
  SharedTablePart& operator=(const SharedTablePart&) = delete;

  // nullptr when there is none.
  SharedEntry* find(uint64_t hash, std::string_view key) const;
  // The key must not be there yet.
  SharedEntry& insert(uint64_t hash, std::string_view key);
  void remove(SharedEntry& entry);
  // Leaves nothing; the entries come as one list.
  SharedEntry* remove_all();

  void set_due(SharedEntry& entry, uint64_t due_ns);
  // The entry that expires first, or nullptr when none ever does.
  SharedEntry* first_due() const { return heap_.empty() ? nullptr : heap_.front(); }
  uint64_t next_due_ns() const { return heap_.empty() ? kNeverDue : heap_.front()->due_ns; }

  size_t size() const { return size_; }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (SharedEntry* entry : buckets_) {
      for (; entry != nullptr; entry = entry->next) visit(*entry);
    }
  }

  bool check_invariants() const;

 private:
  // The fewest buckets there are, and the most that are kept while the part is empty.
  static constexpr size_t kFewBuckets = 8;
  static constexpr size_t kKeptBuckets = 64;

  SharedEntry*& bucket_of(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  void grow();
  void place(uint32_t at, SharedEntry* entry) {
    heap_[at] = entry;
    entry->heap_at = at;
  }
  void sift_up(uint32_t at);
  void sift_down(uint32_t at);

  std::vector<SharedEntry*> buckets_;  // a power of two, or none before the first entry
  std::vector<SharedEntry*> heap_;     // smallest due_ns first
  size_t size_ = 0;
};

}  // namespace sip_async::core
