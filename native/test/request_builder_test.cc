// Forwarded requests, ACK and CANCEL byte by byte, rule by rule.
#include <doctest/doctest.h>

#include <string>

#include "sip/request_builder.h"
#include "test/support/indexed_message.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::IndexedMessage;

namespace {

const std::string kStart = "INVITE sip:bob@example.com SIP/2.0\r\n";
const std::string kOurVia = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours.0123456789abcdef";
const std::string kVia = "Via: SIP/2.0/UDP 192.0.2.5:5082;branch=z9hG4bK1\r\n";
const std::string kRest =
    "From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1@h\r\nCSeq: 7 INVITE\r\n";
const std::string kEnd = "Content-Length: 0\r\n\r\n";

// What stands in front of everything that a forwarded request keeps.
const std::string kStartOut = kStart + "Via: " + kOurVia + "\r\n";
const std::string kHops = "Max-Forwards: 70\r\n";
const std::string kHopsOut = "Max-Forwards: 69\r\n";

struct Forward {
  explicit Forward(const std::string& text) : message(IndexedMessage::good(text)) {
    plan.ruri = message.index.ruri.of(message.data());
    parts.data = message.data();
    parts.size = message.size();
    parts.index = &message.index;
    REQUIRE(Address::parse("192.0.2.5", 5082, parts.from.address));
    parts.via = kOurVia;
    parts.route = &plan;
  }
  Forward(const Forward&) = delete;

  size_t operator()(char* out, size_t capacity) const { return build_request(parts, out, capacity); }
  std::string out() const { return test::built(*this); }

  IndexedMessage message;
  RoutePlan plan;
  ForwardParts parts;
};

// The lines between our Via and the end of the forwarded form of a request with these lines and kRest.
std::string lines_out(const Forward& forward) {
  const std::string out = forward.out();
  CAPTURE(out);
  REQUIRE(out.rfind(kStartOut, 0) == 0);
  REQUIRE(out.size() >= kStartOut.size() + kEnd.size());
  REQUIRE(out.substr(out.size() - kEnd.size()) == kEnd);
  return out.substr(kStartOut.size(), out.size() - kStartOut.size() - kEnd.size());
}
std::string lines_out(const std::string& lines) {
  return lines_out(Forward(kStart + lines + kRest + "\r\n"));
}

}  // namespace

TEST_CASE("a plain request, byte by byte") {
  Forward forward(kStart + kVia + kHops + kRest +
                  "Contact: <sip:a@192.0.2.5>\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n"
                  "User-Agent: x\r\n\r\nbody");
  const std::string kept = kVia + kHopsOut + kRest + "Contact: <sip:a@192.0.2.5>\r\n" +
                           "Content-Type: text/plain\r\nUser-Agent: x\r\n";
  CHECK(forward.out() == kStartOut + kept + "Content-Length: 4\r\n\r\nbody");

  forward.plan.ruri = "sip:bob@192.0.2.9:5070;transport=udp";
  CHECK(forward.out() == "INVITE sip:bob@192.0.2.9:5070;transport=udp SIP/2.0\r\nVia: " + kOurVia + "\r\n" +
                             kept + "Content-Length: 4\r\n\r\nbody");

  // Without a plan the message keeps its Request-URI.
  forward.parts.route = nullptr;
  CHECK(forward.out() == kStartOut + kept + "Content-Length: 4\r\n\r\nbody");
}

