// A message in a block of its own, so that the sanitizers watch its end, with its index.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/header_index.h"

namespace sip_async::test {

struct IndexedMessage {
  explicit IndexedMessage(const std::string& text, const sip::IndexLimits& limits = {})
      : bytes(text.begin(), text.end()) {
    sip::index_message(data(), size(), limits, index);
  }
  // A message that must index without a fault.
  static IndexedMessage good(const std::string& text) {
    IndexedMessage out(text);
    CAPTURE(text);
    REQUIRE(out.index.status == sip::IndexStatus::kOk);
    return out;
  }

  const char* data() const { return bytes.data(); }
  size_t size() const { return bytes.size(); }
  std::string text() const { return {bytes.begin(), bytes.end()}; }
  std::string of(sip::Slice slice) const { return std::string(slice.of(data())); }

  // All values of one header, over all its lines.
  std::vector<std::string> values(sip::HeaderId id) const {
    std::vector<std::string> out;
    sip::HeaderLine line;
    for (uint16_t at = index.headers_at; sip::next_header(data(), size(), at, line); at = line.end) {
      if (line.id != id) continue;
      uint16_t inside = 0;
      for (sip::Slice value; sip::next_value(data(), line.value, inside, value);) out.push_back(of(value));
    }
    return out;
  }

  std::vector<char> bytes;
  sip::MessageIndex index;
};

// What build(out, capacity) writes.
template <class Build>
std::string built(const Build& build) {
  std::string out(70'000, '\0');
  out.resize(build(out.data(), out.size()));
  return out;
}

// That build(out, capacity) writes `whole` where that fits, nothing where it does not, and nothing behind the end.
template <class Build>
void check_every_capacity(const std::string& whole, const Build& build) {
  REQUIRE_FALSE(whole.empty());
  for (size_t capacity = 0; capacity <= whole.size() + 3; ++capacity) {
    std::vector<char> out(capacity + 16, '#');
    const size_t size = build(out.data(), capacity);
    CAPTURE(capacity);
    REQUIRE(size == (capacity < whole.size() ? 0 : whole.size()));
    REQUIRE(std::string(out.data() + capacity, 16) == std::string(16, '#'));
    if (size != 0) REQUIRE(std::string(out.data(), size) == whole);
  }
}

}  // namespace sip_async::test
