// The header index against messages written by hand: one table per IndexStatus and field. Random and hostile messages are in
// header_index_model_test.cc, names, lists and URIs in header_walk_test.cc.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/header_index.h"
#include "test/support/indexed_cases.h"

using namespace sip_async::sip;
using namespace sip_async::test;
using enum IndexStatus;

TEST_CASE("a plain request") {
  Indexed m(kStart + kHeaders +
            "Max-Forwards: 70\r\nContact: <sip:alice@192.0.2.1>\r\nUser-Agent: phone 1\r\n"
            "Content-Length: 4\r\n\r\nbodymore");
  REQUIRE(m.status == kOk);
  CHECK(m.index.is_request);
  CHECK(m.index.method == Method::kOptions);
  CHECK(m(m.index.method_name) == "OPTIONS");
  CHECK(m(m.index.ruri) == "sip:bob@example.com");
  CHECK(m.index.headers_at == kStart.size());
  CHECK(m.index.header_count == 9);
  CHECK(m.index.cseq_number == 42);
  CHECK(m(m.index.cseq) == "42 OPTIONS");
  CHECK(m.index.max_forwards == 70);
  CHECK(m.index.via_count == 1);
  CHECK(m(m.index.via.value) == kVia.substr(5, kVia.size() - 7));
  CHECK(m(m.index.via.sent_by) == "host.example.com:5070");
  CHECK(m(m.index.via.host) == "host.example.com");
  CHECK(m.index.via.port == 5070);
  CHECK(m.index.via.transport == Transport::kUdp);
  CHECK(m(m.index.via.branch) == "z9hG4bKabc");
  CHECK(m.index.via.received.empty());
  CHECK(m.index.via.has_rport);
  CHECK(m.text.substr(m.index.via.rport_at - 6u, 8) == ";rport\r\n");
  CHECK(m(m.index.from.value) == "\"Alice\" <sip:alice@example.com>;tag=a1");
  CHECK(m(m.index.from.uri) == "sip:alice@example.com");
  CHECK(m(m.index.from.user) == "alice");
  CHECK(m(m.index.from.tag) == "a1");
  CHECK(m(m.index.to.value) == "<sip:bob@example.com>");
  CHECK(m.index.to.tag.empty());
  CHECK(m(m.index.call_id) == "1234@example.com");
  CHECK(m(m.index.contact) == "<sip:alice@192.0.2.1>");
  CHECK(m(m.index.user_agent) == "phone 1");
  CHECK(m(m.index.body) == "body");
  CHECK(is_answerable(m.index));
}

TEST_CASE("a plain response") {
  Indexed m("SIP/2.0 486 Busy Here\r\n" + kHeaders + "\r\n");
  REQUIRE(m.status == kOk);
  CHECK_FALSE(m.index.is_request);
  CHECK(m.index.status_code == 486);
  CHECK(m(m.index.reason) == "Busy Here");
  CHECK(m(m.index.method_name) == "OPTIONS");
  CHECK(m.index.method == Method::kOptions);
  CHECK(m.index.ruri.empty());
  CHECK(m.index.max_forwards == -1);
  CHECK_FALSE(is_answerable(m.index));
}

TEST_CASE("line ends before, within and behind the headers") {
  Indexed leading("\r\n\r\n\n" + kPlain);
  CHECK(leading.status == kOk);
  CHECK(leading.index.headers_at == kStart.size() + 5);
  CHECK(leading(leading.index.call_id) == "1234@example.com");

  std::string bare;
  for (char c : kPlain + "body") {
    if (c != '\r') bare += c;
  }
  Indexed lf(bare);
  CHECK(lf.status == kOk);
  CHECK(lf(lf.index.to.value) == "<sip:bob@example.com>");
  CHECK(lf(lf.index.body) == "body");

  Indexed no_length(kPlain + "all of it");
  CHECK(no_length(no_length.index.body) == "all of it");
  Indexed empty(kPlain);
  CHECK(empty.index.body.empty());
  CHECK(empty.index.body.offset == kPlain.size());

  check_all({{"", kKeepAlive}, {"\r\n\r\n", kKeepAlive}, {"\n", kKeepAlive}, {"\r", kKeepAlive}});
}

