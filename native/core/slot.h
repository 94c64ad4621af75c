// A slot: one server transaction (or one message without a transaction) from its arrival to the end of its wait time, or
// one task that carries data of the script's own.
//
// The state word is the truth about it. Every step is one compare-and-swap on this word; queues and wheel only hold
// (index, generation, suspension) and are believed only as far as the word agrees.
//
//   63               32 31             12 11       8    7      6      5       4        3     2   0
//   [   generation     ][  suspension    ][ unused  ][resume][silent][cancel][answer][live][ run ]
//
// generation  counted up when the slot is given back: a handle (index, generation) of an ended call never fits again.
// suspension  counted up by every suspension of the call: a timer of an earlier one, left in the wheel, never fits.
// live        the slot is in use.
// answer      a final reply was decided on. Set once, by whoever sends that reply.
// cancel      CANCEL came while no final reply had been sent.
// silent      ended without a reply on purpose (drop), or a message that must not be answered.
// resume      the present suspension was ended by its handle (Engine::resume), not by its time.
// run         what the message waits for:
//             idle       no script: answered and in its wait time
//             received   a receiver shall run requestRoute
//             running    a JavaScript thread runs a route for it
//             suspended  a timer or a handle shall bring it back
//             due        stands in the queue of a group or of a thread
//             relayed    no script: others have been asked, and what they answer will go on
#pragma once

#include <atomic>
#include <cstdint>

#include "core/cache_line.h"
#include "core/index_stack.h"
#include "core/payload_pool.h"

namespace sip_async::core {

// What a slot stands for: a message that came in, data for a route, an event for an event route, a branch of a message that
// was sent on, an operation that was launched and whose report is still to come, or a message that nothing has been done with
// yet.
enum class SlotKind : uint8_t { kMessage = 0, kTask = 1, kEvent = 2, kBranch = 3, kLaunch = 4, kRaw = 5 };

enum class Run : uint8_t { kIdle = 0, kReceived = 1, kRunning = 2, kSuspended = 3, kDue = 4, kRelayed = 5 };

// A state word taken apart.
class Word {
 public:
  static constexpr uint64_t kRunMask = 0x7;
  static constexpr uint64_t kLive = 1u << 3;
  static constexpr uint64_t kAnswered = 1u << 4;
  static constexpr uint64_t kCancelled = 1u << 5;
  static constexpr uint64_t kSilent = 1u << 6;
  static constexpr uint64_t kResumed = 1u << 7;
  static constexpr uint32_t kSuspensionMask = 0xf'ffff;

  constexpr explicit Word(uint64_t bits) : bits_(bits) {}
  static constexpr Word make(uint32_t generation, uint32_t suspension, uint64_t flags, Run run) {
    return Word(uint64_t{generation} << 32 | uint64_t{suspension & kSuspensionMask} << 12 | flags |
                static_cast<uint64_t>(run));
  }

  constexpr uint64_t bits() const { return bits_; }
  constexpr uint32_t generation() const { return static_cast<uint32_t>(bits_ >> 32); }
  constexpr uint32_t suspension() const { return static_cast<uint32_t>(bits_ >> 12) & kSuspensionMask; }
  constexpr Run run() const { return static_cast<Run>(bits_ & kRunMask); }
  constexpr bool has(uint64_t flag) const { return (bits_ & flag) != 0; }
  constexpr uint64_t flags() const { return bits_ & (kLive | kAnswered | kCancelled | kSilent); }

  constexpr Word with_run(Run run) const { return Word((bits_ & ~kRunMask) | static_cast<uint64_t>(run)); }
  constexpr Word with(uint64_t flags) const { return Word(bits_ | flags); }
  // Never 0, which is a call that was never suspended. Nobody has resumed the new one yet.
  constexpr Word next_suspension() const {
    const uint32_t next = (suspension() + 1) & kSuspensionMask;
    return make(generation(), next == 0 ? 1 : next, flags(), run());
  }
  constexpr Word previous_suspension() const { return make(generation(), suspension() - 1, flags(), run()); }

 private:
  uint64_t bits_;
};

struct alignas(kCacheLine) Slot {
  // Written by compare-exchange of every thread (acquire and release: whoever moves the slot on sees all that the
  // one before it wrote to the plain members), read by every thread.
  std::atomic<uint64_t> word;
  // Link of the free list; see IndexStack.
  std::atomic<uint32_t> free_link;

  // Owner: whoever holds the run state (the receiver before `received` is published, then the thread that runs the
  // route); handed on by the state word.
  //
  // Number of the route to run next, of the group that runs it (or Engine::kOwnThread), and the tick at which the
  // suspension ends. Written by the owner; read by scans, too: for the sleepers of a thread that died, and for the list
  // of what is suspended. Relaxed: a scan believes them only together with the state word.
  std::atomic<uint16_t> route;
  std::atomic<uint16_t> group;
  std::atomic<uint64_t> due_tick;
  uint64_t action_ns;  // when the running route last replied or suspended
  // The JavaScript thread that runs it or that the sleeper belongs to. Written by that thread, read by whoever ends the
  // call from outside and must tell it; sequentially consistent together with the state word, see Engine::begin_run.
  std::atomic<uint32_t> thread;
  // When it became due. Written by the ticker or the suspending thread, read by the worker that takes it; relaxed, a
  // figure for statistics.
  std::atomic<uint64_t> queued_ns;

  // Guarded by the lock of the transaction's bucket (sip/transaction_table.h).
  PayloadRef request;    // kept until the script has ended and the final reply is sent
  PayloadRef reply;      // the last reply, for retransmissions
  uint32_t chain;        // next slot of the bucket, index + 1
  uint8_t phase;         // sip::Phase
  uint8_t method;        // sip::Method
  uint8_t timer_linked;  // the slot's own timer stands in the wheel
  uint8_t trying;        // 100 was sent (the owner's)
  uint64_t timer_tick;   // when the slot's own timer shall fire
  uint64_t end_tick;     // timer H: when to give up waiting for ACK
  uint32_t interval_ms;  // timer G: present interval
  // Written before the slot is published, constant for this life; read by scans. Relaxed, as the key below.
  std::atomic<SlotKind> kind;
  // As route: what runs next. A number of the layer above.
  std::atomic<uint8_t> entry;
  // The owner's: the kind of route that the script is in. A number of the layer above.
  uint8_t route_type;
  uint8_t transport;  // sip::Transport that the request came by; constant for this life, read under the lock

  // Transaction key. Written before the slot is published and then constant for this life; atomic (relaxed) because a
  // stale handle may read it while the next life is being set up, and finds out under the bucket's lock.
  std::atomic<uint64_t> key_high;
  std::atomic<uint64_t> key_low;

  // What a task carries; set before the slot is published, freed by whoever ends it. Of a message or a branch: what belongs
  // to its being sent on, guarded by the lock of the bucket.
  PayloadRef data;
  // A transaction's variables as the script last saved them, or what goes along with a raw message. The owner's; freed
  // together with the request.
  PayloadRef variables;
};
static_assert(sizeof(Slot) == 2 * kCacheLine);

}  // namespace sip_async::core
