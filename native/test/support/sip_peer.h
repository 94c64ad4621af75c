// The other side: a UDP socket on the loopback that sends requests and waits for replies.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>

#include <string>

#include "core/clock.h"
#include "sip/udp_socket.h"
#include "test/support/sip_request.h"

namespace sip_async::test {

inline sip::Address loopback(uint16_t port = 0) {
  sip::Address out;
  REQUIRE(sip::Address::parse("127.0.0.1", port, out));
  return out;
}

inline bool readable_within(const sip::UdpSocket& socket, int ms) {
  pollfd look{socket.fd(), POLLIN, 0};
  return poll(&look, 1, ms) == 1;
}

// Long enough for a machine that does other things, too; a test waits for it only when it fails.
inline constexpr int kReplyMs = 10'000;

class Peer {
 public:
  Peer() { REQUIRE(socket_.open(loopback(), 1 << 22, false) == 0); }

  const sip::Address& address() const { return socket_.local(); }
  const sip::UdpSocket& socket() const { return socket_; }

  void send(const std::string& text, const sip::Address& to) {
    REQUIRE(socket_.send(text.data(), text.size(), to));
  }
  // The next datagram, empty after `ms` without one.
  std::string receive(int ms = kReplyMs) {
    sockaddr_storage from;
    return receive_from(from, ms);
  }
  std::string receive_from(sockaddr_storage& from, int ms = kReplyMs) {
    if (!readable_within(socket_, ms)) return {};
    std::string out(65536, '\0');
    socklen_t length = sizeof from;
    const ssize_t got = recvfrom(socket_.fd(), out.data(), out.size(), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    out.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return out;
  }
  // The next datagram is a reply with this code.
  std::string expect(int code) {
    const std::string reply = receive();
    CAPTURE(reply);
    CHECK(code_of(reply) == code);
    return reply;
  }
  void expect_silence(int ms = 30) {
    const std::string reply = receive(ms);
    CAPTURE(reply);
    CHECK(reply.empty());
  }

 private:
  sip::UdpSocket socket_;
};

}  // namespace sip_async::test
