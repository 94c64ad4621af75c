// The guard: what a message must not hold before its bytes go to the npm `sip` package (`msg.parsed`).
//
// That parser works with regular expressions that search instead of match, with plain objects for parameters,
// and with unescape() on header names and methods. The guard refuses what makes it slow, what reaches
// Object.prototype, and what it would read as another message than the index did. It is no part of the way of
// an ordinary request.
#pragma once

#include "sip/header_index.h"

namespace sip_async::sip {

// Returns the index's own status when the message was refused already, kHostile or kOk. Linear in the size of
// the headers. The parser may be given data[0, index.body.offset + index.body.length), and nothing behind it.
IndexStatus guard_message(const char* data, size_t size, const MessageIndex& index);

}  // namespace sip_async::sip
