// What is kept of a message that was sent on: of the call, and of each branch (a client transaction, RFC 3261 section 17.1).
//
// A branch is a slot of its own: its timers, its reply routes and its end are no other than those of a call. It has the key
// of the call it belongs to and is never in the table, so that one lock guards a call with all its branches.
#pragma once

#include <cstdint>

#include "core/payload_pool.h"
#include "sip/hop.h"

namespace sip_async::sip {

// Number of a route that is none.
inline constexpr uint16_t kNoRoute = 0xffff;

// What runs next in a slot (Slot::entry).
enum class Entry : uint8_t {
  kRequestRoute,
  kRouteBlock,      // Slot::route, in a group or wherever it was continued
  kWake,            // a sleeper goes on
  kFailureRoute,    // Slot::route
  kReplyRoute,      // Slot::route, of a branch
  kSuspendTimeout,  // nobody has continued it in time
  kCancelEvent,     // the hook that a CANCEL runs
  kOperation,       // Slot::route, in the thread whose operation has ended or has had its time
  kPreRouting,      // the event route that a raw message runs before anything else
  kHandedOver,      // a worker takes the raw message as if it came from the network
};

// The kind of route a script is in (Slot::route_type); a resumed one keeps it.
enum class RouteType : uint8_t { kRequest, kFailure, kReply, kBranch };

enum class BranchState : uint8_t {
  kUnsent,      // its branch route runs, or its target is being looked up
  kCalling,     // sent, and nothing came back
  kProceeding,  // a provisional reply came
  kCompleted,   // it has its final reply, or none will come; answers repetitions
  kAccepted,    // INVITE with 2xx: repetitions are passed on (RFC 6026)
};

enum class CancelState : uint8_t {
  kNone,
  kWanted,  // as soon as a provisional reply says that there is something to cancel (RFC 3261 section 9.1)
  kSent,
  kAnswered,
};

// Slot::data of a branch.
struct StoredBranch {
  // Where replies wait for the reply route.
  static constexpr uint32_t kMostWaiting = 4;

  uint32_t parent;
  uint32_t parent_generation;
  uint32_t next;    // next branch of the call, index + 1
  uint32_t thread;  // the receiver that its reply routes run in
  BranchState state;
  CancelState cancel;
  bool is_done;       // its final reply, or what stands for it, has gone into the choice
  bool is_discarded;  // not to be sent any more
  uint8_t attempt;    // counted up for each address that is tried
  uint8_t hop_count;  // addresses in `hops`
  uint8_t next_hop;
  uint16_t status;      // once it is done
  uint16_t on_reply;    // number of its reply route, or kNoRoute
  uint16_t name_bytes;  // of the target's name, which a TLS certificate must be for
  uint8_t waiting_count;
  char mark[17];                           // see LoopCheck
  core::PayloadRef sent;                   // the request as it was sent, a StoredMessage; `from` is where to
  core::PayloadRef hops;                   // the addresses of its target, Hop[hop_count], and then its name
  core::PayloadRef waiting[kMostWaiting];  // replies for the reply route; the first is the one that runs
  uint32_t interval_ms;                    // timers A and E: present interval; 0 when nothing is repeated
  uint32_t cancel_interval_ms;
  uint64_t repeat_tick;
  uint64_t cancel_tick;
  uint64_t give_up_tick;
};

// Slot::data of a call.
struct StoredCall {
  static constexpr uint32_t kMostBranches = 64;
  static constexpr uint32_t kReasonBytes = 120;

  uint32_t first_branch;  // index + 1
  uint16_t branch_count;
  uint16_t on_failure;      // number of the failure route, or kNoRoute
  uint16_t failure_status;  // what the failure route was run for
  bool is_cancelled;        // CANCEL came, and the branches' replies are waited for
  bool has_news;            // a branch has failed since the last failure route
  uint8_t reason_bytes;
  Hop upstream;               // where its replies go
  char reason[kReasonBytes];  // the Reason of the CANCEL
};

// Room for the branch parameter of ours: cookie, slot, generation, attempt, 128 bits that nobody can guess, loop mark.
inline constexpr size_t kBranchIdBytes = 7 + 8 + 8 + 2 + 32;
inline constexpr size_t kLoopMarkBytes = 17;

}  // namespace sip_async::sip
