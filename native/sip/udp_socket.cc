#include "sip/udp_socket.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

namespace sip_async::sip {

struct ReceiveBatch::Headers {
  mmsghdr messages[kMessages];
  iovec vectors[kMessages];
  sockaddr_storage from[kMessages];
};

ReceiveBatch::ReceiveBatch() : headers_(std::make_unique<Headers>()) {
  void* at = mmap(nullptr, kMessages * kBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  buffers_ = static_cast<char*>(at);
  for (uint32_t i = 0; i < kMessages; ++i) {
    headers_->vectors[i] = {buffers_ + size_t{i} * kBytes, kBytes};
    headers_->messages[i] = {};
    headers_->messages[i].msg_hdr.msg_iov = &headers_->vectors[i];
    headers_->messages[i].msg_hdr.msg_iovlen = 1;
    headers_->messages[i].msg_hdr.msg_name = &headers_->from[i];
  }
}

ReceiveBatch::~ReceiveBatch() {
  munmap(buffers_, kMessages * kBytes);
}

size_t ReceiveBatch::size(uint32_t i) const {
  return headers_->messages[i].msg_len;
}
const sockaddr_storage& ReceiveBatch::from(uint32_t i) const {
  return headers_->from[i];
}

int UdpSocket::open(const Address& local, uint32_t receive_buffer_bytes, bool share) {
  const int fd = socket(local.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  if (local.family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (share) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  // FORCE passes the system's limit and needs a privilege; the plain option is cut down to the limit in silence.
  const int bytes = static_cast<int>(receive_buffer_bytes);
  for (const auto& [forced, plain] :
       {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0) {
      setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
    }
  }
  sockaddr_storage name;
  const socklen_t name_length = local.to(name);
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), name_length) != 0) {
    const int fault = errno;
    ::close(fd);
    return fault;
  }
  socklen_t length = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length);
  fd_ = fd;
  local_ = Address::of(name);
  return 0;
}

void UdpSocket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

uint32_t UdpSocket::receive(ReceiveBatch& batch) const {
  for (uint32_t i = 0; i < ReceiveBatch::kMessages; ++i) {
    batch.headers_->messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  }
  const int count = recvmmsg(fd_, batch.headers_->messages, ReceiveBatch::kMessages, MSG_DONTWAIT, nullptr);
  return count > 0 ? static_cast<uint32_t>(count) : 0;
}

bool UdpSocket::send(const char* data, size_t size, const Address& to) const {
  sockaddr_storage name;
  const socklen_t length = to.to(name);
  for (;;) {
    if (sendto(fd_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&name), length) >= 0)
      return true;
    if (errno != EINTR) return false;
  }
}

int UdpSocket::send_many(mmsghdr* messages, uint32_t count) const {
  for (;;) {
    const int taken = sendmmsg(fd_, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken >= 0 || errno != EINTR) return taken;
  }
}

}  // namespace sip_async::sip