TEST_CASE("the Via that was topmost gets rport and received, and nothing else of the Vias changes") {
  struct Case {
    const char* came;
    const char* goes;
  };
  for (const Case& one :
       {Case{"SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1"},
        {"SIP/2.0/UDP 192.0.2.6;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.6;branch=z9hG4bK1;received=192.0.2.5"},
        {"SIP/2.0/TCP a.example.com;branch=b", "SIP/2.0/TCP a.example.com;branch=b;received=192.0.2.5"},
        {"SIP/2.0/UDP 192.0.2.5;rport;branch=b",
         "SIP/2.0/UDP 192.0.2.5;rport=5082;branch=b;received=192.0.2.5"},
        {"SIP / 2.0 / UDP h : 1;branch=b\r\n ; RPORT\r\n ;x=\"a,b\"",
         "SIP / 2.0 / UDP h : 1;branch=b\r\n ; RPORT=5082\r\n ;x=\"a,b\";received=192.0.2.5"},
        {"SIP/2.0/UDP h;rport=9;branch=b", "SIP/2.0/UDP h;rport=9;branch=b;received=192.0.2.5"},
        {"SIP/2.0/UDP h;received=192.0.2.9;rport", "SIP/2.0/UDP h;received=192.0.2.9;rport=5082"}}) {
    CAPTURE(std::string(one.came));
    const std::string came = one.came;
    const std::string goes = one.goes;
    CHECK(lines_out("Via: " + came + "\r\n" + kHops) == "Via: " + goes + "\r\n" + kHopsOut + kRest);
    // The name as it was written, white space, other values on the line, a bare line feed at its end, and other lines.
    const std::string more =
        " , SIP/2.0/TCP p1;rport,\r\n\tSIP/2.0/UDP p2 \n" + kHops + "VIA:SIP/2.0/UDP p3;rport\r\n";
    const std::string more_out =
        " , SIP/2.0/TCP p1;rport,\r\n\tSIP/2.0/UDP p2 \n" + kHopsOut + "VIA:SIP/2.0/UDP p3;rport\r\n";
    CHECK(lines_out("v :  " + came + more) == "v :  " + goes + more_out + kRest);
  }
}

TEST_CASE("IPv6, and a source that is not known") {
  Forward forward(kStart + "Via: SIP/2.0/UDP [2001:db8::5];rport;branch=b\r\n" + kHops + kRest + "\r\n");
  REQUIRE(Address::parse("2001:db8::5", 6000, forward.parts.from.address));
  CHECK(lines_out(forward) ==
        "Via: SIP/2.0/UDP [2001:db8::5];rport=6000;branch=b;received=2001:db8::5\r\n" + kHopsOut + kRest);
  forward.parts.from = Hop{};
  CHECK(lines_out(forward) == "Via: SIP/2.0/UDP [2001:db8::5];rport;branch=b\r\n" + kHopsOut + kRest);
}

TEST_CASE("Max-Forwards goes down by one, or is added") {
  struct Case {
    const char* came;
    const char* goes;
  };
  for (const Case& one : {Case{"Max-Forwards: 70\r\n", "Max-Forwards: 69\r\n"},
                          {"Max-Forwards: 1\r\n", "Max-Forwards: 0\r\n"},
                          {"MAX-FORWARDS :\r\n  255 \r\n", "MAX-FORWARDS :\r\n  254 \r\n"},
                          {"max-forwards:0010\n", "max-forwards:9\n"}}) {
    CAPTURE(std::string(one.came));
    CHECK(lines_out(kVia + one.came) == kVia + one.goes + kRest);
    CHECK(lines_out(kVia + "X: y\r\n" + one.came) == kVia + "X: y\r\n" + one.goes + kRest);
  }
  CHECK(lines_out(kVia) == kVia + "Max-Forwards: 70\r\n" + kRest);
  Forward forward(kStart + kVia + kRest + "\r\n");
  forward.parts.default_max_forwards = 16;
  CHECK(lines_out(forward) == kVia + "Max-Forwards: 16\r\n" + kRest);
  // 483 has been sent to it.
  CHECK(Forward(kStart + kVia + "Max-Forwards: 0\r\n" + kRest + "\r\n").out().empty());
}

TEST_CASE("our Record-Route stands in front of any other, behind the Vias at the top") {
  const auto with_ours = [](const std::string& lines) {
    Forward forward(kStart + lines + kRest + "\r\n");
    forward.parts.record_routes = "Record-Route: <sip:us2;lr>\r\nRecord-Route: <sip:us1;lr>\r\n";
    return lines_out(forward);
  };
  const std::string ours = "Record-Route: <sip:us2;lr>\r\nRecord-Route: <sip:us1;lr>\r\n";
  const std::string theirs = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n";
  const std::string via2 = "Via: SIP/2.0/UDP p\r\n";
  CHECK(with_ours(kVia + kHops) == kVia + ours + kHopsOut + kRest);
  CHECK(with_ours(kVia + via2 + kHops + theirs) == kVia + via2 + ours + kHopsOut + theirs + kRest);
  CHECK(with_ours(theirs + kVia + kHops + via2) == ours + theirs + kVia + kHopsOut + via2 + kRest);
  CHECK(with_ours(kVia) == kVia + ours + "Max-Forwards: 70\r\n" + kRest);
}

