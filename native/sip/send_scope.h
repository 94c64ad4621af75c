// While it lives, what its thread sends by UDP through one engine gathers in a batch.
#pragma once

#include "sip/send_batch.h"

namespace sip_async::sip {

class SendScope {
 public:
  SendScope(const Transports& transports, SendBatch& batch) : own_{&transports, &batch} {
    outer_ = current();
    current() = &own_;
  }
  ~SendScope() { close(); }
  SendScope(const SendScope&) = delete;
  SendScope& operator=(const SendScope&) = delete;

  void close() {
    if (own_.batch == nullptr) return;
    current() = outer_;
    own_.batch->flush();
    own_.batch = nullptr;
  }

  // The batch that this thread's messages gather in, if it has one.
  static SendBatch* batch_of(const Transports& transports) {
    const Entry* entry = current();
    return entry != nullptr && entry->transports == &transports ? entry->batch : nullptr;
  }

 private:
  struct Entry {
    const Transports* transports;
    SendBatch* batch;
  };
  static Entry*& current() {
    thread_local Entry* own = nullptr;
    return own;
  }

  Entry own_;
  Entry* outer_ = nullptr;
};

}  // namespace sip_async::sip
