// UDP sockets: opening, options, batches, the largest datagram, and what the network does to a sender.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "sip/udp_socket.h"
#include "test/support/sip_peer.h"
#include "test/support/stress.h"

using namespace sip_async;
using sip::Address;
using sip::ReceiveBatch;
using sip::UdpSocket;
using test::loopback;
using test::readable_within;

namespace {

std::string text_of(const ReceiveBatch& batch, uint32_t i) {
  return {batch.data(i), batch.size(i)};
}

int socket_option(const UdpSocket& socket, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  REQUIRE(getsockopt(socket.fd(), level, name, &value, &length) == 0);
  return value;
}

}  // namespace

TEST_CASE("open binds, tells where, and closes on exec") {
  UdpSocket socket;
  CHECK(socket.fd() == -1);
  REQUIRE(socket.open(loopback(), 1 << 20, false) == 0);
  CHECK(socket.fd() >= 0);
  CHECK(socket.local().host() == "127.0.0.1");
  CHECK(socket.local().port != 0);
  CHECK((fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(socket.fd(), F_GETFL) & O_NONBLOCK) != 0);
  ReceiveBatch batch;
  CHECK(socket.receive(batch) == 0);
  socket.close();
  CHECK(socket.fd() == -1);
  socket.close();
}

TEST_CASE("a port in use is an error without share, and taken together with it") {
  UdpSocket first, second, third;
  REQUIRE(first.open(loopback(), 1 << 16, false) == 0);
  CHECK(second.open(first.local(), 1 << 16, false) == EADDRINUSE);
  CHECK(second.fd() == -1);
  // Both must have agreed to share.
  CHECK(second.open(first.local(), 1 << 16, true) == EADDRINUSE);

  REQUIRE(second.open(loopback(), 1 << 16, true) == 0);
  REQUIRE(third.open(second.local(), 1 << 16, true) == 0);
  CHECK(third.local().port == second.local().port);
  CHECK(third.fd() != second.fd());
  // Nothing is lost between the two.
  ReceiveBatch batch;
  uint32_t count = 0;
  for (int i = 0; i < 20; ++i) {
    test::Peer peer;
    peer.send("x", second.local());
    REQUIRE(test::eventually([&] {
      const uint32_t got = second.receive(batch) + third.receive(batch);
      count += got;
      return got == 1;
    }));
  }
  CHECK(count == 20);
}

TEST_CASE("an address that is not ours, and a port that is free again") {
  UdpSocket socket;
  Address foreign;
  REQUIRE(Address::parse("192.0.2.1", 0, foreign));
  CHECK(socket.open(foreign, 1 << 16, false) == EADDRNOTAVAIL);
  CHECK(socket.fd() == -1);
  REQUIRE(socket.open(loopback(), 1 << 16, false) == 0);
  const Address local = socket.local();
  socket.close();
  UdpSocket again;
  CHECK(again.open(local, 1 << 16, false) == 0);
}

TEST_CASE("the buffers are as large as the system lets them be") {
  uint64_t limit = 0;
  std::ifstream("/proc/sys/net/core/rmem_max") >> limit;
  REQUIRE(limit > 0);
  UdpSocket plain, large;
  REQUIRE(plain.open(loopback(), 1 << 16, false) == 0);
  REQUIRE(large.open(loopback(), 8 << 20, false) == 0);
  // The kernel counts double for its own needs.
  const auto wanted = static_cast<int>(2 * std::min<uint64_t>(limit, 8 << 20));
  CHECK(socket_option(large, SOL_SOCKET, SO_RCVBUF) >= wanted);
  CHECK(socket_option(plain, SOL_SOCKET, SO_RCVBUF) == 2 << 16);
  CHECK(socket_option(large, SOL_SOCKET, SO_SNDBUF) > socket_option(plain, SOL_SOCKET, SO_SNDBUF));
}

TEST_CASE("a hundred datagrams come in two batches, whole and in order") {
  UdpSocket socket;
  REQUIRE(socket.open(loopback(), 1 << 22, false) == 0);
  test::Peer a, b;
  const auto text = [](int i) {
    return std::to_string(i) + std::string(static_cast<size_t>(i) * 13 % 1400, 'x');
  };
  for (int i = 0; i < 100; ++i) (i % 2 == 0 ? a : b).send(text(i), socket.local());
  ReceiveBatch batch;
  int seen = 0;
  for (const uint32_t expected : {64u, 36u, 0u}) {
    const uint32_t count = socket.receive(batch);
    REQUIRE(count == expected);
    for (uint32_t i = 0; i < count; ++i, ++seen) {
      CHECK(text_of(batch, i) == text(seen));
      const Address from = Address::of(batch.from(i));
      CHECK(from.host() == "127.0.0.1");
      CHECK(from.port == (seen % 2 == 0 ? a : b).address().port);
    }
  }
  CHECK(seen == 100);
}

