// Character classes, white space and numbers of RFC 3261 section 25, for bytes of any value.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "sip/header_index.h"

namespace sip_async::sip::scan {

enum CharClass : uint8_t {
  kToken = 1,
  kHost = 2,        // a host name, without IPv6 brackets; '_' is illegal there, and common
  kParamValue = 4,  // an unquoted parameter value; wider than a token, since deployed branches and tags are
  kVisible = 8,     // 0x21 to 0x7e
  kAlpha = 16,
  kDigit = 32,
  kIpv6 = 64,
  kUri = 128,  // anything but control bytes, white space, < > and quotes; UTF-8, too
};

inline constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> classes{};
  auto mark = [&classes](std::string_view chars, int bits) {
    for (char c : chars) {
      auto& entry = classes[static_cast<unsigned char>(c)];
      entry = static_cast<uint8_t>(entry | bits);
    }
  };
  for (size_t c = 0x21; c < 0x100; ++c) {
    if (c == 0x7f) continue;
    classes[c] = c < 0x7f ? kVisible | kParamValue | kUri : kParamValue | kUri;
  }
  for (char c : std::string_view(";,\"<>")) {
    classes[static_cast<unsigned char>(c)] = c == ';' || c == ',' ? kVisible | kUri : kVisible;
  }
  mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", kToken | kHost | kAlpha);
  mark("0123456789", kToken | kHost | kDigit);
  mark("0123456789abcdefABCDEF:.", kIpv6);
  mark("-.!%*_+`'~", kToken);
  mark("-._", kHost);
  return classes;
}();

inline bool is_a(char c, CharClass wanted) {
  return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
}
inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}
inline bool is_wsp(char c) {
  return c == ' ' || c == '\t';
}
// Inside a header line CR and LF can only belong to a fold, so they count as white space there.
inline bool is_lws(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
inline char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

inline size_t skip(const char* data, size_t at, size_t end, CharClass wanted) {
  for (; at + 4 <= end; at += 4) {
    if (!is_a(data[at], wanted)) return at;
    if (!is_a(data[at + 1], wanted)) return at + 1;
    if (!is_a(data[at + 2], wanted)) return at + 2;
    if (!is_a(data[at + 3], wanted)) return at + 3;
  }
  while (at < end && is_a(data[at], wanted)) ++at;
  return at;
}
inline size_t skip_lws(const char* data, size_t at, size_t end) {
  while (at < end && is_lws(data[at])) ++at;
  return at;
}
inline size_t trim_end(const char* data, size_t begin, size_t end) {
  while (end > begin && is_lws(data[end - 1])) --end;
  return end;
}

// `at` is the offset of the opening quote. Returns the offset behind the closing one, or 0 when there is
// none.
inline size_t skip_quoted(const char* data, size_t at, size_t end) {
  for (++at; at < end; ++at) {
    if (data[at] == '"') return at + 1;
    if (data[at] == '\\') ++at;
  }
  return 0;
}

inline Slice slice(size_t begin, size_t end) {
  return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - begin)};
}

inline bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

// Nothing but digits, at least one, at most `max`. Leading zeros are legal in SIP ("CSeq: 0009 INVITE").
inline bool read_decimal(std::string_view text, uint32_t max, uint32_t& out) {
  if (text.empty()) return false;
  uint64_t number = 0;
  for (char c : text) {
    if (!is_digit(c)) return false;
    number = number * 10 + static_cast<uint64_t>(c - '0');
    if (number > max) return false;
  }
  out = static_cast<uint32_t>(number);
  return true;
}

// The first control byte (0x00 to 0x1f, 0x7f) at or behind `at`, else `end`. It finds line ends and forbidden
// bytes in one go, sixteen or eight bytes a step. In the eight-byte form a borrow can only mark bytes above a
// real hit, so the lowest marked byte is always right.
inline size_t find_control(const char* data, size_t at, size_t end) {
#ifdef __SSE2__
  for (; at + 16 <= end; at += 16) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + at));
    __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i is_del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    auto hits = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(is_low, is_del)));
    if (hits != 0) return at + static_cast<size_t>(std::countr_zero(hits));
  }
#endif
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101u;
    constexpr uint64_t kHighs = 0x8080808080808080u;
    for (; at + 8 <= end; at += 8) {
      uint64_t word;
      std::memcpy(&word, data + at, 8);
      uint64_t below_space = (word - kOnes * 0x20) & ~word;
      uint64_t not_del = word ^ (kOnes * 0x7f);
      uint64_t is_del = (not_del - kOnes) & ~not_del;
      uint64_t hits = (below_space | is_del) & kHighs;
      if (hits != 0) return at + static_cast<size_t>(std::countr_zero(hits)) / 8;
    }
  }
  for (; at < end; ++at) {
    if (is_control(data[at])) return at;
  }
  return end;
}

// The first ':' at or behind `at`, else `end`.
inline size_t find_colon(const char* data, size_t at, size_t end) {
#ifdef __SSE2__
  if (at + 16 <= end) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + at));
    auto hits = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(':'))));
    if (hits != 0) return at + static_cast<size_t>(std::countr_zero(hits));
    at += 16;
  }
#endif
  const void* colon = std::memchr(data + at, ':', end - at);
  return colon == nullptr ? end : static_cast<size_t>(static_cast<const char*>(colon) - data);
}

// The first comma outside quotes and < > at or behind `at`, else `end`. What is opened and never closed
// reaches `end`.
inline size_t value_end(const char* data, size_t at, size_t end) {
  while (at < end) {
    char c = data[at];
    if (c == ',') return at;
    if (c == '"') {
      at = skip_quoted(data, at, end);
      if (at == 0) return end;
    } else if (c == '<') {
      const void* close = std::memchr(data + at, '>', end - at);
      if (close == nullptr) return end;
      at = static_cast<size_t>(static_cast<const char*>(close) - data) + 1;
    } else {
      ++at;
    }
  }
  return end;
}

struct Param {
  Slice name;
  Slice value;
  bool has_value = false;
  bool is_quoted = false;
};

enum class ParamResult { kParam, kNone, kMalformed };

// Reads ";name" or ";name=value" at `at` and moves `at` behind it. kNone leaves `at` at a comma or at `end`.
inline ParamResult next_param(const char* data, size_t& at, size_t end, Param& out) {
  at = skip_lws(data, at, end);
  if (at == end || data[at] == ',') return ParamResult::kNone;
  if (data[at] != ';') return ParamResult::kMalformed;
  size_t name_at = skip_lws(data, at + 1, end);
  size_t name_end = skip(data, name_at, end, kToken);
  if (name_end == name_at) return ParamResult::kMalformed;
  out.name = slice(name_at, name_end);
  out.value = Slice{};
  out.has_value = out.is_quoted = false;
  at = skip_lws(data, name_end, end);
  if (at == end || data[at] != '=') return ParamResult::kParam;

  size_t value_at = skip_lws(data, at + 1, end);
  out.has_value = true;
  out.is_quoted = value_at < end && data[value_at] == '"';
  at = out.is_quoted ? skip_quoted(data, value_at, end) : skip(data, value_at, end, kParamValue);
  if (at <= value_at) return ParamResult::kMalformed;
  out.value = slice(value_at, at);
  return ParamResult::kParam;
}

}  // namespace sip_async::sip::scan
