#include "sip/guard.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "sip/name_addr.h"
#include "sip/scan.h"
#include "sip/uri.h"

namespace sip_async::sip {
namespace {

using scan::ParamResult;

constexpr size_t kMaxLines = 256;
constexpr size_t kMaxWhiteSpaceRun = 64;
// For headers that the parser takes apart. Each value costs it a search through the rest of the line.
constexpr size_t kMaxValueBytes = 8192;
constexpr size_t kMaxCommas = 128;
// In a header with credentials a word costs the square of its length, some 4 ms for 2048 bytes. The sum over
// all lines is limited, to what keeps the parser for less than a millisecond.
constexpr size_t kMaxAuthCost = 768 * 768;
// The parser takes some 70 ns for each byte of a header that it takes apart into many short values.
constexpr size_t kMaxHeadBytes = 12288;

// Names that an object has without having been given them. The parser folds some names to lower case and some
// not.
constexpr std::array<std::string_view, 13> kReservedNames = {
    "__proto__",        "constructor",      "prototype",
    "tostring",         "tolocalestring",   "valueof",
    "hasownproperty",   "isprototypeof",    "propertyisenumerable",
    "__definegetter__", "__definesetter__", "__lookupgetter__",
    "__lookupsetter__",
};

bool is_reserved(std::string_view name) {
  for (std::string_view reserved : kReservedNames) {
    if (scan::equals_ignoring_case(name, reserved)) return true;
  }
  return false;
}

bool is_hex(char c) {
  return scan::is_digit(c) || (scan::to_lower(c) >= 'a' && scan::to_lower(c) <= 'f');
}

// What unescape() would turn into another character: %xx and %uxxxx. A method "RE%47ISTER" must not become
// another one behind the index's back, and %0d%0a would write header lines.
bool has_escape(std::string_view text) {
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    std::string_view digits = text.substr(at + 1);
    size_t wanted = 2;
    if (!digits.empty() && digits[0] == 'u') {
      digits.remove_prefix(1);
      wanted = 4;
    }
    if (digits.size() >= wanted &&
        std::all_of(digits.begin(), digits.begin() + static_cast<ptrdiff_t>(wanted), is_hex)) {
      return true;
    }
  }
  return false;
}

// White space as the parser's \s sees it in bytes read as Latin-1: 0xa0 is some, too.
bool is_space(char c) {
  return scan::is_lws(c) || static_cast<unsigned char>(c) == 0xa0;
}

// The index lets control bytes pass in quoted pairs. A bare LF is no line end to the parser, and a quoted pair may not hold a line end in its expressions; in
// both cases it would see other headers than the index did.
bool has_odd_spacing(std::string_view text) {
  size_t run = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    run = is_space(c) ? run + 1 : 0;
    if (run > kMaxWhiteSpaceRun) return true;
    if (scan::is_control(c) && !scan::is_lws(c)) return true;
    if (c == '\n' && (at == 0 || text[at - 1] != '\r')) return true;
    if (c == '\r' && at > 0 && text[at - 1] == '\\') return true;
  }
  return false;
}

// A reserved name where a parameter's name can stand: behind ; ? & or a comma. In `is_auth` headers the
// parameters of a scheme have only white space before them, so there every word followed by '=' counts.
// Quotes are not heeded, on purpose: that the two readers agree on where a quote ends is not taken for
// granted here.
bool has_reserved_param(std::string_view text, bool is_auth) {
  const char* data = text.data();
  size_t end = text.size();
  bool may_start = is_auth;
  for (size_t at = 0; at < end;) {
    char c = data[at];
    if (scan::is_a(c, scan::kToken)) {
      size_t word_end = scan::skip(data, at, end, scan::kToken);
      if (may_start && is_reserved(text.substr(at, word_end - at))) {
        size_t behind = scan::skip_lws(data, word_end, end);
        if (!is_auth || (behind < end && data[behind] == '=')) return true;
      }
      may_start = is_auth;
      at = word_end;
      continue;
    }
    if (c == ';' || c == '?' || c == '&' || c == ',') {
      may_start = true;
    } else if (!is_space(c)) {
      may_start = is_auth;
    }
    ++at;
  }
  return false;
}

