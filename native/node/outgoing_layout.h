// Where streamTake writes what it says of a message, in words.
#pragma once

#include <cstdint>

namespace sip_async::node {

inline constexpr uint32_t kOutgoingFlow = 0;
inline constexpr uint32_t kOutgoingTransport = 1;
inline constexpr uint32_t kOutgoingSocket = 2;
inline constexpr uint32_t kOutgoingPort = 3;
inline constexpr uint32_t kOutgoingNameBytes = 4;
inline constexpr uint32_t kOutgoingAddress = 5;  // a sip::Address as it stands, for streamHost
inline constexpr uint32_t kOutgoingAddressWords = 6;
inline constexpr uint32_t kOutgoingWords = kOutgoingAddress + kOutgoingAddressWords;

// Numbers of transports, in the order of sip::Transport.
inline constexpr const char* kTransportNames[] = {"udp", "tcp", "tls", "ws", "wss"};

}  // namespace sip_async::node
