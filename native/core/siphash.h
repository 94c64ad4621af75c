// SipHash-2-4 with a result of 128 bits (Aumasson and Bernstein, 2012): the keyed hash behind transaction keys, To tags
// and shared tables. Strangers choose the bytes that are hashed, so the hash must be one they cannot steer without the key.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sip_async::core {

struct Hash128 {
  uint64_t high = 0, low = 0;
  bool operator==(const Hash128&) const = default;
};

// Takes pieces one after the other; the result is that of their concatenation.
class SipHash {
 public:
  SipHash(uint64_t key0, uint64_t key1)
      : v0_(0x736f6d6570736575ull ^ key0),
        v1_(0x646f72616e646f6dull ^ key1 ^ 0xee),
        v2_(0x6c7967656e657261ull ^ key0),
        v3_(0x7465646279746573ull ^ key1) {}

  SipHash& add(std::string_view text) {
    const char* at = text.data();
    size_t left = text.size();
    total_ += left;
    while (filled_ != 0 && left != 0) {
      push_byte(static_cast<uint8_t>(*at++));
      --left;
    }
    for (; left >= 8; left -= 8, at += 8) {
      uint64_t word;
      memcpy(&word, at, 8);
      if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
      absorb(word);
    }
    while (left-- != 0) push_byte(static_cast<uint8_t>(*at++));
    return *this;
  }
  // A byte that cannot be mistaken for text: keeps "ab","c" apart from "a","bc".
  SipHash& separate(uint8_t mark = 0) {
    ++total_;
    push_byte(mark);
    return *this;
  }
  SipHash& add_number(uint64_t number) {
    char bytes[8];
    memcpy(bytes, &number, 8);
    return add({bytes, 8});
  }

  Hash128 finish() {
    absorb(pending_ | (total_ & 0xff) << 56);
    v2_ ^= 0xee;
    for (int i = 0; i < 4; ++i) round();
    const uint64_t low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    for (int i = 0; i < 4; ++i) round();
    return {v0_ ^ v1_ ^ v2_ ^ v3_, low};
  }

 private:
  void push_byte(uint8_t byte) {
    pending_ |= uint64_t{byte} << (8 * filled_);
    if (++filled_ == 8) {
      absorb(pending_);
      pending_ = 0;
      filled_ = 0;
    }
  }
  void absorb(uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t pending_ = 0;
  uint32_t filled_ = 0;
  uint64_t total_ = 0;
};

}  // namespace sip_async::core
