// The seed of a randomized run: printed once, and set by SIP_ASYNC_TEST_SEED to repeat a failure.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace sip_async::test {

inline uint64_t seed() {
  static const uint64_t value = [] {
    const char* given = std::getenv("SIP_ASYNC_TEST_SEED");
    uint64_t chosen = 0;
    if (given != nullptr) {
      chosen = std::strtoull(given, nullptr, 0);
    } else {
      std::random_device device;
      chosen = uint64_t{device()} << 32 | device();
    }
    std::printf("SIP_ASYNC_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    std::fflush(stdout);
    return chosen;
  }();
  return value;
}

// Random numbers that depend on nothing but the seed and the stream, so that each thread and each test case
// draws the same ones again whatever else runs.
class Random {
 public:
  explicit Random(uint64_t stream) : engine_(seed() + stream * 0x9e37'79b9'7f4a'7c15u) {}

  uint64_t bits() { return engine_(); }
  // In [0, bound).
  uint64_t below(uint64_t bound) { return engine_() % bound; }
  uint32_t below32(uint32_t bound) { return static_cast<uint32_t>(engine_() % bound); }
  // In [low, high].
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace sip_async::test
