// A shared table with a seeded secret, and what it holds as a sorted map.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>

#include "core/clock.h"
#include "core/shared_table.h"
#include "test/support/seed.h"

namespace sip_async::test {

inline constexpr uint64_t kMs = core::kNsPerMs;
inline constexpr uint64_t kStart = 1'000 * kMs;

inline core::SharedValue number(double value) {
  return core::SharedValue::of_number(value);
}
inline core::SharedValue text(std::string value) {
  return core::SharedValue::of_text(std::move(value));
}

struct Bed : core::SharedTable {
  explicit Bed(const core::SharedTableLimits& limits = {}) : core::SharedTable(limits, seed(), ~seed()) {}
  // What is counted now, with expired entries that nobody has dropped yet: nothing has expired at time 0.
  core::SharedTableStats counted() { return stats(0); }
};

inline core::SharedTableLimits with_entries(uint64_t max_entries) {
  core::SharedTableLimits limits;
  limits.max_entries = max_entries;
  return limits;
}

inline std::map<std::string, core::SharedValue> all_of(core::SharedTable& table, uint64_t now_ns) {
  std::map<std::string, core::SharedValue> out;
  core::SharedSnapshot copy;
  for (uint32_t part = 0; part < table.parts(); ++part) table.snapshot(part, now_ns, copy);
  size_t begin = 0;
  for (const auto& [key_end, value] : copy.items) {
    const bool fresh = out.emplace(copy.keys.substr(begin, key_end - begin), value).second;
    CHECK(fresh);
    begin = key_end;
  }
  return out;
}

}  // namespace sip_async::test
