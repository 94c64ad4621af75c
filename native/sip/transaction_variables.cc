// The variables of a transaction: bytes that only the script can read, kept with the call from one run to the next.
#include <cstring>
#include <utility>

#include "sip/transaction_layer.h"

namespace sip_async::sip {

using core::kNone;
using core::kNoPayload;
using core::PayloadRef;

Status TransactionLayer::save_variables(Task task, std::string_view bytes) {
  if (!slots_.is_current(task.index, task.generation)) return Status::kStaleHandle;
  if (!is_message(task) && !is_branch(task)) return Status::kNoTransaction;
  if (bytes.size() > kMaxVariablesBytes) return Status::kPayloadTooLarge;
  const PayloadRef ref =
      bytes.empty() ? kNoPayload : payloads_.try_allocate(sizeof(StoredVariables) + bytes.size());
  if (ref == kNoPayload && !bytes.empty()) return Status::kSlotsExhausted;
  if (ref != kNoPayload) {
    StoredVariables& kept = variables_in(payloads_, ref);
    kept.size = static_cast<uint32_t>(bytes.size());
    memcpy(kept.data(), bytes.data(), bytes.size());
  }
  PayloadRef old = ref;
  {
    // The reply routes of its branches copy them.
    Lock lock(table_, task.index);
    std::swap(old, slots_.at(task.index).variables);
  }
  payloads_.free(old);
  return Status::kOk;
}

std::string_view TransactionLayer::variables(Task task) const {
  if (!slots_.is_current(task.index, task.generation)) return {};
  const PayloadRef ref = slots_.at(task.index).variables;
  if (ref == kNoPayload || !(is_message(task) || is_branch(task))) return {};
  const StoredVariables& kept = variables_in(payloads_, ref);
  return {kept.data(), kept.size};
}

std::string TransactionLayer::shared_variables(Task branch) {
  if (branch.index >= slots_.size()) return {};
  Lock lock(table_, branch.index);
  if (!slots_.is_current(branch.index, branch.generation) || !is_branch(branch)) return {};
  const uint32_t parent = waiting_parent(branch_in(branch.index));
  if (parent == kNone || slots_.at(parent).variables == kNoPayload) return {};
  const StoredVariables& kept = variables_in(payloads_, slots_.at(parent).variables);
  return {kept.data(), kept.size};
}

void TransactionLayer::share_variables(Task branch, std::string_view bytes) {
  if (branch.index >= slots_.size() || bytes.empty() || bytes.size() > kMaxVariablesBytes) return;
  const PayloadRef ref = payloads_.try_allocate(sizeof(StoredVariables) + bytes.size());
  if (ref == kNoPayload) return;
  StoredVariables& kept = variables_in(payloads_, ref);
  kept.size = static_cast<uint32_t>(bytes.size());
  memcpy(kept.data(), bytes.data(), bytes.size());
  PayloadRef old = ref;
  {
    Lock lock(table_, branch.index);
    if (slots_.is_current(branch.index, branch.generation) && is_branch(branch)) {
      const uint32_t parent = waiting_parent(branch_in(branch.index));
      // A script that runs for the call has its own, and reads these without a lock.
      if (parent != kNone && slots_.word(parent).run() == Run::kRelayed)
        std::swap(old, slots_.at(parent).variables);
    }
  }
  payloads_.free(old);
}

}  // namespace sip_async::sip
