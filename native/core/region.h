// The region: one shared mapping that holds every slot, timer, queue cell and payload byte of an engine.
//
// Ground rules
// - What lies in the region refers to other things in it by index or offset, never by pointer, and has no vtable, so
//   that it could be mapped at another address.
// - The mapping is made without reserving memory: a page costs nothing until it is first touched. Sizes can therefore
//   be generous; what counts is the high-water mark of use.
// - Space is handed out once, while the engine is being put together, by one thread. Nothing is ever given back.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sip_async::core {

class Region {
 public:
  // Huge: for a table that is looked up at random from the first call on, so that all of it is touched soon anyway. In small
  // pages almost every look is a walk through the page tables as well. The kernel may refuse them, which only costs time;
  // less than one huge page is small ones.
  enum class Pages { kSmall, kHuge };
  // Throws std::bad_alloc when the address space cannot be had.
  explicit Region(size_t bytes, Pages pages = Pages::kSmall);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Takes `count` objects of T, zero-filled and aligned to a cache line. Throws std::bad_alloc when they do not fit.
  template <class T>
  T* take(size_t count) {
    return static_cast<T*>(take_bytes(sizeof(T) * count));
  }
  void* take_bytes(size_t bytes);

  // Bytes that take_bytes() uses up for a request, so that a caller can add up the size it needs.
  static size_t padded(size_t bytes);

  size_t size() const { return size_; }
  size_t taken() const { return taken_; }
  const char* base() const { return base_; }

 private:
  void* mapping_ = nullptr;
  size_t mapped_ = 0;
  char* base_ = nullptr;
  size_t size_ = 0;
  size_t taken_ = 0;
};

}  // namespace sip_async::core
