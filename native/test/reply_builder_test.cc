// Replies byte by byte, where they go, and that whatever is built can be read again.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/reply_builder.h"
#include "test/support/seed.h"
#include "test/support/sip_request.h"
#include "test/support/stress.h"

using namespace sip_async;
using namespace sip_async::sip;

namespace {

const std::string kStart = "INVITE sip:bob@example.com SIP/2.0\r\n";
const std::string kRest =
    "From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1@h\r\nCSeq: 7 INVITE\r\n";
const std::string kTag = "ourtag";
// `kRest` as it comes back in anything but a 100.
const std::string kRestTagged =
    "From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>;tag=ourtag\r\nCall-ID: 1@h\r\n"
    "CSeq: 7 INVITE\r\n";
const std::string kEnd = "Content-Length: 0\r\n\r\n";

Address source(const std::string& host = "192.0.2.5", uint16_t port = 5082) {
  Address out;
  REQUIRE(Address::parse(host, port, out));
  return out;
}

struct Built {
  explicit Built(std::string message, const Address& from = source()) : text(std::move(message)), at(from) {
    REQUIRE(index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk);
  }
  ReplyParts parts(uint16_t code, std::string_view reason, std::string_view extra) const {
    return {text.data(), text.size(), &index, at, code, reason, kTag, extra};
  }
  std::string reply(uint16_t code = 404, std::string_view reason = {}, std::string_view extra = {}) const {
    std::string out(kMaxReplyBytes, '\0');
    out.resize(build_reply(parts(code, reason, extra), out.data(), out.size()));
    return out;
  }

  std::string text;
  Address at;
  MessageIndex index;
};

// The Via lines of the reply to a request with these, from 192.0.2.5:5082.
std::string vias(const std::string& lines, const Address& from = source()) {
  const std::string reply = Built(kStart + lines + kRest + "\r\n", from).reply();
  const std::string first = "SIP/2.0 404 Not Found\r\n";
  CAPTURE(reply);
  REQUIRE(reply.rfind(first, 0) == 0);
  const size_t end = reply.find(kRestTagged);
  REQUIRE(end != std::string::npos);
  CHECK(reply.substr(end) == kRestTagged + kEnd);
  return reply.substr(first.size(), end - first.size());
}

}  // namespace

TEST_CASE("a plain reply, byte by byte") {
  const Built request(kStart + "Via: SIP/2.0/UDP 192.0.2.5:5082;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n" +
                      kRest + "Contact: <sip:a@192.0.2.5>\r\nUser-Agent: x\r\nContent-Length: 4\r\n\r\nbody");
  const std::string via = "Via: SIP/2.0/UDP 192.0.2.5:5082;branch=z9hG4bK1\r\n";
  CHECK(request.reply(404) == "SIP/2.0 404 Not Found\r\n" + via + kRestTagged + kEnd);
  CHECK(request.reply(404, "No such user") == "SIP/2.0 404 No such user\r\n" + via + kRestTagged + kEnd);
  CHECK(request.reply(503, {}, "Retry-After: 5\r\nX: y\r\n") ==
        "SIP/2.0 503 Service Unavailable\r\n" + via + kRestTagged + "Retry-After: 5\r\nX: y\r\n" + kEnd);
}

TEST_CASE("the topmost Via gets rport and received as they are needed") {
  struct Case {
    const char* sent;
    const char* replied;
  };
  for (
      const Case& one : {
          // The address it names is the one it came from.
          Case{"SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1"},
          // Another address, and a name, which cannot be compared.
          {"SIP/2.0/UDP 192.0.2.6;branch=z9hG4bK1",
           "SIP/2.0/UDP 192.0.2.6;branch=z9hG4bK1;received=192.0.2.5"},
          {"SIP/2.0/UDP a.example.com:5070;branch=b",
           "SIP/2.0/UDP a.example.com:5070;branch=b;received=192.0.2.5"},
          // rport is filled in, and received goes with it even where the address is right (RFC 3581 section 4).
          {"SIP/2.0/UDP 192.0.2.5;rport;branch=b",
           "SIP/2.0/UDP 192.0.2.5;rport=5082;branch=b;received=192.0.2.5"},
          {"SIP/2.0/UDP 192.0.2.5;branch=b;rport",
           "SIP/2.0/UDP 192.0.2.5;branch=b;rport=5082;received=192.0.2.5"},
          {"SIP/2.0/UDP 192.0.2.6;branch=b;RPORT ;x",
           "SIP/2.0/UDP 192.0.2.6;branch=b;RPORT=5082 ;x;received=192.0.2.5"},
          // Values that are there already stay.
          {"SIP/2.0/UDP h;rport=9;branch=b", "SIP/2.0/UDP h;rport=9;branch=b;received=192.0.2.5"},
          {"SIP/2.0/UDP h;received=192.0.2.9;branch=b", "SIP/2.0/UDP h;received=192.0.2.9;branch=b"},
          {"SIP/2.0/UDP h;received=192.0.2.9;rport", "SIP/2.0/UDP h;received=192.0.2.9;rport=5082"},
          // Something of that name inside another parameter is none.
          {"SIP/2.0/UDP 192.0.2.5;x=rport;rports;branch=b", "SIP/2.0/UDP 192.0.2.5;x=rport;rports;branch=b"},
      }) {
    CAPTURE(one.sent);
    CHECK(vias(std::string("Via: ") + one.sent + "\r\n") == std::string("Via: ") + one.replied + "\r\n");
    // Behind the topmost value the line goes on, and other lines follow: all of that comes back as it is.
    const std::string more = " , SIP/2.0/TCP p1;branch=c;rport,SIP/2.0/UDP p2\r\n";
    CHECK(vias(std::string("v:  ") + one.sent + more + "Via: SIP/2.0/UDP p3;rport\r\n") ==
          std::string("Via: ") + one.replied + more + "Via: SIP/2.0/UDP p3;rport\r\n");
  }
}

