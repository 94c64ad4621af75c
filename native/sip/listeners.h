// The addresses that the proxy can be reached at, by number of the socket: what goes into Via and Record-Route, and which
// socket a message for somebody leaves by. Filled before the engine starts, then only read, by any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sip/hop.h"
#include "sip/route_set.h"

namespace sip_async::sip {

const char* transport_name(Transport transport);       // as in Via: "UDP"
const char* transport_parameter(Transport transport);  // as in a URI: "udp"
bool is_reliable(Transport transport);                 // everything but UDP

enum class Destination : uint8_t { kOk, kUnresolved, kMalformed };

class Listeners {
 public:
  struct Listener {
    Transport transport = Transport::kUdp;
    Address local;
    std::string sent_by;       // host:port, for Via
    std::string record_route;  // the whole line, for Record-Route
  };

  explicit Listeners(uint32_t receivers) : receivers_(receivers) {}

  // `host` is what others know this address by; empty: the address itself, and for a wildcard the one that this machine
  // sends from.
  void add(uint32_t socket, Transport transport, const Address& local, std::string_view host = {});
  void add_alias(std::string_view host, uint16_t port) { self_.add(host, port); }

  const Listener& at(uint32_t socket) const { return listeners_[socket]; }
  const SelfSet& self() const { return self_; }
  // The socket that a message for `to` leaves by, one of the same receiver as `from`, that one itself if it will do. False
  // when there is none for this transport and kind of address.
  bool choose_socket(const Hop& from, Hop& to) const;
  // Where a URI leads, and the socket for it. A numeric host goes by UDP when the URI names no transport, and by TCP where
  // there is no UDP. kMalformed as well when there is no socket for it.
  Destination locate(std::string_view uri, const Hop& from, Hop& to) const;

 private:
  uint32_t receivers_;
  std::vector<Listener> listeners_;
  SelfSet self_;
};

// The address that a sip: or sips: URI names by itself: a numeric host, the port and the transport it asks for (RFC 3263
// section 4). kUnresolved: its host is a name. Anything else that is not kOk: it cannot be sent to.
Destination literal_destination(std::string_view uri, Hop& out);

}  // namespace sip_async::sip
