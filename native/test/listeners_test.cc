// Where a URI says to send, what we are known by, and the socket that a message leaves by.
#include <doctest/doctest.h>

#include <string>

#include "sip/listeners.h"

using namespace sip_async;
using sip::Address;
using sip::Destination;
using sip::Hop;
using sip::Listeners;
using sip::Transport;

namespace {

Address address(const std::string& host, uint16_t port) {
  Address out;
  REQUIRE(Address::parse(host, port, out));
  return out;
}

Hop hop(Transport transport, const std::string& host, uint16_t socket = 0) {
  Hop out;
  out.transport = transport;
  out.address = address(host, 5060);
  out.socket = socket;
  return out;
}

}  // namespace

TEST_CASE("the address that a URI names by itself") {
  struct Row {
    const char* uri;
    Destination result;
    Transport transport = Transport::kUdp;
    const char* host = "";
    uint16_t port = 0;
  };
  constexpr auto kOk = Destination::kOk;
  constexpr auto kName = Destination::kUnresolved;
  constexpr auto kBad = Destination::kMalformed;
  constexpr auto kUdp = Transport::kUdp;
  constexpr auto kTcp = Transport::kTcp;
  constexpr auto kTls = Transport::kTls;
  constexpr auto kWs = Transport::kWs;
  constexpr auto kWss = Transport::kWss;
  const Row rows[] = {
      // host and port
      {"sip:192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1:5062", kOk, kUdp, "192.0.2.1", 5062},
      {"sip:192.0.2.1:1", kOk, kUdp, "192.0.2.1", 1},
      {"sip:192.0.2.1:65535", kOk, kUdp, "192.0.2.1", 65535},
      {"SIP:192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:bob@192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:bob:secret@192.0.2.1:5070", kOk, kUdp, "192.0.2.1", 5070},
      {"sip:+49;ext=1@192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:@192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;lr", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1?subject=x", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;lr?subject=a;transport=tcp", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:0.0.0.0", kOk, kUdp, "0.0.0.0", 5060},
      {"sip:255.255.255.255", kOk, kUdp, "255.255.255.255", 5060},
      // IPv6
      {"sip:[2001:db8::1]", kOk, kUdp, "2001:db8::1", 5060},
      {"sip:[2001:DB8::1]:5062", kOk, kUdp, "2001:db8::1", 5062},
      {"sip:bob@[::1];transport=tcp", kOk, kTcp, "::1", 5060},
      {"sips:[::ffff:192.0.2.1]", kOk, kTls, "::ffff:192.0.2.1", 5061},
      {"sip:[::1", kBad},
      {"sip:::1", kBad},
      {"sip:[]", kBad},
      {"sip:[192.0.2.1", kBad},
      {"sip:[::1]x", kBad},
      {"sip:[fe80::1%25eth0]", kBad},
      // transport
      {"sip:192.0.2.1;transport=udp", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;transport=TCP", kOk, kTcp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;Transport=tls", kOk, kTls, "192.0.2.1", 5061},
      {"sip:192.0.2.1;transport=ws", kOk, kWs, "192.0.2.1", 80},
      {"sip:192.0.2.1;transport=wss", kOk, kWss, "192.0.2.1", 443},
      {"sip:192.0.2.1:5080;transport=ws", kOk, kWs, "192.0.2.1", 5080},
      {"sip:192.0.2.1;lr;x=1;transport=tcp;y", kOk, kTcp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;transport=tcp;transport=udp", kOk, kTcp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;xtransport=tcp", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;transport", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;transport=", kOk, kUdp, "192.0.2.1", 5060},
      {"sip:192.0.2.1;transport=sctp", kBad},
      {"sip:192.0.2.1;transport=udpx", kBad},
      {"sip:192.0.2.1;transport=ud", kBad},
      {"sip:192.0.2.1;transport=u\x04p", kBad},
      {"sip:bob;transport=tcp@192.0.2.1", kOk, kUdp, "192.0.2.1", 5060},
      // sips
      {"sips:192.0.2.1", kOk, kTls, "192.0.2.1", 5061},
      {"SIPS:bob@192.0.2.1:5090", kOk, kTls, "192.0.2.1", 5090},
      {"sips:192.0.2.1;transport=tcp", kOk, kTls, "192.0.2.1", 5061},
      {"sips:192.0.2.1;transport=tls", kOk, kTls, "192.0.2.1", 5061},
      {"sips:192.0.2.1;transport=ws", kOk, kWss, "192.0.2.1", 443},
      {"sips:192.0.2.1;transport=wss", kOk, kWss, "192.0.2.1", 443},
      {"sips:192.0.2.1;transport=udp", kBad},
      // maddr
      {"sip:example.com;maddr=192.0.2.9", kOk, kUdp, "192.0.2.9", 5060},
      {"sip:192.0.2.1:5070;maddr=192.0.2.9", kOk, kUdp, "192.0.2.9", 5070},
      {"sip:192.0.2.1;MADDR=[::1];transport=tcp", kOk, kTcp, "::1", 5060},
      {"sip:192.0.2.1;maddr=example.org", kName},
      {"sip:192.0.2.1;maddr=", kOk, kUdp, "192.0.2.1", 5060},
      // names
      {"sip:example.com", kName},
      {"sip:bob@example.com:5060", kName},
      {"sips:example.com;transport=tcp", kName},
      {"sip:localhost", kName},
      {"sip:1.2.3", kName},
      {"sip:192.0.2.256", kName},
      {"sip:192.0.2.1.", kName},
      // ports that are none
      {"sip:192.0.2.1:0", kBad},
      {"sip:192.0.2.1:65536", kBad},
      {"sip:192.0.2.1:", kBad},
      {"sip:192.0.2.1:x", kBad},
      {"sip:192.0.2.1:-1", kBad},
      {"sip:192.0.2.1:5060x", kBad},
      {"sip:192.0.2.1: 5060", kBad},
      {"sip:192.0.2.1:99999999999999999999", kBad},
      // nothing that could be sent to
      {"", kBad},
      {"sip:", kBad},
      {"sips:", kBad},
      {"sip:bob@", kBad},
      {"tel:+49301234", kBad},
      {"http://192.0.2.1", kBad},
      {"192.0.2.1", kBad},
      {"sip:192.0.2.1 ", kBad},
      {"sip: 192.0.2.1", kBad},
      {"<sip:192.0.2.1>", kBad},
  };
  for (const Row& row : rows) {
    CAPTURE(row.uri);
    Hop out;
    CHECK(sip::literal_destination(row.uri, out) == row.result);
    if (row.result != kOk) continue;
    CHECK(out.transport == row.transport);
    CHECK(out.address.host() == row.host);
    CHECK(out.address.port == row.port);
    CHECK(out.flow == 0);
  }
}

TEST_CASE("very long URIs, and bytes that are none of a URI's") {
  Hop out;
  const std::string much(60'000, 'x');
  CHECK(sip::literal_destination("sip:" + much + "@192.0.2.1", out) == Destination::kOk);
  CHECK(sip::literal_destination("sip:192.0.2.1;" + much, out) == Destination::kOk);
  CHECK(sip::literal_destination("sip:" + much, out) == Destination::kUnresolved);
  CHECK(sip::literal_destination("sip:192.0.2.1;maddr=" + much, out) == Destination::kUnresolved);
  CHECK(sip::literal_destination("sip:192.0.2.1;transport=" + much, out) == Destination::kMalformed);
  std::string many = "sip:192.0.2.1";
  for (int i = 0; i < 10'000; ++i) many += ";a=b";
  CHECK(sip::literal_destination(many + ";transport=tcp", out) == Destination::kOk);
  CHECK(out.transport == Transport::kTcp);
  // Not the address in front of the zero.
  CHECK(sip::literal_destination(std::string("sip:x;maddr=192.0.2.1\0.example.com", 34), out) !=
        Destination::kOk);
  CHECK(sip::literal_destination(std::string("sip:192.0.2.1\0", 14), out) == Destination::kMalformed);
}

TEST_CASE("names of transports") {
  CHECK(std::string(sip::transport_name(Transport::kUdp)) == "UDP");
  CHECK(std::string(sip::transport_name(Transport::kWss)) == "WSS");
  CHECK(std::string(sip::transport_parameter(Transport::kTls)) == "tls");
  CHECK_FALSE(sip::is_reliable(Transport::kUdp));
  for (const Transport one : {Transport::kTcp, Transport::kTls, Transport::kWs, Transport::kWss})
    CHECK(sip::is_reliable(one));
}

TEST_CASE("what a listener is known by") {
  Listeners listeners(1);
  listeners.add(0, Transport::kUdp, address("192.0.2.1", 5060));
  listeners.add(1, Transport::kTls, address("2001:db8::1", 5061));
  listeners.add(2, Transport::kTcp, address("0.0.0.0", 5070), "proxy.example.com");
  listeners.add(3, Transport::kUdp, address("192.0.2.1", 5080), "2001:db8::5");
  CHECK(listeners.at(0).sent_by == "192.0.2.1:5060");
  CHECK(listeners.at(0).record_route == "Record-Route: <sip:192.0.2.1:5060;lr>\r\n");
  CHECK(listeners.at(1).sent_by == "[2001:db8::1]:5061");
  CHECK(listeners.at(1).record_route == "Record-Route: <sip:[2001:db8::1]:5061;transport=tls;lr>\r\n");
  CHECK(listeners.at(2).sent_by == "proxy.example.com:5070");
  CHECK(listeners.at(2).record_route == "Record-Route: <sip:proxy.example.com:5070;transport=tcp;lr>\r\n");
  CHECK(listeners.at(3).sent_by == "[2001:db8::5]:5080");
  // By its name and by its address, but not by the wildcard.
  CHECK(listeners.self().has("192.0.2.1", 5060));
  CHECK(listeners.self().has("192.0.2.1", 5080));
  CHECK(listeners.self().has("[2001:DB8::5]", 5080));
  CHECK(listeners.self().has("PROXY.example.com", 5070));
  CHECK_FALSE(listeners.self().has("0.0.0.0", 5070));
  CHECK_FALSE(listeners.self().has("192.0.2.1", 5070));
  CHECK_FALSE(listeners.self().has("proxy.example.com", 5060));
  listeners.add_alias("example.com", 0);
  listeners.add_alias("sip.example.com", 5060);
  CHECK(listeners.self().has_uri("sip:bob@Example.com:1234"));
  CHECK(listeners.self().has_uri("sip:sip.example.com"));
  CHECK_FALSE(listeners.self().has_uri("sip:sip.example.com:5070"));
  CHECK_FALSE(listeners.self().has_uri("sip:other.example.com"));
}

TEST_CASE("a wildcard is known by the address that this machine sends from") {
  for (const char* wildcard : {"0.0.0.0", "::"}) {
    Listeners listeners(1);
    listeners.add(0, Transport::kUdp, address(wildcard, 5060));
    const std::string& sent_by = listeners.at(0).sent_by;
    CAPTURE(sent_by);
    const std::string host = sent_by.substr(0, sent_by.rfind(':'));
    Address own;
    REQUIRE(Address::parse(host, 5060, own));
    CHECK(own.host() != wildcard);
    CHECK((host.front() == '[') == (own.family == AF_INET6));
    CHECK(listeners.self().has(host, 5060));
  }
}

TEST_CASE("the socket that a message leaves by") {
  Listeners listeners(2);
  // Two receivers: even sockets are the first one's, odd ones the second's; connections are all in one place.
  listeners.add(0, Transport::kUdp, address("192.0.2.1", 5060));
  listeners.add(1, Transport::kUdp, address("192.0.2.1", 5060));
  listeners.add(2, Transport::kUdp, address("192.0.2.2", 5060));
  listeners.add(3, Transport::kUdp, address("192.0.2.2", 5060));
  listeners.add(4, Transport::kUdp, address("2001:db8::1", 5060));
  listeners.add(5, Transport::kUdp, address("2001:db8::1", 5060));
  listeners.add(6, Transport::kTcp, address("192.0.2.1", 5060));
  const auto chosen = [&](uint16_t from, Transport transport, const char* to) {
    Hop out = hop(transport, to, 99);
    return listeners.choose_socket(hop(Transport::kUdp, "192.0.2.7", from), out)
               ? static_cast<int>(out.socket)
               : -1;
  };
  CHECK(chosen(0, Transport::kUdp, "192.0.2.9") == 0);
  CHECK(chosen(1, Transport::kUdp, "192.0.2.9") == 1);
  CHECK(chosen(2, Transport::kUdp, "192.0.2.9") == 2);
  CHECK(chosen(3, Transport::kUdp, "192.0.2.9") == 3);
  CHECK(chosen(0, Transport::kUdp, "2001:db8::9") == 4);
  CHECK(chosen(3, Transport::kUdp, "2001:db8::9") == 5);
  CHECK(chosen(4, Transport::kUdp, "192.0.2.9") == 0);
  CHECK(chosen(5, Transport::kUdp, "192.0.2.9") == 1);
  CHECK(chosen(0, Transport::kTcp, "192.0.2.9") == 6);
  CHECK(chosen(1, Transport::kTcp, "192.0.2.9") == 6);
  CHECK(chosen(6, Transport::kTcp, "192.0.2.9") == 6);
  CHECK(chosen(6, Transport::kUdp, "192.0.2.9") == 0);
  CHECK(chosen(0, Transport::kTcp, "2001:db8::9") == -1);
  CHECK(chosen(0, Transport::kTls, "192.0.2.9") == -1);
  CHECK(chosen(77, Transport::kUdp, "192.0.2.9") == 1);  // a socket that is none, of the second receiver's
}