TEST_CASE("IPv6") {
  const Address from = source("2001:db8::5", 6000);
  CHECK(vias("Via: SIP/2.0/UDP [2001:db8::5]:5060;branch=b\r\n", from) ==
        "Via: SIP/2.0/UDP [2001:db8::5]:5060;branch=b\r\n");
  CHECK(vias("Via: SIP/2.0/UDP [2001:db8::6];branch=b\r\n", from) ==
        "Via: SIP/2.0/UDP [2001:db8::6];branch=b;received=2001:db8::5\r\n");
  CHECK(vias("Via: SIP/2.0/UDP [2001:db8::5];rport;branch=b\r\n", from) ==
        "Via: SIP/2.0/UDP [2001:db8::5];rport=6000;branch=b;received=2001:db8::5\r\n");
}

TEST_CASE("folded lines and compact names come back whole") {
  const Built request(kStart +
                      "v: SIP/2.0/UDP h\r\n ;branch=z9hG4bK1\r\n\t;rport\r\nf: \"A\"\r\n <sip:a@h>;tag=1\r\n"
                      "t:\r\n <sip:b@h>\r\ni : 1@h\r\nCSEQ: 7\r\n INVITE\r\nSubject: x\r\n y\r\n\r\n");
  CHECK(request.reply(486) ==
        "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP h\r\n "
        ";branch=z9hG4bK1\r\n\t;rport=5082;received=192.0.2.5\r\n"
        "From: \"A\"\r\n <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=ourtag\r\nCall-ID: 1@h\r\nCSeq: 7\r\n "
        "INVITE\r\n" +
            kEnd);
}

TEST_CASE("the To tag is kept or added, and 100 needs none") {
  const std::string via = "Via: SIP/2.0/UDP 192.0.2.5\r\n";
  const std::string untagged = kRest.substr(0, kRest.find("\r\n") + 2);
  const auto request = [&](const std::string& to) {
    return Built(kStart + via + untagged + "To: " + to + "\r\nCall-ID: 1@h\r\nCSeq: 7 INVITE\r\n\r\n");
  };
  const auto to_of = [](const std::string& reply) { return test::header_of(reply, "To"); };
  const uint16_t codes[] = {180, 200, 404, 699};
  for (const uint16_t code : codes) {
    CHECK(to_of(request("<sip:b@h>").reply(code)) == "<sip:b@h>;tag=ourtag");
    CHECK(to_of(request("<sip:b@h>;tag=theirs;x=y").reply(code)) == "<sip:b@h>;tag=theirs;x=y");
    CHECK(to_of(request("sip:b@h").reply(code)) == "sip:b@h;tag=ourtag");
    // A tag inside the URI is not the header's.
    CHECK(to_of(request("<sip:b@h;tag=no>").reply(code)) == "<sip:b@h;tag=no>;tag=ourtag");
  }
  CHECK(to_of(request("<sip:b@h>").reply(100)) == "<sip:b@h>");
  CHECK(to_of(request("<sip:b@h>;tag=theirs").reply(100)) == "<sip:b@h>;tag=theirs");
}