TEST_CASE("Route values are left out at both ends, by value and not by line") {
  struct Case {
    const char* came;
    uint16_t skipped;
    bool drops_last;
    const char* goes;
  };
  for (const Case& one :
       {Case{"Route: <sip:a;lr>\r\n", 0, false, "Route: <sip:a;lr>\r\n"},
        {"Route: <sip:a;lr>\r\n", 1, false, ""},
        {"Route: <sip:a;lr>\r\n", 0, true, ""},
        {"Route: <sip:a;lr>\r\n", 1, true, ""},
        {"Route: <sip:a;lr>\r\n", 9, false, ""},
        {"", 1, true, ""},
        {"Route: <sip:a>,<sip:b>\r\n", 1, false, "Route: <sip:b>\r\n"},
        {"Route: <sip:a>,<sip:b>\r\n", 0, true, "Route: <sip:a>\r\n"},
        {"Route: <sip:a> , <sip:b> ,\r\n <sip:c>;x=\",\" \r\n", 1, false,
         "Route: <sip:b> ,\r\n <sip:c>;x=\",\" \r\n"},
        {"route :\r\n  <sip:a;x=,> , <sip:b> ,\r\n <sip:c> \n", 1, true, "route :\r\n  <sip:b> \n"},
        {"Route: \"a, b\" <sip:a>\r\nRoute: <sip:b>\r\n", 1, false, "Route: <sip:b>\r\n"},
        {"Route: <sip:a>,<sip:b>\r\nROUTE:<sip:c>,<sip:d>\r\n", 1, true,
         "Route: <sip:b>\r\nROUTE:<sip:c>\r\n"},
        {"Route: <sip:a>,<sip:b>\r\nROUTE:<sip:c>,<sip:d>\r\n", 2, false, "ROUTE:<sip:c>,<sip:d>\r\n"},
        {"Route: <sip:a>,<sip:b>\r\nROUTE:<sip:c>,<sip:d>\r\n", 3, false, "ROUTE:<sip:d>\r\n"},
        {"Route: <sip:a>,<sip:b>\r\nROUTE:<sip:c>,<sip:d>\r\n", 3, true, ""},
        {"Route: <sip:a>,<sip:b>\r\nROUTE:<sip:c>\r\n", 0, true, "Route: <sip:a>,<sip:b>\r\n"},
        // Lines of which no value is left out keep even what is odd about them.
        {"Route: ,<sip:a>,,\r\nRoute:\r\n", 0, false, "Route: ,<sip:a>,,\r\nRoute:\r\n"},
        {"Route: ,<sip:a>,,<sip:b>,\r\n", 1, false, "Route: <sip:b>\r\n"}}) {
    CAPTURE(std::string(one.came));
    CAPTURE(one.skipped);
    CAPTURE(one.drops_last);
    Forward forward(kStart + kVia + kHops + one.came + kRest + "\r\n");
    forward.plan.skipped_values = one.skipped;
    forward.plan.drops_last = one.drops_last;
    CHECK(lines_out(forward) == kVia + kHopsOut + one.goes + kRest);
    // A value that is added comes behind all others.
    forward.plan.added_route = "sip:end@h;x?y=z";
    forward.parts.edits.appended_lines = "Route: <sip:by-script;lr>\r\n";
    CHECK(lines_out(forward) ==
          kVia + kHopsOut + one.goes + kRest + "Route: <sip:by-script;lr>\r\nRoute: <sip:end@h;x?y=z>\r\n");
  }
  // The values on lines that are far apart are one list.
  Forward forward(kStart + "Route: <sip:a>\r\n" + kVia + "Route: <sip:b>,<sip:c>\r\n" + kHops + kRest +
                  "Route: <sip:d>\r\n\r\n");
  forward.plan.skipped_values = 2;
  forward.plan.drops_last = true;
  CHECK(lines_out(forward) == kVia + "Route: <sip:c>\r\n" + kHopsOut + kRest);
}

