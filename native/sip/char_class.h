// Character classes of RFC 3261 section 25, for bytes of any value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

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

}  // namespace sip_async::sip::scan
