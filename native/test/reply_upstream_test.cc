// Replies on their way back: without our Via, where the next one points, and the challenges that a reply carries.
#include <doctest/doctest.h>

#include <string>

#include "sip/request_builder.h"
#include "test/support/indexed_message.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::IndexedMessage;

namespace {

const std::string kStart = "SIP/2.0 183 Session  Progress\r\n";
const std::string kOurs = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours";
const std::string kRest =
    "From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>;tag=b1\r\nCall-ID: 1@h\r\n"
    "CSeq: 7 INVITE\r\n";
const std::string kEnd = "Content-Length: 0\r\n\r\n";

std::string upstream(const IndexedMessage& reply, const MessageEdits& edits = {}) {
  return test::built([&](char* out, size_t capacity) {
    return build_reply_upstream(reply.data(), reply.size(), reply.index, edits, out, capacity);
  });
}
std::string upstream(const std::string& reply, const MessageEdits& edits = {}) {
  return upstream(IndexedMessage::good(reply), edits);
}
std::string second(const std::string& lines) {
  const auto reply = IndexedMessage::good(kStart + lines + kRest + "\r\n");
  ViaIndex via;
  return second_via(reply.data(), reply.size(), reply.index, via) ? reply.of(via.value) : "none";
}

}  // namespace

TEST_CASE("the topmost Via goes, on whatever line the next one stands") {
  struct Case {
    std::string came;
    const char* goes;
    const char* second;
  };
  const std::string alone = "Via: " + kOurs + "\r\n";
  for (const Case& one : {
           Case{alone + "Via: SIP/2.0/UDP p;branch=c\r\n", "Via: SIP/2.0/UDP p;branch=c\r\n",
                "SIP/2.0/UDP p;branch=c"},
           {"Via: " + kOurs + ",SIP/2.0/UDP p;branch=c\r\n", "Via: SIP/2.0/UDP p;branch=c\r\n",
            "SIP/2.0/UDP p;branch=c"},
           {"v :\r\n " + kOurs + " ,\r\n\tSIP/2.0/UDP p;x=\",\" , SIP/2.0/TCP q \n",
            "v :\r\n SIP/2.0/UDP p;x=\",\" , SIP/2.0/TCP q \n", "SIP/2.0/UDP p;x=\",\""},
           {alone + "X: y\r\nVIA:SIP/2.0/UDP p , SIP/2.0/UDP q\r\nVia: SIP/2.0/UDP r\r\n",
            "X: y\r\nVIA:SIP/2.0/UDP p , SIP/2.0/UDP q\r\nVia: SIP/2.0/UDP r\r\n", "SIP/2.0/UDP p"},
           // A comma inside quotes ends no value.
           {"Via: " + kOurs + ";x=\"a, SIP/2.0/UDP b\",SIP/2.0/UDP p\r\n", "Via: SIP/2.0/UDP p\r\n",
            "SIP/2.0/UDP p"},
           // What is behind ours is not ours to judge, but there is no way to send it by.
           {alone + "Via: rubbish\r\n", "Via: rubbish\r\n", "none"},
           {"Via: " + kOurs + ", rubbish\r\nVia: SIP/2.0/UDP p\r\n", "Via: rubbish\r\nVia: SIP/2.0/UDP p\r\n",
            "none"},
       }) {
    CAPTURE(one.came);
    CHECK(upstream(kStart + one.came + kRest + "\r\n") == kStart + one.goes + kRest + kEnd);
    CHECK(second(one.came) == one.second);
  }
  CHECK(upstream(kStart + alone + kRest + "\r\n").empty());
  CHECK(second(alone) == "none");
  // A request has no way back.
  CHECK(upstream("INVITE sip:b@h SIP/2.0\r\n" + alone + alone + kRest + "\r\n").empty());
}

TEST_CASE("a reply with edits, byte by byte") {
  const std::string vias = "Via: " + kOurs + "\r\nv: SIP/2.0/UDP p\r\n";
  const std::string came =
      "\r\n" + kStart + vias + kRest + "l: 2\r\nServer: x\r\n y\r\nk: z\r\n\r\nab, and more";
  const std::string fixed = kStart + "v: SIP/2.0/UDP p\r\n" + kRest;
  CHECK(upstream(came) == fixed + "Server: x\r\n y\r\nk: z\r\nContent-Length: 2\r\n\r\nab");
  MessageEdits edits;
  edits.removed_names = "server\nSupported\nVia\nTo\nl\n";
  edits.appended_lines = "P: 1\r\n";
  CHECK(upstream(came, edits) == fixed + "P: 1\r\nContent-Length: 2\r\n\r\nab");
  edits.has_body = true;
  edits.body = "other";
  CHECK(upstream(came, edits) == fixed + "P: 1\r\nContent-Length: 5\r\n\r\nother");

  const auto reply = IndexedMessage::good(came);
  test::check_every_capacity(upstream(came, edits), [&](char* out, size_t capacity) {
    return build_reply_upstream(reply.data(), reply.size(), reply.index, edits, out, capacity);
  });
}

