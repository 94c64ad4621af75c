// Builds what a proxy sends on: a request (RFC 3261 section 16.6), a reply (16.7), and the ACK and CANCEL of one hop
// (17.1.1.3 and 9.1). All of them copy from a message's bytes by its index into a buffer, in one pass and without a parse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sip/header_index.h"
#include "sip/hop.h"
#include "sip/route_set.h"

namespace sip_async::sip {

// What a script changed in a message that goes on.
struct MessageEdits {
  std::string_view removed_names;  // header names to leave out, each ended by '\n'
  std::string_view
      appended_lines;     // whole header lines, each ended by CRLF; they stand behind the message's own
  bool has_body = false;  // `body` takes the place of the message's
  std::string_view body;

  // Whether a header with this name is to be left out.
  bool removes(HeaderId id, std::string_view name) const;
};

struct ForwardParts {
  const char* data = nullptr;  // the request as it came in
  size_t size = 0;
  const MessageIndex* index = nullptr;
  Hop from;              // for received and rport in the Via that was topmost
  std::string_view via;  // the value of our Via
  std::string_view
      record_routes;  // whole Record-Route lines, each ended by CRLF; put before the message's own
  const RoutePlan* route = nullptr;  // null: the Request-URI and the Route of the message
  uint8_t default_max_forwards =
      70;  // when the request has none (16.6 step 3); otherwise one less than it has
  MessageEdits edits;
};

// Writes into `out`. What is not changed is copied byte for byte, in the order in which it came; our Via stands first, our
// Record-Routes behind the Vias at the top, Content-Length once and at the end, with the right number. Headers whose names
// are in removed_names are left out, but never Via, From, To, Call-ID, CSeq, Max-Forwards and Content-Length, without which
// there is no message. 0 when it does not fit, when a URI of the plan is none, and when Max-Forwards is 0, to which the
// caller has answered 483.
size_t build_request(const ForwardParts& parts, char* out, size_t capacity);

// A reply as it goes upstream: without its topmost Via. 0 when it does not fit or has no second Via.
size_t build_reply_upstream(const char* data, size_t size, const MessageIndex& index,
                            const MessageEdits& edits, char* out, size_t capacity);

// The second Via of a reply, where it goes next. False when there is none or it is malformed.
bool second_via(const char* data, size_t size, const MessageIndex& index, ViaIndex& out);

// Where a reply with this topmost Via goes (RFC 3261 section 18.2.2, RFC 3581): received and rport where they are numeric
// and right, else the sent-by if it is an address. False when that leaves no address. `to.socket` and `to.flow` stay.
bool via_target(const char* data, const ViaIndex& via, Hop& to);

// The ACK to a final reply other than 2xx, or the CANCEL, of a request that we sent. `sent` is that request as it left, by
// its index: Request-URI, topmost Via, From, Call-ID, CSeq number and Route are its own. `to_value` is the whole value of To
// (the reply's, for an ACK; empty: the request's own). `extra_lines`: whole header lines, a Reason say.
size_t build_ack(const char* sent, size_t size, const MessageIndex& index, std::string_view to_value,
                 char* out, size_t capacity);
size_t build_cancel(const char* sent, size_t size, const MessageIndex& index, std::string_view extra_lines,
                    char* out, size_t capacity);

// Appends the WWW-Authenticate and Proxy-Authenticate lines of a reply to `out` as whole lines (16.7 step 7); returns how
// many bytes those are, 0 when they do not fit.
size_t copy_challenges(const char* data, size_t size, const MessageIndex& index, char* out, size_t capacity);

}  // namespace sip_async::sip
