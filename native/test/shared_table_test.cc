#include "core/shared_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "test/support/seed.h"
#include "test/support/shared_table_bed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

// The table as one would write it with a sorted map. Drops what has expired before each step.
class Model {
 public:
  explicit Model(const SharedTableLimits& limits) : limits_(limits) {}

  void advance(uint64_t now_ns) {
    now_ns_ = now_ns;
    expired_ += std::erase_if(entries_, [&](const auto& each) { return each.second.due_ns <= now_ns; });
  }
  SharedValue get(const std::string& key) const {
    const auto at = entries_.find(key);
    return at == entries_.end() ? SharedValue() : at->second.value;
  }
  bool has(const std::string& key) const { return entries_.count(key) != 0; }
  SharedOutcome set(const std::string& key, const SharedValue& value, uint64_t expire_ms) {
    auto after = entries_;
    after[key] = {value, due(expire_ms)};
    if (after.size() > limits_.max_entries || bytes(after) > limits_.max_bytes) {
      ++refused_;
      return SharedOutcome::kFull;
    }
    entries_ = std::move(after);
    return SharedOutcome::kOk;
  }
  SharedOutcome inc(const std::string& key, double by, uint64_t expire_ms, double& sum) {
    const bool fresh = !has(key);
    const SharedValue before = fresh ? number(0) : get(key);
    if (before.kind() != SharedValue::Kind::kNumber) return SharedOutcome::kNotNumber;
    const double after = before.number() + by;
    if (std::isnan(after) || std::fabs(after) > SharedTable::kMaxInteger) return SharedOutcome::kOutOfRange;
    const uint64_t due_before = fresh ? 0 : entries_[key].due_ns;
    const SharedOutcome outcome = set(key, number(after), expire_ms);
    if (outcome != SharedOutcome::kOk) return outcome;
    if (!fresh && !limits_.update_expire) entries_[key].due_ns = due_before;
    sum = after;
    return outcome;
  }
  bool erase(const std::string& key) { return entries_.erase(key) != 0; }
  void clear() { entries_.clear(); }
  SharedTableStats stats() const { return {entries_.size(), bytes(entries_), expired_, refused_}; }
  std::map<std::string, SharedValue> all() const {
    std::map<std::string, SharedValue> out;
    for (const auto& [key, entry] : entries_) out.emplace(key, entry.value);
    return out;
  }

 private:
  struct Entry {
    SharedValue value;
    uint64_t due_ns = 0;
  };
  using Entries = std::map<std::string, Entry>;

  uint64_t due(uint64_t expire_ms) const {
    const uint64_t ms = expire_ms == SharedTable::kTableExpiry ? limits_.expire_ms : expire_ms;
    return ms == 0 ? kNeverDue : now_ns_ + ms * kMs;
  }
  static uint64_t bytes(const Entries& entries) {
    uint64_t sum = 0;
    for (const auto& [key, entry] : entries) {
      sum += SharedTable::kEntryBytes + key.size() + entry.value.data().size();
    }
    return sum;
  }

  SharedTableLimits limits_;
  Entries entries_;
  uint64_t now_ns_ = 0;
  uint64_t expired_ = 0;
  uint64_t refused_ = 0;
};

bool operator==(const SharedTableStats& a, const SharedTableStats& b) {
  return a.entries == b.entries && a.bytes == b.bytes && a.expired == b.expired && a.refused == b.refused;
}

SharedValue any_value(Random& random) {
  std::string data(random.below(300), 'x');
  for (char& c : data) c = static_cast<char>(random.below(256));
  switch (random.below(5)) {
    case 0:
      return SharedValue::of_boolean(random.one_in(2));
    case 1:
      return text(std::move(data));
    case 2:
      return SharedValue::of_bytes(std::move(data));
    default:
      return number(static_cast<double>(random.below(1000)));
  }
}

