#include "core/shared_table_part.h"

namespace sip_async::core {

SharedTablePart::~SharedTablePart() {
  for (SharedEntry* entry = remove_all(); entry != nullptr;) delete std::exchange(entry, entry->next);
}

SharedEntry* SharedTablePart::find(uint64_t hash, std::string_view key) const {
  if (buckets_.empty()) return nullptr;
  SharedEntry* entry = buckets_[hash & (buckets_.size() - 1)];
  while (entry != nullptr && (entry->hash != hash || entry->key != key)) entry = entry->next;
  return entry;
}

SharedEntry& SharedTablePart::insert(uint64_t hash, std::string_view key) {
  if (size_ == buckets_.size()) grow();
  SharedEntry*& bucket = bucket_of(hash);
  auto* entry = new SharedEntry;
  entry->hash = hash;
  entry->key = key;
  entry->next = bucket;
  bucket = entry;
  ++size_;
  return *entry;
}

void SharedTablePart::grow() {
  std::vector<SharedEntry*> before(buckets_.empty() ? kFewBuckets : 2 * buckets_.size());
  before.swap(buckets_);
  for (SharedEntry* entry : before) {
    while (entry != nullptr) {
      SharedEntry* next = entry->next;
      SharedEntry*& bucket = bucket_of(entry->hash);
      entry->next = bucket;
      bucket = entry;
      entry = next;
    }
  }
}

void SharedTablePart::remove(SharedEntry& entry) {
  set_due(entry, kNeverDue);
  SharedEntry** link = &bucket_of(entry.hash);
  while (*link != &entry) link = &(*link)->next;
  *link = entry.next;
  entry.next = nullptr;
  if (--size_ == 0 && buckets_.size() > kKeptBuckets) {
    buckets_ = {};
    heap_ = {};
  }
}

SharedEntry* SharedTablePart::remove_all() {
  SharedEntry* list = nullptr;
  for (SharedEntry* entry : buckets_) {
    while (entry != nullptr) {
      SharedEntry* next = entry->next;
      entry->next = list;
      list = entry;
      entry = next;
    }
  }
  buckets_ = {};
  heap_ = {};
  size_ = 0;
  return list;
}

void SharedTablePart::set_due(SharedEntry& entry, uint64_t due_ns) {
  const uint64_t before = std::exchange(entry.due_ns, due_ns);
  if (entry.heap_at == SharedEntry::kNotInHeap) {
    if (due_ns == kNeverDue) return;
    heap_.push_back(&entry);
    sift_up(static_cast<uint32_t>(heap_.size() - 1));
  } else if (due_ns != kNeverDue) {
    due_ns < before ? sift_up(entry.heap_at) : sift_down(entry.heap_at);
  } else {
    const uint32_t at = std::exchange(entry.heap_at, SharedEntry::kNotInHeap);
    SharedEntry* last = heap_.back();
    heap_.pop_back();
    if (last == &entry) return;
    place(at, last);
    last->due_ns < before ? sift_up(at) : sift_down(at);
  }
}

void SharedTablePart::sift_up(uint32_t at) {
  SharedEntry* entry = heap_[at];
  for (; at > 0; at = (at - 1) / 2) {
    SharedEntry* above = heap_[(at - 1) / 2];
    if (above->due_ns <= entry->due_ns) break;
    place(at, above);
  }
  place(at, entry);
}

void SharedTablePart::sift_down(uint32_t at) {
  SharedEntry* entry = heap_[at];
  const auto size = static_cast<uint32_t>(heap_.size());
  for (uint32_t below; (below = 2 * at + 1) < size; at = below) {
    if (below + 1 < size && heap_[below + 1]->due_ns < heap_[below]->due_ns) ++below;
    if (entry->due_ns <= heap_[below]->due_ns) break;
    place(at, heap_[below]);
  }
  place(at, entry);
}

bool SharedTablePart::check_invariants() const {
  size_t entries = 0;
  size_t expiring = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    for (const SharedEntry* entry = buckets_[i]; entry != nullptr; entry = entry->next) {
      if (++entries > size_) return false;  // also ends a chain that bites its tail
      if ((entry->hash & (buckets_.size() - 1)) != i || find(entry->hash, entry->key) != entry) return false;
      const bool in_heap = entry->heap_at != SharedEntry::kNotInHeap;
      if (in_heap != (entry->due_ns != kNeverDue)) return false;
      if (in_heap && (entry->heap_at >= heap_.size() || heap_[entry->heap_at] != entry)) return false;
      expiring += in_heap ? 1 : 0;
    }
  }
  for (size_t at = 1; at < heap_.size(); ++at) {
    if (heap_[(at - 1) / 2]->due_ns > heap_[at]->due_ns) return false;
  }
  return entries == size_ && expiring == heap_.size();
}

}  // namespace sip_async::core
