// Header names: long and compact forms to HeaderId. RFC 3261 section 7.3.3 and the IANA list of compact
// forms.
#include "sip/header_index.h"
#include "sip/known_text.h"
#include "sip/scan.h"

namespace sip_async::sip {
namespace {

constexpr KnownText kTo("to");
constexpr KnownText kFrom("from");
constexpr KnownText kVia("via");
constexpr KnownText kCseq("cseq");
constexpr KnownText kRoute("route");
constexpr KnownText kReason("reason");
constexpr KnownText kCallId("call-id");
constexpr KnownText kContact("contact");
constexpr KnownText kExpires("expires");
constexpr KnownText kRequire("require");
constexpr KnownText kSupported("supported");
constexpr KnownText kTimestamp("timestamp");
constexpr KnownText kUserAgent("user-agent");
constexpr KnownText kMaxForwards("max-forwards");
constexpr KnownText kContentType("content-type");
constexpr KnownText kRecordRoute("record-route");
constexpr KnownText kProxyRequire("proxy-require");
constexpr KnownText kContentLength("content-length");

HeaderId compact_id(char letter) {
  switch (scan::to_lower(letter)) {
    case 'v':
      return HeaderId::kVia;
    case 'f':
      return HeaderId::kFrom;
    case 't':
      return HeaderId::kTo;
    case 'i':
      return HeaderId::kCallId;
    case 'm':
      return HeaderId::kContact;
    case 'l':
      return HeaderId::kContentLength;
    case 'c':
      return HeaderId::kContentType;
    case 'k':
      return HeaderId::kSupported;
    default:
      return HeaderId::kOther;
  }
}

std::string_view long_name(std::string_view name) {
  if (name.size() != 1) return name;
  switch (scan::to_lower(name[0])) {
    case 'a':
      return "accept-contact";
    case 'b':
      return "referred-by";
    case 'c':
      return "content-type";
    case 'd':
      return "request-disposition";
    case 'e':
      return "content-encoding";
    case 'f':
      return "from";
    case 'i':
      return "call-id";
    case 'j':
      return "reject-contact";
    case 'k':
      return "supported";
    case 'l':
      return "content-length";
    case 'm':
      return "contact";
    case 'n':
      return "identity-info";
    case 'o':
      return "event";
    case 'r':
      return "refer-to";
    case 's':
      return "subject";
    case 't':
      return "to";
    case 'u':
      return "allow-events";
    case 'v':
      return "via";
    case 'x':
      return "session-expires";
    case 'y':
      return "identity";
    default:
      return name;
  }
}

}  // namespace

HeaderId header_id(std::string_view name) {
  const char* p = name.data();
  auto either = [p](const auto& known, HeaderId id) { return known.matches(p) ? id : HeaderId::kOther; };
  switch (name.size()) {
    case 1:
      return compact_id(p[0]);
    case 2:
      return either(kTo, HeaderId::kTo);
    case 3:
      return either(kVia, HeaderId::kVia);
    case 4:
      return kFrom.matches(p) ? HeaderId::kFrom : either(kCseq, HeaderId::kCseq);
    case 5:
      return either(kRoute, HeaderId::kRoute);
    case 6:
      return either(kReason, HeaderId::kReason);
    case 7:
      if (kCallId.matches(p)) return HeaderId::kCallId;
      if (kContact.matches(p)) return HeaderId::kContact;
      return kExpires.matches(p) ? HeaderId::kExpires : either(kRequire, HeaderId::kRequire);
    case 9:
      return kSupported.matches(p) ? HeaderId::kSupported : either(kTimestamp, HeaderId::kTimestamp);
    case 10:
      return either(kUserAgent, HeaderId::kUserAgent);
    case 12:
      if (kMaxForwards.matches(p)) return HeaderId::kMaxForwards;
      return kContentType.matches(p) ? HeaderId::kContentType : either(kRecordRoute, HeaderId::kRecordRoute);
    case 13:
      return either(kProxyRequire, HeaderId::kProxyRequire);
    case 14:
      return either(kContentLength, HeaderId::kContentLength);
    default:
      return HeaderId::kOther;
  }
}

bool header_name_equals(std::string_view a, std::string_view b) {
  a = long_name(a);
  b = long_name(b);
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (scan::to_lower(a[i]) != scan::to_lower(b[i])) return false;
  }
  return true;
}

}  // namespace sip_async::sip
