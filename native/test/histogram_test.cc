#include "core/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"

namespace {

using sip_async::core::Histogram;
using sip_async::test::Random;
using sip_async::test::rounds;
using sip_async::test::run_together;

// The smallest value that at least `percent` of all values do not exceed.
uint64_t exact_percentile(std::vector<uint64_t> values, uint64_t percent) {
  std::sort(values.begin(), values.end());
  const uint64_t rank = (values.size() * percent + 99) / 100;
  return values[rank - 1];
}

// Never below the exact value, and above it by a sixteenth at most.
void check_close(double measured_ms, uint64_t exact_us) {
  const double exact_ms = static_cast<double>(exact_us) / 1000;
  CHECK(measured_ms >= doctest::Approx(exact_ms).epsilon(1e-9));
  CHECK(measured_ms <= doctest::Approx(exact_ms * 17 / 16).epsilon(1e-9));
}

TEST_CASE("an empty histogram is all zero") {
  const Histogram::Snapshot empty = Histogram().snapshot();
  CHECK(empty.count == 0);
  CHECK(empty.p50_ms == 0);
  CHECK(empty.p99_ms == 0);
  CHECK(empty.max_ms == 0);
}

TEST_CASE("a single value is told exactly, up to nineteen hours") {
  std::vector<uint64_t> values;
  for (uint64_t us = 0; us < 70'000; ++us) values.push_back(us);
  for (uint32_t bit = 16; bit < 36; ++bit) {
    values.push_back((uint64_t{1} << bit) - 1);
    values.push_back(uint64_t{1} << bit);
    values.push_back((uint64_t{1} << bit) + (uint64_t{1} << (bit - 4)) + 1);
  }
  const auto histogram = std::make_unique<Histogram>();
  for (const uint64_t us : values) {
    std::construct_at(histogram.get());
    histogram->record_us(us);
    const Histogram::Snapshot snapshot = histogram->snapshot();
    const double ms = static_cast<double>(us) / 1000;
    REQUIRE(snapshot.count == 1);
    REQUIRE(snapshot.max_ms == ms);
    REQUIRE(snapshot.p50_ms == ms);
    REQUIRE(snapshot.p99_ms == ms);
  }
}

TEST_CASE("percentiles are those of the sorted values, a sixteenth too high at most") {
  Random random(1);
  for (uint64_t round = 0; round < rounds(200); ++round) {
    Histogram histogram;
    std::vector<uint64_t> values;
    const uint64_t spread = uint64_t{1} << random.below(36);
    const uint64_t count = random.between(1, 2000);
    for (uint64_t i = 0; i < count; ++i) {
      values.push_back(random.below(spread));
      histogram.record_us(values.back());
    }
    const Histogram::Snapshot snapshot = histogram.snapshot();
    CHECK(snapshot.count == count);
    CHECK(snapshot.max_ms == static_cast<double>(*std::max_element(values.begin(), values.end())) / 1000);
    check_close(snapshot.p50_ms, exact_percentile(values, 50));
    check_close(snapshot.p99_ms, exact_percentile(values, 99));
  }
}

TEST_CASE("a percentile is not understated by values that have no bucket of their own") {
  Histogram histogram;
  const uint64_t beyond_us = uint64_t{1} << 40;
  histogram.record_us(1);
  histogram.record_us(beyond_us);
  histogram.record_us(beyond_us);
  CHECK(histogram.snapshot().p50_ms >= static_cast<double>(beyond_us) / 1000);
}

TEST_CASE("nanoseconds are counted as whole microseconds") {
  Histogram histogram;
  histogram.record_ns(1'999);
  CHECK(histogram.snapshot().max_ms == 0.001);
}

TEST_CASE("no value of several threads is lost") {
  constexpr uint32_t kThreads = 4;
  const uint64_t each = rounds(200'000);
  Histogram histogram;
  std::atomic<uint64_t> max{0};
  std::atomic<bool> bad{false};
  run_together(kThreads, [&](uint32_t thread) {
    Random random(100 + thread);
    uint64_t mine = 0;
    for (uint64_t i = 0; i < each; ++i) {
      const uint64_t us = random.below(1'000'000);
      mine = std::max(mine, us);
      histogram.record_us(us);
      if (i % 10'000 == 0) {
        const Histogram::Snapshot snapshot = histogram.snapshot();
        if (snapshot.count < i || snapshot.p50_ms > snapshot.p99_ms || snapshot.p99_ms > snapshot.max_ms)
          bad = true;
      }
    }
    uint64_t seen = max.load();
    while (mine > seen && !max.compare_exchange_weak(seen, mine)) {
    }
  });
  CHECK_FALSE(bad);
  const Histogram::Snapshot snapshot = histogram.snapshot();
  CHECK(snapshot.count == kThreads * each);
  CHECK(snapshot.max_ms == static_cast<double>(max.load()) / 1000);
}

}  // namespace
