// Where a message came from, or where one goes: the transport, our socket, the connection if there is one, the address.
#pragma once

#include "sip/address.h"
#include "sip/header_index.h"

namespace sip_async::sip {

struct Hop {
  Address address;
  uint32_t flow = 0;    // number of a connection; 0: UDP, or a connection that is still to be opened
  uint16_t socket = 0;  // number of our socket (SipEngine numbers them); what we send leaves by it
  Transport transport = Transport::kUdp;
};

}  // namespace sip_async::sip
