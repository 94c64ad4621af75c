#include "core/shared_table.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/clock.h"
#include "core/siphash.h"

namespace sip_async::core {

namespace {

constexpr uint32_t kByteBits = 40;
constexpr uint64_t kByteMask = (uint64_t{1} << kByteBits) - 1;
static_assert(SharedTable::kMostEntries <= ~uint64_t{0} >> kByteBits);
static_assert(SharedTable::kMostBytes <= kByteMask);

// Some thousand entries in a part: few enough to be copied or rehashed under its lock in a fraction of a millisecond.
// And so many parts that threads seldom meet, even in a small table.
uint32_t parts_for(uint64_t max_entries) {
  constexpr uint64_t kEntriesPerPart = 4096;
  return static_cast<uint32_t>(std::bit_ceil(std::clamp<uint64_t>(max_entries / kEntriesPerPart, 16, 1024)));
}

}  // namespace

// Entries that are no longer in the table, deleted when this goes: after the lock, which is taken later.
class SharedTable::Removed {
 public:
  Removed() = default;
  ~Removed() {
    while (list_ != nullptr) delete std::exchange(list_, list_->next);
  }
  Removed(const Removed&) = delete;
  Removed& operator=(const Removed&) = delete;

  void take(SharedEntry& entry) { entry.next = std::exchange(list_, &entry); }

 private:
  SharedEntry* list_ = nullptr;
};

// A part with its lock held. The order of the members is that of the steps in reverse: unlock, then delete.
class SharedTable::Visit {
 public:
  Visit(SharedTable& table, Part& part_in, uint64_t now_ns)
      : Visit(table, part_in, now_ns, std::unique_lock(part_in.mutex)) {}
  Visit(SharedTable& table, Part& part_in, uint64_t now_ns, std::unique_lock<std::mutex> lock)
      : part(part_in), lock_(std::move(lock)) {
    table.drop_due(part, now_ns, kSweep, removed);
  }
  ~Visit() { unlock(); }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  void unlock() {
    if (!lock_.owns_lock()) return;
    part.next_due_ns.store(part.entries.next_due_ns(), std::memory_order_release);
    lock_.unlock();
  }

  Part& part;
  Removed removed;

