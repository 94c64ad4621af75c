// Loops are told from spirals, and marks from what only looks like one.
#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "sip/loop_check.h"
#include "test/support/indexed_message.h"
#include "test/support/seed.h"
#include "test/support/stress.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::IndexedMessage;

namespace {

constexpr uint64_t kKey0 = 0x0123456789abcdefu;
constexpr uint64_t kKey1 = 0xfedcba9876543210u;

struct Request {
  std::string vias = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n";
  std::string uri = "sip:bob@example.com";
  std::string method = "INVITE";
  std::string from_tag = "a1";
  std::string to_tag = "b1";
  std::string call_id = "1@h";
  std::string cseq = "7";
  std::string proxy_require = "one, two";
  std::string proxy_authorization = "Digest x=\"y\"";
  std::string routes = "Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n";
  std::string more;

  std::string text() const {
    return method + " " + uri + " SIP/2.0\r\n" + vias + "From: <sip:a@h>;tag=" + from_tag +
           "\r\nTo: <sip:b@h>;tag=" + to_tag + "\r\nCall-ID: " + call_id + "\r\nCSeq: " + cseq + " " +
           method + "\r\nProxy-Require: " + proxy_require +
           "\r\nProxy-Authorization: " + proxy_authorization + "\r\n" + routes + more + "\r\n";
  }
};

std::string mark_of(const Request& request, const LoopCheck& check = LoopCheck(kKey0, kKey1)) {
  const auto message = IndexedMessage::good(request.text());
  std::string out(LoopCheck::kMarkBytes + 4, '#');
  check.write_mark(message.data(), message.size(), message.index, out.data());
  REQUIRE(out.substr(LoopCheck::kMarkBytes) == "####");
  out.resize(LoopCheck::kMarkBytes);
  return out;
}

bool is_looped(const Request& request, const LoopCheck& check = LoopCheck(kKey0, kKey1)) {
  const auto message = IndexedMessage::good(request.text());
  return check.is_looped(message.data(), message.size(), message.index);
}

// The request as it is when it comes back to us with our Via, by way of another proxy.
Request returned(Request request, const LoopCheck& check = LoopCheck(kKey0, kKey1)) {
  request.vias = "Via: SIP/2.0/UDP other;branch=z9hG4bKother\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKx" +
                 mark_of(request, check) + ";rport\r\n" + request.vias;
  return request;
}

}  // namespace

TEST_CASE("a mark is a dot and 16 hexadecimal digits, of the hash") {
  const std::string mark = mark_of({});
  CHECK(mark[0] == '.');
  CHECK(mark.find_first_not_of("0123456789abcdef", 1) == std::string::npos);
  const auto message = IndexedMessage::good(Request().text());
  const uint64_t hash = loop_hash(kKey0, kKey1, message.data(), message.size(), message.index,
                                  message.index.ruri.of(message.data()));
  CHECK(std::stoull(mark.substr(1), nullptr, 16) == hash);
}

TEST_CASE("a request that comes back as it was has looped") {
  CHECK_FALSE(is_looped(Request()));
  CHECK(is_looped(returned({})));
  // Round and round.
  CHECK(is_looped(returned(returned({}))));
  // What says nothing about the way may differ: the Vias, Max-Forwards, other headers, the lines that values stand on.
  Request other = returned({});
  other.more = "Max-Forwards: 3\r\nRecord-Route: <sip:x;lr>\r\nSubject: y\r\n";
  other.routes = "X: 1\r\nroute: <sip:a;lr>\r\nRoute:<sip:b;lr> ,\r\n <sip:c;lr>\r\n";
  other.cseq = "0007";
  CHECK(is_looped(other));
}

TEST_CASE("a request that comes back changed is a spiral") {
  const std::vector<std::function<void(Request&)>> changes = {
      [](Request& r) { r.uri = "sip:bob@elsewhere"; },
      [](Request& r) { r.uri = "sip:Bob@example.com"; },
      [](Request& r) { r.from_tag = "a2"; },
      [](Request& r) { r.to_tag = "b2"; },
      [](Request& r) { r.call_id = "2@h"; },
      [](Request& r) { r.cseq = "8"; },
      [](Request& r) { r.proxy_require = "one"; },
      [](Request& r) { r.proxy_authorization = "Digest x=\"z\""; },
      [](Request& r) { r.routes = ""; },
      [](Request& r) { r.routes = "Route: <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n"; },
      [](Request& r) { r.routes = "Route: <sip:b;lr>, <sip:a;lr>, <sip:c;lr>\r\n"; },
      [](Request& r) { r.routes = "Route: <sip:a;lr>, <sip:b;lr>\r\n"; },
      [](Request& r) { r.more = "Route: <sip:d;lr>\r\n"; },
      [](Request& r) { r.more = "Proxy-Require: three\r\n"; },
      [](Request& r) { r.more = "PROXY-authorization: Basic\r\n"; },
      // Text that moves from one place to another.
      [](Request& r) { r.from_tag = "a1b", r.to_tag = "1"; },
      [](Request& r) { r.proxy_require = "<sip:a;lr>", r.routes = "Route: one, two\r\n"; },
  };
  std::set<std::string> marks = {mark_of({})};
  for (size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    Request changed = returned({});
    changes[i](changed);
    CHECK_FALSE(is_looped(changed));
    CHECK(marks.insert(mark_of(changed)).second);
  }
}

