// SipHash-2-4-128 against the vectors of its authors: key 00 01 .. 0f, input 00 01 02 .. of each length.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <unordered_set>

#include "core/siphash.h"
#include "test/support/seed.h"

using namespace sip_async;
using core::Hash128;
using core::SipHash;

namespace {

constexpr uint64_t kKey0 = 0x0706'0504'0302'0100u;
constexpr uint64_t kKey1 = 0x0f0e'0d0c'0b0a'0908u;

std::string counting(size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(i);
  return out;
}

// The 16 bytes in the order in which the vectors are written.
std::string hex(const Hash128& hash) {
  std::string out;
  for (const uint64_t half : {hash.low, hash.high}) {
    for (int shift = 0; shift < 64; shift += 8) {
      char text[3];
      std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(half >> shift & 0xff));
      out += text;
    }
  }
  return out;
}

struct Vector {
  size_t size;
  const char* hash;
};

std::string random_text(test::Random& random, size_t size) {
  std::string out;
  while (out.size() < size) out += static_cast<char>(random.bits());
  return out;
}

}  // namespace

TEST_CASE("the published vectors") {
  for (const Vector& one : {Vector{0, "a3817f04ba25a8e66df67214c7550293"},
                            {1, "da87c1d86b99af44347659119b22fc45"},
                            {2, "8177228da4a45dc7fca38bdef60affe4"},
                            {3, "9c70b60c5267a94e5f33b6b02985ed51"},
                            {4, "f88164c12d9c8faf7d0f6e7c7bcd5579"},
                            {5, "1368875980776f8854527a07690e9627"},
                            {6, "14eeca338b208613485ea0308fd7a15e"},
                            {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
                            {8, "3b62a9ba6258f5610f83e264f31497b4"},
                            {9, "264499060ad9baabc47f8b02bb6d71ed"},
                            {10, "00110dc378146956c95447d3f3d0fbba"},
                            {11, "0151c568386b6677a2b4dc6f81e5dc18"},
                            {12, "d626b266905ef35882634df68532c125"},
                            {13, "9869e247e9c08b10d029934fc4b952f7"},
                            {14, "31fcefac66d7de9c7ec7485fe4494902"},
                            {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
                            {16, "6ee2a4ca67b054bbfd3315bf85230577"},
                            {31, "2939b0183223fafc1723de4f52c43d35"},
                            {63, "5150d1772f50834a503e069a973fbd7c"}}) {
    CAPTURE(one.size);
    CHECK(hex(SipHash(kKey0, kKey1).add(counting(one.size)).finish()) == one.hash);
  }
}

TEST_CASE("longer than the vectors: as OpenSSL computes them, the length modulo 256") {
  for (const Vector& one : {Vector{128, "d1b4bd390255083ddabe483d6e7af066"},
                            {200, "7c5853f4ed12ff9d836a79bc4047022d"},
                            {255, "1c9bb67528165f8e468248e3799b0eab"},
                            {256, "67a00304d3834c4612eaee7b5f579acb"},
                            {300, "ce005a406d14b36d5386b5f7a7e1b311"}}) {
    CAPTURE(one.size);
    CHECK(hex(SipHash(kKey0, kKey1).add(counting(one.size)).finish()) == one.hash);
  }
}

TEST_CASE("the result does not depend on the pieces") {
  test::Random random(1);
  for (int round = 0; round < 2000; ++round) {
    const uint64_t key0 = random.bits(), key1 = random.bits();
    // Longer than 255 bytes now and then: the length counts modulo 256.
    const std::string text = random_text(random, random.below(random.one_in(4) ? 700 : 40));
    const Hash128 whole = SipHash(key0, key1).add(text).finish();
    SipHash pieces(key0, key1);
    for (size_t at = 0; at < text.size();) {
      const size_t part = random.below(text.size() - at + 1);
      if (part == 1 && random.one_in(2)) {
        pieces.separate(static_cast<uint8_t>(text[at]));
      } else if (part >= 8 && random.one_in(2)) {
        uint64_t number = 0;
        for (size_t i = 8; i > 0; --i) number = number << 8 | static_cast<uint8_t>(text[at + i - 1]);
        pieces.add_number(number).add(std::string_view(text).substr(at + 8, part - 8));
      } else {
        pieces.add(std::string_view(text).substr(at, part));
      }
      at += part;
    }
    CAPTURE(text.size());
    REQUIRE(pieces.finish() == whole);
  }
}

TEST_CASE("a separator keeps pieces apart") {
  const auto two = [](std::string_view a, std::string_view b) {
    return SipHash(kKey0, kKey1).add(a).separate().add(b).finish();
  };
  CHECK_FALSE(two("ab", "c") == two("a", "bc"));
  CHECK_FALSE(two("", "abc") == two("abc", ""));
  CHECK_FALSE(SipHash(1, 2).separate(1).finish() == SipHash(1, 2).separate(2).finish());
  CHECK_FALSE(SipHash(1, 2).finish() == SipHash(1, 2).separate().finish());
}

TEST_CASE("every bit of key and text counts") {
  test::Random random(2);
  const std::string text = random_text(random, 50);
  std::unordered_set<std::string> seen{hex(SipHash(kKey0, kKey1).add(text).finish())};
  for (int bit = 0; bit < 64; ++bit) {
    CHECK(seen.insert(hex(SipHash(kKey0 ^ uint64_t{1} << bit, kKey1).add(text).finish())).second);
    CHECK(seen.insert(hex(SipHash(kKey0, kKey1 ^ uint64_t{1} << bit).add(text).finish())).second);
  }
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string other = text;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << (bit % 8));
    CHECK(seen.insert(hex(SipHash(kKey0, kKey1).add(other).finish())).second);
  }
}
