// What callers use beside the index: names of methods, headers and statuses, walks over lines and lists, and
// URIs.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "sip/header_index.h"
#include "sip/uri.h"

using namespace sip_async::sip;

TEST_CASE("header names") {
  const std::pair<const char*, HeaderId> names[] = {{"Via", HeaderId::kVia},
                                                    {"v", HeaderId::kVia},
                                                    {"FROM", HeaderId::kFrom},
                                                    {"f", HeaderId::kFrom},
                                                    {"to", HeaderId::kTo},
                                                    {"T", HeaderId::kTo},
                                                    {"call-Id", HeaderId::kCallId},
                                                    {"I", HeaderId::kCallId},
                                                    {"CSeq", HeaderId::kCseq},
                                                    {"contact", HeaderId::kContact},
                                                    {"m", HeaderId::kContact},
                                                    {"Max-Forwards", HeaderId::kMaxForwards},
                                                    {"Content-Length", HeaderId::kContentLength},
                                                    {"L", HeaderId::kContentLength},
                                                    {"content-type", HeaderId::kContentType},
                                                    {"c", HeaderId::kContentType},
                                                    {"Route", HeaderId::kRoute},
                                                    {"Record-Route", HeaderId::kRecordRoute},
                                                    {"User-Agent", HeaderId::kUserAgent},
                                                    {"Expires", HeaderId::kExpires},
                                                    {"Supported", HeaderId::kSupported},
                                                    {"k", HeaderId::kSupported},
                                                    {"Require", HeaderId::kRequire},
                                                    {"Proxy-Require", HeaderId::kProxyRequire},
                                                    {"Reason", HeaderId::kReason},
                                                    {"Timestamp", HeaderId::kTimestamp},
                                                    {"", HeaderId::kOther},
                                                    {"s", HeaderId::kOther},
                                                    {"Vias", HeaderId::kOther},
                                                    {"Call\rID", HeaderId::kOther},
                                                    {"Contacu", HeaderId::kOther},
                                                    {"Xontact", HeaderId::kOther}};
  for (const auto& [name, id] : names) {
    CAPTURE(name);
    CHECK(header_id(name) == id);
  }
  const std::pair<const char*, const char*> compact[] = {{"a", "Accept-Contact"},
                                                         {"b", "Referred-By"},
                                                         {"c", "Content-Type"},
                                                         {"d", "Request-Disposition"},
                                                         {"e", "Content-Encoding"},
                                                         {"f", "From"},
                                                         {"i", "Call-ID"},
                                                         {"j", "Reject-Contact"},
                                                         {"k", "Supported"},
                                                         {"l", "Content-Length"},
                                                         {"m", "Contact"},
                                                         {"o", "Event"},
                                                         {"r", "Refer-To"},
                                                         {"s", "Subject"},
                                                         {"t", "To"},
                                                         {"u", "Allow-Events"},
                                                         {"v", "Via"},
                                                         {"x", "Session-Expires"},
                                                         {"y", "Identity"},
                                                         {"n", "Identity-Info"}};
  for (const auto& [letter, name] : compact) {
    CAPTURE(name);
    CHECK(header_name_equals(letter, name));
    CHECK(header_name_equals(name, letter));
    CHECK_FALSE(header_name_equals(letter, "Subjec"));
  }
  CHECK(header_name_equals("p-ASSERTED-identity", "P-Asserted-Identity"));
  CHECK_FALSE(header_name_equals("X-A", "X-B"));
}

