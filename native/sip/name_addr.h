// From and To: a name-addr or addr-spec with parameters (RFC 3261 sections 20.20 and 20.39).
#pragma once

#include <cstddef>

#include "sip/header_index.h"

namespace sip_async::sip {

// `value` is the header value without surrounding white space. False when it is malformed; `out.value` is set
// all the same.
bool read_name_addr(const char* data, Slice value, AddressIndex& out);

// The URI of the address and the offset behind the address (behind '>' for a name-addr). False when there is
// no address, a quote or '<' is not closed, or the URI has no scheme or holds white space.
bool read_address_uri(const char* data, Slice value, Slice& uri, size_t& behind);

}  // namespace sip_async::sip
