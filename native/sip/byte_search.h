// Searches for the first byte of a kind, sixteen bytes a step where the processor has SSE2 (every x86-64) and byte by byte
// elsewhere. Nothing outside of data[0, end) is read: what is left behind the last full step is looked at in the sixteen bytes
// that end where the search ends, as long as there are so many in front of it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sip/char_class.h"

#if defined(__SSE2__) && !defined(SIP_ASYNC_PLAIN_SEARCH)
#define SIP_ASYNC_WIDE_SEARCH 1
#include <emmintrin.h>
#endif

namespace sip_async::sip::scan {

// A program may hold both forms, to compare them.
#ifdef SIP_ASYNC_WIDE_SEARCH
inline namespace wide_search {

using Bytes16 = __m128i;

inline Bytes16 all(char c) {
  return _mm_set1_epi8(c);
}
inline Bytes16 equal(Bytes16 bytes, char c) {
  return _mm_cmpeq_epi8(bytes, all(c));
}
inline Bytes16 either(Bytes16 a, Bytes16 b) {
  return _mm_or_si128(a, b);
}
// Without a sign: 0x80 and above is more than 0x7f.
inline Bytes16 at_most(Bytes16 bytes, char last) {
  return _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(last)), bytes);
}
inline Bytes16 between(Bytes16 bytes, char first, char last) {
  return at_most(_mm_sub_epi8(bytes, all(first)), static_cast<char>(last - first));
}
inline Bytes16 angles(Bytes16 bytes) {  // '<' and '>' differ in one bit
  return equal(_mm_and_si128(bytes, all('\xfd')), '<');
}
inline unsigned bits(Bytes16 hits) {
  return static_cast<unsigned>(_mm_movemask_epi8(hits));
}
inline Bytes16 bytes_at(const char* at) {
  return _mm_loadu_si128(reinterpret_cast<const Bytes16*>(at));
}
inline size_t first_of(uint64_t hits) {
  return static_cast<unsigned>(std::countr_zero(hits));
}
#else
inline namespace plain_search {
#endif

// The kinds that are searched for. Each says it of one byte and, where there are wide searches, of sixteen.

// Line ends and forbidden bytes in one go.
struct Control {
  static bool is_hit(char c) { return is_control(c); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    return bits(either(at_most(b, '\x1f'), equal(b, '\x7f')));
  }
#endif
};

template <char... kChars>
struct AnyOf {
  static bool is_hit(char c) { return ((c == kChars) || ...); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    Bytes16 found = _mm_setzero_si128();
    ((found = either(found, equal(b, kChars))), ...);
    return bits(found);
  }
#endif
};

struct NotVisible {
  static bool is_hit(char c) { return !is_a(c, kVisible); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  // With a sign: 0x80 and above is less than 0x21, too.
  static unsigned hits(Bytes16 b) {
    return bits(either(_mm_cmpgt_epi8(all(0x21), b), equal(b, '\x7f')));
  }
#endif
};

struct NotUri {
  static bool is_hit(char c) { return !is_a(c, kUri); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    return bits(either(either(at_most(b, ' '), equal(b, '\x7f')), either(equal(b, '"'), angles(b))));
  }
#endif
};

// Of a URI in ASCII.
struct NotVisibleUri {
  static bool is_hit(char c) { return !is_a(c, kVisible) || !is_a(c, kUri); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    const Bytes16 invisible = either(_mm_cmpgt_epi8(all(0x21), b), equal(b, '\x7f'));
    return bits(either(invisible, either(equal(b, '"'), angles(b))));
  }
#endif
};

struct NotParamValue {
  static bool is_hit(char c) { return !is_a(c, kParamValue); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    const Bytes16 no_uri =
        either(either(at_most(b, ' '), equal(b, '\x7f')), either(equal(b, '"'), angles(b)));
    return bits(either(no_uri, either(equal(b, ';'), equal(b, ','))));
  }
#endif
};

struct NotHost {
  static bool is_hit(char c) { return !is_a(c, kHost); }
#ifdef SIP_ASYNC_WIDE_SEARCH
  static unsigned hits(Bytes16 b) {
    const Bytes16 letters = between(_mm_or_si128(b, all(0x20)), 'a', 'z');
    // '-', '.', '/' and the digits follow each other.
    const Bytes16 others = _mm_andnot_si128(equal(b, '/'), between(b, '-', '9'));
    return bits(either(either(letters, others), equal(b, '_'))) ^ 0xffff;
  }
#endif
};

// The first byte of that kind in data[at, end), else `end`.
// A call of its own, since wide searches want it for the odd end only.
template <class Kind>
[[gnu::noinline]] size_t find_plain(const char* data, size_t at, size_t end) {
  while (at < end && !Kind::is_hit(data[at])) ++at;
  return at;
}

#ifdef SIP_ASYNC_WIDE_SEARCH
inline constexpr size_t kSearchStep = sizeof(Bytes16);

// For fewer bytes than a step.
template <class Kind>
[[gnu::always_inline]] inline size_t find_in_rest(const char* data, size_t at, size_t end) {
  if (at >= end) return at;
  if (end < kSearchStep) [[unlikely]]
    return find_plain<Kind>(data, at, end);
  const unsigned hits = Kind::hits(bytes_at(data + end - kSearchStep)) >> (kSearchStep - (end - at));
  return hits == 0 ? end : at + first_of(hits);
}

template <class Kind>
[[gnu::noinline]] size_t find_far(const char* data, size_t at, size_t end) {
  for (; at + kSearchStep <= end; at += kSearchStep) {
    if (const unsigned hits = Kind::hits(bytes_at(data + at)); hits != 0) return at + first_of(hits);
  }
  return find_in_rest<Kind>(data, at, end);
}

// Most that is searched for is near: only what is not takes a call and a loop.
template <class Kind>
[[gnu::always_inline]] inline size_t find(const char* data, size_t at, size_t end) {
  if (at + kSearchStep <= end) {
    if (const unsigned hits = Kind::hits(bytes_at(data + at)); hits != 0) return at + first_of(hits);
    at += kSearchStep;
    if (at + kSearchStep <= end) return find_far<Kind>(data, at, end);
  }
  return find_in_rest<Kind>(data, at, end);
}

// The control bytes of a message, one after the other: what find<Control>() finds for offsets that only grow, with each byte
// looked at once. A bit for each of 64 bytes.
class ControlWalk {
 public:
  ControlWalk(const char* data, size_t size)
      : data_(data), size_(size), hits_(size < kStep ? 0 : hits_at(size_t{0})) {}

  // The first control byte at or behind `at`, else the size. `at` is no less than it was the last time.
  [[gnu::always_inline]] size_t next(size_t at) {
    if (at - base_ < kStep) [[likely]] {
      hits_ &= ~uint64_t{0} << (at - base_);
      if (hits_ != 0) return base_ + first_of(hits_);
      if (base_ + kStep > size_) return find<Control>(data_, at, size_);
      at = base_ + kStep;
    }
    for (; at + kStep <= size_; at += kStep) {
      hits_ = hits_at(at);
      base_ = at;
      if (hits_ != 0) return at + first_of(hits_);
    }
    return next_of_rest(at);
  }

 private:
  static constexpr size_t kStep = 64;

  static uint64_t hits_at(const char* at) {
    return uint64_t{Control::hits(bytes_at(at))} | uint64_t{Control::hits(bytes_at(at + 16))} << 16 |
           uint64_t{Control::hits(bytes_at(at + 32))} << 32 |
           uint64_t{Control::hits(bytes_at(at + 48))} << 48;
  }
  uint64_t hits_at(size_t at) const { return hits_at(data_ + at); }

  // Of fewer than 64 bytes: those of the last 64, without what was looked at before.
  size_t next_of_rest(size_t at) {
    if (size_ < kStep) return find<Control>(data_, at, size_);
    if (at >= size_) return size_;
    base_ = at;
    hits_ = hits_at(size_ - kStep) >> (kStep - (size_ - at));
    return hits_ == 0 ? size_ : at + first_of(hits_);
  }

  const char* data_;
  size_t size_;
  size_t base_ = 0;
  uint64_t hits_;
};
#else
template <class Kind>
inline size_t find(const char* data, size_t at, size_t end) {
  return find_plain<Kind>(data, at, end);
}

// Every byte of a message's head is asked whether it is one of these, so there is a form of eight bytes a step. A borrow can
// only mark bytes above a real hit, so the lowest marked byte is always right.
template <>
inline size_t find<Control>(const char* data, size_t at, size_t end) {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101u;
    constexpr uint64_t kHighs = 0x8080808080808080u;
    for (; at + 8 <= end; at += 8) {
      uint64_t word;
      std::memcpy(&word, data + at, 8);
      const uint64_t below_space = (word - kOnes * 0x20) & ~word;
      const uint64_t not_del = word ^ (kOnes * 0x7f);
      const uint64_t is_del = (not_del - kOnes) & ~not_del;
      const uint64_t hits = (below_space | is_del) & kHighs;
      if (hits != 0) return at + static_cast<size_t>(std::countr_zero(hits)) / 8;
    }
  }
  return find_plain<Control>(data, at, end);
}
#endif

// The same as ControlWalk for a single line, and for processors without wide searches.
class ControlSearch {
 public:
  ControlSearch(const char* data, size_t size) : data_(data), size_(size) {}
  size_t next(size_t at) const { return find<Control>(data_, at, size_); }

 private:
  const char* data_;
  size_t size_;
};
#ifndef SIP_ASYNC_WIDE_SEARCH
using ControlWalk = ControlSearch;
#endif

}  // namespace wide_search or plain_search
}  // namespace sip_async::sip::scan
