#include "sip/name_addr.h"

#include "sip/known_text.h"
#include "sip/scan.h"
#include "sip/uri.h"

namespace sip_async::sip {
namespace {

using scan::ParamResult;

constexpr KnownText kTag(";tag=");

bool has_scheme(const char* data, Slice uri) {
  size_t scheme = sip_scheme_length(data, uri.offset, size_t{uri.offset} + uri.length);
  if (scheme == 0) scheme = scheme_length(uri.of(data));
  return scheme != 0 && scheme != uri.length;
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
  at = scan::find<scan::AnyOf<'<', ';', '"', '>'>>(data, at, end);
  if (at < end && data[at] == ';') at = end;
  if (at < end && data[at] != '<') return false;
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
    behind = scan::find<scan::AnyOf<';', ',', ' ', '\t', '\r', '\n'>>(data, at, end);
    uri = scan::slice(at, behind);
    return has_scheme(data, uri) && scan::skip(data, at, behind, scan::kUri) == behind;
  }
  // A '>' is no byte of a URI, so one search says that there are only such bytes, and where they end.
  size_t close = scan::skip(data, angle + 1, end, scan::kUri);
  const bool is_plain = close < end && data[close] == '>';
  if (!is_plain) close = scan::find<scan::AnyOf<'>'>>(data, close, end);
  if (close == end) return false;
  behind = close + 1;
  uri = scan::slice(angle + 1, close);
  return is_plain && has_scheme(data, uri);
}

bool read_name_addr(const char* data, Slice value, AddressIndex& out) {
  out = AddressIndex{};
  out.value = value;
  size_t end = size_t{value.offset} + value.length;
  size_t at = 0;
  if (!read_address_uri(data, value, out.uri, at)) return false;
  out.user = uri_user(data, out.uri);

  scan::Param param;
  for (;;) {
    if (at == end) return true;
    // The one parameter that nearly every address has.
    if (end - at > kTag.kLength && kTag.matches(data + at)) {
      const size_t value_at = at + kTag.kLength;
      const size_t value_end = scan::skip(data, value_at, end, scan::kParamValue);
      if (value_end != value_at && out.tag.empty()) {
        out.tag = scan::slice(value_at, value_end);
        at = value_end;
        continue;
      }
    }
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
