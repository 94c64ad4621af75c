#include "sip/header_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "sip/known_headers.h"
#include "sip/known_text.h"
#include "sip/method_name.h"
#include "sip/name_addr.h"
#include "sip/scan.h"
#include "sip/uri.h"
#include "sip/via.h"

namespace sip_async::sip {
namespace {

constexpr std::array<const char*, static_cast<size_t>(IndexStatus::kCount)> kStatusNames = {
    "ok",        "keepAlive",      "tooLarge",    "badStartLine",   "badVersion",       "noHeaderEnd",
    "badHeader", "tooManyHeaders", "tooManyVias", "missingHeader",  "repeatedHeader",   "badVia",
    "badFromTo", "badCallId",      "badCseq",     "methodMismatch", "badContentLength", "badMaxForwards",
    "badUri",    "hostile",
};

enum class LineKind { kHeader, kNameless, kEmpty, kCut };

struct Line {
  LineKind kind = LineKind::kCut;
  HeaderId id = HeaderId::kOther;
  bool has_control = false;
  size_t name_end = 0;
  size_t value_at = 0;
  size_t value_end = 0;
  size_t next = 0;
};

bool is_crlf(const char* data, size_t at, size_t size) {
  return at + 2 <= size && std::memcmp(data + at, "\r\n", 2) == 0;
}

// More than white space, so that one comparison says that there is none.
bool is_space_or_control(char c) {
  return static_cast<unsigned char>(c) <= ' ';
}

// Where a line ends, with its folded lines: `at` is in front of the CR or LF. A line without a line end is cut: nobody can tell
// what is missing from it.
struct LineEnd {
  bool is_cut = false;
  bool has_control = false;
  size_t at = 0;
  size_t next = 0;
};

// `at` is the first control byte of the line.
[[gnu::noinline]] LineEnd find_odd_line_end(const char* data, size_t size, size_t at, bool folds) {
  LineEnd line;
  for (;;) {
    at = scan::find<scan::Control>(data, at, size);
    line.is_cut = at == size;
    if (line.is_cut) return line;
    size_t next = at + 1;
    if (data[at] == '\r' && next < size && data[next] == '\n') {
      ++next;
    } else if (data[at] != '\n') {
      // A run of them byte by byte: a search for the next one would cost more than that.
      for (;; ++next) {
        if (data[next - 1] != '\t') line.has_control = true;
        if (next == size || !scan::is_control(data[next]) || data[next] == '\r' || data[next] == '\n') break;
      }
      at = next;
      continue;
    }
    if (folds && next < size && scan::is_wsp(data[next])) {
      at = next;
      continue;
    }
    line.at = at;
    line.next = next;
    return line;
  }
}

// Whether every control byte in data[at, end) is the second half of a quoted pair (RFC 3261 section 25.1), the one place
// where the grammar has them, or white space. Only asked for lines that hold control bytes, which ordinary ones do not.
bool are_controls_quoted(const char* data, size_t at, size_t end) {
  bool in_quotes = false;
  for (; at < end; ++at) {
    const char c = data[at];
    if (c == '"') {
      in_quotes = !in_quotes;
    } else if (c == '\\' && in_quotes && at + 1 < end) {
      const char quoted = data[++at];
      if (quoted == '\r' || quoted == '\n') return false;
    } else if (c == '\r') {
      // Of a fold; a CR by itself would be a line end to some.
      if (at + 1 == end || data[at + 1] != '\n') return false;
    } else if (scan::is_control(c) && c != '\t' && c != '\n') {
      return false;
    }
  }
  return true;
}

// Where the name in data[at, end) ends and the colon behind it stands; `colon` is `end` when the line is nameless.
struct NameEnd {
  HeaderId id = HeaderId::kOther;
  size_t at = 0;
  size_t colon = 0;
};

[[gnu::noinline]] NameEnd find_other_name(const char* data, size_t at, size_t end) {
  NameEnd name;
  name.colon = name.at = scan::find<scan::AnyOf<':'>>(data, at, end);
  while (name.at > at && scan::is_wsp(data[name.at - 1])) --name.at;
  name.id = header_id({data + at, name.at - at});
  // A known name is made of token characters; only the others need a look.
  const bool is_name =
      name.id != HeaderId::kOther || (name.at > at && scan::skip(data, at, name.at, scan::kToken) == name.at);
  if (!is_name) name.colon = end;
  return name;
}

[[gnu::always_inline]] inline NameEnd find_name([[maybe_unused]] size_t size, const char* data, size_t at,
                                                size_t end) {
#ifdef SIP_ASYNC_WIDE_SEARCH
  if (at + 16 <= size) [[likely]] {
    if (const KnownHeader* known = known_header_at(data + at); known != nullptr && at + known->length < end)
      return {known->id, at + known->length, at + known->length};
  }
#endif
  return find_other_name(data, at, end);
}

// Reads the line that starts at `at`. `controls` finds control bytes.
template <class Controls>
[[gnu::always_inline]] inline void read_line(Controls& controls, const char* data, size_t size, size_t at,
                                             Line& line) {
  line.id = HeaderId::kOther;
  line.has_control = false;
  size_t end = controls.next(at);
  line.next = end + 2;
  if (end == at) [[unlikely]] {
    const bool has_crlf = is_crlf(data, at, size);
    if (has_crlf || (at < size && data[at] == '\n')) {
      line.kind = LineKind::kEmpty;
      if (!has_crlf) line.next = at + 1;
      return;
    }
  }
  if (!is_crlf(data, end, size) || line.next == size ||
      (is_space_or_control(data[line.next]) && scan::is_wsp(data[line.next]))) [[unlikely]] {
    const LineEnd odd = find_odd_line_end(data, size, end, true);
    line.kind = LineKind::kCut;
    if (odd.is_cut) return;
    line.has_control = odd.has_control;
    end = odd.at;
    line.next = odd.next;
  }
  const NameEnd name = find_name(size, data, at, end);
  if (name.colon == end) {
    line.kind = LineKind::kNameless;
    line.name_end = line.value_at = at;
    line.value_end = end;
    return;
  }
  line.kind = LineKind::kHeader;
  line.id = name.id;
  line.name_end = name.at;
  if (line.has_control) [[unlikely]]
    line.has_control = !are_controls_quoted(data, name.at, end);
  line.value_at = name.colon + 1;
  line.value_end = end;
  // As it is usually written: one space in front of the value.
  if (end - name.colon > 2 && data[line.value_at] == ' ') ++line.value_at;
  if (is_space_or_control(data[line.value_at]) || is_space_or_control(data[end - 1])) [[unlikely]] {
    line.value_at = scan::skip_lws(data, line.value_at, end);
    line.value_end = scan::trim_end(data, line.value_at, end);
  }
}

// One pass over one message. Each take_ function reads one kind of header into the index.
class Pass {
  static constexpr KnownText kSipSlash{"sip/"};

