// What cannot be cut out of a stream.
#include "sip/transaction_layer.h"

namespace sip_async::sip {

void TransactionLayer::reject_framing(const Incoming& incoming, uint16_t code, std::string_view reason) {
  MessageIndex index;
  IndexLimits limits;
  limits.max_message_bytes = config_.max_message_bytes;
  (void)index_message(incoming.data, incoming.size, limits, index);
  if (!is_answerable(index)) return;
  reply_statelessly(incoming, index, code, reason);
}

}  // namespace sip_async::sip
