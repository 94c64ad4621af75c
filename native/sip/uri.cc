#include "sip/uri.h"

#include <utility>

#include "sip/known_text.h"
#include "sip/scan.h"

namespace sip_async::sip {
namespace {

constexpr KnownText kTel("tel:");

size_t other_scheme_length(std::string_view uri) {
  if (uri.empty() || !scan::is_a(uri[0], scan::kAlpha)) return 0;
  for (size_t i = 1; i < uri.size(); ++i) {
    char c = uri[i];
    if (c == ':') return i + 1;
    if (!scan::is_a(c, scan::kAlpha) && !scan::is_digit(c) && c != '+' && c != '-' && c != '.') return 0;
  }
  return 0;
}

// In front of the first '@' at or behind `at`, else `end`. A user may hold ; ? / and , unescaped, an '@' it may not.
size_t find_at_sign(const char* data, size_t at, size_t end) {
  return scan::find<scan::AnyOf<'@'>>(data, at, end);
}

struct HostPort {
  size_t host_end = 0;
  size_t end = 0;  // of the port, too
  bool has_port = false;
  uint16_t port = 0;
};

// "host[:port]" in front of the end, ';' or '?'. A port that is none leaves port 0 and is no reason to fail.
bool read_host_port(const char* data, size_t at, size_t end, HostPort& out) {
  out.host_end = out.end = scan::host_end(data, at, end);
  if (out.host_end == at) return false;
  const auto is_end = [&] { return out.end == end || data[out.end] == ';' || data[out.end] == '?'; };
  if (out.end == end || data[out.end] != ':') return is_end();
  ++out.end;
  out.has_port = true;
  const uint64_t number = scan::take_digits(data, out.end, end);
  if (is_end()) {
    out.port = number <= 65535 ? static_cast<uint16_t>(number) : 0;
  } else {
    out.end = scan::find<scan::AnyOf<';', '?'>>(data, out.end, end);
  }
  return true;
}

// The user of data[at, end), both ends of it; the same twice when there is none.
std::pair<size_t, size_t> find_user(const char* data, size_t at, size_t end) {
  const size_t scheme = sip_scheme_length(data, at, end);
  if (scheme == 0) {
    if (end - at < kTel.kLength || !kTel.matches(data + at)) return {at, at};
    at += kTel.kLength;
    return {at, scan::find<scan::AnyOf<';'>>(data, at, end)};
  }
  at += scheme;
  const size_t user_end = scan::find<scan::AnyOf<'@', ':'>>(data, at, end);
  // What looked like a password is a port when no '@' follows.
  if (user_end == end || (data[user_end] == ':' && find_at_sign(data, user_end, end) == end)) return {at, at};
  return {at, user_end};
}

}  // namespace

bool read_port(std::string_view text, uint16_t& port) {
  uint32_t number = 0;
  if (!scan::read_decimal(text, 65535, number) || number == 0) return false;
  port = static_cast<uint16_t>(number);
  return true;
}

size_t scheme_length(std::string_view uri) {
  const size_t sip = sip_scheme_length(uri);
  return sip != 0 ? sip : other_scheme_length(uri);
}

bool is_sip_uri(std::string_view uri) {
  return sip_scheme_length(uri) != 0;
}

bool split_sip_uri(std::string_view uri, SipUri& out) {
  out = SipUri{};
  size_t at = sip_scheme_length(uri);
  if (at == 0) return false;

  if (size_t user_end = find_at_sign(uri.data(), at, uri.size()); user_end != uri.size()) {
    std::string_view userinfo = uri.substr(at, user_end - at);
    at = user_end + 1;
    size_t colon = userinfo.find(':');
    out.has_user = true;
    out.user = userinfo.substr(0, colon);
    if (colon != std::string_view::npos) out.password = userinfo.substr(colon + 1);
  }

  HostPort found;
  if (!read_host_port(uri.data(), at, uri.size(), found)) return false;
  out.host = uri.substr(at, found.host_end - at);
  out.has_port = found.has_port;
  out.port = found.port;
  out.tail = uri.substr(found.end);
  return true;
}

std::string_view uri_user(std::string_view uri) {
  const auto [begin, end] = find_user(uri.data(), 0, uri.size());
  return uri.substr(begin, end - begin);
}

Slice uri_user(const char* data, Slice uri) {
  const auto [begin, end] = find_user(data, uri.offset, size_t{uri.offset} + uri.length);
  return begin == end ? Slice{} : scan::slice(begin, end);
}

bool has_bad_port(std::string_view uri) {
  SipUri parts;
  return split_sip_uri(uri, parts) && parts.has_port && parts.port == 0;
}

bool check_request_uri(std::string_view uri) {
  const size_t sip = sip_scheme_length(uri);
  const size_t scheme = sip != 0 ? sip : other_scheme_length(uri);
  if (scheme == 0 || scheme == uri.size()) return false;
  if (scan::find<scan::NotVisibleUri>(uri.data(), scheme, uri.size()) != uri.size()) return false;
  if (sip == 0) return true;
  const size_t user_end = find_at_sign(uri.data(), sip, uri.size());
  HostPort found;
  return read_host_port(uri.data(), user_end == uri.size() ? sip : user_end + 1, uri.size(), found) &&
         (!found.has_port || found.port != 0);
}

}  // namespace sip_async::sip
