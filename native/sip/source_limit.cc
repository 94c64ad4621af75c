#include "sip/source_limit.h"

#include <sched.h>
#include <sys/random.h>

#include <algorithm>
#include <string_view>

#include "core/siphash.h"
#include "core/task_queue.h"

namespace sip_async::sip {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

uint64_t draw() {
  uint64_t out = 0;
  while (getrandom(&out, sizeof out, 0) != sizeof out) {
  }
  return out;
}

// What of an address names the source. An IPv4 address that came in by an IPv6 socket is one all the same.
std::string_view source_of(const Address& from) {
  const char* bytes = reinterpret_cast<const char*>(from.bytes);
  if (from.family == AF_INET) return {bytes, 4};
  if (memcmp(from.bytes, kMappedPrefix, sizeof kMappedPrefix) == 0) return {bytes + sizeof kMappedPrefix, 4};
  return {bytes, 8};
}

}  // namespace

SourceLimit::SourceLimit(const Config& config)
    : interval_ns_(kNsPerSecond / std::clamp(config.rate, 1u, kMaxRate)),
      depth_ns_(interval_ns_ * (std::clamp(config.burst, 1u, kMaxBurst) - 1)),
      key0_(config.key0),
      key1_(config.key1),
      mask_(core::TaskQueue::rounded(config.sets) - 1),
      sets_(new Set[size_t{mask_} + 1]) {
  if (key0_ == 0 && key1_ == 0) {
    key0_ = draw();
    key1_ = draw();
  }
}

bool SourceLimit::allow(const Address& from, uint64_t now_ns) {
  const core::Hash128 hash = core::SipHash(key0_, key1_).add(source_of(from)).finish();
  const uint64_t source = hash.high | 1;  // never the mark of an empty entry
  Set& set = sets_[hash.low & mask_];
  for (uint32_t spins = 0; set.locked.exchange(1, std::memory_order_acquire) != 0; ++spins) {
    // The holder may have been taken off its core; then spinning only keeps it away.
    if (spins < 64) {
      core::cpu_relax();
    } else {
      sched_yield();
    }
  }
  Entry* found = &set.entries[0];
  for (Entry& entry : set.entries) {
    if (entry.source == source) {
      found = &entry;
      break;
    }
    // An empty one is as full as can be.
    if (entry.full_at < found->full_at) found = &entry;
  }
  if (found->source != source) *found = Entry{source, 0};
  const bool allowed = found->full_at <= now_ns + depth_ns_;
  if (allowed) found->full_at = std::max(found->full_at, now_ns) + interval_ns_;
  set.locked.store(0, std::memory_order_release);
  return allowed;
}

}  // namespace sip_async::sip
