#include "core/region.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "core/cache_line.h"

namespace sip_async::core {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2 << 20;

size_t rounded_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

Region::Region(size_t bytes, Pages pages) {
  if (bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();  // rounding up must not make it small
  const bool huge = pages == Pages::kHuge && bytes >= kHugePage;
  const size_t page = huge ? kHugePage : kPage;
  size_ = rounded_up(bytes, page);
  mapped_ = size_ + (huge ? page : 0);  // the kernel gives no alignment beyond a small page
  // Shared memory has huge pages only where the machine's owner has asked for them.
  const int sharing = huge ? MAP_PRIVATE : MAP_SHARED;
  mapping_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(mapping_);
  if (!huge) return;
  base_ += rounded_up(reinterpret_cast<uintptr_t>(base_), page) - reinterpret_cast<uintptr_t>(base_);
  (void)madvise(base_, size_, MADV_HUGEPAGE);
}

Region::~Region() {
  munmap(mapping_, mapped_);
}

size_t Region::padded(size_t bytes) {
  return rounded_up(bytes, kCacheLine);
}

void* Region::take_bytes(size_t bytes) {
  const size_t need = padded(bytes);
  if (bytes > size_ - taken_ || need > size_ - taken_) throw std::bad_alloc();
  void* at = base_ + taken_;
  taken_ += need;
  return at;
}

}  // namespace sip_async::core
