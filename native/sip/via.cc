// One Via value, RFC 3261 section 20.42: SIP/2.0/transport host[:port]*(;param), white space and folds
// between all of them.
#include <cstring>

#include "sip/known_text.h"
#include "sip/scan.h"
#include "sip/via.h"

namespace sip_async::sip {
namespace {

using scan::ParamResult;

Transport transport_of(std::string_view name) {
  if (scan::equals_ignoring_case(name, "udp")) return Transport::kUdp;
  if (scan::equals_ignoring_case(name, "tcp")) return Transport::kTcp;
  if (scan::equals_ignoring_case(name, "tls")) return Transport::kTls;
  if (scan::equals_ignoring_case(name, "ws")) return Transport::kWs;
  if (scan::equals_ignoring_case(name, "wss")) return Transport::kWss;
  return Transport::kOther;
}

// Moves `at` behind `lower` and the white space around it.
bool expect(const char* data, size_t& at, size_t end, std::string_view lower) {
  if (end - at < lower.size()) return false;
  if (!scan::equals_ignoring_case({data + at, lower.size()}, lower)) return false;
  at = scan::skip_lws(data, at + lower.size(), end);
  return true;
}

// "7.0": a version that is not ours. A request of that version gets a 505, which needs the host behind it.
size_t skip_other_version(const char* data, size_t at, size_t end) {
  const size_t major_end = scan::skip(data, at, end, scan::kDigit);
  if (major_end == at || major_end == end || data[major_end] != '.') return at;
  const size_t minor_end = scan::skip(data, major_end + 1, end, scan::kDigit);
  return minor_end == major_end + 1 ? at : minor_end;
}

// False when nothing behind it can be made sense of; `is_ours` is false for another version.
bool read_protocol(const char* data, size_t& at, size_t end, ViaIndex& out, bool& is_ours) {
  constexpr std::string_view kUsual = "SIP/2.0/UDP ";
  if (end - at > kUsual.size() && std::memcmp(data + at, kUsual.data(), kUsual.size()) == 0) {
    out.transport = Transport::kUdp;
    at = scan::skip_lws(data, at + kUsual.size(), end);
    return true;
  }
  if (!expect(data, at, end, "sip") || !expect(data, at, end, "/")) return false;
  if (!expect(data, at, end, "2.0")) {
    is_ours = false;
    const size_t version_end = skip_other_version(data, at, end);
    if (version_end == at) return false;
    at = scan::skip_lws(data, version_end, end);
  }
  if (!expect(data, at, end, "/")) return false;
  size_t transport_end = scan::skip(data, at, end, scan::kToken);
  if (transport_end == at) return false;
  out.transport = transport_of({data + at, transport_end - at});
  at = scan::skip_lws(data, transport_end, end);
  return at > transport_end;
}

bool read_sent_by(const char* data, size_t& at, size_t end, ViaIndex& out) {
  size_t begin = at;
  size_t stop = scan::host_end(data, begin, end);
  if (stop == begin) return false;
  out.host = scan::slice(begin, stop);
  out.sent_by = out.host;
  at = scan::skip_lws(data, stop, end);
  if (at == end || data[at] != ':') return true;
  size_t port_at = scan::skip_lws(data, at + 1, end);
  at = port_at;
  const uint64_t port = scan::take_digits(data, at, end);
  out.sent_by = scan::slice(begin, at);
  if (port == 0 || port > 65535) return false;
  out.port = static_cast<uint16_t>(port);
  return true;
}

// A second branch, received or rport would leave it to the reader which one counts, so it is refused.
bool note_param(const char* data, const scan::Param& param, ViaIndex& out) {
  std::string_view name = param.name.of(data);
  if (scan::equals_ignoring_case(name, "branch")) {
    if (!param.has_value || param.is_quoted || !out.branch.empty()) return false;
    out.branch = param.value;
  } else if (scan::equals_ignoring_case(name, "rport")) {
    if (out.has_rport) return false;
    out.has_rport = true;
    if (!param.has_value) {
      out.rport_at = static_cast<uint16_t>(param.name.offset + param.name.length);
    } else if (!param.is_quoted) {
      out.rport = param.value;
    }
  } else if (scan::equals_ignoring_case(name, "received")) {
    if (!param.has_value || param.is_quoted || !out.received.empty()) return false;
    out.received = param.value;
  }
  return true;
}

// The parameters that nearly every Via has, as they are usually written; what is odd about them is left to note_param().
bool take_usual_param(const char* data, size_t& at, size_t end, ViaIndex& out) {
  constexpr KnownText kBranch(";branch=");
  constexpr KnownText kRport(";rport");
  if (end - at > kBranch.kLength && kBranch.matches(data + at)) {
    const size_t value_at = at + kBranch.kLength;
    const size_t value_end = scan::skip(data, value_at, end, scan::kParamValue);
    if (value_end == value_at || !out.branch.empty()) return false;
    out.branch = scan::slice(value_at, value_end);
    at = value_end;
    return true;
  }
  if (end - at < kRport.kLength || !kRport.matches(data + at) || out.has_rport) return false;
  const size_t name_end = at + kRport.kLength;
  if (name_end != end && data[name_end] != ';') return false;
  out.has_rport = true;
  out.rport_at = static_cast<uint16_t>(name_end);
  at = name_end;
  return true;
}

bool read_parts(const char* data, size_t& at, size_t end, ViaIndex& out) {
  bool is_ours = true;
  if (!read_protocol(data, at, end, out, is_ours) || !read_sent_by(data, at, end, out)) return false;
  scan::Param param;
  for (;;) {
    if (at == end) return is_ours;
    if (take_usual_param(data, at, end, out)) continue;
    switch (scan::next_param(data, at, end, param)) {
      case ParamResult::kNone:
        return is_ours;
      case ParamResult::kMalformed:
        return false;
      case ParamResult::kParam:
        if (!note_param(data, param, out)) return false;
    }
  }
}

}  // namespace

bool read_first_via(const char* data, size_t& at, size_t end, ViaIndex& out) {
  out = ViaIndex{};
  size_t begin = at = scan::skip_lws(data, at, end);
  bool is_good = read_parts(data, at, end, out);
  if (!is_good) at = scan::value_end(data, begin, end);
  out.value = scan::slice(begin, scan::trim_end(data, begin, at));
  return is_good;
}

bool read_via(const char* data, Slice value, ViaIndex& out) {
  size_t at = value.offset;
  size_t end = at + value.length;
  return read_first_via(data, at, end, out) && at == end;
}

}  // namespace sip_async::sip
