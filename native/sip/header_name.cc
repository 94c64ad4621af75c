// Header names: long and compact forms to HeaderId. RFC 3261 section 7.3.3 and the IANA list of compact
// forms.
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "sip/header_index.h"
#include "sip/scan.h"

namespace sip_async::sip {
namespace {

template <size_t Length>
using WordFor =
    std::conditional_t<(Length >= 8), uint64_t, std::conditional_t<(Length >= 4), uint32_t, uint16_t>>;

// A lower-case name as two words that overlap, so that a comparison takes two loads and no loop. Only letters
// are folded: '-' with the case bit set would also be what CR turns into.
template <size_t Size>
class KnownName {
 public:
  static constexpr size_t kLength = Size - 1;
  static_assert(kLength >= 2 && kLength <= 16);

  consteval explicit KnownName(const char (&lower)[Size])
      : first_(word(lower, 0)),
        last_(word(lower, kLength - sizeof(Word))),
        first_fold_(fold(lower, 0)),
        last_fold_(fold(lower, kLength - sizeof(Word))) {}

  bool matches(const char* name) const {
    Word first;
    Word last;
    std::memcpy(&first, name, sizeof(Word));
    std::memcpy(&last, name + kLength - sizeof(Word), sizeof(Word));
    return static_cast<Word>(first | first_fold_) == first_ && static_cast<Word>(last | last_fold_) == last_;
  }

 private:
  using Word = WordFor<kLength>;
  using Bytes = std::array<char, sizeof(Word)>;

  static consteval Word word(const char (&lower)[Size], size_t at) {
    Bytes bytes{};
    for (size_t i = 0; i < sizeof(Word); ++i) bytes[i] = lower[at + i];
    return std::bit_cast<Word>(bytes);
  }
  static consteval Word fold(const char (&lower)[Size], size_t at) {
    Bytes bytes{};
    for (size_t i = 0; i < sizeof(Word); ++i) bytes[i] = lower[at + i] == '-' ? 0 : 0x20;
    return std::bit_cast<Word>(bytes);
  }

  Word first_, last_, first_fold_, last_fold_;
};

constexpr KnownName kTo("to");
constexpr KnownName kFrom("from");
constexpr KnownName kVia("via");
constexpr KnownName kCseq("cseq");
constexpr KnownName kRoute("route");
constexpr KnownName kReason("reason");
constexpr KnownName kCallId("call-id");
constexpr KnownName kContact("contact");
constexpr KnownName kExpires("expires");
constexpr KnownName kRequire("require");
constexpr KnownName kSupported("supported");
constexpr KnownName kTimestamp("timestamp");
constexpr KnownName kUserAgent("user-agent");
constexpr KnownName kMaxForwards("max-forwards");
constexpr KnownName kContentType("content-type");
constexpr KnownName kRecordRoute("record-route");
constexpr KnownName kProxyRequire("proxy-require");
constexpr KnownName kContentLength("content-length");

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
