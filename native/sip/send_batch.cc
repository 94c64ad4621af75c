#include "sip/send_batch.h"

#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sip/transports.h"

// Linux has it since 4.18; the headers of some C libraries do not.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

namespace sip_async::sip {

namespace {
// A message joins one of so many groups before it; further back nobody looks.
constexpr uint32_t kLookBack = 8;
constexpr uint32_t kNoMessage = UINT32_MAX;
// UDP over IPv4; what the kernel takes for one message, however many segments it is cut into.
constexpr size_t kMostGroupBytes = 65'507;

// Every batch there is, for the end of the process: exit() in the middle of a route does not come back to the scope.
class Living {
 public:
  static Living& all() {
    static auto* living = new Living;
    return *living;
  }
  void add(SendBatch* batch) {
    std::lock_guard lock(mutex_);
    batches_.push_back(batch);
  }
  void remove(SendBatch* batch) {
    std::lock_guard lock(mutex_);
    std::erase(batches_, batch);
  }

 private:
  Living() {
    std::atexit([] { all().flush(); });
  }
  void flush() {
    std::lock_guard lock(mutex_);
    for (SendBatch* batch : batches_) batch->flush();
  }

  std::mutex mutex_;
  std::vector<SendBatch*> batches_;
};

bool is_same(const Address& a, const Address& b) {
  return memcmp(&a, &b, sizeof a) == 0;
}
}  // namespace

// Messages that leave as one, in the order in which they came.
struct SendBatch::Group {
  Address to;
  uint16_t socket;
  uint16_t count;
  uint32_t segment_bytes;
  uint32_t last_bytes;
  uint32_t bytes;
  uint32_t first;
  uint32_t last;
};

struct SendBatch::Buffers {
  struct Message {
    uint32_t offset;
    uint32_t size;
    uint32_t next;
  };
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(uint16_t))];
  };
  Message messages[kMessages];
  Group groups[kMessages];
  mmsghdr headers[kMessages];
  iovec vectors[kMessages];
  sockaddr_storage names[kMessages];
  Control controls[kMessages];
  char bytes[kBytes];
};

SendBatch::SendBatch(Transports& transports) : transports_(transports), buffers_(new Buffers) {
  Living::all().add(this);
}

SendBatch::~SendBatch() {
  Living::all().remove(this);
}

bool SendBatch::add(uint16_t socket, const char* data, size_t size, const Address& to, uint64_t now) {
  if (size > kBytes) return false;
  bool is_first = false;
  {
    std::lock_guard lock(mutex_);
    const uint64_t since = waits_since_ns_.load(std::memory_order_relaxed);
    if (messages_ == kMessages || size > kBytes - bytes_ || (messages_ != 0 && now - since > kMostWaitNs)) {
      flush_locked();
    }
    is_first = messages_ == 0;
    append(socket, data, static_cast<uint32_t>(size), to);
    if (is_first) {
      begun_.fetch_add(1, std::memory_order_relaxed);
      waits_since_ns_.store(now, std::memory_order_seq_cst);
    }
  }
  if (is_first) transports_.watch();
  return true;
}

void SendBatch::append(uint16_t socket, const char* data, uint32_t bytes, const Address& to) {
  const uint32_t number = messages_++;
  memcpy(buffers_->bytes + bytes_, data, bytes);
  buffers_->messages[number] = {static_cast<uint32_t>(bytes_), bytes, kNoMessage};
  bytes_ += bytes;
  const uint32_t look_to = groups_ > kLookBack ? groups_ - kLookBack : 0;
  for (uint32_t i = groups_; i > look_to; --i) {
    Group& group = buffers_->groups[i - 1];
    if (group.socket != socket || !is_same(group.to, to)) continue;
    // The newest of this destination, so that nothing overtakes. Only its last segment may be shorter than the others.
    if (group.last_bytes != group.segment_bytes || bytes > group.segment_bytes ||
        group.segment_bytes > kMostSegmentBytes || group.bytes + bytes > kMostGroupBytes)
      break;
    buffers_->messages[group.last].next = number;
    group.last = number;
    group.last_bytes = bytes;
    group.bytes += bytes;
    ++group.count;
    return;
  }
  buffers_->groups[groups_++] = {to, socket, 1, bytes, bytes, bytes, number, number};
}

void SendBatch::flush() {
  std::lock_guard lock(mutex_);
  if (messages_ != 0) flush_locked();
}

void SendBatch::flush_older_than(uint64_t since_ns) {
  const uint64_t since = waits_since_ns_.load(std::memory_order_seq_cst);
  if (since != 0 && since <= since_ns) flush();
}

void SendBatch::flush_locked() {
  Buffers& own = *buffers_;
  uint32_t vector = 0;
  for (uint32_t i = 0; i < groups_; ++i) {
    const Group& group = own.groups[i];
    msghdr& header = own.headers[i].msg_hdr;
    header = {};
    header.msg_name = &own.names[i];
    header.msg_namelen = group.to.to(own.names[i]);
    header.msg_iov = &own.vectors[vector];
    header.msg_iovlen = group.count;
    for (uint32_t at = group.first; at != kNoMessage; at = own.messages[at].next) {
      own.vectors[vector++] = {own.bytes + own.messages[at].offset, own.messages[at].size};
    }
    if (group.count == 1) continue;
    header.msg_control = own.controls[i].bytes;
    header.msg_controllen = sizeof own.controls[i].bytes;
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto segment = static_cast<uint16_t>(group.segment_bytes);
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
  }
  for (uint32_t i = 0; i < groups_;) {
    const uint16_t socket = own.groups[i].socket;
    uint32_t end = i + 1;
    while (end < groups_ && own.groups[end].socket == socket) ++end;
    const int taken = transports_.socket(socket).send_many(own.headers + i, end - i);
    i += static_cast<uint32_t>(std::max(taken, 0));
    if (i < end && taken <= 0) send_group(own.groups[i++]);
  }
  messages_ = 0;
  groups_ = 0;
  bytes_ = 0;
  waits_since_ns_.store(0, std::memory_order_seq_cst);
}

// What the kernel did not take as a whole goes out one by one; what it does not take then is counted as any other.
void SendBatch::send_group(const Group& group) {
  const Buffers& own = *buffers_;
  for (uint32_t at = group.first; at != kNoMessage; at = own.messages[at].next) {
    const auto& message = own.messages[at];
    if (transports_.socket(group.socket).send(own.bytes + message.offset, message.size, group.to)) continue;
    transports_.count_failed();
  }
}

}  // namespace sip_async::sip