TEST_CASE("headers are left out by name, and some never are") {
  const std::string fixed = "v: SIP/2.0/UDP 192.0.2.5\r\nf: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\ni: 1@h\r\n" +
                            std::string("CSeq: 7 INVITE\r\n");
  const std::string more =
      "k: 100rel\r\nSubject: x\r\nX-One: 1\r\n 2\r\nX-One-More: 3\r\nS: y\r\nAllow: z\r\nx-one:\r\n";
  const auto without = [&](const std::string& names, const std::string& lines) {
    Forward forward(kStart + fixed + lines + kHops + "l: 0\r\n\r\n");
    forward.parts.edits.removed_names = names;
    return lines_out(forward);
  };
  CHECK(without("", more) == fixed + more + kHopsOut);
  CHECK(without("\n", more) == fixed + more + kHopsOut);
  CHECK(without("x-oNE\n", more) ==
        fixed + "k: 100rel\r\nSubject: x\r\nX-One-More: 3\r\nS: y\r\nAllow: z\r\n" + kHopsOut);
  CHECK(without("subject\nSupported\n", more) ==
        fixed + "X-One: 1\r\n 2\r\nX-One-More: 3\r\nAllow: z\r\nx-one:\r\n" + kHopsOut);
  CHECK(without("s\nK", more) ==
        fixed + "X-One: 1\r\n 2\r\nX-One-More: 3\r\nAllow: z\r\nx-one:\r\n" + kHopsOut);
  CHECK(without("Via\nv\nFrom\nf\nTo\nt\nCall-ID\ni\nCSeq\nMax-Forwards\nContent-Length\nl\n", more) ==
        fixed + more + kHopsOut);
  CHECK(without("Route\nRecord-Route\n", "Route: <sip:a>\r\nRecord-Route: <sip:b>\r\n") == fixed + kHopsOut);

  // What we add ourselves is not meant by that.
  Forward forward(kStart + kVia + "Record-Route: <sip:p>\r\nRoute: <sip:a>\r\n" + kHops + kRest + "\r\n");
  forward.parts.edits.removed_names = "Record-Route\nRoute\n";
  forward.parts.record_routes = "Record-Route: <sip:us>\r\n";
  forward.plan.skipped_values = 1;
  forward.plan.added_route = "sip:x";
  CHECK(lines_out(forward) == kVia + "Record-Route: <sip:us>\r\n" + kHopsOut + kRest + "Route: <sip:x>\r\n");
}

TEST_CASE("lines are added behind the message's own, and the body is replaced") {
  const std::string head = kStart + kVia + kHops;
  const std::string kept = kStartOut + kVia + kHopsOut;
  {
    Forward forward(head + "Content-Length: 2\r\n" + kRest + "\r\nab");
    forward.parts.edits.appended_lines = "P-One: 1\r\nP-Two: 2\r\n";
    CHECK(forward.out() == kept + kRest + "P-One: 1\r\nP-Two: 2\r\nContent-Length: 2\r\n\r\nab");
    forward.parts.edits.body = "ignored without has_body";
    CHECK(forward.out() == kept + kRest + "P-One: 1\r\nP-Two: 2\r\nContent-Length: 2\r\n\r\nab");
    forward.parts.edits.has_body = true;
    forward.parts.edits.body = std::string_view("a\0\r\n\r\nb", 7);
    CHECK(forward.out() == kept + kRest + "P-One: 1\r\nP-Two: 2\r\nContent-Length: 7\r\n\r\n" +
                               std::string("a\0\r\n\r\nb", 7));
    forward.parts.edits.body = {};
    CHECK(forward.out() == kept + kRest + "P-One: 1\r\nP-Two: 2\r\nContent-Length: 0\r\n\r\n");
  }
  // Without a Content-Length all that follows the headers is the body; with one, what is behind it is no part of it.
  CHECK(Forward(head + kRest + "\r\nall of it").out() == kept + kRest + "Content-Length: 9\r\n\r\nall of it");
  CHECK(Forward(head + "l: 003\r\n" + kRest + "\r\nall of it").out() ==
        kept + kRest + "Content-Length: 3\r\n\r\nall");
}

TEST_CASE("line ends in front of a request are no part of it") {
  CHECK(Forward("\r\n\r\n" + kStart + kVia + kHops + kRest + "\r\n").out() ==
        kStartOut + kVia + kHopsOut + kRest + kEnd);
}

TEST_CASE("a URI that would bring lines of its own is refused, and so is a reply") {
  Forward forward(kStart + kVia + kHops + kRest + "\r\n");
  for (const char* uri :
       {"", "sip:", "sip:a b", "sip:a\r\nX: y", "sip:a>", "<sip:a>", "sip:a\tb", "nothing", "sip:a\x7f"}) {
    CAPTURE(std::string(uri));
    forward.plan = {};
    forward.plan.ruri = uri;
    CHECK(forward.out().empty());
    if (*uri == '\0') continue;
    forward.plan.ruri = "sip:good@h";
    forward.plan.added_route = uri;
    CHECK(forward.out().empty());
  }
  Forward reply("SIP/2.0 200 OK\r\n" + kVia + kRest + "\r\n");
  reply.plan.ruri = "sip:a@h";
  CHECK(reply.out().empty());
}

