// White space, quoted strings, numbers and parameters of RFC 3261 section 25, for bytes of any value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sip/byte_search.h"
#include "sip/char_class.h"
#include "sip/header_index.h"

namespace sip_async::sip::scan {

// What is usually a word of a few bytes is read byte by byte.
[[gnu::always_inline]] inline size_t skip(const char* data, size_t at, size_t end, CharClass wanted) {
  switch (wanted) {
    case kHost:
      return find<NotHost>(data, at, end);
    case kParamValue:
      return find<NotParamValue>(data, at, end);
    case kVisible:
      return find<NotVisible>(data, at, end);
    case kUri:
      return find<NotUri>(data, at, end);
    default:
      while (at < end && is_a(data[at], wanted)) ++at;
      return at;
  }
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
  ++at;
  while (at < end) {
    const char c = data[at];
    if (c == '"') return at + 1;
    // A run of quoted pairs is cheaper without a search for each of them.
    at = c == '\\' ? at + 2 : find<AnyOf<'"', '\\'>>(data, at + 1, end);
  }
  return 0;
}

// Behind the host that starts at `at`, with the brackets of an IPv6 address; `at` when there is none.
inline size_t host_end(const char* data, size_t at, size_t end) {
  if (at == end || data[at] != '[') return skip(data, at, end, kHost);
  size_t close = skip(data, at + 1, end, kIpv6);
  return close > at + 1 && close < end && data[close] == ']' ? close + 1 : at;
}

inline Slice slice(size_t begin, size_t end) {
  return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - begin)};
}

// For words of a few bytes, which a call of memcmp() costs more than.
inline bool is_same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  if (a.size() < 4 || a.size() > 8) return a == b;
  const auto differ_at = [&](size_t at) {
    uint32_t one, other;
    std::memcpy(&one, a.data() + at, sizeof one);
    std::memcpy(&other, b.data() + at, sizeof other);
    return one ^ other;
  };
  return (differ_at(0) | differ_at(a.size() - 4)) == 0;
}

inline bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

// The digits at `at`: moves `at` behind them. A number above 32 bits comes out as some number above 32 bits.
inline uint64_t take_digits(const char* data, size_t& at, size_t end) {
  uint64_t number = 0;
  size_t behind = at;
  for (; behind < end; ++behind) {
    const unsigned digit = static_cast<unsigned char>(data[behind]) - unsigned{'0'};
    if (digit > 9) break;
    if (number <= UINT32_MAX) number = number * 10 + digit;
  }
  at = behind;
  return number;
}

// Nothing but digits, at least one, at most `max`. Leading zeros are legal in SIP ("CSeq: 0009 INVITE").
inline bool read_decimal(std::string_view text, uint32_t max, uint32_t& out) {
  size_t at = 0;
  const uint64_t number = take_digits(text.data(), at, text.size());
  if (at == 0 || at != text.size() || number > max) return false;
  out = static_cast<uint32_t>(number);
  return true;
}

// The first comma outside quotes and < > at or behind `at`, else `end`. What is opened and never closed
// reaches `end`.
inline size_t value_end(const char* data, size_t at, size_t end) {
  while (at < end) {
    const char c = data[at];
    if (c == ',') return at;
    if (c == '"') {
      at = skip_quoted(data, at, end);
      if (at == 0) return end;
    } else if (c == '<') {
      at = find<AnyOf<'>'>>(data, at + 1, end);
      if (at >= end) return end;
      ++at;
    } else {
      at = find<AnyOf<',', '"', '<'>>(data, at + 1, end);
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