// Calls `check` with every value of a list. Unlike next_value() it takes an empty element for a fault: the
// parser reads the comma as part of the next value.
template <typename Check>
bool each_value(const char* data, Slice list, Check check) {
  size_t end = size_t{list.offset} + list.length;
  for (size_t at = list.offset;; ++at) {
    at = scan::skip_lws(data, at, end);
    size_t stop = scan::value_end(data, at, end);
    Slice value = scan::slice(at, scan::trim_end(data, at, stop));
    if (value.empty() || !check(value)) return false;
    if (stop == end) return true;
    at = stop;
  }
}

// ";name[=value]..." and "?name=value&..." as the parser's URI expression wants them.
bool is_plain_tail(std::string_view tail) {
  size_t question = tail.find('?');
  std::string_view params = tail.substr(0, question);
  while (!params.empty()) {
    params.remove_prefix(1);
    std::string_view param = params.substr(0, params.find(';'));
    size_t equals = param.find('=');
    if (param.empty() || equals == 0 || equals + 1 == param.size()) return false;
    params.remove_prefix(param.size());
  }
  if (question == std::string_view::npos) return true;
  std::string_view headers = tail.substr(question + 1);
  for (;;) {
    std::string_view header = headers.substr(0, headers.find('&'));
    size_t equals = header.find('=');
    if (equals == 0 || equals == std::string_view::npos || equals + 1 == header.size() ||
        header.find('=', equals + 1) != std::string_view::npos) {
      return false;
    }
    if (header.size() == headers.size()) return true;
    headers.remove_prefix(header.size() + 1);
  }
}

// A URI that the parser can take apart. It stringifies the others as undefined, and throws from a timer. It
// knows neither IPv6 nor schemes in upper case.
bool is_route_uri(std::string_view uri) {
  if (!uri.starts_with("sip:") && !uri.starts_with("sips:")) return false;
  SipUri parts;
  if (!check_request_uri(uri) || !split_sip_uri(uri, parts) || parts.host[0] == '[') return false;
  if (parts.has_user) {
    if (parts.user.empty()) return false;
    bool has_password = *(parts.user.data() + parts.user.size()) == ':';
    if (has_password && parts.password.empty()) return false;
  }
  return is_plain_tail(parts.tail);
}

// Route, Record-Route, Path: a name-addr to the letter, since a value that is none ends the process.
bool is_route_value(const char* data, Slice value) {
  size_t at = value.offset;
  size_t end = at + value.length;
  if (data[at] == '"') {
    at = scan::skip_quoted(data, at, end);
    if (at == 0) return false;
    at = scan::skip_lws(data, at, end);
  } else {
    while (at < end && scan::is_a(data[at], scan::kToken)) {
      at = scan::skip_lws(data, scan::skip(data, at, end, scan::kToken), end);
    }
  }
  if (at == end || data[at] != '<') return false;
  const void* close = std::memchr(data + at, '>', end - at);
  if (close == nullptr) return false;
  size_t behind = static_cast<size_t>(static_cast<const char*>(close) - data);
  if (!is_route_uri({data + at + 1, behind - at - 1})) return false;

  at = behind + 1;
  scan::Param param;
  for (;;) {
    ParamResult result = scan::next_param(data, at, end, param);
    if (result != ParamResult::kParam) return result == ParamResult::kNone && at == end;
    if (param.is_quoted || !param.has_value) continue;
    size_t param_end = size_t{param.value.offset} + param.value.length;
    if (scan::skip(data, param.value.offset, param_end, scan::kToken) != param_end) return false;
  }
}

bool is_address_value(const char* data, Slice value) {
  AddressIndex address;
  return read_name_addr(data, value, address) && !has_bad_port(address.uri.of(data));
}

