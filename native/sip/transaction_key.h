// What a request's transaction is known by (RFC 3261 section 17.2.3), as a keyed hash of 128 bits.
//
// With the magic cookie: branch, sent-by and method, where ACK and CANCEL count as INVITE. Without it (RFC 2543):
// Request-URI, From tag, Call-ID, CSeq number and the topmost Via. A request's To tag is left out of the latter, because
// the ACK to a refusal carries one that the INVITE had not; the ACK's tag is ours in any case and is checked on its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/siphash.h"
#include "sip/header_index.h"

namespace sip_async::sip {

using core::Hash128;
using core::SipHash;

class KeyMaker {
 public:
  // Draws a fresh key from the system.
  KeyMaker();
  KeyMaker(uint64_t key0, uint64_t key1) : key0_(key0), key1_(key1) {}

  // `as`: the method to count as; for ACK and CANCEL that is INVITE, to find what they belong to.
  Hash128 transaction(const char* data, const MessageIndex& index, Method as) const;

  // What messages of one call have in common, in a group: the name of their lane.
  Hash128 lane(std::string_view call_id, uint16_t group) const;

  // To tags of our replies. A transaction's tag leads straight to its slot, which is how the ACK to a 2xx (a transaction
  // of its own) finds the INVITE; a stateless reply's tag is made of the transaction key. Strangers can make neither.
  static constexpr size_t kTagBytes = 28;
  void write_slot_tag(uint32_t index, uint32_t generation, char* out) const;
  void write_stateless_tag(const Hash128& key, char* out) const;
  // Via branches of the requests that we send on (kBranchIdBytes): they lead straight to the slot of the branch, and nobody
  // else can make one.
  struct BranchId {
    uint32_t index, generation;
    uint8_t attempt;
  };
  void write_branch(const BranchId& id, char* out) const;
  bool read_branch(std::string_view branch, BranchId& out) const;
  // The branch of a request that is sent on without a transaction: the same for each repetition (RFC 3261 section 16.11).
  void write_stateless_branch(const Hash128& key, char* out) const;
  bool read_slot_tag(std::string_view tag, uint32_t& index, uint32_t& generation) const;
  bool is_stateless_tag(std::string_view tag, const Hash128& key) const;

 private:
  uint64_t key0_, key1_;
};

}  // namespace sip_async::sip
