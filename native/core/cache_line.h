// Cache-line size used for alignment. 64 bytes is right for x86-64 and for the arm64 machines that Node runs on; a
// wrong guess costs speed (false sharing), never correctness.
#pragma once

#include <cstddef>

namespace sip_async::core {

inline constexpr size_t kCacheLine = 64;

// Told to the processor inside a spin loop, so that a sibling hardware thread gets the execution units.
inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace sip_async::core