 public:
  Pass(const char* data, size_t size, const IndexLimits& limits, MessageIndex& out)
      : data_(data), size_(size), limits_(limits), out_(out), controls_(data, size) {}

  void run(size_t start) {
    size_t at = take_start_line(start);
    out_.headers_at = static_cast<uint16_t>(at);
    Line line;
    size_t end = size_;
    bool is_complete = false;
    for (;; at = line.next) {
      read_line(controls_, data_, size_, at, line);
      if (line.kind == LineKind::kCut) break;
      if (line.kind == LineKind::kEmpty) {
        is_complete = true;
        end = line.next;
        break;
      }
      take_line(at, line);
    }
    out_.header_count = header_count_;
    if (!is_complete) fault(IndexStatus::kNoHeaderEnd);
    if (out_.via_count == 0 || !has_from_ || !has_to_ || !has_call_id_ || out_.cseq.empty()) {
      fault(IndexStatus::kMissingHeader);
    }
    take_body(end);
  }

 private:
  void fault(IndexStatus status) {
    if (out_.status == IndexStatus::kOk) out_.status = status;
  }
  std::string_view text(size_t begin, size_t end) const { return {data_ + begin, end - begin}; }

  // True for the first of its kind. Of a header that may stand only once the first one is kept.
  bool take_once(bool& has) {
    if (has) fault(IndexStatus::kRepeatedHeader);
    return !std::exchange(has, true);
  }