 private:
  std::unique_lock<std::mutex> lock_;
};

SharedTable::SharedTable(const SharedTableLimits& limits, uint64_t key0, uint64_t key1)
    : limits_(limits),
      key0_(key0),
      key1_(key1),
      parts_count_(parts_for(limits.max_entries)),
      part_shift_(64 - static_cast<uint32_t>(std::countr_zero(parts_count_))),
      parts_(std::make_unique<Part[]>(parts_count_)) {
  for (uint32_t i = 0; i < parts_count_; ++i) parts_[i].next_visit = i;
}

uint64_t SharedTable::hash_of(std::string_view key) const {
  return SipHash(key0_, key1_).add(key).finish().low;
}

uint64_t SharedTable::due_after(uint64_t now_ns, uint64_t expire_ms) const {
  if (expire_ms == kTableExpiry) expire_ms = limits_.expire_ms;
  if (expire_ms == 0 || expire_ms > (kNeverDue - now_ns) / kNsPerMs) return kNeverDue;
  return now_ns + expire_ms * kNsPerMs;
}

bool SharedTable::try_count(int64_t entries, int64_t bytes) {
  uint64_t before = used_.load(std::memory_order_relaxed);
  uint64_t after;
  do {
    // Unsigned numbers wrap as negative ones would; what is taken off was counted before.
    const uint64_t entries_after = (before >> kByteBits) + static_cast<uint64_t>(entries);
    const uint64_t bytes_after = (before & kByteMask) + static_cast<uint64_t>(bytes);
    if (entries > 0 && entries_after > limits_.max_entries) return false;
    if (bytes > 0 && bytes_after > limits_.max_bytes) return false;
    after = entries_after << kByteBits | bytes_after;
  } while (!used_.compare_exchange_weak(before, after, std::memory_order_relaxed));
  return true;
}

void SharedTable::drop(Part& part, SharedEntry& entry, Removed& removed) {
  part.entries.remove(entry);
  try_count(-1, -static_cast<int64_t>(bytes_of(entry.key.size(), entry.value)));
  removed.take(entry);
}

uint32_t SharedTable::drop_due(Part& part, uint64_t now_ns, uint32_t most, Removed& removed) {
  uint32_t dropped = 0;
  while (dropped < most && part.entries.next_due_ns() <= now_ns) {
    drop(part, *part.entries.first_due(), removed);
    ++dropped;
  }
  if (dropped > 0) expired_.fetch_add(dropped, std::memory_order_relaxed);
  return dropped;
}

SharedEntry* SharedTable::find_live(Visit& visit, uint64_t hash, std::string_view key, uint64_t now_ns) {
  SharedEntry* entry = visit.part.entries.find(hash, key);
  if (entry == nullptr || entry->due_ns > now_ns) return entry;
  drop(visit.part, *entry, visit.removed);
  expired_.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

void SharedTable::finish_write(Visit& visit, uint64_t now_ns) {
  const uint32_t beside = visit.part.next_visit++ & (parts_count_ - 1);
  visit.unlock();
  sweep_beside(beside, now_ns);
}

// Whoever is in that part now drops some itself.
void SharedTable::sweep_beside(uint32_t number, uint64_t now_ns) {
  Part& part = parts_[number];
  if (part.next_due_ns.load(std::memory_order_relaxed) > now_ns) return;
  std::unique_lock lock(part.mutex, std::try_to_lock);
  if (lock) Visit(*this, part, now_ns, std::move(lock));
}

// Drops expired entries of the first part that has some. False when none has.
bool SharedTable::reclaim(uint64_t now_ns) {
  for (uint32_t i = 0; i < parts_count_; ++i) {
    Part& part = parts_[i];
    if (part.next_due_ns.load(std::memory_order_acquire) > now_ns) continue;
    Removed removed;
    const std::lock_guard lock(part.mutex);
    const uint32_t dropped = drop_due(part, now_ns, kReclaim, removed);
    part.next_due_ns.store(part.entries.next_due_ns(), std::memory_order_release);
    if (dropped > 0) return true;
  }
  return false;
}

// Repeats an attempt that found the table full, as long as there is something expired to drop; and once after that,
// because another thread may have dropped the last of it.
template <class Attempt>
SharedOutcome SharedTable::making_room(uint64_t now_ns, Attempt&& attempt) {
  SharedOutcome outcome = attempt();
  for (bool more = true; outcome == SharedOutcome::kFull && more;) {
    more = reclaim(now_ns);
    outcome = attempt();
  }
  if (outcome == SharedOutcome::kFull) count_refused();
  return outcome;
}

SharedValue SharedTable::get(std::string_view key, uint64_t now_ns) {
  const uint64_t hash = hash_of(key);
  Visit visit(*this, part_of(hash), now_ns);
  const SharedEntry* entry = find_live(visit, hash, key, now_ns);
  return entry == nullptr ? SharedValue() : entry->value;
}

bool SharedTable::has(std::string_view key, uint64_t now_ns) {
  const uint64_t hash = hash_of(key);
  Visit visit(*this, part_of(hash), now_ns);
  return find_live(visit, hash, key, now_ns) != nullptr;
}

SharedOutcome SharedTable::put(std::string_view key, SharedValue value, uint64_t now_ns, uint64_t expire_ms,
                               bool only_if_absent) {
  const uint64_t hash = hash_of(key);
  const uint64_t due_ns = due_after(now_ns, expire_ms);
  const uint64_t bytes = bytes_of(key.size(), value);
  return making_room(now_ns, [&] {
    Visit visit(*this, part_of(hash), now_ns);
    SharedEntry* entry = find_live(visit, hash, key, now_ns);
    if (entry != nullptr && only_if_absent) return SharedOutcome::kPresent;
    const uint64_t bytes_before = entry == nullptr ? 0 : bytes_of(key.size(), entry->value);
    if (!try_count(entry == nullptr ? 1 : 0, static_cast<int64_t>(bytes - bytes_before))) {
      return SharedOutcome::kFull;
    }
    if (entry == nullptr) entry = &visit.part.entries.insert(hash, key);
    std::swap(entry->value, value);  // what it was goes with the argument, after the lock
    visit.part.entries.set_due(*entry, due_ns);
    finish_write(visit, now_ns);
    return SharedOutcome::kOk;
  });
}

SharedOutcome SharedTable::inc(std::string_view key, double by, uint64_t now_ns, uint64_t expire_ms,
                               double& sum) {
  const uint64_t hash = hash_of(key);
  return making_room(now_ns, [&] {
    Visit visit(*this, part_of(hash), now_ns);
    SharedEntry* entry = find_live(visit, hash, key, now_ns);
    const bool fresh = entry == nullptr;
    if (!fresh && entry->value.kind() != SharedValue::Kind::kNumber) return SharedOutcome::kNotNumber;
    const double after = (fresh ? 0 : entry->value.number()) + by;
    if (!(std::fabs(after) <= kMaxInteger))
      return SharedOutcome::kOutOfRange;  // so is what is no number at all
    if (fresh) {
      if (!try_count(1, static_cast<int64_t>(kEntryBytes + key.size()))) return SharedOutcome::kFull;
      entry = &visit.part.entries.insert(hash, key);
    }
    entry->value = SharedValue::of_number(after);
    if (fresh || limits_.update_expire) visit.part.entries.set_due(*entry, due_after(now_ns, expire_ms));
    finish_write(visit, now_ns);
    sum = after;
    return SharedOutcome::kOk;
  });
}

bool SharedTable::erase(std::string_view key, uint64_t now_ns) {
  const uint64_t hash = hash_of(key);
  Visit visit(*this, part_of(hash), now_ns);
  SharedEntry* entry = find_live(visit, hash, key, now_ns);
  if (entry == nullptr) return false;
  drop(visit.part, *entry, visit.removed);
  finish_write(visit, now_ns);
  return true;
}

void SharedTable::clear() {
  for (uint32_t i = 0; i < parts_count_; ++i) {
    Part& part = parts_[i];
    SharedEntry* list;
    {
      const std::lock_guard lock(part.mutex);
      list = part.entries.remove_all();
      part.next_due_ns.store(kNeverDue, std::memory_order_release);
    }
    int64_t entries = 0;
    int64_t bytes = 0;
    while (list != nullptr) {
      const std::unique_ptr<SharedEntry> entry(std::exchange(list, list->next));
      ++entries;
      bytes += static_cast<int64_t>(bytes_of(entry->key.size(), entry->value));
    }
    try_count(-entries, -bytes);
  }
}

SharedTableStats SharedTable::stats(uint64_t now_ns) {
  while (reclaim(now_ns)) {
  }
  const uint64_t used = used_.load(std::memory_order_relaxed);
  return {used >> kByteBits, used & kByteMask, expired_.load(std::memory_order_relaxed),
          refused_.load(std::memory_order_relaxed)};
}

void SharedTable::snapshot(uint32_t number, uint64_t now_ns, SharedSnapshot& out) {
  Visit visit(*this, parts_[number], now_ns);
  out.items.reserve(out.items.size() + visit.part.entries.size());
  visit.part.entries.for_each([&](const SharedEntry& entry) {
    if (entry.due_ns <= now_ns) return;
    out.keys += entry.key;
    out.items.push_back({out.keys.size(), entry.value});
  });
}

bool SharedTable::check_invariants() const {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  bool good = true;
  for (uint32_t i = 0; i < parts_count_ && good; ++i) {
    const Part& part = parts_[i];
    const std::lock_guard lock(part.mutex);
    good = part.entries.check_invariants() &&
           part.next_due_ns.load(std::memory_order_relaxed) == part.entries.next_due_ns();
    part.entries.for_each([&](const SharedEntry& entry) {
      good = good && entry.hash == hash_of(entry.key) && entry.hash >> part_shift_ == i;
      good = good && entry.value.kind() != SharedValue::Kind::kMissing;
      bytes += bytes_of(entry.key.size(), entry.value);
    });
    entries += part.entries.size();
  }
  const uint64_t used = used_.load(std::memory_order_relaxed);
  return good && entries == used >> kByteBits && bytes == (used & kByteMask) &&
         entries <= limits_.max_entries && bytes <= limits_.max_bytes;
}

}  // namespace sip_async::core
