// A plain message, what it becomes with one header replaced, and tables of such messages with the status that they must get.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "sip/header_index.h"

namespace sip_async::test {

using namespace sip;

inline const std::string kStart = "OPTIONS sip:bob@example.com SIP/2.0\r\n";
inline const std::string kVia = "Via: SIP/2.0/UDP host.example.com:5070;branch=z9hG4bKabc;rport\r\n";
inline const std::string kFrom = "From: \"Alice\" <sip:alice@example.com>;tag=a1\r\n";
inline const std::string kTo = "To: <sip:bob@example.com>\r\n";
inline const std::string kCallId = "Call-ID: 1234@example.com\r\n";
inline const std::string kCseq = "CSeq: 42 OPTIONS\r\n";
inline const std::string kHeaders = kVia + kFrom + kTo + kCallId + kCseq;
inline const std::string kPlain = kStart + kHeaders + "\r\n";

struct Indexed {
  explicit Indexed(std::string message, IndexLimits limits = {}) : text(std::move(message)) {
    status = index_message(text.data(), text.size(), limits, index);
  }
  std::string operator()(Slice slice) const { return std::string(slice.of(text.data())); }

  std::string text;
  MessageIndex index;
  IndexStatus status;
};

inline std::string with_start(const std::string& line) {
  return line + "\r\n" + kHeaders + "\r\n";
}
inline std::string with_header(const std::string& line) {
  return kStart + kHeaders + line + "\r\n\r\n";
}
inline std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kPlain;
  return text.replace(text.find(from), from.size(), to);
}
inline std::string with_via(const std::string& value) {
  return replaced(kVia, "Via: " + value + "\r\n");
}
inline std::string with_from(const std::string& value) {
  return replaced(kFrom, "From: " + value + "\r\n");
}
inline std::string with_cseq(const std::string& value) {
  return replaced(kCseq, "CSeq: " + value + "\r\n");
}

struct StatusCase {
  std::string text;
  IndexStatus status;
  bool is_answerable = false;
};

inline void check_all(const std::vector<StatusCase>& cases) {
  for (const StatusCase& one : cases) {
    CAPTURE(one.text);
    Indexed message(one.text);
    CHECK(std::string(index_status_name(message.status)) == index_status_name(one.status));
    CHECK(message.index.status == message.status);
    CHECK(is_answerable(message.index) == one.is_answerable);
  }
}

}  // namespace sip_async::test