TEST_CASE("Record-Route comes back where a dialog may begin, Timestamp in 100") {
  const Built request(kStart + "Via: SIP/2.0/UDP 192.0.2.5\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\n" +
                      kRest + "Record-Route: <sip:p3;lr>\r\nTimestamp: 54\r\nRoute: <sip:me>\r\n\r\n");
  const std::string via = "Via: SIP/2.0/UDP 192.0.2.5\r\n";
  const std::string routed = via + "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n" + kRestTagged +
                             "Record-Route: <sip:p3;lr>\r\n" + kEnd;
  CHECK(request.reply(180) == "SIP/2.0 180 Ringing\r\n" + routed);
  CHECK(request.reply(183) == "SIP/2.0 183 Session Progress\r\n" + routed);
  CHECK(request.reply(200) == "SIP/2.0 200 OK\r\n" + routed);
  CHECK(request.reply(302) == "SIP/2.0 302 Moved Temporarily\r\n" + via + kRestTagged + kEnd);
  CHECK(request.reply(404) == "SIP/2.0 404 Not Found\r\n" + via + kRestTagged + kEnd);
  CHECK(request.reply(100) == "SIP/2.0 100 Trying\r\n" + via + kRest + "Timestamp: 54\r\n" + kEnd);
}

TEST_CASE("a reply that does not fit is none, and nothing is written behind the end") {
  const Built request(kStart +
                      "Via: SIP/2.0/UDP h;rport;branch=b, SIP/2.0/UDP p\r\nRecord-Route: <sip:p;lr>\r\n" +
                      kRest + "\r\n");
  const std::string whole = request.reply(200, "Fine", "X: y\r\n");
  for (size_t capacity = 0; capacity <= whole.size() + 3; ++capacity) {
    // A block of its own, so that the sanitizers watch its end, too.
    std::vector<char> out(capacity + 16, '#');
    const size_t size = build_reply(request.parts(200, "Fine", "X: y\r\n"), out.data(), capacity);
    CAPTURE(capacity);
    REQUIRE(size == (capacity < whole.size() ? 0 : whole.size()));
    REQUIRE(std::string(out.data() + capacity, 16) == std::string(16, '#'));
    if (size != 0) REQUIRE(std::string(out.data(), size) == whole);
  }
}

TEST_CASE("where a reply goes") {
  const auto target = [](const std::string& via) {
    const Built request(kStart + "Via: " + via + "\r\n" + kRest + "\r\n");
    return reply_target(request.index, Hop{request.at}).address;
  };
  struct Case {
    const char* via;
    uint16_t port;
  };
  for (const Case& one : {Case{"SIP/2.0/UDP h:5070;branch=b", 5070},
                          {"SIP/2.0/UDP h;branch=b", 5060},
                          {"SIP/2.0/UDP h:5070;branch=b;rport", 5082},
                          {"SIP/2.0/UDP h;rport;branch=b", 5082},
                          {"SIP/2.0/UDP h:5070;rport=9;branch=b", 5082},
                          {"SIP/2.0/UDP h:5070;received=192.0.2.77;branch=b", 5070},
                          {"SIP/2.0/UDP h:5070;maddr=192.0.2.77;branch=b", 5070},
                          {"SIP/2.0/UDP h:5070, SIP/2.0/UDP p:5071;rport", 5070}}) {
    CAPTURE(one.via);
    const Address to = target(one.via);
    CHECK(to.host() == "192.0.2.5");
    CHECK(to.family == AF_INET);
    CHECK(to.port == one.port);
  }
}

TEST_CASE("every code has a phrase") {
  for (uint16_t code = 100; code < 700; ++code) CHECK_FALSE(default_reason(code).empty());
  CHECK(default_reason(100) == "Trying");
  CHECK(default_reason(487) == "Request Terminated");
  CHECK(default_reason(199) == "Session Progress");
  CHECK(default_reason(299) == "OK");
  CHECK(default_reason(499) == "Client Error");
  CHECK(default_reason(699) == "Global Failure");
}

