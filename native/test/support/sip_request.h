// A request in parts, so that a test changes one of them and leaves the rest as it is.
#pragma once

#include <cstdint>
#include <string>

namespace sip_async::test {

struct SipRequest {
  std::string method = "INVITE";
  std::string uri = "sip:bob@example.com";
  std::string sent_by = "127.0.0.1:5060";
  std::string branch = "z9hG4bK-1";
  std::string via_params = ";rport";
  std::string from = "<sip:alice@example.com>;tag=a1";
  std::string to = "<sip:bob@example.com>";
  std::string call_id = "1@example.com";
  uint32_t cseq = 1;
  std::string more;  // whole header lines, each ended by CRLF
  std::string body;

  std::string text() const {
    std::string via = "SIP/2.0/UDP " + sent_by + (branch.empty() ? "" : ";branch=" + branch) + via_params;
    return method + " " + uri + " SIP/2.0\r\nVia: " + via + "\r\nFrom: " + from + "\r\nTo: " + to +
           "\r\nCall-ID: " + call_id + "\r\nCSeq: " + std::to_string(cseq) + " " + method + "\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  // The same request for another method: an OPTIONS, or the CANCEL that belongs to an INVITE.
  SipRequest as(const std::string& other) const {
    SipRequest out = *this;
    out.method = other;
    out.body.clear();
    return out;
  }
  // The ACK to a reply with this To tag: in the INVITE's transaction after a refusal, in one of its own after a 2xx.
  SipRequest ack(const std::string& to_tag) const {
    SipRequest out = as("ACK");
    if (!to_tag.empty()) out.to += ";tag=" + to_tag;
    return out;
  }
  SipRequest ack_in_own_transaction(const std::string& to_tag) const {
    SipRequest out = ack(to_tag);
    out.branch += "-ack";
    return out;
  }
};

// A call whose branch and Call-ID are its number.
inline SipRequest numbered(uint64_t number, const std::string& method = "INVITE") {
  SipRequest out;
  out.method = method;
  out.branch = "z9hG4bK-" + std::to_string(number);
  out.call_id = std::to_string(number) + "@example.com";
  return out;
}

// What stands between `before` and `behind`, or nothing.
inline std::string between(const std::string& text, const std::string& before, const std::string& behind) {
  const size_t at = text.find(before);
  if (at == std::string::npos) return {};
  const size_t begin = at + before.size();
  return text.substr(begin, text.find(behind, begin) - begin);
}
inline int code_of(const std::string& reply) {
  return reply.rfind("SIP/2.0 ", 0) == 0 ? std::stoi(reply.substr(8, 3)) : 0;
}
inline std::string header_of(const std::string& reply, const std::string& name) {
  return between(reply, "\r\n" + name + ": ", "\r\n");
}
inline std::string to_tag_of(const std::string& reply) {
  const std::string to = header_of(reply, "To");
  const size_t at = to.find(";tag=");
  return at == std::string::npos ? std::string() : to.substr(at + 5);
}

}  // namespace sip_async::test
