#include "sip/reply_builder.h"

#include "sip/writer.h"

namespace sip_async::sip {

size_t build_reply(const ReplyParts& parts, char* out, size_t capacity) {
  // The reason comes from a script, which may have it from the network.
  for (const char c : parts.reason) {
    if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f) return 0;
  }
  Writer writer(out, capacity);
  writer.put("SIP/2.0 ").put_number(parts.code).put(" ");
  writer.put(parts.reason.empty() ? default_reason(parts.code) : parts.reason).put("\r\n");
  const bool routes = parts.code > 100 && parts.code < 300;
  bool top_via = true;
  HeaderLine line;
  for (uint16_t at = parts.index->headers_at; next_header(parts.data, parts.size, at, line); at = line.end) {
    const std::string_view value = line.value.of(parts.data);
    switch (line.id) {
      case HeaderId::kVia:
        writer.put("Via: ");
        if (top_via) {
          put_top_via(writer, parts.data, parts.index->via, line.value, parts.from);
        } else {
          writer.put(value);
        }
        writer.put("\r\n");
        top_via = false;
        break;
      case HeaderId::kFrom:
        writer.put("From: ").put(value).put("\r\n");
        break;
      case HeaderId::kTo:
        writer.put("To: ").put(value);
        // 100 belongs to one hop and makes no dialog, so it needs no tag (RFC 3261 section 8.2.6.2).
        if (parts.index->to.tag.empty() && parts.code != 100) writer.put(";tag=").put(parts.to_tag);
        writer.put("\r\n");
        break;
      case HeaderId::kCallId:
        writer.put("Call-ID: ").put(value).put("\r\n");
        break;
      case HeaderId::kCseq:
        writer.put("CSeq: ").put(value).put("\r\n");
        break;
      case HeaderId::kRecordRoute:
        if (routes) writer.put("Record-Route: ").put(value).put("\r\n");
        break;
      case HeaderId::kTimestamp:
        if (parts.code == 100) writer.put("Timestamp: ").put(value).put("\r\n");
        break;
      default:
        break;
    }
    if (line.end <= at) break;
  }
  writer.put(parts.extra_lines).put("Content-Length: 0\r\n\r\n");
  return writer.size();
}

Hop reply_target(const MessageIndex& index, const Hop& from) {
  Hop to = from;
  if (from.transport == Transport::kUdp && !index.via.has_rport) {
    to.address.port = index.via.port != 0 ? index.via.port : 5060;
  }
  return to;
}

std::string_view default_reason(uint16_t code) {
  switch (code) {
    case 100:
      return "Trying";
    case 180:
      return "Ringing";
    case 183:
      return "Session Progress";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 302:
      return "Moved Temporarily";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 480:
      return "Temporarily Unavailable";
    case 481:
      return "Call/Transaction Does Not Exist";
    case 482:
      return "Loop Detected";
    case 483:
      return "Too Many Hops";
    case 484:
      return "Address Incomplete";
    case 486:
      return "Busy Here";
    case 487:
      return "Request Terminated";
    case 488:
      return "Not Acceptable Here";
    case 500:
      return "Server Internal Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Server Time-out";
    case 513:
      return "Message Too Large";
    case 600:
      return "Busy Everywhere";
    case 603:
      return "Decline";
    default:
      break;
  }
  switch (code / 100) {
    case 1:
      return "Session Progress";
    case 2:
      return "OK";
    case 3:
      return "Redirection";
    case 4:
      return "Client Error";
    case 5:
      return "Server Error";
    default:
      return "Global Failure";
  }
}

}  // namespace sip_async::sip
