// What the programs that compare contenders share: the choice on the command line, the clocks, the line of a figure.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "core/clock.h"

namespace sip_async::bench {

inline uint64_t process_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

// Wall and CPU time of the process, added up over the stretches between start() and stop().
class Meter {
 public:
  void start() {
    cpu_begin_ = process_cpu_ns();
    begin_ = core::now_ns();
  }
  void stop(uint64_t operations) {
    ns_ += core::now_ns() - begin_;
    cpu_ns_ += process_cpu_ns() - cpu_begin_;
    operations_ += operations;
  }
  uint64_t operations() const { return operations_; }
  void print(const char* name) const {
    if (operations_ == 0) return;
    const auto count = static_cast<double>(operations_);
    std::printf("%s\t%.2f\tns/op\n", name, static_cast<double>(ns_) / count);
    std::printf("%s, CPU\t%.2f\tns/op\n", name, static_cast<double>(cpu_ns_) / count);
  }

 private:
  uint64_t begin_ = 0;
  uint64_t cpu_begin_ = 0;
  uint64_t ns_ = 0;
  uint64_t cpu_ns_ = 0;
  uint64_t operations_ = 0;
};

// Spreads what it is given over 64 bits, so that two sums of it are equal only when they are of the same things.
inline uint64_t mixed(uint64_t value) {
  value = (value ^ value >> 31) * 0x9e37'79b9'7f4a'7c15u;
  return value ^ value >> 29;
}

[[noreturn]] inline void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

inline uint64_t number_of(const char* text) {
  char* end = nullptr;
  const uint64_t number = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') fail(std::string("not a number: ") + text);
  return number;
}

template <class Run>
struct Contender {
  std::string name;
  Run run;
};

// `--list` prints the names of those that were built; anything else is the name of one of them.
template <class Run>
const Contender<Run>& choose(const std::vector<Contender<Run>>& contenders, int argc, char** argv,
                             const char* usage) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  if (wanted == "--list") {
    for (const auto& each : contenders) std::printf("%s\n", each.name.c_str());
    std::exit(0);
  }
  for (const auto& each : contenders) {
    if (each.name == wanted) return each;
  }
  fail(std::string("Usage: ") + argv[0] + " " + usage + "\n       " + argv[0] + " --list");
}

}  // namespace sip_async::bench
