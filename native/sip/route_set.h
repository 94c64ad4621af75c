// Where a request goes next by its Route headers (RFC 3261 sections 16.4, 16.6 steps 6 and 7, and 16.12), and whether a
// host is one of our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sip/header_index.h"

namespace sip_async::sip {

// The hosts and ports that are this proxy: what it listens on, and its aliases. Filled before the engine starts, then only
// read, by any thread.
class SelfSet {
 public:
  // A host name or address (brackets or not, any case); port 0: any port.
  void add(std::string_view host, uint16_t port);
  // `port` 0 stands for the default of a URI without a port, 5060 or (sips, tls) 5061.
  bool has(std::string_view host, uint16_t port) const;
  // Whether a sip: or sips: URI leads here: its host and port (or default port) are ours. User and parameters do not count.
  bool has_uri(std::string_view uri) const;

 private:
  struct Entry {
    std::string host;
    uint16_t port;
  };
  bool has_entry(std::string_view plain, uint16_t port) const;
  std::vector<Entry> entries_;
};

// Slices of text that stay where they are: in the message, or in what the script gave.
struct RoutePlan {
  std::string_view ruri;      // the Request-URI to send
  std::string_view next_hop;  // the URI that says where to
  uint16_t skipped_values =
      0;  // so many Route values from the top are not sent on (ours, or one that became the ruri)
  bool drops_last =
      false;  // the last Route value became the Request-URI (a strict router sent the request here)
  std::string_view
      added_route;  // a Route value to put at the end: the Request-URI, when the next hop is a strict router
};

// `ruri`: the Request-URI that the script chose, or empty for the message's own. `destination`: a URI that the script wants
// it sent to whatever the Request-URI is ($du), or empty; it does not keep Route headers from being sent on.
// False when a Route value that matters is malformed; there is no plan then, and `out` says nothing.
bool plan_route(const char* data, size_t size, const MessageIndex& index, const SelfSet& self,
                std::string_view ruri, std::string_view destination, RoutePlan& out);

}  // namespace sip_async::sip
