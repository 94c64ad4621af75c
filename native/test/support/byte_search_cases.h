// The searches of sip/byte_search.h against one byte after the other, for the form that the including file was compiled with.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "sip/byte_search.h"
#include "test/support/seed.h"

namespace sip_async::test {
namespace {  // each form has functions of its own

namespace scan = sip::scan;

// What is searched for, spelled out once more: `is_wanted` says whether the search stops at the byte.
bool is_one_of(unsigned char c, std::string_view chars) {
  return chars.find(static_cast<char>(c)) != std::string_view::npos;
}
bool stops_controls(unsigned char c) {
  return c < 0x20 || c == 0x7f;
}
bool stops_visible(unsigned char c) {
  return c < 0x21 || c > 0x7e;
}
bool stops_uri(unsigned char c) {
  return c <= 0x20 || c == 0x7f || is_one_of(c, "\"<>");
}
bool stops_visible_uri(unsigned char c) {
  return stops_visible(c) || is_one_of(c, "\"<>");
}
bool stops_param_value(unsigned char c) {
  return stops_uri(c) || is_one_of(c, ";,");
}
bool stops_host(unsigned char c) {
  const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return !is_letter && !(c >= '0' && c <= '9') && !is_one_of(c, "-._");
}
bool stops_quoted(unsigned char c) {
  return c == '"' || c == '\\';
}
bool stops_colon(unsigned char c) {
  return c == ':';
}

using Wanted = bool (*)(unsigned char);

size_t naive_find(const std::vector<char>& bytes, size_t at, size_t end, Wanted is_wanted) {
  while (at < end && !is_wanted(static_cast<unsigned char>(bytes[at]))) ++at;
  return at;
}

// Every byte value at every offset, in a search over every length. The block is exactly as long as the search, so that a
// sanitizer sees one byte too many.
template <class Kind>
void check_every_byte(Wanted is_wanted, char filler) {
  constexpr size_t kLongest = 41 + 16;
  constexpr size_t kOffsets = 41;
  size_t wrong = 0;
  for (size_t size = 0; size <= kLongest; ++size) {
    std::vector<char> bytes(size, filler);
    for (size_t offset = 0; offset < size && offset < kOffsets; ++offset) {
      for (int value = 0; value < 256; ++value) {
        bytes[offset] = static_cast<char>(value);
        const size_t begin = static_cast<size_t>(value) % (offset + 1);
        wrong += scan::find<Kind>(bytes.data(), 0, size) != naive_find(bytes, 0, size, is_wanted);
        wrong += scan::find<Kind>(bytes.data(), begin, size) != naive_find(bytes, begin, size, is_wanted);
      }
      bytes[offset] = filler;
    }
    for (size_t begin = 0; begin <= size; ++begin)
      wrong += scan::find<Kind>(bytes.data(), begin, size) != size;
  }
  CHECK(wrong == 0);
}

template <class Kind>
void check_random_bytes(Wanted is_wanted, uint64_t stream) {
  Random random(stream);
  std::vector<char> likely;
  for (int value = 0; value < 256; ++value) {
    if (!is_wanted(static_cast<unsigned char>(value))) likely.push_back(static_cast<char>(value));
  }
  size_t wrong = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(random.below(200));
    for (char& c : bytes)
      c = random.one_in(60) ? static_cast<char>(random.below(256)) : likely[random.below(likely.size())];
    const size_t end = bytes.empty() ? 0 : random.below(bytes.size() + 1);
    const size_t begin = random.below(end + 1);
    wrong += scan::find<Kind>(bytes.data(), begin, end) != naive_find(bytes, begin, end, is_wanted);
    wrong += scan::find<Kind>(bytes.data(), begin, bytes.size()) !=
             naive_find(bytes, begin, bytes.size(), is_wanted);
  }
  CHECK(wrong == 0);
}

template <class Kind>
void check_search(const char* what, Wanted is_wanted, char filler, uint64_t stream) {
  CAPTURE(what);
  REQUIRE_FALSE(is_wanted(static_cast<unsigned char>(filler)));
  check_every_byte<Kind>(is_wanted, filler);
  check_random_bytes<Kind>(is_wanted, stream);
}

void check_all_searches() {
  check_search<scan::Control>("control", stops_controls, 'a', 1);
  check_search<scan::Control>("control in UTF-8", stops_controls, '\x80', 2);
  check_search<scan::NotVisible>("visible", stops_visible, '~', 3);
  check_search<scan::NotUri>("URI", stops_uri, '\xff', 4);
  check_search<scan::NotVisibleUri>("URI in ASCII", stops_visible_uri, '=', 5);
  check_search<scan::NotParamValue>("parameter value", stops_param_value, '\x80', 6);
  check_search<scan::NotHost>("host", stops_host, 'Z', 7);
  check_search<scan::AnyOf<'"', '\\'>>("quoted", stops_quoted, 'x', 8);
  check_search<scan::AnyOf<':'>>("colon", stops_colon, ';', 9);
}

// One after the other, from offsets that grow by as much as a reader of lines would, and by more.
void check_control_walk() {
  Random random(10);
  size_t wrong = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(random.below(400), 'a');
    const uint64_t one_in = 1 + random.below(80);
    for (char& c : bytes) {
      if (random.one_in(one_in)) c = static_cast<char>(random.below(256));
    }
    scan::ControlWalk walk(bytes.data(), bytes.size());
    for (size_t at = random.one_in(4) ? random.below(bytes.size() + 1) : 0;;) {
      const size_t found = walk.next(at);
      wrong += found != naive_find(bytes, at, bytes.size(), stops_controls);
      if (found >= bytes.size()) break;
      at = found + random.below(random.one_in(8) ? 150 : 4);
      if (at > bytes.size()) at = bytes.size();
    }
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace sip_async::test