// The parser's expression for addresses is cubic in what follows a '<' that no '>' follows, quoted or not.
bool has_open_angle(std::string_view text) {
  size_t open = text.rfind('<');
  return open != std::string_view::npos && text.find('>', open) == std::string_view::npos;
}

size_t longest_word(std::string_view text) {
  size_t run = 0;
  size_t longest = 0;
  for (char c : text) {
    run = is_space(c) ? 0 : run + 1;
    longest = std::max(longest, run);
  }
  return longest;
}

enum class Shape { kOpaque, kVia, kAddress, kContact, kRoute, kAuth };

// How the parser reads a header; opaque ones it keeps as a string.
Shape shape_of(HeaderId id, std::string_view name) {
  switch (id) {
    case HeaderId::kVia:
      return Shape::kVia;
    case HeaderId::kFrom:
    case HeaderId::kTo:
      return Shape::kAddress;
    case HeaderId::kContact:
      return Shape::kContact;
    case HeaderId::kRoute:
    case HeaderId::kRecordRoute:
      return Shape::kRoute;
    case HeaderId::kOther:
      break;
    default:
      return Shape::kOpaque;
  }
  if (header_name_equals(name, "Path")) return Shape::kRoute;
  if (header_name_equals(name, "Refer-To")) return Shape::kAddress;
  for (const char* auth : {"WWW-Authenticate", "Proxy-Authenticate", "Authorization", "Proxy-Authorization",
                           "Authentication-Info"}) {
    if (header_name_equals(name, auth)) return Shape::kAuth;
  }
  return Shape::kOpaque;
}

bool is_safe_value(const char* data, Slice value, Shape shape, const MessageIndex& index, size_t& auth_cost) {
  std::string_view text = value.of(data);
  if (text.size() > kMaxValueBytes) return false;
  if (static_cast<size_t>(std::count(text.begin(), text.end(), ',')) > kMaxCommas) return false;
  if (has_reserved_param(text, shape == Shape::kAuth)) return false;
  auto is_address = [data](Slice one) { return is_address_value(data, one); };
  switch (shape) {
    case Shape::kVia: {
      ViaIndex via;
      return each_value(data, value, [&](Slice one) { return read_via(data, one, via); });
    }
    case Shape::kAddress:
      return !has_open_angle(text) && is_address(value);
    case Shape::kContact:
      if (text == "*") return index.is_request && index.method == Method::kRegister;
      return !has_open_angle(text) && each_value(data, value, is_address);
    case Shape::kRoute:
      return !has_open_angle(text) &&
             each_value(data, value, [data](Slice one) { return is_route_value(data, one); });
    case Shape::kAuth: {
      size_t word = longest_word(text);
      auth_cost += word * word;
      return auth_cost <= kMaxAuthCost;
    }
    case Shape::kOpaque:
      break;
  }
  return true;
}

bool is_safe_header(const char* data, const HeaderLine& line, const MessageIndex& index, size_t& auth_cost) {
  std::string_view name = line.name.of(data);
  if (has_escape(name) || is_reserved(name)) return false;
  Shape shape = shape_of(line.id, name);
  return shape == Shape::kOpaque || is_safe_value(data, line.value, shape, index, auth_cost);
}

}  // namespace

IndexStatus guard_message(const char* data, size_t size, const MessageIndex& index) {
  if (index.status != IndexStatus::kOk) return index.status;
  if (index.header_count > kMaxLines || index.body.offset > kMaxHeadBytes ||
      has_odd_spacing({data, index.body.offset}) || has_escape(index.method_name.of(data)) ||
      has_reserved_param(index.ruri.of(data), false) || has_bad_port(index.ruri.of(data))) {
    return IndexStatus::kHostile;
  }
  size_t auth_cost = 0;
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (!is_safe_header(data, line, index, auth_cost)) return IndexStatus::kHostile;
  }
  return IndexStatus::kOk;
}

}  // namespace sip_async::sip