  size_t take_start_line(size_t at) {
    LineEnd line;
    line.at = controls_.next(at);
    line.next = line.at + 2;
    if (!is_crlf(data_, line.at, size_)) line = find_odd_line_end(data_, size_, line.at, false);
    if (line.is_cut) line.at = line.next = size_;
    if (line.at - at > limits_.max_line_bytes) fault(IndexStatus::kTooLarge);
    if (line.at - at >= kSipSlash.kLength && kSipSlash.matches(data_ + at)) {
      take_status_line(at, line.at);
    } else {
      take_request_line(at, line.at);
    }
    if (line.has_control) fault(IndexStatus::kBadStartLine);
    return line.next;
  }

  // "SIP/2.0" in any case; other numbers are a version, too, anything else is not.
  void take_version(std::string_view version) {
    if (version == "SIP/2.0" || scan::equals_ignoring_case(version, "sip/2.0")) return;
    size_t dot = version.find('.');
    uint32_t number = 0;
    bool is_version = version.size() > 4 && scan::equals_ignoring_case(version.substr(0, 4), "sip/") &&
                      dot != std::string_view::npos &&
                      scan::read_decimal(version.substr(4, dot - 4), ~0u, number) &&
                      scan::read_decimal(version.substr(dot + 1), ~0u, number);
    fault(is_version ? IndexStatus::kBadVersion : IndexStatus::kBadStartLine);
  }

  // Whatever lies between the method and the last word is taken for the URI: a URI with spaces in it is a bad
  // URI, and the request can be answered. Spaces at the end of the line are a fault, too (RFC 3261 section
  // 7.1).
  void take_request_line(size_t at, size_t end) {
    constexpr std::string_view kUsual = " SIP/2.0";
    const size_t method_end = scan::find<scan::AnyOf<' '>>(data_, at, end);
    if (method_end == at || method_end == end) return fault(IndexStatus::kBadStartLine);
    const Method method = method_of(text(at, method_end));
    // A known name is made of token characters; only the others need a look.
    if (method == Method::kOther && scan::skip(data_, at, method_end, scan::kToken) != method_end)
      return fault(IndexStatus::kBadStartLine);
    const size_t line_end = scan::trim_end(data_, method_end, end);
    size_t version_at = line_end;
    const bool is_usual = line_end - method_end > kUsual.size() &&
                          std::memcmp(data_ + line_end - kUsual.size(), kUsual.data(), kUsual.size()) == 0;
    if (is_usual) version_at -= kUsual.size() - 1;
    while (version_at > method_end && data_[version_at - 1] != ' ') --version_at;
    const size_t uri_at = method_end + 1;
    if (version_at <= uri_at) return fault(IndexStatus::kBadStartLine);

    out_.is_request = true;
    out_.method_name = scan::slice(at, method_end);
    out_.method = method;
    out_.ruri = scan::slice(uri_at, version_at - 1);
    if (!check_request_uri(text(uri_at, version_at - 1))) fault(IndexStatus::kBadUri);
    if (!is_usual) take_version(text(version_at, line_end));
    if (line_end != end) fault(IndexStatus::kBadStartLine);
  }

