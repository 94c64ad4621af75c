// The guard: what the npm `sip` package must never be given, and the ordinary messages that it must get.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/guard.h"

using namespace sip_async::sip;

namespace {

struct Request {
  std::string method = "OPTIONS";
  std::string uri = "sip:bob@example.com";
  std::string via = "SIP/2.0/UDP h.example.com;branch=z9hG4bK1";
  std::string from = "<sip:alice@example.com>;tag=1";
  std::string to = "<sip:bob@example.com>";
  std::string more;

  std::string text() const {
    return method + " " + uri + " SIP/2.0\r\nVia: " + via + "\r\nFrom: " + from + "\r\nTo: " + to +
           "\r\nCall-ID: 1@h\r\nCSeq: 1 " + method + "\r\n" + more + "\r\n";
  }
};

IndexStatus guarded(const std::string& text, const IndexLimits& limits = {}) {
  MessageIndex index;
  CAPTURE(text);
  // The guard has to see it: what the index refuses already proves nothing here.
  REQUIRE(std::string(index_status_name(index_message(text.data(), text.size(), limits, index))) == "ok");
  return guard_message(text.data(), text.size(), index);
}

IndexStatus with_header(const std::string& line) {
  Request request;
  request.more = line + "\r\n";
  return guarded(request.text());
}
IndexStatus with_contact(const std::string& value, const std::string& method = "OPTIONS") {
  Request request;
  request.method = method;
  request.more = "Contact: " + value + "\r\n";
  return guarded(request.text());
}

std::string repeated(const std::string& unit, size_t times) {
  std::string out;
  for (; times > 0; --times) out += unit;
  return out;
}

using enum IndexStatus;

}  // namespace

TEST_CASE("ordinary messages pass") {
  CHECK(guarded(Request{}.text()) == kOk);
  for (const char* line :
       {"Subject: I <3 this; constructor, __proto__=1", "X-Empty:", "Supported: replaces, timer",
        "Route: <sip:p1.example.com;lr>, \"P two\" "
        "<sips:u:pw@p2.example.com:5061;lr;x=y?a=b&c=d>;q=1;z=\"a,b\"",
        "Record-Route: <sip:p1.example.com;lr>\r\nRecord-Route: some words <sip:10.0.0.1:5060;lr>",
        "Path: <sip:edge@10.0.0.1:5070;lr;ob>",
        "m: \"A, B\" <sip:a@192.0.2.1:5060>;+sip.instance=\"<urn:uuid:0>\", sip:b@h",
        "Contact: <sip:a@[::1]:5060>", "Refer-To: <sip:c@h?Replaces=1%3Bto-tag%3D2>",
        "Authorization: Digest username=\"bob\", realm=\"constructor\", nonce=\"abc\", uri=\"sip:h\", "
        "response=\"0\"",
        "Warning: 399 h \"white                    space\"", "NewHeader-%in: x"}) {
    CAPTURE(line);
    CHECK(with_header(line) == kOk);
  }
  Request folded;
  folded.via = "SIP / 2.0 / UDP\r\n  h : 5060\r\n\t;branch = z9hG4bK1 , SIP/2.0/TCP i";
  folded.from = "\"Q \\\" <\" <sip:a@h:5060> ;\r\n tag=1";
  CHECK(guarded(folded.text()) == kOk);
  Request odd;
  odd.method = "!odd-Method*.%indeed'~";
  CHECK(guarded(odd.text()) == kOk);
  CHECK(guarded("\r\n\r\n" + Request{}.text() + "body\n\n" + std::string(300, ' ')) == kOk);
}

TEST_CASE("a refused message keeps its status") {
  for (IndexStatus status : {kKeepAlive, kTooLarge, kBadVia, kBadUri}) {
    MessageIndex index;
    index.status = status;
    CHECK(guard_message("", 0, index) == status);
  }
}

