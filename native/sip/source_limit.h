// How many requests a source may make: a token bucket for each source address, in a table of fixed size.
//
// Ground rules
// - A source is an IPv4 address or the first 64 bits of an IPv6 address: who has one IPv6 address has all of its /64.
// - A bucket is one number, the time at which it would be full again. A source that nobody remembers has a full bucket, so
//   forgetting a source whose time has passed loses nothing.
// - A newcomer takes the place of the source in its set whose bucket is the fullest. So an entry is only ever forgotten in
//   its source's favour: strangers with many addresses can make the table forget, never make it refuse somebody else. With
//   more addresses than the table has room for the limit gets loose; what then holds is max_transactions.
// - Which set a source falls into is decided by a keyed hash, so that nobody can aim at another's set.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "sip/address.h"

namespace sip_async::sip {

class SourceLimit {
 public:
  static constexpr uint32_t kWays = 7;
  static constexpr uint32_t kMaxRate = 1'000'000;
  static constexpr uint32_t kMaxBurst = 1'000'000;

  struct Config {
    uint32_t rate = 1;     // requests a second, 1 to kMaxRate
    uint32_t burst = 1;    // requests at once, 1 to kMaxBurst
    uint32_t sets = 8192;  // a power of two; 128 bytes and kWays sources each
    uint64_t key0 = 0;     // both 0: drawn from the system
    uint64_t key1 = 0;
  };
  explicit SourceLimit(const Config& config);

  // Any thread. `now_ns` is monotonic time; threads may come with times that are a little out of order. False when the
  // source has no request left, which costs it nothing more.
  bool allow(const Address& from, uint64_t now_ns);

  size_t bytes() const { return size_t{mask_ + 1} * sizeof(Set); }

 private:
  struct Entry {
    uint64_t source = 0;   // half of the keyed hash; 0: empty
    uint64_t full_at = 0;  // when the bucket is full again
  };
  struct alignas(64) Set {
    // Written by whoever locks (acquire) and unlocks (release); the pair hands on the entries.
    std::atomic<uint32_t> locked{0};
    Entry entries[kWays];
  };
  static_assert(sizeof(Set) == 128);

  uint64_t interval_ns_;
  uint64_t depth_ns_;  // how far ahead of now `full_at` may be for another request to go in
  uint64_t key0_, key1_;
  uint32_t mask_;
  std::unique_ptr<Set[]> sets_;
};

}  // namespace sip_async::sip
