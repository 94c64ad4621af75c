#include "sip/outbox.h"

#include <cstring>

namespace sip_async::sip {

bool Outbox::push(const char* data, size_t size, const Hop& to, std::string_view server_name) {
  if (closed_.load(std::memory_order_relaxed)) return false;
  const uint64_t bytes = sizeof(OutgoingMessage) + server_name.size() + size;
  if (bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes > most_bytes_) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  core::PayloadPool& payloads = engine_.payloads();
  const core::PayloadRef ref = payloads.try_allocate(bytes);
  if (ref == core::kNoPayload) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  char* at = payloads.data(ref);
  auto& message = *reinterpret_cast<OutgoingMessage*>(at);
  message.to = to;
  message.size = static_cast<uint32_t>(size);
  message.name_size = static_cast<uint32_t>(server_name.size());
  at += sizeof message;
  if (!server_name.empty()) memcpy(at, server_name.data(), server_name.size());
  memcpy(at + server_name.size(), data, size);
  if (!queue_.try_push(ref)) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    payloads.free(ref);
    return false;
  }
  engine_.wake(kThread);
  return true;
}

void Outbox::close() {
  closed_.store(true, std::memory_order_relaxed);
  while (take([](const OutgoingMessage&) {})) {
  }
}

}  // namespace sip_async::sip
