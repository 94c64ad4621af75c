// Numbers of the fields that messageString and messageNumber read.
#pragma once

#include <cstdint>

namespace sip_async::node {

enum class Field : uint32_t {
  kMethod,
  kRuri,
  kCallId,
  kFromUri,
  kFromUser,
  kFromTag,
  kToUri,
  kToUser,
  kToTag,
  kContact,
  kUserAgent,
  kBody,
  kSrcIp,
  kCseqMethod,
  kReason,
};
inline constexpr const char* kFieldNames[] = {
    "method", "ruri",    "callId",    "fromUri", "fromUser", "fromTag",    "toUri",  "toUser",
    "toTag",  "contact", "userAgent", "body",    "srcIp",    "cseqMethod", "reason",
};

// kEnd: offset just behind the body.
enum class Number : uint32_t { kCseq, kSrcPort, kMaxForwards, kEnd };
inline constexpr const char* kNumberNames[] = {"cseq", "srcPort", "maxForwards", "end"};

}  // namespace sip_async::node