TEST_CASE("walking headers and values") {
  std::string text = "bad\r\nX-A : one\r\n two \r\nRoute:\r\nk: a\nVia: b\r\n\r\nbody: x\r\n";
  auto m = [&text](Slice slice) { return std::string(slice.of(text.data())); };
  HeaderLine line;
  REQUIRE(next_header(text.data(), text.size(), 0, line));
  CHECK(line.name.empty());
  CHECK(m(line.value) == "bad");
  REQUIRE(next_header(text.data(), text.size(), line.end, line));
  CHECK(m(line.name) == "X-A");
  CHECK(m(line.value) == "one\r\n two");
  REQUIRE(next_header(text.data(), text.size(), line.end, line));
  CHECK(line.id == HeaderId::kRoute);
  CHECK(line.value.empty());
  int more = 0;
  while (next_header(text.data(), text.size(), line.end, line)) ++more;
  CHECK(more == 2);
  CHECK_FALSE(next_header(text.data(), text.size(), static_cast<uint16_t>(text.size()), line));

  auto values = [](const std::string& list) {
    std::vector<std::string> out;
    Slice value{0, static_cast<uint16_t>(list.size())};
    Slice one;
    for (uint16_t from = 0; next_value(list.data(), value, from, one);) out.emplace_back(one.of(list.data()));
    return out;
  };
  using Values = std::vector<std::string>;
  CHECK(values("a, b ,\r\n c") == Values{"a", "b", "c"});
  CHECK(values("") == Values{});
  CHECK(values(" , ,") == Values{});
  CHECK(values("\"a,\\\",b\" <sip:x,y>;z=\",\",<sip:\"@h>") ==
        Values{"\"a,\\\",b\" <sip:x,y>;z=\",\"", "<sip:\"@h>"});
  CHECK(values("\"open, a") == Values{"\"open, a"});
  CHECK(values("<open, a") == Values{"<open, a"});
}

TEST_CASE("URIs") {
  CHECK(uri_user("sip:alice:pw@h") == "alice");
  CHECK(uri_user("sips:h") == "");
  CHECK(uri_user("mailto:a@b") == "");
  SipUri parts;
  REQUIRE(split_sip_uri("sip:u:p:q@[::1]:5070;lr?a=b", parts));
  CHECK(parts.user == "u");
  CHECK(parts.password == "p:q");
  CHECK(parts.host == "[::1]");
  CHECK(parts.port == 5070);
  CHECK(parts.tail == ";lr?a=b");
  CHECK_FALSE(split_sip_uri("sip:", parts));
  CHECK_FALSE(split_sip_uri("sip:a@[]", parts));
  CHECK_FALSE(split_sip_uri("sip:ho st", parts));
  CHECK_FALSE(split_sip_uri("tel:1", parts));
  CHECK(has_bad_port("sip:h:99999;lr"));
  CHECK(has_bad_port("sip:h:"));
  CHECK_FALSE(has_bad_port("sip:h:5060"));
  CHECK_FALSE(has_bad_port("http://h:99999"));
  uint16_t port = 0;
  for (const char* bad : {"", "0", "00", "65536", "-1", "+1", "1 ", "99999999999999999999"})
    CHECK_FALSE(read_port(bad, port));
  CHECK(read_port("05060", port));
  CHECK(port == 5060);
}

TEST_CASE("methods") {
  const std::pair<const char*, Method> methods[] = {
      {"INVITE", Method::kInvite},   {"ACK", Method::kAck},         {"BYE", Method::kBye},
      {"CANCEL", Method::kCancel},   {"OPTIONS", Method::kOptions}, {"REGISTER", Method::kRegister},
      {"PRACK", Method::kPrack},     {"NOTIFY", Method::kNotify},   {"SUBSCRIBE", Method::kSubscribe},
      {"PUBLISH", Method::kPublish}, {"INFO", Method::kInfo},       {"REFER", Method::kRefer},
      {"MESSAGE", Method::kMessage}, {"UPDATE", Method::kUpdate},   {"invite", Method::kOther},
      {"NEWMETH", Method::kOther},   {"X", Method::kOther}};
  for (const auto& [name, method] : methods) {
    std::string word = name;
    std::string text = word +
                       " sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\n"
                       "Call-ID: 1\r\nCSeq: 1 " +
                       word + "\r\n\r\n";
    CAPTURE(word);
    MessageIndex index;
    CHECK(index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk);
    CHECK(index.method == method);
    CHECK(index.method_name.of(text.data()) == word);
  }
}

TEST_CASE("every status has a name of its own") {
  for (int i = 0; i < static_cast<int>(IndexStatus::kCount); ++i) {
    std::string name = index_status_name(static_cast<IndexStatus>(i));
    CHECK(name.size() >= 2);
    for (int j = 0; j < i; ++j) CHECK(name != index_status_name(static_cast<IndexStatus>(j)));
  }
  CHECK(std::string(index_status_name(IndexStatus::kNoHeaderEnd)) == "noHeaderEnd");
  CHECK(std::string(index_status_name(IndexStatus::kBadUri)) == "badUri");
  CHECK(std::string(index_status_name(IndexStatus::kHostile)) == "hostile");
}

// Oddities of the kinds RFC 4475 section 3.1.1 describes, in messages of our own.
