#include "sip/listeners.h"

#include <unistd.h>

#include "sip/uri.h"

namespace sip_async::sip {

namespace {

constexpr struct {
  const char* via;
  const char* parameter;
} kTransports[] = {{"UDP", "udp"}, {"TCP", "tcp"}, {"TLS", "tls"}, {"WS", "ws"}, {"WSS", "wss"}};

const auto& row_of(Transport transport) {
  return kTransports[transport == Transport::kOther ? 0 : static_cast<size_t>(transport)];
}

bool is_wildcard(const Address& address) {
  for (const uint8_t byte : address.bytes) {
    if (byte != 0) return false;
  }
  return true;
}

// The address that this machine would send from, as the kernel's routes have it. Nothing is sent: a UDP socket that
// connects only looks the route up. Documentation addresses stand for "somewhere else".
std::string own_host(uint16_t family) {
  Address far;
  Address::parse(family == AF_INET ? "192.0.2.1" : "2001:db8::1", 9, far);
  std::string out = family == AF_INET ? "127.0.0.1" : "::1";
  const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return out;
  sockaddr_storage storage;
  socklen_t length = far.to(storage);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0) {
    length = sizeof storage;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) == 0)
      out = Address::of(storage).host();
  }
  close(fd);
  return out;
}

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos || host.front() == '[' ? host : "[" + host + "]";
}

bool same_text(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

// The value of a parameter in ";a=b;c=d?headers", or empty.
std::string_view parameter(std::string_view tail, std::string_view name) {
  while (!tail.empty() && tail.front() == ';') {
    tail.remove_prefix(1);
    const size_t end = std::min(tail.find_first_of(";?"), tail.size());
    const std::string_view one = tail.substr(0, end);
    const size_t equals = one.find('=');
    if (equals != std::string_view::npos && same_text(one.substr(0, equals), name))
      return one.substr(equals + 1);
    tail.remove_prefix(end);
  }
  return {};
}

}  // namespace

const char* transport_name(Transport transport) {
  return row_of(transport).via;
}
const char* transport_parameter(Transport transport) {
  return row_of(transport).parameter;
}
bool is_reliable(Transport transport) {
  return transport != Transport::kUdp;
}

void Listeners::add(uint32_t socket, Transport transport, const Address& local, std::string_view host) {
  if (listeners_.size() <= socket) listeners_.resize(socket + 1);
  std::string known = std::string(host);
  if (known.empty()) known = is_wildcard(local) ? own_host(local.family) : local.host();
  const std::string port = std::to_string(local.port);
  Listener& listener = listeners_[socket];
  listener.transport = transport;
  listener.local = local;
  listener.sent_by = bracketed(known) + ":" + port;
  listener.record_route = "Record-Route: <sip:" + listener.sent_by;
  if (transport != Transport::kUdp) {
    listener.record_route += std::string(";transport=") + transport_parameter(transport);
  }
  listener.record_route += ";lr>\r\n";
  self_.add(known, local.port);
  if (!is_wildcard(local)) self_.add(local.host(), local.port);
}

bool Listeners::choose_socket(const Hop& from, Hop& to) const {
  const auto fits = [&](uint32_t socket) {
    return listeners_[socket].transport == to.transport &&
           listeners_[socket].local.family == to.address.family;
  };
  if (from.socket < listeners_.size() && fits(from.socket)) {
    to.socket = from.socket;
    return true;
  }
  for (uint32_t socket = from.socket % receivers_; socket < listeners_.size(); socket += receivers_) {
    if (!fits(socket)) continue;
    to.socket = static_cast<uint16_t>(socket);
    return true;
  }
  // Connections are all in one place, whoever sends.
  for (uint32_t socket = 0; socket < listeners_.size(); ++socket) {
    if (!is_reliable(to.transport) || !fits(socket)) continue;
    to.socket = static_cast<uint16_t>(socket);
    return true;
  }
  return false;
}

Destination Listeners::locate(std::string_view uri, const Hop& from, Hop& to) const {
  const Destination found = literal_destination(uri, to);
  if (found != Destination::kOk || choose_socket(from, to)) return found;
  SipUri parts;
  if (to.transport != Transport::kUdp || !split_sip_uri(uri, parts) ||
      !parameter(parts.tail, "transport").empty())
    return Destination::kMalformed;
  to.transport = Transport::kTcp;
  return choose_socket(from, to) ? Destination::kOk : Destination::kMalformed;
}

Destination literal_destination(std::string_view uri, Hop& out) {
  SipUri parts;
  if (!is_sip_uri(uri) || !split_sip_uri(uri, parts) || has_bad_port(uri)) return Destination::kMalformed;
  const bool is_secure = scheme_length(uri) == 5;
  const std::string_view wanted = parameter(parts.tail, "transport");
  out = Hop{};
  out.transport = is_secure ? Transport::kTls : Transport::kUdp;
  if (!wanted.empty()) {
    bool is_known = false;
    for (size_t i = 0; i < std::size(kTransports); ++i) {
      if (!same_text(wanted, kTransports[i].parameter)) continue;
      out.transport = static_cast<Transport>(i);
      is_known = true;
    }
    if (!is_known) return Destination::kMalformed;
    if (is_secure && out.transport == Transport::kTcp) out.transport = Transport::kTls;
    if (is_secure && out.transport == Transport::kWs) out.transport = Transport::kWss;
    if (is_secure && out.transport == Transport::kUdp) return Destination::kMalformed;
  }
  // The address to send to, when it is another than the host (RFC 3261 section 19.1.1).
  const std::string_view maddr = parameter(parts.tail, "maddr");
  const std::string host(maddr.empty() ? parts.host : maddr);
  const uint16_t port = parts.has_port ? parts.port : default_port(out.transport);
  return Address::parse(host, port, out.address) ? Destination::kOk : Destination::kUnresolved;
}

}  // namespace sip_async::sip
