// A UDP socket of our own: large receive buffer, batches of datagrams in one system call, sending from any thread.
//
// Ground rules
// - The descriptor is non-blocking and does not change between open() and close(). Any thread sends; two threads may
//   receive, each with a batch of its own.
// - close() is for when nobody uses the socket any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "sip/address.h"

struct mmsghdr;

namespace sip_async::sip {

// Room for one recvmmsg: mapped, so that only the pages that datagrams really fill are touched.
class ReceiveBatch {
 public:
  static constexpr uint32_t kMessages = 64;
  static constexpr size_t kBytes = 65536;

  ReceiveBatch();
  ~ReceiveBatch();
  ReceiveBatch(const ReceiveBatch&) = delete;
  ReceiveBatch& operator=(const ReceiveBatch&) = delete;

  const char* data(uint32_t i) const { return buffers_ + size_t{i} * kBytes; }
  size_t size(uint32_t i) const;
  const sockaddr_storage& from(uint32_t i) const;

 private:
  friend class UdpSocket;
  struct Headers;
  std::unique_ptr<Headers> headers_;
  char* buffers_ = nullptr;
};

class UdpSocket {
 public:
  UdpSocket() = default;
  ~UdpSocket() { close(); }
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  // 0, or the errno. `share`: SO_REUSEPORT, for several receivers of one address. Fills in local().
  int open(const Address& local, uint32_t receive_buffer_bytes, bool share);
  void close();

  int fd() const { return fd_; }
  const Address& local() const { return local_; }

  // How many datagrams are in the batch now; 0 when there are none, or on an error that will pass (ICMP answers to what
  // we sent come back here).
  uint32_t receive(ReceiveBatch& batch) const;
  // False when the kernel did not take the datagram; UDP may lose it anyway, so the caller counts it and goes on.
  bool send(const char* data, size_t size, const Address& to) const;
  // How many of them the kernel took, from the first on; below one when it refused the first.
  int send_many(mmsghdr* messages, uint32_t count) const;

 private:
  int fd_ = -1;
  Address local_;
};

}  // namespace sip_async::sip
