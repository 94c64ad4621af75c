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
  kSlotsExhausted = 6,  // no slot, timer or payload block left
  kGroupFull = 7,
  kNoWorkers = 8,
  kPayloadTooLarge = 9,
  kNoTransaction = 10,  // ACK and other messages that no transaction belongs to
  kClosed = 11,
  kNotAnswerable = 12,  // the reply cannot be built (a line does not fit, a status out of range)
  kUnresolved = 13,     // the branch is there; its target is a name that must be looked up
  kUnroutable = 14,     // no address in the target, or no socket of ours that goes there
  kTooManyHops = 15,    // Max-Forwards is 0
  kLoop = 16,           // the request has been here before, unchanged
};

}  // namespace sip_async::core