  void take_status_line(size_t at, size_t end) {
    size_t space = at;
    while (space < end && data_[space] != ' ') ++space;
    take_version(text(at, space));
    size_t code_at = std::min(space + 1, end);
    size_t code_end = std::min(code_at + 3, end);
    uint32_t code = 0;
    // Without a reason the space before it is often missing, too.
    if (code_end - code_at != 3 || !scan::read_decimal(text(code_at, code_end), 699, code) || code < 100 ||
        (code_end < end && data_[code_end] != ' ')) {
      return fault(IndexStatus::kBadStartLine);
    }
    out_.status_code = static_cast<uint16_t>(code);
    out_.reason = scan::slice(std::min(code_end + 1, end), end);
  }

  void take_line(size_t at, const Line& line) {
    if (++header_count_ > limits_.max_headers) fault(IndexStatus::kTooManyHeaders);
    if (line.next - at > limits_.max_line_bytes) fault(IndexStatus::kTooLarge);
    // A line with control bytes is not read any further, so that they never come back in a reply.
    if (line.has_control || line.kind == LineKind::kNameless) return fault(IndexStatus::kBadHeader);
    Slice value = scan::slice(line.value_at, line.value_end);
    switch (line.id) {
      case HeaderId::kVia:
        return take_via(value);
      case HeaderId::kFrom:
        return take_address(value, has_from_, out_.from);
      case HeaderId::kTo:
        return take_address(value, has_to_, out_.to);
      case HeaderId::kCallId:
        return take_call_id(value);
      case HeaderId::kCseq:
        return take_cseq(value);
      case HeaderId::kMaxForwards:
        return take_max_forwards(value);
      case HeaderId::kContentLength:
        return take_content_length(value);
      case HeaderId::kContact:
        if (out_.contact.empty()) out_.contact = value;
        return;
      case HeaderId::kUserAgent:
        if (out_.user_agent.empty()) out_.user_agent = value;
        return;
      default:
        return;
    }
  }

  void take_via(Slice value) {
    size_t at = value.offset;
    size_t end = at + value.length;
    if (out_.via_count == 0) {
      out_.via_count = 1;
      if (!read_first_via(data_, at, end, out_.via)) fault(IndexStatus::kBadVia);
      if (at == end) return;
      ++at;
    }
    for (;;) {
      at = scan::skip_lws(data_, at, end);
      if (at == end || data_[at] == ',') fault(IndexStatus::kBadVia);
      if (at == end) return;
      at = scan::value_end(data_, at, end);
      if (++out_.via_count > limits_.max_vias) fault(IndexStatus::kTooManyVias);
      if (at == end) return;
      ++at;
    }
  }

  void take_address(Slice value, bool& has, AddressIndex& address) {
    if (take_once(has) && !read_name_addr(data_, value, address)) fault(IndexStatus::kBadFromTo);
  }

  // Wider than the grammar: any visible ASCII, since it is only ever compared and copied.
  void take_call_id(Slice value) {
    if (!take_once(has_call_id_)) return;
    out_.call_id = value;
    size_t end = size_t{value.offset} + value.length;
    if (value.empty() || scan::skip(data_, value.offset, end, scan::kVisible) != end)
      fault(IndexStatus::kBadCallId);
  }

  void take_cseq(Slice value) {
    if (!take_once(has_cseq_)) return;
    out_.cseq = value;
    size_t at = value.offset;
    size_t end = at + value.length;
    const uint64_t number = scan::take_digits(data_, at, end);
    const size_t number_end = at;
    const size_t method_at = scan::skip_lws(data_, number_end, end);
    const std::string_view name = text(method_at, end);
    const bool is_same = out_.is_request && scan::is_same(name, out_.method_name.of(data_));
    const Method method = is_same ? out_.method : method_of(name);
    // The request line's method and known ones are made of token characters; only the others need a look.
    const bool is_token =
        is_same || method != Method::kOther || scan::skip(data_, method_at, end, scan::kToken) == end;
    if (number_end == value.offset || number > UINT32_MAX || method_at == number_end || method_at == end ||
        !is_token) {
      return fault(IndexStatus::kBadCseq);
    }
    out_.cseq_number = static_cast<uint32_t>(number);
    if (!out_.is_request) {
      out_.method_name = scan::slice(method_at, end);
      out_.method = method;
    } else if (!is_same) {
      fault(IndexStatus::kMethodMismatch);
    }
  }

