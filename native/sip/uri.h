// URIs as far as an index needs them: the parts of sip: and sips:, the user of those and of tel:, and what a
// request URI must look like. Nothing is unescaped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sip/header_index.h"
#include "sip/known_text.h"

namespace sip_async::sip {

struct SipUri {
  std::string_view user;  // without password
  std::string_view password;
  bool has_user = false;  // "sip:@host" has an empty one
  std::string_view host;  // "[::1]" keeps its brackets
  bool has_port = false;
  uint16_t port = 0;      // 0 when absent, and when what stands there is no port
  std::string_view tail;  // ";params?headers"
};

// Digits only, 1 to 65535. A port of 0 is refused: nothing can be sent to it.
bool read_port(std::string_view text, uint16_t& port);

// Length of "sip:" or "sips:" at the start of data[at, end), any case, else 0. Nearly every URI is one, so it is asked first.
inline size_t sip_scheme_length(const char* data, size_t at, size_t end) {
  constexpr KnownText kSip("sip:");
  constexpr KnownText kSips("sips:");
  if (end - at < kSip.kLength) return 0;
  if (kSip.matches(data + at)) return kSip.kLength;
  return end - at > kSip.kLength && kSips.matches(data + at) ? kSips.kLength : 0;
}
inline size_t sip_scheme_length(std::string_view uri) {
  return sip_scheme_length(uri.data(), 0, uri.size());
}

// Length of "scheme:" at the start of `uri`, 0 when there is none.
size_t scheme_length(std::string_view uri);
bool is_sip_uri(std::string_view uri);  // sip: or sips:, any case

// Takes a sip: or sips: URI apart. False for other schemes, an empty or malformed host, or rubbish behind it.
// A bad port does not make it false: see has_bad_port().
bool split_sip_uri(std::string_view uri, SipUri& out);

// User part of a sip:, sips: or tel: URI, without password; empty when there is none.
std::string_view uri_user(std::string_view uri);
Slice uri_user(const char* data, Slice uri);

// True for a sip: or sips: URI whose port is there and is no port.
bool has_bad_port(std::string_view uri);

// A scheme and something behind it, visible ASCII only, no < > or quotes; sip: and sips: need a host and a
// valid port.
bool check_request_uri(std::string_view uri);

}  // namespace sip_async::sip
