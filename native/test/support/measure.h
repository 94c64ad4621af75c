// Runs a piece of work several times and prints the median: name, value, unit, with tabs between.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "core/clock.h"

namespace sip_async::test {

// Keeps the compiler from dropping a value that nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

inline void report(const std::string& name, double value, const char* unit) {
  std::printf("%s\t%.1f\t%s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}

// `round` does its own preparing and returns the nanoseconds of what counts, for `operations` operations.
template <class Round>
void measure(const std::string& name, uint64_t operations, Round round, uint32_t times = 5) {
  std::vector<double> each;
  for (uint32_t i = 0; i < times; ++i)
    each.push_back(static_cast<double>(round()) / static_cast<double>(operations));
  std::nth_element(each.begin(), each.begin() + each.size() / 2, each.end());
  report(name, each[each.size() / 2], "ns/op");
}

class Stopwatch {
 public:
  uint64_t ns() const { return core::now_ns() - begin_ns_; }

 private:
  uint64_t begin_ns_ = core::now_ns();
};

}  // namespace sip_async::test