TEST_CASE("a request that does not fit is none, and nothing is written behind the end") {
  Forward forward(kStart + "Via: SIP/2.0/UDP h;rport;branch=b, SIP/2.0/UDP p\r\nRoute: <sip:a>, <sip:b>\r\n" +
                  kHops + kRest + "Route: <sip:c>\r\nX: y\r\n\r\nbody");
  forward.plan.skipped_values = 1;
  forward.plan.drops_last = true;
  forward.plan.added_route = "sip:x";
  forward.parts.record_routes = "Record-Route: <sip:us;lr>\r\n";
  forward.parts.edits.removed_names = "X\n";
  forward.parts.edits.appended_lines = "Y: z\r\n";
  test::check_every_capacity(forward.out(), forward);
}

TEST_CASE("the ACK to a refusal") {
  const auto sent = IndexedMessage::good(
      "INVITE sip:bob@192.0.2.9;x=y SIP/2.0\r\nv: " + kOurVia + " , SIP/2.0/UDP p;branch=c\r\n" + kVia +
      "Max-Forwards: 3\r\nRoute: <sip:a;lr>,\r\n <sip:b;lr>\r\nRecord-Route: <sip:us;lr>\r\n" +
      "f:\r\n <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1@h\r\n" +
      "CSeq: 0007\r\n INVITE\r\nX: y\r\nRoute: <sip:c;lr>\r\nContent-Length: 4\r\n\r\nbody");
  const auto ack = [&](std::string_view to, std::string_view method = "ACK") {
    return "ACK sip:bob@192.0.2.9;x=y SIP/2.0\r\nVia: " + kOurVia +
           "\r\nMax-Forwards: 70\r\nRoute: <sip:a;lr>,\r\n <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n" +
           "From: <sip:alice@example.com>;tag=a1\r\nTo: " + std::string(to) + "\r\nCall-ID: 1@h\r\nCSeq: 7 " +
           std::string(method) + "\r\nContent-Length: 0\r\n\r\n";
  };
  const auto build = [&](char* out, size_t capacity) {
    return build_ack(sent.data(), sent.size(), sent.index, "<sip:bob@example.com>;tag=b1", out, capacity);
  };
  CHECK(test::built(build) == ack("<sip:bob@example.com>;tag=b1"));
  test::check_every_capacity(ack("<sip:bob@example.com>;tag=b1"), build);
  CHECK(test::built([&](char* out, size_t capacity) {
          return build_ack(sent.data(), sent.size(), sent.index, {}, out, capacity);
        }) == ack("<sip:bob@example.com>"));
}

TEST_CASE("the CANCEL of a request") {
  const auto sent = IndexedMessage::good("INVITE sip:bob@192.0.2.9 SIP/2.0\r\nVia: " + kOurVia + "\r\n" +
                                         kVia + kHops + kRest + "Proxy-Authorization: x\r\n\r\nbody");
  const std::string cancel = "CANCEL sip:bob@192.0.2.9 SIP/2.0\r\nVia: " + kOurVia +
                             "\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a1\r\n"
                             "To: <sip:bob@example.com>\r\nCall-ID: 1@h\r\nCSeq: 7 CANCEL\r\n";
  CHECK(test::built([&](char* out, size_t capacity) {
          return build_cancel(sent.data(), sent.size(), sent.index, {}, out, capacity);
        }) == cancel + kEnd);
  const std::string reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";
  const auto build = [&](char* out, size_t capacity) {
    return build_cancel(sent.data(), sent.size(), sent.index, reason, out, capacity);
  };
  CHECK(test::built(build) == cancel + reason + kEnd);
  test::check_every_capacity(cancel + reason + kEnd, build);

  const auto reply = IndexedMessage::good("SIP/2.0 200 OK\r\n" + kVia + kRest + "\r\n");
  CHECK(test::built([&](char* out, size_t capacity) {
          return build_cancel(reply.data(), reply.size(), reply.index, {}, out, capacity);
        }).empty());
}