TEST_CASE("an ACK and a CANCEL carry the mark of their INVITE") {
  for (const char* method : {"ACK", "CANCEL"}) {
    Request other;
    other.method = method;
    CHECK(mark_of(other) == mark_of({}));
  }
}

TEST_CASE("the mark counts where it ends a branch, on whatever line") {
  const std::string mark = mark_of({});
  const auto with_vias = [](const std::string& vias) {
    Request request;
    request.vias = vias;
    return is_looped(request);
  };
  const std::string first = "Via: SIP/2.0/UDP h;branch=z9hG4bK1";
  CHECK(with_vias("Via: SIP/2.0/UDP us;branch=z9hG4bKx" + mark + "\r\n"));
  CHECK(with_vias("v: SIP/2.0/UDP us;branch=" + mark + ";x\r\n"));
  CHECK(with_vias(first + ", SIP/2.0/UDP us;x=\",\";branch=z9" + mark + ";rport=5\r\n"));
  CHECK(with_vias(first + "\r\nX: y\r\nVIA: SIP/2.0/TCP p ,\r\n SIP/2.0/UDP us ;branch=z9" + mark + "\r\n"));
  // Behind a value that is malformed, too.
  CHECK(with_vias(first + "\r\nVia: rubbish, SIP/2.0/UDP us;branch=z9" + mark + "\r\n"));
  CHECK(with_vias(first + "\r\nVia: rubbish\r\nVia: SIP/2.0/UDP us;branch=z9" + mark + "\r\n"));

  CHECK_FALSE(with_vias("Via: SIP/2.0/UDP us;branch=z9" + mark + "x\r\n"));
  CHECK_FALSE(with_vias("Via: SIP/2.0/UDP us;branch=z9;x=" + mark + "\r\n"));
  CHECK_FALSE(with_vias("Via: SIP/2.0/UDP us;branch=" + mark.substr(1) + "\r\n"));
  CHECK_FALSE(with_vias("Via: SIP/2.0/UDP us;branch=z9.0123456789abcdef\r\n"));
  CHECK_FALSE(with_vias(first + "\r\nX-Via: SIP/2.0/UDP us;branch=z9" + mark + "\r\n"));
  CHECK_FALSE(with_vias(first + "\r\nVia: rubbish;branch=z9" + mark + "\r\n"));

  const auto message = IndexedMessage::good(returned({}).text());
  CHECK(is_looped(message.data(), message.size(), message.index, mark));
  CHECK(is_looped(message.data(), message.size(), message.index, "z9hG4bK1"));
  CHECK_FALSE(is_looped(message.data(), message.size(), message.index, "z9hG4bK2"));
  CHECK_FALSE(is_looped(message.data(), message.size(), message.index, ""));
}

TEST_CASE("another key makes other marks, and fresh keys differ") {
  const LoopCheck one, two;
  CHECK(mark_of({}, one) != mark_of({}, two));
  CHECK(is_looped(returned({}, one), one));
  CHECK_FALSE(is_looped(returned({}, one), two));
  CHECK(mark_of({}, LoopCheck(kKey0, kKey1 + 1)) != mark_of({}));
}

TEST_CASE("random Vias against a naive model") {
  test::Random random(4);
  const std::string mark = mark_of({});
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    Request request;
    request.vias.clear();
    bool expected = false;
    for (uint64_t i = random.between(1, 6); i > 0; --i) {
      std::string branch = "z9hG4bK" + std::to_string(random.bits() % 1000);
      const bool is_marked = random.one_in(8);
      if (is_marked) branch += mark;
      if (!is_marked && random.one_in(4)) branch += mark.substr(0, random.below(mark.size()));
      if (!is_marked && random.one_in(4)) branch += mark + "0";
      expected = expected || is_marked;
      const std::string space = random.one_in(3) ? "\r\n " : random.one_in(2) ? " " : "";
      request.vias += request.vias.empty() || random.one_in(2) ? "\r\nVia: " : space + "," + space;
      request.vias += "SIP/2.0/UDP h" + (random.one_in(3) ? ";x=\"a,;branch=" + mark + "\"" : space) +
                      ";branch" + space + "=" + space + branch + (random.one_in(3) ? ";rport" : space);
    }
    request.vias = request.vias.substr(2) + "\r\n";
    CAPTURE(request.vias);
    REQUIRE(is_looped(request) == expected);
  }
}