TEST_CASE("names that an object has by itself") {
  for (std::string name :
       {"__proto__", "__PROTO__", "constructor", "Constructor", "toString", "hasOwnProperty", "valueOf",
        "prototype", "__defineGetter__", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"}) {
    CAPTURE(name);
    CHECK(with_header(name + ": x") == kHostile);
    Request via;
    via.via += " ; " + name;
    CHECK(guarded(via.text()) == kHostile);
    Request from;
    from.from += ";\r\n " + name + "=1";
    CHECK(guarded(from.text()) == kHostile);
    Request to;
    to.to = "<sip:bob@h;" + name + ">";
    CHECK(guarded(to.text()) == kHostile);
    Request uri;
    uri.uri += ";x=1;" + name + "=2";
    CHECK(guarded(uri.text()) == kHostile);
    uri.uri = "sip:h?a=b&" + name + "=2";
    CHECK(guarded(uri.text()) == kHostile);
    CHECK(with_contact("<sip:a@h?" + name + "=1>") == kHostile);
    CHECK(with_header("Route: <sip:h;" + name + ";lr>") == kHostile);
    CHECK(with_header("Authorization: Digest " + name + "=1") == kHostile);
    CHECK(with_header("Proxy-Authorization: Digest a=b, " + name + " = 1") == kHostile);
    CHECK(with_header("Authentication-Info: " + name + "=1") == kHostile);
    Request user;
    user.to = "<sip:" + name + "@h>;x" + name + "=1;" + name + "x";
    CHECK(guarded(user.text()) == kOk);
  }
}

TEST_CASE("escapes that the parser would undo") {
  for (std::string escape : {"%0d%0a", "%0D%0AVia", "%47", "%u000d"}) {
    CAPTURE(escape);
    CHECK(with_header("X" + escape + "Y: z") == kHostile);
    Request request;
    request.method = "RE" + escape + "FER";
    CHECK(guarded(request.text()) == kHostile);
    std::string response =
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 "
        "A" +
        escape + "\r\n\r\n";
    CHECK(guarded(response) == kHostile);
    CHECK(with_header("Subject: " + escape) == kOk);
  }
  for (const char* harmless : {"X%", "X%0", "X%zz", "X%u00", "X%u00zz"}) {
    CAPTURE(harmless);
    CHECK(with_header(std::string(harmless) + ": z") == kOk);
  }
}

TEST_CASE("white space and line ends") {
  CHECK(with_header("Subject: a" + std::string(64, ' ') + "b") == kOk);
  CHECK(with_header("Subject: a" + std::string(65, ' ') + "b") == kHostile);
  CHECK(with_header("Subject: a" + std::string(65, '\xa0') + "b") == kHostile);
  CHECK(with_header("Subject: a" + repeated("\r\n ", 30) + "b") == kHostile);
  CHECK(with_header("Subject: a\n\tb") == kHostile);
  CHECK(with_header("Subject: a\nX: y") == kHostile);
  CHECK(guarded("\n" + Request{}.text()) == kHostile);
  Request pair;
  pair.from = "\"a\\\r\n b\" <sip:a@h>";
  CHECK(guarded(pair.text()) == kHostile);
}

TEST_CASE("brackets and lists") {
  Request request;
  request.from = "\"<\" sip:a@h";
  MessageIndex index;
  std::string text = request.text();
  CHECK(index_message(text.data(), text.size(), {}, index) == kBadFromTo);
  request.from = "<sip:a@h>;x=\"<\"";
  CHECK(guarded(request.text()) == kHostile);
  for (const std::string& contact :
       std::vector<std::string>{"<sip:a@h", "\"a <sip:a@h>", "<sip:<a@h>", "a@h", "<sip:a@h>,", ",<sip:a@h>",
                                "<sip:a@h>,,<sip:b@h>", "", "<sip:a@h>;;x", "<sip:a@h:0>", "<sip:a@h:65536>",
                                "sip:a@h:99999;x=y", "<sip:a@h:5060x>"}) {
    CAPTURE(contact);
    CHECK(with_contact(contact) == kHostile);
  }
  CHECK(with_contact(repeated("<sip:a@h>,", 128) + "<sip:a@h>") == kOk);
  CHECK(with_contact(repeated("<sip:a@h>,", 129) + "<sip:a@h>") == kHostile);
  CHECK(with_header("Refer-To: <sip:a@h") == kHostile);
  CHECK(with_header("Refer-To: <sip:a@h:99999>") == kHostile);

  Request ports;
  ports.to = "<sip:b@h:99999>";
  CHECK(guarded(ports.text()) == kHostile);
  Request second;
  for (const char* via : {"SIP/2.0/UDP i:99999", "SIP/2.0/UDP i;x=<", "nonsense"}) {
    second.via = std::string("SIP/2.0/UDP h, ") + via;
    CHECK(guarded(second.text()) == kHostile);
  }
}

TEST_CASE("a Contact of * belongs to REGISTER") {
  CHECK(with_contact("*", "REGISTER") == kOk);
  CHECK(with_contact("*", "INVITE") == kHostile);
  CHECK(with_contact("*, <sip:a@h>", "REGISTER") == kHostile);
  CHECK(guarded("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\n"
                "CSeq: 1 REGISTER\r\nContact: *\r\n\r\n") == kHostile);
}

TEST_CASE("routes that the parser cannot write back") {
  for (std::string name : {"Route", "Record-Route", "Path", "path", "RECORD-ROUTE"}) {
    for (const std::string& value : std::vector<std::string>{"<http://x>",
                                                             "*",
                                                             "<sip:[::1];lr>",
                                                             "<sip:h:99999;lr>",
                                                             "<sip:h:0>",
                                                             "sip:h;lr",
                                                             "",
                                                             "<sip:h>,",
                                                             "<sip:h>,,<sip:i>",
                                                             "<SIP:h>",
                                                             "<sip:@h>",
                                                             "<sip:u:@h>",
                                                             "<sip:h;>",
                                                             "<sip:h;=x>",
                                                             "<sip:h;x=>",
                                                             "<sip:h?>",
                                                             "<sip:h?a>",
                                                             "<sip:h?a=b&>",
                                                             "<sip:h?a=b=c>",
                                                             "< sip:h>",
                                                             "<sip:h >",
                                                             "<sip:h",
                                                             "\"x <sip:h>",
                                                             "a\"b\" <sip:h>",
                                                             "a, <sip:h>",
                                                             "<sip:h>;x=[::1]",
                                                             "<sip:h>x",
                                                             "\xe2\x80\xa8<sip:h>",
                                                             "<sip:h\xa0>",
                                                             "<sip:h;lr>, <sip:i",
                                                             "<>"}) {
      CAPTURE(name);
      CAPTURE(value);
      CHECK(with_header(name + ": " + value) == kHostile);
    }
    CHECK(with_header(name + ": <sip:u:p@h.example.com:5060;lr;a=b=c?x=y&z=1>;p;q=\"[\"") == kOk);
  }
}

TEST_CASE("sizes that the parser pays for with a square") {
  IndexLimits wide;
  wide.max_line_bytes = 65535;
  wide.max_headers = 65535;
  Request request;
  request.more = repeated("X: y\r\n", 251);
  CHECK(guarded(request.text(), wide) == kOk);
  request.more += "X: y\r\n";
  CHECK(guarded(request.text(), wide) == kHostile);
  request.more = "Subject: " + std::string(12000, 'a') + "\r\n";
  CHECK(guarded(request.text(), wide) == kOk);
  request.more += "Subject: " + std::string(300, 'a') + "\r\n";
  CHECK(guarded(request.text(), wide) == kHostile);
  // The parser does not look into a body.
  request.more = "Content-Type: text/plain\r\n\r\n" + std::string(30000, 'a');
  CHECK(guarded(request.text(), wide) == kOk);
  request.more = "Contact: <sip:" + std::string(9000, 'a') + "@h>\r\n";
  CHECK(guarded(request.text(), wide) == kHostile);
  request.more = "WWW-Authenticate: " + std::string(769, 'a') + "\r\n";
  CHECK(guarded(request.text(), wide) == kHostile);
  request.more = "Authorization: Bearer " + std::string(768, 'a') + "\r\n";
  CHECK(guarded(request.text(), wide) == kOk);
  request.more += "Proxy-Authorization: Bearer " + std::string(100, 'a') + "\r\n";
  CHECK(guarded(request.text(), wide) == kHostile);
}

TEST_CASE("hostile messages of full size come to an end, refused") {
  const std::string start = "OPTIONS sip:b@h SIP/2.0\r\n";
  const std::string good = "Via: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
  auto filled = [](std::string text, const std::string& unit, const std::string& tail = "") {
    while (text.size() + unit.size() + tail.size() <= kMaxMessageBytes) text += unit;
    return text + tail;
  };
  const std::vector<std::string> units = {" ",
                                          "\t",
                                          "\r",
                                          "\n",
                                          "\r\n",
                                          "\r\n ",
                                          "\n ",
                                          "\"",
                                          "\\",
                                          "\"\\",
                                          "<",
                                          ">",
                                          "<>",
                                          ",",
                                          ";",
                                          ";;",
                                          ":",
                                          "=",
                                          ";a=",
                                          ";a=\"",
                                          "@",
                                          "[",
                                          "%0d%0a",
                                          "a:\r\n",
                                          "a\r\n",
                                          "x",
                                          ", ",
                                          "\"<",
                                          std::string(1, '\0'),
                                          "\x7f",
                                          "\xa0",
                                          "Via: ,\r\n",
                                          "f:\r\n",
                                          "SIP/2.0/UDP h,",
                                          "SIP/",
                                          ";tag",
                                          "sip:",
                                          "\"a\" <sip:a@h>,"};
  const std::vector<std::string> heads = {"",
                                          start,
                                          start + good + "To: ",
                                          start + good + "To: <",
                                          start + good + "To: \"",
                                          start + good + "To: <sip:b@h>;x=\"",
                                          start + "Via: SIP/2.0/UDP h;x=",
                                          start + "Via: ",
                                          start + good + "To: <sip:b@h>\r\nX:",
                                          "OPTIONS sip:",
                                          "SIP/2.0 200 "};
  IndexLimits wide;
  wide.max_headers = 65535;
  wide.max_line_bytes = 65535;
  for (const std::string& head : heads) {
    for (const std::string& unit : units) {
      for (const std::string& tail : {std::string(), std::string("\r\n\r\n")}) {
        std::string text = filled(head, unit, tail);
        MessageIndex index;
        index_message(text.data(), text.size(), wide, index);
        // An extension header may hold nearly anything, and "sip:sip:sip:" is a URI.
        bool may_pass = head.ends_with("\r\nX:") || unit == "sip:";
        if (!may_pass && index.status == IndexStatus::kOk) FAIL("accepted: " << head << " + " << unit);
        guard_message(text.data(), text.size(), index);
      }
    }
  }
}

TEST_CASE("control bytes in quoted pairs, which the index lets pass") {
  CHECK(with_header(std::string("Subject: \"\\\0\"", 13)) == kHostile);
  CHECK(with_header("Subject: \"\\\x7f\"") == kHostile);
  Request request;
  request.to = "\"\\\x01\" <sip:bob@example.com>";
  CHECK(guarded(request.text()) == kHostile);
}
