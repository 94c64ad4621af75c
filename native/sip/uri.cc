#include "sip/uri.h"

#include <algorithm>

#include "sip/scan.h"

namespace sip_async::sip {
namespace {

// Length of "sip:" or "sips:" at the start of `uri`, any case, else 0. Nearly every URI is one, so it is
// asked first.
size_t sip_scheme_length(std::string_view uri) {
  if (uri.size() < 4 || scan::to_lower(uri[0]) != 's' || scan::to_lower(uri[1]) != 'i' ||
      scan::to_lower(uri[2]) != 'p') {
    return 0;
  }
  if (uri[3] == ':') return 4;
  return uri.size() > 4 && scan::to_lower(uri[3]) == 's' && uri[4] == ':' ? 5 : 0;
}

constexpr int kUriAscii = scan::kUri | scan::kVisible;

size_t host_length(std::string_view text) {
  if (text.empty() || text[0] != '[') return scan::skip(text.data(), 0, text.size(), scan::kHost);
  size_t close = scan::skip(text.data(), 1, text.size(), scan::kIpv6);
  return close > 1 && close < text.size() && text[close] == ']' ? close + 1 : 0;
}

struct HostPort {
  size_t host_length = 0;
  size_t length = 0;  // with the port
  bool has_port = false;
  uint16_t port = 0;
};

// "host[:port]" in front of the end, ';' or '?'. A port that is none leaves port 0 and is no reason to fail.
bool read_host_port(std::string_view text, HostPort& out) {
  out.host_length = out.length = host_length(text);
  if (out.host_length == 0) return false;
  if (out.length < text.size() && text[out.length] == ':') {
    size_t port_end = std::min(text.find_first_of(";?", out.length), text.size());
    out.has_port = true;
    read_port(text.substr(out.length + 1, port_end - out.length - 1), out.port);
    out.length = port_end;
  }
  return out.length == text.size() || text[out.length] == ';' || text[out.length] == '?';
}

}  // namespace

bool read_port(std::string_view text, uint16_t& port) {
  uint32_t number = 0;
  if (!scan::read_decimal(text, 65535, number) || number == 0) return false;
  port = static_cast<uint16_t>(number);
  return true;
}

size_t scheme_length(std::string_view uri) {
  if (size_t sip = sip_scheme_length(uri); sip != 0) return sip;
  if (uri.empty() || !scan::is_a(uri[0], scan::kAlpha)) return 0;
  for (size_t i = 1; i < uri.size(); ++i) {
    char c = uri[i];
    if (c == ':') return i + 1;
    if (!scan::is_a(c, scan::kAlpha) && !scan::is_digit(c) && c != '+' && c != '-' && c != '.') return 0;
  }
  return 0;
}

bool is_sip_uri(std::string_view uri) {
  return sip_scheme_length(uri) != 0;
}

bool split_sip_uri(std::string_view uri, SipUri& out) {
  out = SipUri{};
  size_t scheme = sip_scheme_length(uri);
  if (scheme == 0) return false;
  std::string_view rest = uri.substr(scheme);

  // A user may hold ; ? / and , unescaped, an '@' it may not: the first one ends it.
  if (size_t at = rest.find('@'); at != std::string_view::npos) {
    std::string_view userinfo = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    size_t colon = userinfo.find(':');
    out.has_user = true;
    out.user = userinfo.substr(0, colon);
    if (colon != std::string_view::npos) out.password = userinfo.substr(colon + 1);
  }

  HostPort found;
  if (!read_host_port(rest, found)) return false;
  out.host = rest.substr(0, found.host_length);
  out.has_port = found.has_port;
  out.port = found.port;
  out.tail = rest.substr(found.length);
  return true;
}

std::string_view uri_user(std::string_view uri) {
  size_t scheme = sip_scheme_length(uri);
  if (scheme == 0) {
    bool is_tel = scan::equals_ignoring_case(uri.substr(0, 4), "tel:");
    return is_tel ? uri.substr(4, uri.find(';') - 4) : std::string_view();
  }
  size_t at = uri.find('@', scheme);
  if (at == std::string_view::npos) return {};
  uri = uri.substr(scheme, at - scheme);
  return uri.substr(0, uri.find(':'));
}

bool has_bad_port(std::string_view uri) {
  SipUri parts;
  return split_sip_uri(uri, parts) && parts.has_port && parts.port == 0;
}

bool check_request_uri(std::string_view uri) {
  size_t scheme = scheme_length(uri);
  if (scheme == 0 || scheme == uri.size()) return false;
  for (char c : uri) {
    if ((scan::kClasses[static_cast<unsigned char>(c)] & kUriAscii) != kUriAscii) return false;
  }
  if (!is_sip_uri(uri)) return true;
  size_t at = uri.find('@', scheme);
  HostPort found;
  return read_host_port(uri.substr(at == std::string_view::npos ? scheme : at + 1), found) &&
         (!found.has_port || found.port != 0);
}

}  // namespace sip_async::sip