TEST_CASE("the reply to a random request can be read again and says the same") {
  test::Random random(1);
  const auto pick = [&](std::initializer_list<const char*> from) {
    return std::string(from.begin()[random.below(from.size())]);
  };
  const uint16_t codes[] = {100, 180, 200, 302, 404, 487, 500, 603};
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    const std::string fold = random.one_in(3) ? "\r\n " : random.one_in(2) ? " " : "";
    std::string via = pick({"SIP/2.0/UDP", "SIP / 2.0 / udp", "SIP/2.0/TCP"}) + " " +
                      pick({"192.0.2.5", "h.example.com", "[::1]", "192.0.2.6"}) +
                      pick({"", ":5070", " : 1"});
    for (uint64_t i = random.below(4); i > 0; --i)
      via += fold + ";x" + std::to_string(i) + pick({"", "=1", "=\"a,b\""});
    via += pick({"", ";rport", " ; rport ", ";rport=12"}) + fold + ";branch=z9hG4bK" +
           std::to_string(random.bits());
    via += pick({"", ";received=192.0.2.9", ";received=::9"});
    std::vector<std::string> lines;
    const std::string first_via = pick({"Via", "v", "VIA"}) + pick({":", " :", ": "}) + via +
                                  pick({"", ",SIP/2.0/UDP p;rport", " ,\r\n SIP/2.0/UDP p;branch=q"}) +
                                  "\r\n";
    lines.push_back(pick({"From", "f"}) + ": " + pick({"\"A \\\" <\" ", "A "}) + "<sip:a@h>" + fold +
                    ";tag=1\r\n");
    lines.push_back(pick({"To", "t"}) + ":" + fold + pick({"<sip:b@h>", "sip:b@h", "<sip:b@h;tag=1>;x"}) +
                    pick({"", ";tag=9", " ;tag = 9"}) + "\r\n");
    lines.push_back(pick({"Call-ID", "i"}) + ": " + std::to_string(random.bits()) + "@h\r\n");
    lines.push_back("CSeq: " + std::to_string(random.below(1u << 31)) + fold + " INVITE\r\n");
    for (uint64_t i = random.below(4); i > 0; --i) {
      lines.push_back(pick({"Via: SIP/2.0/UDP q;branch=z\r\n", "Record-Route: <sip:p;lr>\r\n",
                            "X:\r\n  y\r\n", "Subject: z\r\n", "k: 100rel\r\n"}));
    }
    if (random.one_in(3)) lines.push_back("Timestamp: 1.5\r\n");
    for (size_t i = lines.size(); i > 1; --i) std::swap(lines[i - 1], lines[random.below(i)]);
    std::string text = kStart + first_via;
    for (const std::string& line : lines) text += line;

    const Built request(text + "\r\n", random.one_in(2) ? source() : source("2001:db8::5", 1));
    const uint16_t code = codes[random.below(8)];
    const std::string reply = request.reply(code, random.one_in(2) ? "" : "Words of our own");
    CAPTURE(request.text);
    CAPTURE(reply);
    MessageIndex index;
    REQUIRE(index_message(reply.data(), reply.size(), {}, index) == IndexStatus::kOk);
    const auto same = [&](Slice ours, Slice theirs) {
      return ours.of(reply.data()) == theirs.of(request.text.data());
    };
    REQUIRE_FALSE(index.is_request);
    REQUIRE(index.status_code == code);
    REQUIRE(index.via_count == request.index.via_count);
    REQUIRE(same(index.via.branch, request.index.via.branch));
    REQUIRE(same(index.via.sent_by, request.index.via.sent_by));
    REQUIRE(index.via.has_rport == request.index.via.has_rport);
    REQUIRE(index.via.rport_at == 0);
    if (request.index.via.has_rport) REQUIRE_FALSE(index.via.received.empty());
    REQUIRE(same(index.call_id, request.index.call_id));
    REQUIRE(same(index.cseq, request.index.cseq));
    REQUIRE(same(index.from.value, request.index.from.value));
    REQUIRE(same(index.to.uri, request.index.to.uri));
    if (!request.index.to.tag.empty()) {
      REQUIRE(same(index.to.tag, request.index.to.tag));
    } else {
      REQUIRE(index.to.tag.of(reply.data()) == (code == 100 ? "" : kTag));
    }
    REQUIRE(index.body.empty());
  }
}

TEST_CASE("every refused request that counts as answerable gets its five headers back") {
  test::Random random(2);
  const std::string good =
      kStart + "Via: SIP/2.0/UDP h;rport;branch=b\r\n" + kRest + "Subject: x\r\n y\r\n\r\n";
  uint64_t answered = 0;
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    std::string text = good;
    if (round < good.size()) {
      text.resize(round);
    } else {
      for (uint64_t i = random.between(1, 3); i > 0; --i) {
        const size_t at = random.below(text.size());
        if (random.one_in(2)) text[at] = static_cast<char>(random.bits());
        if (random.one_in(3)) text.insert(at, 1, "\r\n,;:\"< \t"[random.below(9)]);
        if (random.one_in(3)) text.erase(at, random.below(8));
      }
    }
    MessageIndex index;
    if (index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk || !is_answerable(index))
      continue;
    ++answered;
    std::string reply(kMaxReplyBytes, '\0');
    const ReplyParts parts{text.data(), text.size(), &index, source(), 400, {}, kTag, {}};
    reply.resize(build_reply(parts, reply.data(), reply.size()));
    CAPTURE(text);
    CAPTURE(reply);
    for (const char* name : {"\r\nVia: ", "\r\nFrom: ", "\r\nTo: ", "\r\nCall-ID: ", "\r\nCSeq: "}) {
      CAPTURE(name);
      REQUIRE(reply.find(name) != std::string::npos);
    }
    REQUIRE(reply.substr(reply.size() - kEnd.size()) == kEnd);
  }
  CHECK(answered > 100);
}