TEST_CASE("an empty datagram and the largest one") {
  UdpSocket socket;
  REQUIRE(socket.open(loopback(), 1 << 22, false) == 0);
  test::Peer peer;
  std::string largest;
  for (size_t i = 0; i < 65507; ++i) largest += static_cast<char>('a' + i % 23);
  peer.send("", socket.local());
  for (uint32_t i = 0; i < 8; ++i) peer.send(largest, socket.local());
  ReceiveBatch batch;
  REQUIRE(readable_within(socket, test::kReplyMs));
  REQUIRE(socket.receive(batch) == 9);
  CHECK(batch.size(0) == 0);
  for (uint32_t i = 1; i < 9; ++i) CHECK(text_of(batch, i) == largest);
  // One byte more is nothing the kernel takes; the socket is none the worse for it.
  CHECK_FALSE(socket.send((largest + "x").data(), largest.size() + 1, peer.address()));
  CHECK(socket.send(largest.data(), largest.size(), peer.address()));
  CHECK(peer.receive() == largest);
}

TEST_CASE("a port that nobody listens on breaks nothing") {
  UdpSocket socket;
  REQUIRE(socket.open(loopback(), 1 << 16, false) == 0);
  Address closed;
  {
    UdpSocket gone;
    REQUIRE(gone.open(loopback(), 1 << 16, false) == 0);
    closed = gone.local();
  }
  test::Peer peer;
  ReceiveBatch batch;
  for (int i = 0; i < 5; ++i) {
    // The kernel reports the ICMP answer of the one before it with a later call, if at all.
    CHECK(socket.send("lost", 4, closed));
    CHECK(socket.receive(batch) == 0);
    CHECK(socket.send("found", 5, peer.address()));
    CHECK(peer.receive() == "found");
    peer.send("back", socket.local());
    REQUIRE(readable_within(socket, test::kReplyMs));
    REQUIRE(socket.receive(batch) == 1);
    CHECK(text_of(batch, 0) == "back");
  }
}

TEST_CASE("IPv6, and a family that does not fit") {
  Address local;
  REQUIRE(Address::parse("[::1]", 0, local));
  UdpSocket six;
  const int fault = six.open(local, 1 << 16, false);
  if (fault == EADDRNOTAVAIL || fault == EAFNOSUPPORT) {
    MESSAGE("no IPv6 here");
    return;
  }
  REQUIRE(fault == 0);
  CHECK(six.local().host() == "::1");
  CHECK(socket_option(six, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
  REQUIRE(six.send("self", 4, six.local()));
  ReceiveBatch batch;
  REQUIRE(readable_within(six, test::kReplyMs));
  REQUIRE(six.receive(batch) == 1);
  CHECK(text_of(batch, 0) == "self");
  CHECK(Address::of(batch.from(0)).port == six.local().port);
  CHECK_FALSE(six.send("x", 1, loopback(9)));
}

TEST_CASE("two threads receive and two send, and every datagram comes once") {
  UdpSocket socket;
  REQUIRE(socket.open(loopback(), 8 << 20, false) == 0);
  const uint64_t each = test::rounds(2000);
  test::Peer peer;
  std::atomic<uint64_t> left{2 * each};
  std::vector<std::set<std::string>> seen(2);
  test::run_together(4, [&](uint32_t thread) {
    if (thread < 2) {
      for (uint64_t i = 0; i < each; ++i) {
        const std::string text = std::to_string(thread).append(":").append(std::to_string(i));
        while (!peer.socket().send(text.data(), text.size(), socket.local())) test::sleep_us(50);
        if (i % 256 == 255) test::sleep_us(500);
      }
      return;
    }
    ReceiveBatch batch;
    const uint64_t end_ns = core::now_ns() + test::kGuardNs;
    while (left.load() != 0 && core::now_ns() < end_ns) {
      const uint32_t count = socket.receive(batch);
      for (uint32_t i = 0; i < count; ++i) CHECK(seen[thread - 2].insert(text_of(batch, i)).second);
      left.fetch_sub(count);
      if (count == 0) test::sleep_us(50);
    }
  });
  CHECK(left.load() == 0);
  for (const std::string& text : seen[0]) CHECK(seen[1].count(text) == 0);
  CHECK(seen[0].size() + seen[1].size() == 2 * each);
}