TEST_CASE("start lines") {
  check_all({
      {with_start("OPTIONS sip:bob@example.com sip/2.0"), kOk, true},
      {with_start("OPTIONS SIPS:bob@example.com:5061;x=y?a=b SIP/2.0"), kOk, true},
      {with_start("OPTIONS sip:[2001:db8::1]:5060 SIP/2.0"), kOk, true},
      {with_start("OPTIONS tel:+49301234 SIP/2.0"), kOk, true},
      {with_start("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), kOk, true},
      {with_start("garbage"), kBadStartLine},
      {with_start("OPTIONS sip:bob@example.com"), kBadStartLine},
      {with_start("OPT(IONS sip:bob@example.com SIP/2.0"), kBadStartLine},
      {with_start("OPTIONS\tsip:bob@example.com SIP/2.0"), kBadStartLine},
      {with_start(" OPTIONS sip:bob@example.com SIP/2.0"), kBadStartLine},
      {with_start("OPTIONS sip:bob@example.com HTTP/1.1"), kBadStartLine, true},
      {with_start("OPTIONS sip:bob@example.com SIP/2.0  "), kBadStartLine, true},
      {with_start("OPTIONS sip:bob@example.com SIP/2."), kBadStartLine, true},
      {with_start("OPTIONS sip:bob@example.com SIP/7.0"), kBadVersion, true},
      {with_start("OPTIONS sip:bob@example.com SIP/2.1"), kBadVersion, true},
      {with_start("OPTIONS  SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS  sip:bob@example.com SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@example.com; lr SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS <sip:bob@example.com> SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS bob@example.com SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip: SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@ SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@example.com:99999 SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@example.com:0 SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@example.com: SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:bob@example.com:50x SIP/2.0"), kBadUri, true},
      {with_start("OPTIONS sip:b\tb@example.com SIP/2.0"), kBadUri, true},
      {with_start(std::string("OPTIONS sip:b\0b@example.com SIP/2.0", 35)), kBadUri, true},
      {with_start("OPTIONS sip:b\xc3\xb6@example.com SIP/2.0"), kBadUri, true},
      {with_start("SIP/2.0 200 OK"), kOk},
      {with_start("SIP/2.0 200 "), kOk},
      {with_start("SIP/2.0 200"), kOk},
      {with_start("SIP/2.0 100 \xe2\x88\x9a\t2"), kOk},
      {with_start("SIP/2.0 99 Low"), kBadStartLine},
      {with_start("SIP/2.0 099 Low"), kBadStartLine},
      {with_start("SIP/2.0 700 High"), kBadStartLine},
      {with_start("SIP/2.0 4294967301 better"), kBadStartLine},
      {with_start("SIP/2.0 20x OK"), kBadStartLine},
      {with_start("SIP/2.0  200 OK"), kBadStartLine},
      {with_start("SIP/2.0"), kBadStartLine},
      {with_start("SIP/3.0 200 OK"), kBadVersion},
      {with_start("SIP/x 200 OK"), kBadStartLine},
      {with_start(std::string("SIP/2.0 200 O\0K", 15)), kBadStartLine},
  });
}

TEST_CASE("header lines") {
  check_all({
      {with_header("X-Nothing:"), kOk, true},
      {with_header("Subject \t : \xc3\xbcml\xc3\xa4ut\ttab"), kOk, true},
      {with_header("no colon here"), kBadHeader, true},
      {with_header(": value"), kBadHeader, true},
      {with_header("Bad Name: x"), kBadHeader, true},
      {with_header("Bad[Name]: x"), kBadHeader, true},
      {with_header(std::string("Subject: a\0b", 12)), kBadHeader, true},
      {with_header("Subject: a\x07"), kBadHeader, true},
      {with_header("Subject: a\x7f"), kBadHeader, true},
      {with_header("Subject: a\rb"), kBadHeader, true},
      {kStart + " X: folded start line\r\n" + kHeaders + "\r\n", kBadHeader, true},
      {kStart + "Subject\r\n : fold before the colon\r\n" + kHeaders + "\r\n", kBadHeader, true},
      // A From with a control byte must not come back in a reply.
      {with_from("<sip:a@b>;tag=\x01"), kBadHeader, false},
      {kStart + kHeaders, kNoHeaderEnd, true},
      {kStart + kHeaders + "Subject: cut", kNoHeaderEnd, true},
      {kStart + kVia + kFrom + kTo + kCallId + "CSeq: 42 OPTIO", kNoHeaderEnd, false},
      {kStart, kNoHeaderEnd, false},
      {"OPTIONS sip:bob@example.com SIP/2.0", kNoHeaderEnd, false},
      {kStart + "\r\n", kMissingHeader, false},
      {kStart + kFrom + kTo + kCallId + kCseq + "\r\n", kMissingHeader, false},
      {kStart + kVia + kTo + kCallId + kCseq + "\r\n", kMissingHeader, false},
      {kStart + kVia + kFrom + kCallId + kCseq + "\r\n", kMissingHeader, false},
      {kStart + kVia + kFrom + kTo + kCseq + "\r\n", kMissingHeader, false},
      {kStart + kVia + kFrom + kTo + kCallId + "\r\n", kMissingHeader, false},
      {with_header("f: <sip:x@y>;tag=2"), kRepeatedHeader, true},
      {with_header("T: <sip:x@y>"), kRepeatedHeader, true},
      {with_header("i: other"), kRepeatedHeader, true},
      {with_header("CSEQ: 42 OPTIONS"), kRepeatedHeader, true},
      {with_header("Max-Forwards: 1\r\nmax-forwards: 1"), kRepeatedHeader, true},
      {with_header("Content-Length: 0\r\nl: 0"), kRepeatedHeader, true},
  });
  Indexed repeated(with_header("From: <sip:x@y>;tag=2"));
  CHECK(repeated(repeated.index.from.tag) == "a1");
}

TEST_CASE("limits") {
  CHECK(Indexed(std::string(kMaxMessageBytes + 1, 'x')).status == kTooLarge);
  std::string largest = kPlain;
  largest.resize(kMaxMessageBytes, 'b');
  Indexed full(largest);
  CHECK(full.status == kOk);
  CHECK(full.index.body.offset + full.index.body.length == static_cast<int>(kMaxMessageBytes));

  IndexLimits limits;
  limits.max_message_bytes = static_cast<uint32_t>(kPlain.size());
  CHECK(Indexed(kPlain, limits).status == kOk);
  CHECK(Indexed(kPlain + "x", limits).status == kTooLarge);
  limits = {};
  limits.max_headers = 5;
  CHECK(Indexed(kPlain, limits).status == kOk);
  Indexed six(with_header("X: y"), limits);
  CHECK(six.status == kTooManyHeaders);
  CHECK(is_answerable(six.index));
  limits = {};
  limits.max_vias = 3;
  const std::string via = "SIP/2.0/UDP h;branch=z9hG4bK";
  CHECK(Indexed(with_header("Via: " + via + "2, " + via + "3"), limits).status == kOk);
  Indexed four(with_header("Via: " + via + "2\r\nv: " + via + "3, " + via + "4"), limits);
  CHECK(four.status == kTooManyVias);
  CHECK(is_answerable(four.index));
  CHECK(four.index.via_count == 4);
  limits = {};
  limits.max_line_bytes = 100;
  CHECK(Indexed(with_header("X: " + std::string(95, 'y')), limits).status == kOk);
  CHECK(Indexed(with_header("X: " + std::string(96, 'y')), limits).status == kTooLarge);
  CHECK(Indexed(with_header("X: " + std::string(60, 'y') + "\r\n " + std::string(60, 'y')), limits).status ==
        kTooLarge);
  CHECK(Indexed(with_start("OPTIONS sip:" + std::string(100, 'y') + " SIP/2.0"), limits).status == kTooLarge);
}

TEST_CASE("control bytes stand in quoted pairs, and nowhere else") {
  const auto with_subject = [](std::string_view value) {
    return Indexed(with_header("Subject: " + std::string(value))).status;
  };
  using namespace std::string_view_literals;
  CHECK(with_subject("\"BEL:\\\a NUL:\\\0 DEL:\\\x7f\""sv) == kOk);
  CHECK(with_subject("x\r\n \"\\\x01\"\r\n\ty"sv) == kOk);
  CHECK(with_subject("\"\\\\\" \"\\\x1b\""sv) == kOk);
  CHECK(with_subject("\"\x01\""sv) == kBadHeader);
  CHECK(with_subject("\\\x01"sv) == kBadHeader);
  CHECK(with_subject("\"\" \\\x01"sv) == kBadHeader);
  CHECK(with_subject("\"\\\\\x01\""sv) == kBadHeader);
  CHECK(with_subject("\"\\\x01\" \x01"sv) == kBadHeader);
  CHECK(with_subject("\"\\\x01\r\""sv) == kBadHeader);
  CHECK(with_subject("\r \"\\\x01\""sv) == kBadHeader);
  CHECK(with_subject("\"\\\x01\" \r"sv) == kBadHeader);
  CHECK(with_subject("\"\\\rX\""sv) == kBadHeader);
  CHECK(with_subject("\"\\\r\n \x01\""sv) == kBadHeader);
  CHECK(Indexed(with_header("X\"\\\x01\": y")).status == kBadHeader);
}

TEST_CASE("a Via of another version is a fault, and its host is read all the same") {
  Indexed other(with_via("SIP/7.0/UDP c.example.com:5062;branch=z9hG4bK1"));
  CHECK(other.status == kBadVia);
  CHECK(other(other.index.via.host) == "c.example.com");
  CHECK(other.index.via.port == 5062);
  CHECK(is_answerable(other.index));
  for (const char* value :
       {"SIP/7/UDP c.example.com", "SIP/.0/UDP c", "SIP/7./UDP c", "SIP/x.0/UDP c", "SIP//UDP c"}) {
    Indexed none(with_via(value));
    CAPTURE(value);
    CHECK(none.status == kBadVia);
    CHECK_FALSE(is_answerable(none.index));
  }
}

TEST_CASE("numbers") {
  check_all({
      {with_cseq("0 OPTIONS"), kOk, true},
      {with_cseq("0009\r\n  OPTIONS"), kOk, true},
      {with_cseq("4294967295\tOPTIONS"), kOk, true},
      {with_cseq("4294967296 OPTIONS"), kBadCseq, true},
      {with_cseq("36893488147419103232 OPTIONS"), kBadCseq, true},
      {with_cseq("-1 OPTIONS"), kBadCseq, true},
      {with_cseq("1OPTIONS"), kBadCseq, true},
      {with_cseq("1"), kBadCseq, true},
      {with_cseq("OPTIONS"), kBadCseq, true},
      {with_cseq("1 OPTIONS x"), kBadCseq, true},
      {with_cseq("1 OPT@IONS"), kBadCseq, true},
      {with_cseq(""), kBadCseq, false},
      {with_cseq("1 INVITE"), kMethodMismatch, true},
      {with_cseq("1 options"), kMethodMismatch, true},
      {with_header("Max-Forwards: 0068"), kOk, true},
      {with_header("Max-Forwards: 255"), kOk, true},
      {with_header("Max-Forwards: 256"), kBadMaxForwards, true},
      {with_header("Max-Forwards: -1"), kBadMaxForwards, true},
      {with_header("Max-Forwards: 7 0"), kBadMaxForwards, true},
      {with_header("Max-Forwards:"), kBadMaxForwards, true},
      {with_header("Content-Length: 000"), kOk, true},
      {with_header("Content-Length: 5\r\n\r\n12345"), kOk, true},
      {with_header("Content-Length: 9999"), kBadContentLength, true},
      {with_header("Content-Length: 99999999999999999999"), kBadContentLength, true},
      {with_header("Content-Length: -999"), kBadContentLength, true},
      {with_header("Content-Length: +1"), kBadContentLength, true},
      {with_header("Content-Length: 0x1"), kBadContentLength, true},
      {with_header("Content-Length: abc"), kBadContentLength, true},
      {with_header("Content-Length:"), kBadContentLength, true},
      {replaced("1234@example.com", ""), kBadCallId, false},
      {replaced("1234@example.com", "12 34"), kBadCallId, true},
      {replaced("1234@example.com", "12\xc3\xa4"), kBadCallId, true},
      {replaced("1234@example.com", "%Z%45<>(){}:/\\\"[]?"), kOk, true},
  });
  CHECK(Indexed(with_cseq("4294967295 OPTIONS")).index.cseq_number == 4294967295u);
  CHECK(Indexed(with_header("Max-Forwards: 0068")).index.max_forwards == 68);
}

TEST_CASE("Via") {
  check_all({
      {with_via("SIP/2.0/UDP h"), kOk, true},
      {with_via("sip / 2.0 / udp h : 5060 ; rport ; branch = z9hG4bK1"), kOk, true},
      {with_via("SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9:255];branch=z9hG4bKas3"), kOk, true},
      {with_via("SIP/2.0/UDP h;received=2001:db8::9:255;branch=z9hG4bKas3-111"), kOk, true},
      {with_via("SIP/2.0/UDP h;x=\"a,b;c\\\"\";branch=1"), kOk, true},
      {with_via("SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKkdjuw"), kOk, true},
      {with_via("SIP/2.0/UDP h:65535"), kOk, true},
      {with_via("SIP/2.0/UDP h:65536"), kBadVia, true},
      {with_via("SIP/2.0/UDP h:0"), kBadVia, true},
      {with_via("SIP/2.0/UDP h:"), kBadVia, true},
      {with_via("SIP/2.0/UDP h:5x"), kBadVia, true},
      {with_via("SIP/2.0/UDP"), kBadVia, false},
      {with_via("SIP/2.0/UDP ;branch=1"), kBadVia, false},
      {with_via("SIP/2.0/UDP [::1"), kBadVia, false},
      {with_via("SIP/2.0/UDP [g::1]"), kBadVia, false},
      {with_via("SIP/3.0/UDP h"), kBadVia, true},
      {with_via("HTTP/2.0/UDP h"), kBadVia, false},
      {with_via("SIP/2.0UDP h"), kBadVia, false},
      {with_via(""), kBadVia, false},
      {with_via("SIP/2.0/UDP 192.0.2.15;;,;,,"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;branch"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;branch="), kBadVia, true},
      {with_via("SIP/2.0/UDP h;branch=1;BRANCH=2"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;rport;rport=1"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;x=\"open"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;branch=1,"), kBadVia, true},
      {with_via("SIP/2.0/UDP h;branch=1,,SIP/2.0/UDP i"), kBadVia, true},
      {with_via("SIP/2.0/UDP h x"), kBadVia, true},
  });

  Indexed m(with_via(
      "SIP / 2.0\r\n / TLS [::1] : 5061;branch\t=\r\n z9 ; received=1.2.3.4;rport=7 , SIP/2.0/UDP b\r\n"
      "v: SIP/2.0/UDP c;x=\",\", SIP/2.0/UDP d"));
  REQUIRE(m.status == kOk);
  CHECK(m.index.via_count == 4);
  CHECK(m.index.via.transport == Transport::kTls);
  CHECK(m(m.index.via.host) == "[::1]");
  CHECK(m(m.index.via.sent_by) == "[::1] : 5061");
  CHECK(m.index.via.port == 5061);
  CHECK(m(m.index.via.branch) == "z9");
  CHECK(m(m.index.via.received) == "1.2.3.4");
  CHECK(m.index.via.has_rport);
  CHECK(m.index.via.rport_at == 0);
  CHECK(m(m.index.via.value).substr(m.index.via.value.length - 8u) == ";rport=7");

  const std::pair<const char*, Transport> transports[] = {
      {"udp", Transport::kUdp}, {"Tcp", Transport::kTcp}, {"TLS", Transport::kTls},
      {"WS", Transport::kWs},   {"wss", Transport::kWss}, {"SCTP", Transport::kOther}};
  for (const auto& [name, transport] : transports) {
    CHECK(Indexed(with_via(std::string("SIP/2.0/") + name + " h")).index.via.transport == transport);
  }
}

TEST_CASE("From and To") {
  struct Case {
    std::string value, uri, user, tag;
  };
  const Case good[] = {
      {"sip:a@h;tag=1", "sip:a@h", "a", "1"},
      {"sip:h", "sip:h", "", ""},
      {"<sip:a@h;tag=no>", "sip:a@h;tag=no", "a", ""},
      {"<sip:a:secret@h>;x=y;TAG=2", "sip:a:secret@h", "a", "2"},
      {"<tel:+1-201;phone-context=x>;tag=t", "tel:+1-201;phone-context=x", "+1-201", "t"},
      {"<SIPS:%61@[::1]:5061>", "SIPS:%61@[::1]:5061", "%61", ""},
      {"\"a;tag=x, <b> \\\" \\\\\" <sip:q@h>;tag=3", "sip:q@h", "q", "3"},
      {"caller <sip:a@h> ; tag\r\n = 4", "sip:a@h", "a", "4"},
      {"Bell, Alexander <sip:a@h>;tag=43", "sip:a@h", "a", "43"},
      {"\xc3\x84nne <sip:a@h>;x=\"tag=q\";tag=5", "sip:a@h", "a", "5"},
      {"<http://x/y@z>", "http://x/y@z", "", ""},
      {"<sip:a;x=1?b/,c@h>", "sip:a;x=1?b/,c@h", "a;x=1?b/,c", ""},
  };
  for (const Case& one : good) {
    CAPTURE(one.value);
    Indexed m(with_from(one.value));
    CHECK(m.status == kOk);
    CHECK(m(m.index.from.value) == one.value);
    CHECK(m(m.index.from.uri) == one.uri);
    CHECK(m(m.index.from.user) == one.user);
    CHECK(m(m.index.from.tag) == one.tag);
  }
  for (const char* bad : {"<>",
                          "<sip:>",
                          "<sip:a@h",
                          "\"open <sip:a@h>",
                          "\"a\" sip:a@h",
                          "<a@h>",
                          "<sip:a b@h>",
                          "<sip:<a@h>",
                          "sip:a@h x",
                          "sip:a@h, sip:b@h",
                          "<sip:a@h>x",
                          "<sip:a@h>;",
                          "<sip:a@h>;;tag=1",
                          "<sip:a@h>;tag",
                          "<sip:a@h>;tag=",
                          "<sip:a@h>;tag=1;tag=2",
                          "<sip:a@h>;tag=\"1\"",
                          "<sip:a@h>;=1",
                          "<sip:a@h>;x=\"open",
                          ";tag=1",
                          "a\"b <sip:a@h>",
                          "<sip:a@h>, <sip:b@h>",
                          "> <sip:a@h>"}) {
    CAPTURE(bad);
    CHECK(Indexed(with_from(bad)).status == kBadFromTo);
    CHECK(is_answerable(Indexed(with_from(bad)).index));
    CHECK(Indexed(replaced(kTo, std::string("t: ") + bad + "\r\n")).status == kBadFromTo);
  }
  CHECK(Indexed(with_from("")).status == kBadFromTo);
  CHECK_FALSE(is_answerable(Indexed(with_from("")).index));
}

TEST_CASE("the first fault counts, and the pass goes on") {
  Indexed m(kStart + "bad line\r\nVia: nonsense\r\nMax-Forwards: x\r\n" + kFrom + kTo + kCallId + kCseq +
            "\r\n");
  CHECK(m.status == kBadHeader);
  CHECK(m(m.index.from.tag) == "a1");
  CHECK(m.index.cseq_number == 42);
  Indexed ack("ACK sip:bob@example.com:0 SIP/2.0\r\n" + kVia + kFrom + kTo + kCallId + "CSeq: 1 ACK\r\n\r\n");
  CHECK(ack.status == kBadUri);
  CHECK(ack.index.method == Method::kAck);
  CHECK_FALSE(is_answerable(ack.index));
}
