// Where a message came from, or where one goes: the transport, our socket, the connection if there is one, the address.
#pragma once

#include "sip/address.h"
#include "sip/header_index.h"

namespace sip_async::sip {

// Of a URI or Via without a port (RFC 3261 section 19.1.2, RFC 6455 section 3).
inline uint16_t default_port(Transport transport) {
  switch (transport) {
    case Transport::kTls:
      return 5061;
    case Transport::kWs:
      return 80;
    case Transport::kWss:
      return 443;
    default:
      return 5060;
  }
}

struct Hop {
  Address address;
  uint32_t flow = 0;    // number of a connection; 0: UDP, or a connection that is still to be opened
  uint16_t socket = 0;  // number of our socket (SipEngine numbers them); what we send leaves by it
  Transport transport = Transport::kUdp;
};

}  // namespace sip_async::sip
