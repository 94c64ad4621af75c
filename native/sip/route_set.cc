#include "sip/route_set.h"

#include <arpa/inet.h>

#include <algorithm>

#include "sip/name_addr.h"
#include "sip/scan.h"
#include "sip/uri.h"
#include "sip/value_walk.h"

namespace sip_async::sip {
namespace {

// Longer than any domain name (255) and any address.
using HostBuffer = char[256];

// One spelling for each host: lower case, no brackets, no dot at the end, IPv6 addresses in the short form of inet_ntop.
// Empty for what is no host.
std::string_view plain_host(std::string_view host, HostBuffer& buffer) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.size() >= sizeof buffer) return {};
  bool has_colon = false;
  for (size_t i = 0; i < host.size(); ++i) {
    buffer[i] = scan::to_lower(host[i]);
    has_colon |= host[i] == ':';
  }
  buffer[host.size()] = '\0';
  in6_addr address;
  if (has_colon && inet_pton(AF_INET6, buffer, &address) == 1 &&
      inet_ntop(AF_INET6, &address, buffer, sizeof buffer) != nullptr) {
    return buffer;
  }
  return {buffer, host.size()};
}

// The parameter of a SIP URI with this name (in lower case); false when there is none. `tail` is SipUri::tail.
bool find_param(std::string_view tail, std::string_view lower, std::string_view& value) {
  tail = tail.substr(0, tail.find('?'));
  while (!tail.empty()) {
    tail.remove_prefix(1);  // the ';'
    const size_t end = std::min(tail.find(';'), tail.size());
    const std::string_view param = tail.substr(0, end);
    const size_t equals = std::min(param.find('='), param.size());
    if (scan::equals_ignoring_case(param.substr(0, equals), lower)) {
      value = param.substr(std::min(equals + 1, param.size()));
      return true;
    }
    tail.remove_prefix(end);
  }
  return false;
}

bool is_loose(std::string_view uri) {
  SipUri parts;
  std::string_view value;
  return split_sip_uri(uri, parts) && find_param(parts.tail, "lr", value);
}

// Where a URI without a port leads (RFC 3261 section 19.1.2, RFC 7118 section 5.2).
uint16_t default_port(std::string_view uri, const SipUri& parts) {
  std::string_view transport;
  find_param(parts.tail, "transport", transport);
  const bool is_secure = scan::equals_ignoring_case(uri.substr(0, 5), "sips:");
  if (scan::equals_ignoring_case(transport, "wss")) return 443;
  if (scan::equals_ignoring_case(transport, "ws")) return is_secure ? 443 : 80;
  return is_secure || scan::equals_ignoring_case(transport, "tls") ? 5061 : 5060;
}

// A Route value is a name-addr (RFC 3261 section 20.34): without < > nobody could tell whose parameter `lr` is.
bool read_route(const char* data, Slice value, std::string_view& uri) {
  Slice found;
  size_t behind = 0;
  if (!read_address_uri(data, value, found, behind) || data[behind - 1] != '>') return false;
  const size_t end = size_t{value.offset} + value.length;
  behind = scan::skip_lws(data, behind, end);
  if (behind != end && data[behind] != ';') return false;
  uri = found.of(data);
  SipUri parts;
  return split_sip_uri(uri, parts) && (!parts.has_port || parts.port != 0);
}

}  // namespace

void SelfSet::add(std::string_view host, uint16_t port) {
  HostBuffer buffer;
  const std::string_view plain = plain_host(host, buffer);
  if (!plain.empty() && !has_entry(plain, port)) entries_.push_back({std::string(plain), port});
}

bool SelfSet::has(std::string_view host, uint16_t port) const {
  HostBuffer buffer;
  const std::string_view plain = plain_host(host, buffer);
  for (const Entry& entry : entries_) {
    const bool is_port =
        entry.port == 0 || entry.port == port || (port == 0 && (entry.port == 5060 || entry.port == 5061));
    if (is_port && entry.host == plain) return true;
  }
  return false;
}

bool SelfSet::has_entry(std::string_view plain, uint16_t port) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.port == port && entry.host == plain; });
}

bool SelfSet::has_uri(std::string_view uri) const {
  SipUri parts;
  if (!split_sip_uri(uri, parts) || (parts.has_port && parts.port == 0)) return false;
  return has(parts.host, parts.has_port ? parts.port : default_port(uri, parts));
}

bool plan_route(const char* data, size_t size, const MessageIndex& index, const SelfSet& self,
                std::string_view ruri, std::string_view destination, RoutePlan& out) {
  out = RoutePlan{};
  const std::string_view received_ruri = index.ruri.of(data);
  out.ruri = ruri.empty() ? received_ruri : ruri;

  ValueWalk walk(data, size, index, HeaderId::kRoute);
  Slice value;
  size_t count = 0;
  std::string_view next;  // the first Route value that is not ours
  for (; next.empty() && walk.next(value); ++count) {
    if (!read_route(data, value, next)) return false;
    if (!self.has_uri(next)) continue;
    ++out.skipped_values;
    next = {};
  }

  // Our Record-Route URI as Request-URI: a strict router took it from the Route, and put what had been the Request-URI at
  // the end (section 16.4). With a Route value of ours in front it was a loose router, and the Request-URI is meant.
  if (out.skipped_values == 0 && count != 0 && is_loose(received_ruri) && self.has_uri(received_ruri)) {
    Slice last = value;
    for (; walk.next(value); ++count) last = value;
    std::string_view target;
    if (!read_route(data, last, target) || !check_request_uri(target)) return false;
    out.drops_last = true;
    if (ruri.empty()) out.ruri = target;
    if (count == 1) next = {};
  }

  if (next.empty()) {
    out.next_hop = out.ruri;
  } else {
    out.next_hop = next;
    if (!is_loose(next)) {
      // A strict router finds itself in the Request-URI, and the Request-URI at the end of the Route (16.6 step 6).
      if (!check_request_uri(next)) return false;
      out.added_route = out.ruri;
      out.ruri = next;
      ++out.skipped_values;
    }
  }
  if (!destination.empty()) out.next_hop = destination;
  return true;
}

}  // namespace sip_async::sip
