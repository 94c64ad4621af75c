// An IPv4 or IPv6 address with its port, in 24 bytes: what a slot keeps of where a message came from.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>

namespace sip_async::sip {

struct Address {
  uint16_t family = 0;  // AF_INET or AF_INET6
  uint16_t port = 0;    // host order
  uint32_t scope = 0;   // IPv6 zone
  uint8_t bytes[16] = {};

  static Address of(const sockaddr_storage& from) {
    Address out;
    out.family = from.ss_family;
    if (from.ss_family == AF_INET) {
      sockaddr_in in;
      memcpy(&in, &from, sizeof in);
      out.port = ntohs(in.sin_port);
      memcpy(out.bytes, &in.sin_addr, 4);
    } else if (from.ss_family == AF_INET6) {
      sockaddr_in6 in;
      memcpy(&in, &from, sizeof in);
      out.port = ntohs(in.sin6_port);
      out.scope = in.sin6_scope_id;
      memcpy(out.bytes, &in.sin6_addr, 16);
    }
    return out;
  }

  socklen_t to(sockaddr_storage& out) const {
    if (family == AF_INET) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      memcpy(&in.sin_addr, bytes, 4);
      memcpy(&out, &in, sizeof in);
      return sizeof in;
    }
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    in.sin6_scope_id = scope;
    memcpy(&in.sin6_addr, bytes, 16);
    memcpy(&out, &in, sizeof in);
    return sizeof in;
  }

  // Writes the host without brackets; `out` has room for INET6_ADDRSTRLEN.
  size_t write_host(char* out) const {
    // Every reply shows where its request came from, and inet_ntop would print that through sprintf.
    if (family == AF_INET) return write_ipv4(out);
    return inet_ntop(family, bytes, out, INET6_ADDRSTRLEN) == nullptr ? 0 : strlen(out);
  }
  size_t write_ipv4(char* out) const {
    char* at = out;
    for (int i = 0; i < 4; ++i) {
      if (i != 0) *at++ = '.';
      at = std::to_chars(at, at + 3, bytes[i]).ptr;
    }
    return static_cast<size_t>(at - out);
  }
  std::string host() const {
    char text[INET6_ADDRSTRLEN];
    return {text, write_host(text)};
  }
  // Reads a numeric host, brackets allowed. False when it is none.
  static bool parse(std::string host, uint16_t port, Address& out) {
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    out = Address{};
    out.port = port;
    if (host.find('\0') != std::string::npos) return false;  // behind it inet_pton does not look
    out.family = AF_INET;
    if (inet_pton(AF_INET, host.c_str(), out.bytes) == 1) return true;
    out.family = AF_INET6;
    return inet_pton(AF_INET6, host.c_str(), out.bytes) == 1;
  }
};

}  // namespace sip_async::sip
