// The message that a data task or an event shows to its route: there is none behind it, and a script may still read one,
// as in Kamailio, which has the same idea (core/fmsg.c).
#pragma once

#include <cstring>
#include <memory>
#include <string_view>

#include "core/worker_group.h"
#include "sip/stored_message.h"

namespace sip_async::sip {

class FakedRequest {
 public:
  // Stands for it where there is no slot: the report of a launch that found none. No call or task is named like that.
  static constexpr core::Task kName{core::kNone, 1};

  FakedRequest() : bytes_(new char[sizeof(StoredMessage) + kText.size()]) {
    auto* request = new (bytes_.get()) StoredMessage{};
    memcpy(request->data(), kText.data(), kText.size());
    request->size = static_cast<uint32_t>(kText.size());
    request->from.address.family = AF_INET;
    request->from.address.bytes[0] = 127;
    request->from.address.bytes[3] = 1;
    index_message(request->data(), request->size, IndexLimits{}, request->index);
  }
  const StoredMessage& request() const { return *reinterpret_cast<const StoredMessage*>(bytes_.get()); }

 private:
  static constexpr std::string_view kText =
      "OPTIONS sip:task@sip-async.invalid SIP/2.0\r\n"
      "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKtask\r\n"
      "From: <sip:task@sip-async.invalid>;tag=task\r\n"
      "To: <sip:task@sip-async.invalid>\r\n"
      "Call-ID: task\r\n"
      "CSeq: 1 OPTIONS\r\n"
      "Content-Length: 0\r\n\r\n";
  std::unique_ptr<char[]> bytes_;
};

}  // namespace sip_async::sip
