// Header names: long and compact forms to HeaderId. RFC 3261 section 7.3.3 and the IANA list of compact
// forms.
#include <cstring>

#include "sip/header_index.h"
#include "sip/known_headers.h"
#include "sip/scan.h"

namespace sip_async::sip {
namespace {

template <class Word>
bool ends_match(const char* name, const KnownHeader& known) {
  const auto matches_at = [&](size_t at) {
    Word word, fold, wanted;
    std::memcpy(&word, name + at, sizeof word);
    std::memcpy(&fold, known.fold.data() + at, sizeof fold);
    std::memcpy(&wanted, known.name.data() + at, sizeof wanted);
    return static_cast<Word>(word | fold) == wanted;
  };
  return matches_at(0) && matches_at(known.length - sizeof(Word));
}

// Two words that overlap hold every byte of a name.
bool is_name_of(const char* name, const KnownHeader& known) {
  if (known.length >= 8) return ends_match<uint64_t>(name, known);
  return known.length >= 4 ? ends_match<uint32_t>(name, known) : ends_match<uint16_t>(name, known);
}

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
  if (name.size() == 1) return compact_id(name[0]);
  if (name.size() < kShortestKnownHeader || name.size() > kLongestKnownHeader) return HeaderId::kOther;
  const KnownHeader& known = kKnownHeaders[known_header_slot(name.size(), name.size() == 2 ? ':' : name[2])];
  return known.length == name.size() && is_name_of(name.data(), known) ? known.id : HeaderId::kOther;
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
