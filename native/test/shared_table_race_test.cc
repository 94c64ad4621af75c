// Threads on one shared table.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "core/shared_table.h"
#include "test/support/seed.h"
#include "test/support/shared_table_bed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

TEST_CASE("what they add up is what comes out") {
  constexpr uint32_t kThreads = 4;
  constexpr uint64_t kCounters = 8;
  const uint64_t each = rounds(200'000);
  Bed table;
  run_together(kThreads, [&](uint32_t thread) {
    Random random(100 + thread);
    double sum = 0;
    for (uint64_t i = 0; i < each; ++i) {
      const std::string key = "counter" + std::to_string(random.below(kCounters));
      if (table.inc(key, 1, kStart, SharedTable::kTableExpiry, sum) != SharedOutcome::kOk) return;
    }
  });
  double total = 0;
  for (const auto& [key, value] : all_of(table, kStart)) total += value.number();
  CHECK(total == static_cast<double>(kThreads * each));
  CHECK(table.check_invariants());
}

TEST_CASE("of all that set a missing key one wins, again and again") {
  constexpr uint32_t kThreads = 4;
  const uint64_t laps = rounds(20'000);
  Bed table;
  std::atomic<uint64_t> won{0};
  run_together(kThreads, [&](uint32_t) {
    for (uint64_t lap = 0; lap < laps; ++lap) {
      if (table.set_if_absent(std::to_string(lap), number(1), kStart) == SharedOutcome::kOk) won.fetch_add(1);
    }
  });
  CHECK(won == laps);
  CHECK(table.counted().entries == laps);
}

TEST_CASE("a key that is taken by its absence and given back is held by one") {
  constexpr uint32_t kThreads = 4;
  Bed table(with_entries(1));
  uint64_t plain = 0;  // a hand-over without order would be a data race
  std::atomic<uint64_t> taken{0};
  run_together(kThreads, [&](uint32_t) {
    for (uint64_t i = 0; i < rounds(50'000); ++i) {
      if (table.set_if_absent("lock", number(1), kStart) != SharedOutcome::kOk) continue;
      ++plain;
      taken.fetch_add(1, std::memory_order_relaxed);
      table.erase("lock", kStart);
    }
  });
  CHECK(plain == taken);
  CHECK(plain > 0);
}

TEST_CASE("no value is torn, no limit broken, nothing seen after its time") {
  constexpr uint32_t kThreads = 4;
  constexpr uint64_t kKeys = 400;
  SharedTableLimits limits{200, 200 * 400, 3, false};
  Bed table(limits);
  std::atomic<uint64_t> clock_ns{kStart};
  std::atomic<uint64_t> wrong{0};
  run_together(kThreads, [&](uint32_t thread) {
    Random random(200 + thread);
    for (uint64_t i = 0; i < rounds(100'000); ++i) {
      // Also other threads' work is then done at times that lie behind: time is each caller's own reading.
      const uint64_t now_ns = clock_ns.fetch_add(random.below(kMs / 250));
      const std::string key = std::to_string(random.below(kKeys));
      switch (random.below(16)) {
        case 0:
          table.erase(key, now_ns);
          break;
        case 1: {
          SharedSnapshot copy;
          table.snapshot(random.below32(table.parts()), now_ns, copy);
          break;
        }
        case 2:
          if (random.one_in(500)) table.clear();
          break;
        case 3: {
          const SharedTableStats stats = table.stats(now_ns);
          if (stats.entries > limits.max_entries || stats.bytes > limits.max_bytes) wrong.fetch_add(1);
          break;
        }
        case 4:
        case 5:
        case 6:
        case 7: {
          // Key, time and a filling that all have to fit together.
          std::string value = key + " " + std::to_string(now_ns) + " ";
          value.append(random.below(200), key.back());
          table.set(key, SharedValue::of_text(std::move(value)), now_ns);
          break;
        }
        default: {
          const SharedValue value = table.get(key, now_ns);
          if (value.kind() == SharedValue::Kind::kMissing) break;
          const std::string data(value.data());
          const size_t space = data.find(' ');
          const size_t filling = data.find(' ', space + 1) + 1;
          const uint64_t set_ns = std::stoull(data.substr(space + 1));
          if (data.substr(0, space) != key || set_ns + 3 * kMs <= now_ns) wrong.fetch_add(1);
          if (data.find_first_not_of(key.back(), filling) != std::string::npos) wrong.fetch_add(1);
        }
      }
    }
  });
  CHECK(wrong == 0);
  CHECK(table.check_invariants());
  const SharedTableStats last = table.stats(clock_ns + 10 * kMs);
  CHECK(last.entries == 0);
  CHECK(last.bytes == 0);
  CHECK(last.expired > 0);
  CHECK(last.refused > 0);
  CHECK(table.check_invariants());
}

TEST_CASE("a copy holds exactly once what is there all the time") {
  constexpr uint64_t kStable = 300;
  Bed table(with_entries(2'000));
  for (uint64_t i = 0; i < kStable; ++i) table.set("stable" + std::to_string(i), number(1), kStart);
  std::atomic<bool> end{false};
  uint64_t wrong = 0;
  run_together({[&] {
                  for (uint64_t lap = 0; lap < rounds(400); ++lap) {
                    uint64_t stable = 0;
                    for (const auto& [key, value] : all_of(table, kStart))
                      stable += key.rfind("stable", 0) == 0;
                    wrong += stable != kStable;
                  }
                  end.store(true);
                },
                [&] {
                  Random random(300);
                  while (!end.load()) {
                    const std::string key = "fleeting" + std::to_string(random.below(5'000));
                    if (random.one_in(2)) {
                      table.set(key, number(1), kStart);
                    } else {
                      table.erase(key, kStart);
                    }
                  }
                }});
  CHECK(wrong == 0);
  CHECK(table.check_invariants());
}

}  // namespace
