// What every fuzz target needs: a check that traps, and slices that must lie inside what was read.
#pragma once

#include <cstddef>
#include <string_view>

#include "sip/header_index.h"

namespace sip_async::fuzz {

inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

inline void require_inside(sip::Slice slice, size_t begin, size_t end) {
  require(slice.empty() || slice.offset >= begin);
  require(size_t{slice.offset} + slice.length <= end);
}

// A part of `whole`, or nothing at all.
inline void require_part(std::string_view part, std::string_view whole) {
  if (part.empty()) return;
  require(part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

inline void require_via(const sip::ViaIndex& via, size_t begin, size_t end) {
  for (sip::Slice slice : {via.value, via.sent_by, via.host, via.branch, via.received})
    require_inside(slice, begin, end);
  require(via.rport_at == 0 || (via.rport_at > begin && via.rport_at <= end));
}

}  // namespace sip_async::fuzz
