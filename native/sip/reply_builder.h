// Builds a reply from a request's bytes and its index (RFC 3261 section 8.2.6): status line, all Via (the topmost with
// received and rport), From, To with a tag, Call-ID, CSeq, Record-Route where a dialog may begin, what the script adds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sip/hop.h"

namespace sip_async::sip {

struct ReplyParts {
  const char* data = nullptr;  // the request
  size_t size = 0;
  const MessageIndex* index = nullptr;
  Address from;  // where the request came from
  uint16_t code = 500;
  std::string_view reason;
  std::string_view to_tag;       // used when the request's To has none
  std::string_view extra_lines;  // whole header lines, each ended by CRLF
};

// The largest datagram that IPv4 carries.
inline constexpr size_t kMaxReplyBytes = 65507;

// Writes into `out`; 0 when it does not fit, or the reason holds control characters.
size_t build_reply(const ReplyParts& parts, char* out, size_t capacity);

// Where a reply goes (RFC 3261 section 18.2.2, RFC 3581): the address the request came from, at the port it came from
// when it asked for that by rport, else at the port of its Via. `maddr` is ignored: it would let a stranger point our
// replies at anybody.
// Over a connection it goes back by that connection (`flow`); for when that is closed, the address is that of section
// 18.2.2: where the request came from, at the port of its Via.
Hop reply_target(const MessageIndex& index, const Hop& from);

// The phrase of RFC 3261 section 21 for a code, for replies that the library itself makes.
std::string_view default_reason(uint16_t code);

}  // namespace sip_async::sip
