#include "core/region.h"

#include <sys/mman.h>

#include <new>

#include "core/cache_line.h"

namespace sip_async::core {

Region::Region(size_t bytes) {
  constexpr size_t kPage = 4096;
  size_ = (bytes + kPage - 1) / kPage * kPage;
  void* at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(at);
}

Region::~Region() {
  munmap(base_, size_);
}

size_t Region::padded(size_t bytes) {
  return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

void* Region::take_bytes(size_t bytes) {
  const size_t need = padded(bytes);
  if (bytes > size_ - taken_ || need > size_ - taken_) throw std::bad_alloc();
  void* at = base_ + taken_;
  taken_ += need;
  return at;
}

}  // namespace sip_async::core
