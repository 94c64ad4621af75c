#include "sip/name_addr.h"

#include "sip/scan.h"
#include "sip/uri.h"

namespace sip_async::sip {
namespace {

using scan::ParamResult;

bool is_plausible_uri(std::string_view uri) {
  size_t scheme = scheme_length(uri);
  if (scheme == 0 || scheme == uri.size()) return false;
  return scan::skip(uri.data(), scheme, uri.size(), scan::kUri) == uri.size();
}

// Where '<' stands, or `end` for an addr-spec. A display name outside quotes may hold more than tokens:
// commas and UTF-8 are common there, and RFC 4475 lets an element accept them. A quote or ';' it may not
// hold.
bool find_angle(const char* data, size_t at, size_t end, size_t& angle) {
  if (data[at] == '"') {
    at = scan::skip_quoted(data, at, end);
    if (at == 0) return false;
    angle = scan::skip_lws(data, at, end);
    return angle < end && data[angle] == '<';
  }
  for (; at < end; ++at) {
    char c = data[at];
    if (c == '<') break;
    if (c == ';') {
      at = end;
      break;
    }
    if (c == '"' || c == '>') return false;
  }
  angle = at;
  return true;
}

}  // namespace

bool read_address_uri(const char* data, Slice value, Slice& uri, size_t& behind) {
  size_t at = value.offset;
  size_t end = at + value.length;
  size_t angle = end;
  if (at == end || !find_angle(data, at, end, angle)) return false;
  if (angle == end) {
    behind = at;
    while (behind < end && data[behind] != ';' && data[behind] != ',' && !scan::is_lws(data[behind]))
      ++behind;
    uri = scan::slice(at, behind);
  } else {
    const void* close = std::memchr(data + angle, '>', end - angle);
    if (close == nullptr) return false;
    behind = static_cast<size_t>(static_cast<const char*>(close) - data) + 1;
    uri = scan::slice(angle + 1, behind - 1);
  }
  return is_plausible_uri(uri.of(data));
}

bool read_name_addr(const char* data, Slice value, AddressIndex& out) {
  out = AddressIndex{};
  out.value = value;
  size_t end = size_t{value.offset} + value.length;
  size_t at = 0;
  if (!read_address_uri(data, value, out.uri, at)) return false;
  if (std::string_view user = uri_user(out.uri.of(data)); !user.empty()) {
    auto begin = static_cast<size_t>(user.data() - data);
    out.user = scan::slice(begin, begin + user.size());
  }

  scan::Param param;
  for (;;) {
    switch (scan::next_param(data, at, end, param)) {
      case ParamResult::kNone:
        return at == end;
      case ParamResult::kMalformed:
        return false;
      case ParamResult::kParam:
        if (!scan::equals_ignoring_case(param.name.of(data), "tag")) break;
        // Two tags would name two dialogs.
        if (!param.has_value || param.is_quoted || !out.tag.empty()) return false;
        out.tag = param.value;
    }
  }
}

}  // namespace sip_async::sip