TEST_CASE("where the next Via points") {
  struct Case {
    const char* via;
    const char* host;  // empty: nowhere
    uint16_t port;
    Transport transport;
  };
  for (const Case& one : {
           Case{"SIP/2.0/UDP 192.0.2.7", "192.0.2.7", 5060, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7:5070", "192.0.2.7", 5070, Transport::kUdp},
           {"SIP/2.0/TCP 192.0.2.7", "192.0.2.7", 5060, Transport::kTcp},
           {"SIP/2.0/TLS 192.0.2.7", "192.0.2.7", 5061, Transport::kTls},
           {"SIP/2.0/WS 192.0.2.7", "192.0.2.7", 80, Transport::kWs},
           {"SIP/2.0/WSS 192.0.2.7", "192.0.2.7", 443, Transport::kWss},
           {"SIP/2.0/SCTP 192.0.2.7", "192.0.2.7", 5060, Transport::kOther},
           {"SIP/2.0/TLS 192.0.2.7:5070;received=192.0.2.8", "192.0.2.8", 5070, Transport::kTls},
           {"SIP/2.0/UDP 192.0.2.7;received=192.0.2.8;rport=9999", "192.0.2.8", 9999, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7:5070;rport = 9999", "192.0.2.7", 9999, Transport::kUdp},
           {"SIP/2.0/UDP h:5070;received=192.0.2.8;rport", "192.0.2.8", 5070, Transport::kUdp},
           // A port that is none leaves that of the sent-by.
           {"SIP/2.0/UDP 192.0.2.7:5070;rport=0", "192.0.2.7", 5070, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7:5070;rport=65536", "192.0.2.7", 5070, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7:5070;rport=1x", "192.0.2.7", 5070, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7;rport=\"9\"", "192.0.2.7", 5060, Transport::kUdp},
           // A received that is no address leaves the sent-by; maddr never counts.
           {"SIP/2.0/UDP 192.0.2.7;received=h.example.com", "192.0.2.7", 5060, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.7;maddr=192.0.2.8", "192.0.2.7", 5060, Transport::kUdp},
           {"SIP/2.0/UDP [2001:DB8::7]:5070", "2001:db8::7", 5070, Transport::kUdp},
           {"SIP/2.0/UDP h;received=2001:db8::8", "2001:db8::8", 5060, Transport::kUdp},
           {"SIP/2.0/UDP h;received=[2001:db8::8];rport=7", "2001:db8::8", 7, Transport::kUdp},
           {"SIP/2.0/UDP h.example.com:5070;rport=9", "", 0, Transport::kUdp},
           {"SIP/2.0/UDP h;received=also-a-name", "", 0, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2.256", "", 0, Transport::kUdp},
           {"SIP/2.0/UDP 192.0.2", "", 0, Transport::kUdp},
       }) {
    CAPTURE(std::string(one.via));
    const auto reply =
        IndexedMessage::good(kStart + "Via: " + kOurs + "\r\nVia: " + one.via + "\r\n" + kRest + "\r\n");
    ViaIndex via;
    REQUIRE(second_via(reply.data(), reply.size(), reply.index, via));
    Hop to;
    to.socket = 3;
    to.flow = 4;
    to.transport = Transport::kWs;
    to.address.port = 1;
    const bool leads = via_target(reply.data(), via, to);
    CHECK(leads == (*one.host != '\0'));
    CHECK(to.socket == 3);
    CHECK(to.flow == 4);
    CHECK(to.transport == (leads ? one.transport : Transport::kWs));
    CHECK(to.address.port == (leads ? one.port : 1));
    if (leads) CHECK(to.address.host() == one.host);
  }
  // Longer than any address.
  const auto reply = IndexedMessage::good(kStart + "Via: " + kOurs + "\r\nVia: SIP/2.0/UDP " +
                                          std::string(5000, '1') + "\r\n" + kRest + "\r\n");
  ViaIndex via;
  Hop to;
  REQUIRE(second_via(reply.data(), reply.size(), reply.index, via));
  CHECK_FALSE(via_target(reply.data(), via, to));
}

TEST_CASE("challenges are collected as whole lines") {
  const auto reply = IndexedMessage::good(
      "SIP/2.0 401 Unauthorized\r\nVia: " + kOurs +
      "\r\nWWW-Authenticate: Digest realm=\"a\",\r\n nonce=\"1\"\r\n" + kRest +
      "proxy-authenticate :Digest realm=\"b\" \nWWW-Authenticate-Not: x\r\nProxy-Authorization: y\r\n" +
      "WWW-AUTHENTICATE: Basic\r\n\r\n");
  const auto copy = [&](char* out, size_t capacity) {
    return copy_challenges(reply.data(), reply.size(), reply.index, out, capacity);
  };
  const std::string challenges =
      "WWW-Authenticate: Digest realm=\"a\",\r\n nonce=\"1\"\r\nproxy-authenticate :Digest realm=\"b\"\r\n"
      "WWW-AUTHENTICATE: Basic\r\n";
  CHECK(test::built(copy) == challenges);
  test::check_every_capacity(challenges, copy);

  const auto none = IndexedMessage::good(kStart + "Via: " + kOurs + "\r\n" + kRest + "\r\n");
  CHECK(test::built([&](char* out, size_t capacity) {
          return copy_challenges(none.data(), none.size(), none.index, out, capacity);
        }).empty());
}
