// A reply on its way back: without our Via, to where the next one points.
#include <netinet/in.h>

#include <string>

#include "sip/request_builder.h"
#include "sip/scan.h"
#include "sip/uri.h"
#include "sip/via.h"
#include "sip/writer.h"

namespace sip_async::sip {
namespace {

// Where the value behind the topmost one begins on the line that holds it; 0 when that one stands alone.
size_t second_on_line(const char* data, const ViaIndex& top, Slice line) {
  const size_t end = size_t{line.offset} + line.length;
  const size_t top_end = size_t{top.value.offset} + top.value.length;
  if (top.value.empty() || top.value.offset < line.offset || top_end > end) return 0;
  const size_t comma = scan::skip_lws(data, top_end, end);
  if (comma == end || data[comma] != ',') return 0;
  const size_t second = scan::skip_lws(data, comma + 1, end);
  return second == end ? 0 : second;
}

uint16_t default_port(Transport transport) {
  switch (transport) {
    case Transport::kTls:
      return 5061;
    case Transport::kWs:
      return 80;
    case Transport::kWss:
      return 443;
    default:
      return 5060;
  }
}

bool read_address(std::string_view host, uint16_t port, Address& out) {
  // Longer than any address, and not worth a copy.
  if (host.empty() || host.size() > INET6_ADDRSTRLEN + 2) return false;
  return Address::parse(std::string(host), port, out);
}

}  // namespace

size_t build_reply_upstream(const char* data, size_t size, const MessageIndex& index,
                            const MessageEdits& edits, char* out, size_t capacity) {
  if (index.is_request || index.via_count < 2) return 0;
  size_t start = 0;
  while (start < index.headers_at && (data[start] == '\r' || data[start] == '\n')) ++start;
  Writer writer(out, capacity);
  writer.put(between(data, start, index.headers_at));
  bool has_top_via = false;
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (line.id == HeaderId::kContentLength || edits.removes(line.id, line.name.of(data))) continue;
    if (line.id != HeaderId::kVia || has_top_via) {
      writer.put(between(data, at, line.end));
      continue;
    }
    has_top_via = true;
    const size_t second = second_on_line(data, index.via, line.value);
    if (second != 0) writer.put(between(data, at, line.value.offset)).put(between(data, second, line.end));
  }
  writer.put(edits.appended_lines);
  put_body(writer, edits.has_body ? edits.body : index.body.of(data));
  return writer.size();
}

bool second_via(const char* data, size_t size, const MessageIndex& index, ViaIndex& out) {
  bool has_top_via = false;
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (line.id != HeaderId::kVia) continue;
    size_t begin = line.value.offset;
    if (!has_top_via) {
      has_top_via = true;
      begin = second_on_line(data, index.via, line.value);
      if (begin == 0) continue;
    }
    return read_first_via(data, begin, size_t{line.value.offset} + line.value.length, out);
  }
  return false;
}

bool via_target(const char* data, const ViaIndex& via, Hop& to) {
  uint16_t port = via.port != 0 ? via.port : default_port(via.transport);
  read_port(via.rport.of(data), port);
  Address address;
  if (!read_address(via.received.of(data), port, address) && !read_address(via.host.of(data), port, address))
    return false;
  to.address = address;
  to.transport = via.transport;
  return true;
}

}  // namespace sip_async::sip
