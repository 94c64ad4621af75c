// The limit on requests per source: token buckets against a naive model, forgetting, and threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "sip/source_limit.h"
#include "test/support/seed.h"

using namespace sip_async;
using sip::Address;
using sip::SourceLimit;
using test::Random;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

Address ipv4(uint32_t number) {
  Address out;
  out.family = AF_INET;
  out.port = static_cast<uint16_t>(number * 7);
  for (int i = 0; i < 4; ++i) out.bytes[i] = static_cast<uint8_t>(number >> (24 - 8 * i));
  return out;
}

Address address(const std::string& host) {
  Address out;
  REQUIRE(Address::parse(host, 5060, out));
  return out;
}

uint32_t admitted(SourceLimit& limit, const Address& from, uint64_t now, uint32_t tries) {
  uint32_t out = 0;
  for (; tries > 0; --tries) out += limit.allow(from, now);
  return out;
}

// Whole tokens in fractions of an interval, counted up step by step: slow, and with no arithmetic in common.
class Model {
 public:
  Model(uint64_t interval, uint64_t burst) : interval_(interval), most_(burst * interval) {}
  bool allow(uint32_t source, uint64_t now) {
    auto [at, fresh] = sources_.try_emplace(source, Bucket{most_, now});
    Bucket& bucket = at->second;
    bucket.level = std::min(most_, bucket.level + (now - bucket.seen));
    bucket.seen = now;
    if (bucket.level < interval_) return false;
    bucket.level -= interval_;
    return true;
  }

 private:
  struct Bucket {
    uint64_t level;
    uint64_t seen;
  };
  uint64_t interval_, most_;
  std::map<uint32_t, Bucket> sources_;
};

}  // namespace

TEST_CASE("a burst, then the rate") {
  SourceLimit limit({.rate = 10, .burst = 5});
  const Address one = ipv4(1), other = ipv4(2);
  CHECK(admitted(limit, one, kSecond, 100) == 5);
  CHECK(admitted(limit, one, kSecond + kSecond / 10 - 1, 100) == 0);
  CHECK(admitted(limit, one, kSecond + kSecond / 10, 100) == 1);
  CHECK(admitted(limit, one, 2 * kSecond, 100) == 5);  // nine tenths: more than the burst
  CHECK(admitted(limit, other, 2 * kSecond, 100) == 5);
  CHECK(admitted(limit, one, 1000 * kSecond, 100) == 5);
  // Refused requests cost nothing: who goes on trying gets what the rate allows.
  uint32_t all = 0;
  for (uint64_t ms = 0; ms < 10'000; ++ms) all += limit.allow(one, 2000 * kSecond + ms * 1'000'000);
  CHECK(all == 5 + 99);
}

TEST_CASE("the largest and the smallest settings") {
  SourceLimit fast({.rate = SourceLimit::kMaxRate, .burst = SourceLimit::kMaxBurst});
  CHECK(admitted(fast, ipv4(1), 5, SourceLimit::kMaxBurst + 10) == SourceLimit::kMaxBurst);
  SourceLimit slow({.rate = 1, .burst = SourceLimit::kMaxBurst});
  CHECK(admitted(slow, ipv4(1), 0, SourceLimit::kMaxBurst + 10) == SourceLimit::kMaxBurst);
  CHECK(admitted(slow, ipv4(1), kSecond, 10) == 1);
  SourceLimit strict({.rate = 1, .burst = 1, .sets = 1});
  CHECK(admitted(strict, ipv4(1), 0, 10) == 1);
  CHECK(admitted(strict, ipv4(1), kSecond, 10) == 1);
  CHECK(strict.bytes() <= 256);
}

TEST_CASE("what is one source") {
  SourceLimit limit({.rate = 1, .burst = 1});
  const auto takes = [&limit](const char* host) { return limit.allow(address(host), 1); };
  CHECK(takes("192.0.2.1"));
  CHECK_FALSE(takes("192.0.2.1"));
  CHECK(takes("192.0.2.2"));
  CHECK_FALSE(takes("::ffff:192.0.2.1"));  // the same, come in by an IPv6 socket
  CHECK(takes("::ffff:192.0.2.3"));
  CHECK(takes("2001:db8:1:2::1"));
  CHECK_FALSE(takes("2001:db8:1:2:ffff::7"));
  CHECK(takes("2001:db8:1:3::1"));
  Address other_port = address("192.0.2.1");
  other_port.port = 9;
  CHECK_FALSE(limit.allow(other_port, 1));
}

TEST_CASE("random requests of a few sources are treated as the model says") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const uint32_t rate = 1 + random.below32(round % 2 == 0 ? 20 : 1'000'000);
    const uint32_t burst = 1 + random.below32(30);
    const uint32_t sources = 1 + random.below32(20);
    const uint64_t interval = kSecond / rate;
    SourceLimit limit({.rate = rate, .burst = burst, .key0 = random.bits() | 1, .key1 = random.bits()});
    Model model(interval, burst);
    uint64_t now = random.below(1000 * kSecond);
    for (int step = 0; step < 2000; ++step) {
      now += random.one_in(50) ? random.below(burst * interval * 2) : random.below(interval / 2 + 1);
      const uint32_t source = random.below32(sources);
      REQUIRE(limit.allow(ipv4(source), now) == model.allow(source, now));
    }
  }
}

TEST_CASE(
    "sources beyond the table: nobody is refused because of others, and who floods is held down meanwhile") {
  Random random(2);
  SourceLimit limit({.rate = 10, .burst = 10, .sets = 4, .key0 = 1, .key1 = 2});
  const Address known = ipv4(0xc0000201);
  uint64_t now = kSecond;
  uint32_t stranger = 0;
  for (int step = 0; step < 2000; ++step) {
    now += kSecond / 10;
    for (int i = 0; i < 100; ++i) limit.allow(ipv4(++stranger), now);
    CHECK(limit.allow(known, now));  // within its rate
  }
  // One who sends much among many who send once is the last to be forgotten.
  uint32_t in = 0;
  for (int i = 0; i < 1000; ++i) {
    in += limit.allow(known, now);
    limit.allow(ipv4(++stranger), now);
  }
  CHECK(in <= 11);
}

TEST_CASE("threads admit no more together than one would") {
  for (uint32_t sets : {1u, 8192u}) {
    SourceLimit limit({.rate = 1000, .burst = 500, .sets = sets});
    std::atomic<uint32_t> in[3] = {};
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (uint32_t i = 0; i < 30'000; ++i) {
          const uint32_t source = (i + thread) % 3;
          if (limit.allow(ipv4(source), kSecond + i * 1000)) in[source].fetch_add(1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& count : in) {
      CHECK(count.load() >= 500);
      CHECK(count.load() <= 500 + 31);
    }
  }
}
