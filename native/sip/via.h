// The Via reader behind read_via(), for callers that have a whole header line and want its first value.
#pragma once

#include "sip/header_index.h"

namespace sip_async::sip {

// Reads the Via value at `at` and moves `at` to the comma behind it or to `end`. When the value is malformed
// it returns false, and `out` keeps what was read before the fault: a refused request can often still be
// answered.
bool read_first_via(const char* data, size_t& at, size_t end, ViaIndex& out);

}  // namespace sip_async::sip
