// The header names that have a number, in a table without collisions: a line is compared with the one name that it can be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sip/byte_search.h"
#include "sip/header_index.h"

namespace sip_async::sip {

struct KnownHeader {
  alignas(16) std::array<char, 16> name{};  // in lower case, with the colon behind it
  alignas(
      16) std::array<char, 16> fold{};  // the case bit of letters; of '-' it would be what CR turns into, too
  uint16_t bits = 0xffff;               // one for each byte of `name`; for no header, what no line has
  uint8_t length = 0;                   // without the colon
  HeaderId id = HeaderId::kOther;
};

inline constexpr size_t kShortestKnownHeader = 2;
inline constexpr size_t kLongestKnownHeader = 14;
inline constexpr size_t kKnownHeaderSlots = 64;

// Where a name of that length stands, or would. `third` is its third byte, a colon behind a name of two.
constexpr size_t known_header_slot(size_t length, char third) {
  return (length * 10 + (static_cast<unsigned char>(third) | 0x20u)) % kKnownHeaderSlots;
}

inline constexpr std::array<KnownHeader, kKnownHeaderSlots> kKnownHeaders = [] {
  struct Name {
    std::string_view text;
    HeaderId id;
  };
  constexpr Name kNames[] = {
      {"to", HeaderId::kTo},
      {"via", HeaderId::kVia},
      {"from", HeaderId::kFrom},
      {"cseq", HeaderId::kCseq},
      {"route", HeaderId::kRoute},
      {"reason", HeaderId::kReason},
      {"call-id", HeaderId::kCallId},
      {"contact", HeaderId::kContact},
      {"expires", HeaderId::kExpires},
      {"require", HeaderId::kRequire},
      {"supported", HeaderId::kSupported},
      {"timestamp", HeaderId::kTimestamp},
      {"user-agent", HeaderId::kUserAgent},
      {"max-forwards", HeaderId::kMaxForwards},
      {"content-type", HeaderId::kContentType},
      {"record-route", HeaderId::kRecordRoute},
      {"proxy-require", HeaderId::kProxyRequire},
      {"content-length", HeaderId::kContentLength},
  };
  std::array<KnownHeader, kKnownHeaderSlots> table{};
  for (const auto& [text, id] : kNames) {
    if (text.size() < kShortestKnownHeader || text.size() > kLongestKnownHeader) throw "no room for the name";
    KnownHeader& entry = table[known_header_slot(text.size(), text.size() == 2 ? ':' : text[2])];
    if (entry.length != 0) throw "two names in one slot";
    for (size_t i = 0; i < text.size(); ++i) {
      entry.name[i] = text[i];
      entry.fold[i] = text[i] == '-' ? 0 : 0x20;
    }
    entry.name[text.size()] = ':';
    entry.bits = static_cast<uint16_t>((2u << text.size()) - 1);
    entry.length = static_cast<uint8_t>(text.size());
    entry.id = id;
  }
  return table;
}();

#ifdef SIP_ASYNC_WIDE_SEARCH
// The known header whose name, with the colon at once behind it, the sixteen bytes at `line` begin with; else none.
inline const KnownHeader* known_header_at(const char* line) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line));
  const unsigned colons = scan::bits(scan::equal(bytes, ':'));
  if (colons == 0) return nullptr;
  const KnownHeader& entry = kKnownHeaders[known_header_slot(scan::first_of(colons), line[2])];
  const __m128i folded =
      _mm_or_si128(bytes, _mm_load_si128(reinterpret_cast<const __m128i*>(entry.fold.data())));
  const unsigned same =
      scan::bits(_mm_cmpeq_epi8(folded, _mm_load_si128(reinterpret_cast<const __m128i*>(entry.name.data()))));
  return (same & entry.bits) == entry.bits ? &entry : nullptr;
}
#endif

}  // namespace sip_async::sip
