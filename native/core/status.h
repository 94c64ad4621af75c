// Small status numbers that cross the boundary to JavaScript as they are (binding.d.ts exports the names).
#pragma once

#include <cstdint>

namespace sip_async::core {

enum class Status : int32_t {
  kOk = 0,
  kStaleHandle = 1,  // generation differs: the transaction has ended
  kAlreadySuspended = 2,
  kNotSuspended = 3,
  kAlreadyAnswered = 4,  // a final reply has been sent
  kCancelled = 5,
  kSlotsExhausted = 6,  // no slot, timer node or payload block left
  kGroupFull = 7,
  kNoWorkers = 8,
  kPayloadTooLarge = 9,
  kNoTransaction = 10,  // ACK and other messages that no transaction belongs to
  kClosed = 11,
  kNotAnswerable = 12,  // the reply cannot be built (a line does not fit, a status out of range)
};

}  // namespace sip_async::core