TEST_CASE("random steps give what a sorted map gives") {
  constexpr SharedTableLimits kCases[] = {
      {1'000, 1 << 20, 0, false},   // never full, nothing expires by itself
      {12, 1 << 20, 40, false},     // full of entries
      {1'000, 12 * 300, 40, true},  // full of bytes
      {1, SharedTable::kEntryBytes + 64, 5, false},
  };
  for (uint64_t number_of_case = 0; number_of_case < std::size(kCases); ++number_of_case) {
    CAPTURE(number_of_case);
    const SharedTableLimits& limits = kCases[number_of_case];
    Random random(number_of_case);
    Bed table(limits);
    Model model(limits);
    uint64_t now_ns = kStart;
    for (uint64_t step = 0; step < rounds(60'000); ++step) {
      CAPTURE(step);
      // Whole milliseconds and a nanosecond less, so that the very moment of expiry is met from both sides.
      if (random.one_in(3)) now_ns += random.below(20) * kMs;
      if (random.one_in(8)) now_ns += random.one_in(2) ? 1 : kMs - 1;
      model.advance(now_ns);
      const std::string key = "key" + std::to_string(random.below(30));
      const uint64_t expire_ms = random.one_in(2) ? SharedTable::kTableExpiry : random.below(60);
      switch (random.below(10)) {
        case 0:
        case 1:
        case 2: {
          const SharedValue value = any_value(random);
          REQUIRE(table.set(key, value, now_ns, expire_ms) == model.set(key, value, expire_ms));
          break;
        }
        case 3: {
          const SharedValue value = any_value(random);
          const SharedOutcome expected =
              model.has(key) ? SharedOutcome::kPresent : model.set(key, value, expire_ms);
          REQUIRE(table.set_if_absent(key, value, now_ns, expire_ms) == expected);
          break;
        }
        case 4:
        case 5: {
          const double by = random.one_in(10) ? SharedTable::kMaxInteger : 1.5;
          double sum = -1;
          double expected_sum = -1;
          const SharedOutcome expected = model.inc(key, by, expire_ms, expected_sum);
          REQUIRE(table.inc(key, by, now_ns, expire_ms, sum) == expected);
          REQUIRE(sum == expected_sum);
          break;
        }
        case 6:
          REQUIRE(table.erase(key, now_ns) == model.erase(key));
          break;
        case 7:
          if (!random.one_in(200)) break;
          REQUIRE(table.stats(now_ns) == model.stats());  // else what has expired would be cleared uncounted
          table.clear();
          model.clear();
          break;
        default:
          REQUIRE(table.get(key, now_ns) == model.get(key));
          REQUIRE(table.has(key, now_ns) == model.has(key));
      }
      if (step % 64 == 0) {
        REQUIRE(table.check_invariants());
        REQUIRE(all_of(table, now_ns) == model.all());
        if (random.one_in(4)) REQUIRE(table.stats(now_ns) == model.stats());
      }
    }
    CHECK(table.stats(now_ns) == model.stats());
    CHECK(model.stats().expired + model.stats().refused > 0);
  }
}

TEST_CASE("an entry is there until its time has passed in full, and not a nanosecond longer") {
  Bed table({1'000, 1 << 20, 10, false});
  table.set("table's own", number(1), kStart);
  table.set("longer", number(2), kStart, 20);
  table.set("never", number(3), kStart, 0);
  table.set("beyond all clocks", number(4), kStart, SharedTable::kTableExpiry - 1);
  CHECK(table.has("table's own", kStart + 10 * kMs - 1));
  CHECK_FALSE(table.has("table's own", kStart + 10 * kMs));
  CHECK(table.get("longer", kStart + 20 * kMs - 1) == number(2));
  CHECK(table.get("longer", kStart + 20 * kMs) == SharedValue());
  CHECK(table.has("never", kNeverDue - 1));
  CHECK(table.has("beyond all clocks", kNeverDue - 1));
  CHECK(table.stats(kStart + 20 * kMs).expired == 2);
}

TEST_CASE("set gives a new time, inc keeps the one there is unless the table says otherwise") {
  for (const bool update_expire : {false, true}) {
    CAPTURE(update_expire);
    Bed table({1'000, 1 << 20, 10, update_expire});
    double sum = 0;
    table.inc("counter", 1, kStart, SharedTable::kTableExpiry, sum);
    table.inc("counter", 1, kStart + 9 * kMs, 50, sum);
    CHECK(sum == 2);
    CHECK(table.has("counter", kStart + 10 * kMs) == update_expire);
    CHECK(table.has("counter", kStart + 59 * kMs - 1) == update_expire);
    CHECK_FALSE(table.has("counter", kStart + 59 * kMs));

    table.set("value", number(1), kStart, 5);
    table.set("value", number(1), kStart + 4 * kMs);
    CHECK(table.has("value", kStart + 14 * kMs - 1));
    CHECK_FALSE(table.has("value", kStart + 14 * kMs));
  }
}

TEST_CASE("what has expired is dropped by writes to any other key") {
  constexpr uint64_t kEntries = 5'000;
  Bed table;
  for (uint64_t i = 0; i < kEntries; ++i) table.set("key" + std::to_string(i), text("value"), kStart, 10);
  const uint64_t now_ns = kStart + 10 * kMs;
  REQUIRE(table.counted().entries == kEntries);
  uint64_t writes = 0;
  while (table.counted().entries > 1 && writes < kEntries) {
    table.set("other", number(1), now_ns);
    ++writes;
    // A bounded piece of work at a time.
    REQUIRE(table.counted().entries + 8 * writes >= kEntries);
  }
  CHECK(table.counted().entries == 1);
  CHECK(table.counted().bytes == SharedTable::kEntryBytes + 5);
  CHECK(table.counted().expired == kEntries);
  CHECK(table.check_invariants());
}

TEST_CASE("of many that expire at one moment none is seen, however few were dropped yet") {
  constexpr uint64_t kEntries = 2'000;
  Bed table(with_entries(kEntries));
  for (uint64_t i = 0; i < kEntries; ++i) table.set(std::to_string(i), number(1), kStart, 10);
  uint64_t seen = 0;
  // Not in an order in which they could be dropped.
  for (uint64_t i = 0; i < kEntries; ++i) {
    seen += table.has(std::to_string(i * 777 % kEntries), kStart + 10 * kMs);
  }
  CHECK(seen == 0);
  CHECK(table.counted().expired == kEntries);
}

TEST_CASE("reading drops some of what has expired, and the key it asks for") {
  Bed table(with_entries(1));
  table.set("key", text("value"), kStart, 1);
  CHECK_FALSE(table.has("key", kStart + kMs));
  CHECK(table.counted().entries == 0);
}

TEST_CASE("a full table refuses, changes nothing and takes again once there is room") {
  SUBCASE("entries") {
    Bed table(with_entries(3));
    for (const char* key : {"a", "b", "c"})
      REQUIRE(table.set(key, number(1), kStart, 10) == SharedOutcome::kOk);
    double sum = -1;
    CHECK(table.set("d", number(1), kStart) == SharedOutcome::kFull);
    CHECK(table.set_if_absent("d", number(1), kStart) == SharedOutcome::kFull);
    CHECK(table.inc("d", 1, kStart, SharedTable::kTableExpiry, sum) == SharedOutcome::kFull);
    CHECK(sum == -1);
    CHECK(all_of(table, kStart).size() == 3);
    CHECK(table.set("a", number(2), kStart, 20) == SharedOutcome::kOk);
    CHECK(table.inc("b", 1, kStart, SharedTable::kTableExpiry, sum) == SharedOutcome::kOk);
    CHECK(table.counted().refused == 3);
    // Two of them have expired, and nobody has looked.
    CHECK(table.set("d", number(1), kStart + 10 * kMs) == SharedOutcome::kOk);
    CHECK(table.set("e", number(1), kStart + 10 * kMs) == SharedOutcome::kOk);
    CHECK(table.set("f", number(1), kStart + 10 * kMs) == SharedOutcome::kFull);
    CHECK(table.erase("e", kStart + 10 * kMs));
    CHECK(table.set("f", number(1), kStart + 10 * kMs) == SharedOutcome::kOk);
    CHECK(table.check_invariants());
  }
  SUBCASE("bytes") {
    Bed table({1'000, 2 * (SharedTable::kEntryBytes + 100), 0, false});
    const std::string key = "k";
    CHECK(table.could_hold(1, 199 + SharedTable::kEntryBytes));
    CHECK_FALSE(table.could_hold(1, 200 + SharedTable::kEntryBytes));
    CHECK_FALSE(table.could_hold(~uint64_t{0} - 1'000, 1));
    CHECK_FALSE(table.could_hold(1, ~uint64_t{0}));
    CHECK(table.set(key, text(std::string(99, 'x')), kStart, 10) == SharedOutcome::kOk);
    CHECK(table.set("l", text(std::string(100, 'x')), kStart) == SharedOutcome::kFull);
    CHECK(table.set("l", text(std::string(99, 'x')), kStart) == SharedOutcome::kOk);
    CHECK(table.set("l", text(std::string(100, 'y')), kStart) == SharedOutcome::kFull);
    CHECK(table.get("l", kStart) == text(std::string(99, 'x')));
    // The refused one has not touched the time either.
    CHECK(table.set(key, text(std::string(100, 'y')), kStart, 50) == SharedOutcome::kFull);
    CHECK(table.has(key, kStart + 10 * kMs - 1));
    CHECK_FALSE(table.has(key, kStart + 10 * kMs));
    CHECK(table.set("l", text(std::string(100, 'y')), kStart + 10 * kMs) == SharedOutcome::kOk);
    CHECK(table.set("l", number(1), kStart + 10 * kMs) == SharedOutcome::kOk);
    CHECK(table.counted().bytes == SharedTable::kEntryBytes + 1);
    CHECK(table.check_invariants());
  }
}

TEST_CASE("inc adds to numbers only, and only as far as a double counts exactly") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  struct Case {
    SharedValue before;
    double by;
    SharedOutcome outcome;
    double sum;
  };
  const Case cases[] = {
      {number(1), 1, SharedOutcome::kOk, 2},
      {number(1), -3, SharedOutcome::kOk, -2},
      {number(0.5), 0.25, SharedOutcome::kOk, 0.75},
      {number(SharedTable::kMaxInteger - 1), 1, SharedOutcome::kOk, SharedTable::kMaxInteger},
      {number(SharedTable::kMaxInteger), 1, SharedOutcome::kOutOfRange, 0},
      {number(-SharedTable::kMaxInteger), -1, SharedOutcome::kOutOfRange, 0},
      {number(kInfinity), -1, SharedOutcome::kOutOfRange, 0},
      {number(kInfinity), -kInfinity, SharedOutcome::kOutOfRange, 0},
      {number(1), nan, SharedOutcome::kOutOfRange, 0},
      {SharedValue(), 7, SharedOutcome::kOk, 7},
      {SharedValue(), kInfinity, SharedOutcome::kOutOfRange, 0},
      {text("1"), 1, SharedOutcome::kNotNumber, 0},
      {SharedValue::of_bytes("1"), 1, SharedOutcome::kNotNumber, 0},
      {SharedValue::of_boolean(true), 1, SharedOutcome::kNotNumber, 0},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    CAPTURE(i);
    const Case& one = cases[i];
    Bed table;
    if (one.before.kind() != SharedValue::Kind::kMissing) table.set("key", one.before, kStart);
    double sum = 0;
    CHECK(table.inc("key", one.by, kStart, SharedTable::kTableExpiry, sum) == one.outcome);
    CHECK(sum == one.sum);
    const SharedValue after = one.outcome == SharedOutcome::kOk ? number(one.sum) : one.before;
    CHECK(table.get("key", kStart) == after);
    CHECK(table.check_invariants());
  }
}

TEST_CASE("any bytes make a key") {
  Bed table;
  const std::string keys[] = {"", std::string(1, '\0'), std::string(2, '\0'), std::string(100'000, 'k')};
  for (const std::string& key : keys) table.set(key, text(key), kStart);
  for (const std::string& key : keys) CHECK(table.get(key, kStart) == text(key));
  CHECK(table.counted().entries == std::size(keys));
}

TEST_CASE("a part tells keys of one hash apart") {
  SharedTablePart part;
  constexpr uint64_t kHash = 42;
  for (const char* key : {"a", "b", "c", "d"}) part.insert(kHash, key).value = text(key);
  CHECK(part.find(kHash, "e") == nullptr);
  CHECK(part.find(kHash + 8, "a") == nullptr);  // falls into the same bucket
  SharedEntry* middle = part.find(kHash, "c");
  part.remove(*middle);
  delete middle;
  CHECK(part.find(kHash, "c") == nullptr);
  for (const char* key : {"a", "b", "d"}) CHECK(part.find(kHash, key)->value == text(key));
  CHECK(part.check_invariants());
}

TEST_CASE("a part knows what expires first, whatever is set, moved and removed") {
  Random random(50);
  SharedTablePart part;
  std::map<std::string, uint64_t> model;
  for (uint64_t step = 0; step < rounds(50'000); ++step) {
    const std::string key = std::to_string(random.below(300));
    const uint64_t hash = std::stoull(key) * 0x9e37'79b9'7f4a'7c15u;
    SharedEntry* entry = part.find(hash, key);
    REQUIRE((entry != nullptr) == (model.count(key) != 0));
    if (entry != nullptr && random.one_in(3)) {
      part.remove(*entry);
      delete entry;
      model.erase(key);
    } else {
      if (entry == nullptr) entry = &part.insert(hash, key);
      const uint64_t due_ns = random.one_in(5) ? kNeverDue : random.below(1'000);
      part.set_due(*entry, due_ns);
      model[key] = due_ns;
    }
    uint64_t next_due_ns = kNeverDue;
    for (const auto& [name, due_ns] : model) next_due_ns = std::min(next_due_ns, due_ns);
    REQUIRE(part.next_due_ns() == next_due_ns);
    REQUIRE(part.size() == model.size());
    if (step % 64 == 0) REQUIRE(part.check_invariants());
  }
}

TEST_CASE("the more entries are allowed, the more parts share them") {
  for (const auto& [entries, parts] : std::map<uint64_t, uint32_t>{
           {1, 16}, {100'000, 32}, {262'144, 64}, {SharedTable::kMostEntries, 1024}}) {
    CHECK(Bed(with_entries(entries)).parts() == parts);
  }
}

}  // namespace
