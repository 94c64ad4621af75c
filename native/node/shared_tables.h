// What is one for the whole process: the shared tables, by number and by name.
//
// A table lives as long as the process: routes of any thread may hold its number. The table of number 0 has no name; it
// is the one behind `shv`.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <string>

#include "core/shared_table.h"

namespace sip_async::node {

// Names of the figures that sharedLimits and sharedStats write, in their order. Exported once, never typed twice.
inline constexpr const char* kSharedLimits[] = {"maxEntries", "maxBytes", "expireMs", "updateExpire"};
inline constexpr const char* kSharedStats[] = {"entries", "bytes", "expired", "refused"};

class SharedTables {
 public:
  static constexpr uint32_t kMostTables = 1024;

  // Never destroyed: threads of the process may outlive static destructors.
  static SharedTables& instance() {
    static SharedTables* tables = new SharedTables;
    return *tables;
  }

  // nullptr for a number that was never given out.
  core::SharedTable* at(uint32_t number) const {
    // Acquire: pairs with the release in add().
    return number < kMostTables ? tables_[number].load(std::memory_order_acquire) : nullptr;
  }
  // The number of the table of this name, which is made with these limits unless there is one; -1 when there are as many
  // as there can be.
  int32_t open(const std::string& name, const core::SharedTableLimits& limits) {
    const std::lock_guard lock(mutex_);
    const auto found = numbers_.find(name);
    if (found != numbers_.end()) return static_cast<int32_t>(found->second);
    if (count_ == kMostTables) return -1;
    const uint32_t number = add(limits);
    numbers_.emplace(name, number);
    return static_cast<int32_t>(number);
  }

 private:
  SharedTables() { add({}); }

  uint32_t add(const core::SharedTableLimits& limits) {
    uint64_t secret[2];
    if (getentropy(secret, sizeof secret) != 0) throw std::bad_alloc();
    tables_[count_].store(new core::SharedTable(limits, secret[0], secret[1]), std::memory_order_release);
    return count_++;
  }

  std::mutex mutex_;
  std::map<std::string, uint32_t> numbers_;
  uint32_t count_ = 0;
  // Each written once, under the mutex, by whoever opens the table first; read by every operation without it.
  std::atomic<core::SharedTable*> tables_[kMostTables] = {};
};

}  // namespace sip_async::node
