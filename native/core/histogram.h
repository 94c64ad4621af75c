// A histogram of times in microseconds with about 6 % resolution, written by any thread without waiting.
//
// Values up to 16 have a bucket each; above, every power of two is divided into 16. A snapshot taken while others write
// may miss the newest values; it is never wrong by more than those.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace sip_async::core {

class Histogram {
 public:
  static constexpr uint32_t kSteps = 16;
  static constexpr uint32_t kBuckets = kSteps * 33;

  void record_us(uint64_t us) {
    // Relaxed: counts only, nothing is published through them.
    buckets_[bucket_of(us)].fetch_add(1, std::memory_order_relaxed);
    uint64_t max = max_us_.load(std::memory_order_relaxed);
    while (us > max && !max_us_.compare_exchange_weak(max, us, std::memory_order_relaxed)) {
    }
  }
  void record_ns(uint64_t ns) { record_us(ns / 1000); }

  struct Snapshot {
    double p50_ms = 0, p99_ms = 0, max_ms = 0;
    uint64_t count = 0;
  };
  Snapshot snapshot() const {
    Snapshot out;
    uint64_t counts[kBuckets];
    for (uint32_t i = 0; i < kBuckets; ++i) {
      counts[i] = buckets_[i].load(std::memory_order_relaxed);
      out.count += counts[i];
    }
    const uint64_t max = max_us_.load(std::memory_order_relaxed);
    out.max_ms = static_cast<double>(max) / 1000;
    out.p50_ms = percentile(counts, out.count, 50, max);
    out.p99_ms = percentile(counts, out.count, 99, max);
    return out;
  }

 private:
  static uint32_t bucket_of(uint64_t us) {
    if (us < kSteps) return static_cast<uint32_t>(us);
    const auto exponent = static_cast<uint32_t>(std::bit_width(us)) - 1;  // >= 4
    const uint32_t bucket = (exponent - 3) * kSteps + static_cast<uint32_t>(us >> (exponent - 4)) % kSteps;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  // Upper end of a bucket, so that a percentile never understates.
  static uint64_t upper_us(uint32_t bucket) {
    if (bucket < kSteps) return bucket;
    const uint32_t exponent = bucket / kSteps + 3;
    return ((uint64_t{kSteps} + bucket % kSteps + 1) << (exponent - 4)) - 1;
  }
  static double percentile(const uint64_t* counts, uint64_t total, uint64_t percent, uint64_t max_us) {
    if (total == 0) return 0;
    const uint64_t rank = (total * percent + 99) / 100;
    uint64_t seen = 0;
    // The last bucket has no upper end.
    for (uint32_t i = 0; i + 1 < kBuckets; ++i) {
      seen += counts[i];
      if (seen >= rank) return static_cast<double>(upper_us(i) < max_us ? upper_us(i) : max_us) / 1000;
    }
    return static_cast<double>(max_us) / 1000;
  }

  // Written by every thread that measures, read by snapshot(); relaxed, see record_us().
  std::atomic<uint64_t> buckets_[kBuckets] = {};
  std::atomic<uint64_t> max_us_{0};
};

}  // namespace sip_async::core