  void take_max_forwards(Slice value) {
    if (!take_once(has_max_forwards_)) return;
    uint32_t hops = 0;
    if (!scan::read_decimal(value.of(data_), 255, hops)) return fault(IndexStatus::kBadMaxForwards);
    out_.max_forwards = static_cast<int16_t>(hops);
  }

  void take_content_length(Slice value) {
    if (!take_once(has_content_length_)) return;
    is_length_known_ = scan::read_decimal(value.of(data_), ~0u, content_length_);
    if (!is_length_known_) fault(IndexStatus::kBadContentLength);
  }

  void take_body(size_t at) {
    size_t end = size_;
    if (is_length_known_) {
      if (content_length_ > size_ - at) {
        fault(IndexStatus::kBadContentLength);
      } else {
        end = at + content_length_;
      }
    }
    out_.body = scan::slice(at, end);
  }

  const char* data_;
  size_t size_;
  const IndexLimits& limits_;
  MessageIndex& out_;
  scan::ControlWalk controls_;
  uint16_t header_count_ = 0;
  uint32_t content_length_ = 0;
  bool is_length_known_ = false;
  bool has_from_ = false;
  bool has_to_ = false;
  bool has_call_id_ = false;
  bool has_cseq_ = false;
  bool has_max_forwards_ = false;
  bool has_content_length_ = false;
};

}  // namespace

const char* index_status_name(IndexStatus status) {
  auto at = static_cast<size_t>(status);
  return at < kStatusNames.size() ? kStatusNames[at] : "unknown";
}

IndexStatus index_message(const char* data, size_t size, const IndexLimits& limits, MessageIndex& out) {
  out = MessageIndex{};
  if (size > limits.max_message_bytes || size > kMaxMessageBytes) return out.status = IndexStatus::kTooLarge;
  // Clients put line ends between messages, as keep-alive or by habit (RFC 3261 section 7.5).
  size_t start = 0;
  while (start < size && (data[start] == '\r' || data[start] == '\n')) ++start;
  if (start == size) return out.status = IndexStatus::kKeepAlive;
  out.status = IndexStatus::kOk;
  Pass(data, size, limits, out).run(start);
  return out.status;
}

bool is_answerable(const MessageIndex& index) {
  return index.is_request && index.method != Method::kAck && !index.via.host.empty() &&
         !index.from.value.empty() && !index.to.value.empty() && !index.call_id.empty() &&
         !index.cseq.empty();
}

bool next_header(const char* data, size_t size, uint16_t at, HeaderLine& out) {
  Line line;
  size = std::min(size, kMaxMessageBytes);
  if (at >= size) return false;
  scan::ControlSearch controls(data, size);
  read_line(controls, data, size, at, line);
  if (line.kind == LineKind::kCut || line.kind == LineKind::kEmpty) return false;
  out.id = line.id;
  out.name = scan::slice(at, line.name_end);
  out.value = scan::slice(line.value_at, line.value_end);
  out.end = static_cast<uint16_t>(line.next);
  return true;
}

bool next_value(const char* data, Slice value, uint16_t& at, Slice& out) {
  size_t end = size_t{value.offset} + value.length;
  size_t begin = std::min(size_t{value.offset} + at, end);
  while (begin < end && (scan::is_lws(data[begin]) || data[begin] == ',')) ++begin;
  if (begin == end) {
    at = value.length;
    return false;
  }
  size_t stop = scan::value_end(data, begin, end);
  out = scan::slice(begin, scan::trim_end(data, begin, stop));
  at = static_cast<uint16_t>(stop - value.offset);
  return true;
}

}  // namespace sip_async::sip
