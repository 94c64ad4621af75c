// Threads that begin together, and bounds that fit builds with a sanitizer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "core/clock.h"

namespace sip_async::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

// How often a loop runs: a tenth under a sanitizer, which is about that much slower.
constexpr uint64_t rounds(uint64_t plain) {
  return kSanitized ? plain / 10 : plain;
}

// Runs every body in a thread of its own and waits for all of them.
inline void run_together(const std::vector<std::function<void()>>& bodies) {
  std::latch begin(static_cast<std::ptrdiff_t>(bodies.size()));
  std::vector<std::thread> threads;
  for (const auto& body : bodies) {
    threads.emplace_back([&begin, &body] {
      begin.arrive_and_wait();
      body();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Runs body(0) .. body(count - 1), each in a thread of its own.
template <class Body>
void run_together(uint32_t count, Body body) {
  std::vector<std::function<void()>> bodies;
  for (uint32_t i = 0; i < count; ++i) bodies.push_back([&body, i] { body(i); });
  run_together(bodies);
}

// Ends a test that would hang. Generous, because it says nothing about speed.
inline constexpr uint64_t kGuardNs = 20'000'000'000u;

inline void sleep_us(uint64_t us) {
  std::this_thread::sleep_for(std::chrono::microseconds(us));
}

// Waits until condition() holds; false when the guard ended it.
template <class Condition>
bool eventually(Condition condition) {
  const uint64_t end_ns = core::now_ns() + kGuardNs;
  while (!condition()) {
    if (core::now_ns() > end_ns) return false;
    sleep_us(100);
  }
  return true;
}

}  // namespace sip_async::test
