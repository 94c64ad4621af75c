// Words that messages are made of, compared in any case without a loop.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sip_async::sip {

template <size_t Length>
using WordFor =
    std::conditional_t<(Length >= 8), uint64_t, std::conditional_t<(Length >= 4), uint32_t, uint16_t>>;

// Text that is looked for in any case, written in lower case: two words that overlap, so that a comparison takes two loads and
// no loop. Only letters are folded: '-' with the case bit set would also be what CR turns into.
template <size_t Size>
class KnownText {
 public:
  static constexpr size_t kLength = Size - 1;
  static_assert(kLength >= 2 && kLength <= 16);

  consteval explicit KnownText(const char (&lower)[Size])
      : first_(word(lower, 0)),
        last_(word(lower, kLength - sizeof(Word))),
        first_fold_(fold(lower, 0)),
        last_fold_(fold(lower, kLength - sizeof(Word))) {}

  // Reads kLength bytes at `text`.
  bool matches(const char* text) const {
    Word first;
    Word last;
    std::memcpy(&first, text, sizeof(Word));
    std::memcpy(&last, text + kLength - sizeof(Word), sizeof(Word));
    return static_cast<Word>(first | first_fold_) == first_ && static_cast<Word>(last | last_fold_) == last_;
  }

 private:
  using Word = WordFor<kLength>;
  using Bytes = std::array<char, sizeof(Word)>;

  static consteval Word word(const char (&lower)[Size], size_t at) {
    Bytes bytes{};
    for (size_t i = 0; i < sizeof(Word); ++i) bytes[i] = lower[at + i];
    return std::bit_cast<Word>(bytes);
  }
  static consteval Word fold(const char (&lower)[Size], size_t at) {
    Bytes bytes{};
    for (size_t i = 0; i < sizeof(Word); ++i)
      bytes[i] = lower[at + i] >= 'a' && lower[at + i] <= 'z' ? 0x20 : 0;
    return std::bit_cast<Word>(bytes);
  }

  Word first_, last_, first_fold_, last_fold_;
};

}  // namespace sip_async::sip
