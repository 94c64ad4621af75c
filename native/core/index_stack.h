// A stack of free indexes without a lock (Treiber's stack). Slots and payload blocks are kept free in one of these.
//
// Ground rules
// - The stack owns no memory: the caller's `link(index)` gives the std::atomic<uint32_t> of that element. The link
//   must not be used for anything that is not atomic, ever: a thread in pop() may still read the link of an element
//   that another thread has just taken and is using.
// - `head_` packs a tag that every pop and push counts up, so that a head which was popped and pushed again in
//   between is told apart (ABA). 2^32 operations would have to pass while one thread sits between two instructions.
//
//   63          32 31           0
//   [    tag     ][ index + 1    ]     index + 1 == 0: empty. All zero bytes are an empty stack.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/cache_line.h"

namespace sip_async::core {

inline constexpr uint32_t kNone = 0xffff'ffff;

class alignas(kCacheLine) IndexStack {
 public:
  template <class Link>
  void push(uint32_t index, Link&& link) {
    uint64_t head = head_.load(std::memory_order_relaxed);
    uint64_t next;
    do {
      // Relaxed: published to the popper by the release below.
      link(index).store(static_cast<uint32_t>(head), std::memory_order_relaxed);
      next = ((head >> 32) + 1) << 32 | (index + 1);
      // Release: whoever pops this index (acquire in pop) sees all that was written to the element before.
    } while (!head_.compare_exchange_weak(head, next, std::memory_order_release, std::memory_order_relaxed));
  }

  // Pushes several at once. link(indexes[i]) is written here; the one pushed last is the last of the array.
  template <class Link>
  void push_many(const uint32_t* indexes, uint32_t count, Link&& link) {
    if (count == 0) return;
    // Relaxed, as in push().
    for (uint32_t i = 1; i < count; ++i)
      link(indexes[i]).store(indexes[i - 1] + 1, std::memory_order_relaxed);
    uint64_t head = head_.load(std::memory_order_relaxed);
    uint64_t next;
    do {
      link(indexes[0]).store(static_cast<uint32_t>(head), std::memory_order_relaxed);
      next = ((head >> 32) + 1) << 32 | (indexes[count - 1] + 1);
      // Release, as in push(): whoever pops one of them, sooner or later, does so behind this.
    } while (!head_.compare_exchange_weak(head, next, std::memory_order_release, std::memory_order_relaxed));
  }

  // The index pushed last, or kNone.
  template <class Link>
  uint32_t pop(Link&& link) {
    // Acquire: pairs with the release of the push that made this head.
    uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const uint32_t top = static_cast<uint32_t>(head);
      if (top == 0) return kNone;
      // May read the link of an element that was taken meanwhile; then the tag differs and the exchange fails.
      const uint32_t below = link(top - 1).load(std::memory_order_relaxed);
      const uint64_t next = ((head >> 32) + 1) << 32 | below;
      if (head_.compare_exchange_weak(head, next, std::memory_order_acquire, std::memory_order_acquire)) {
        return top - 1;
      }
    }
  }

  // Walks the stack. Only while nobody pushes or pops (tests, invariant checks).
  template <class Link, class Visit>
  void for_each_quiescent(Link&& link, Visit&& visit) const {
    uint32_t at = static_cast<uint32_t>(head_.load(std::memory_order_acquire));
    while (at != 0) {
      visit(at - 1);
      at = link(at - 1).load(std::memory_order_relaxed);
    }
  }

 private:
  // Written by every push and pop (any thread), read by the same; pairs with itself as said above.
  std::atomic<uint64_t> head_{0};
};

}  // namespace sip_async::core
