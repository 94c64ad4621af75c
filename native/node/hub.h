// What is one for the whole process: the engines, by number.
//
// An engine is put together, started and stopped by the environment that made it, and kept in memory by every channel
// that is connected to it. When that environment ends without having stopped it, its clean-up hook does.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "sip/sip_engine.h"

namespace sip_async::node {

struct EngineEntry {
  sip::SipEngineConfig config;             // until it is built
  std::unique_ptr<sip::SipEngine> engine;  // then
  // Channels hand the engine plain pointers to themselves (core::Wakeable). They are kept here until the engine is gone,
  // so that a thread that just read such a pointer may still use it.
  std::mutex mutex;
  std::vector<std::shared_ptr<core::Wakeable>> channels;
};

class Hub {
 public:
  // Never destroyed: threads of the process may outlive static destructors.
  static Hub& instance() {
    static Hub* hub = new Hub;
    return *hub;
  }
  uint32_t add(std::shared_ptr<EngineEntry> entry) {
    std::lock_guard lock(mutex_);
    engines_[++last_] = std::move(entry);
    return last_;
  }
  std::shared_ptr<EngineEntry> find(uint32_t number) {
    std::lock_guard lock(mutex_);
    const auto at = engines_.find(number);
    return at == engines_.end() ? nullptr : at->second;
  }
  void remove(uint32_t number) {
    std::lock_guard lock(mutex_);
    engines_.erase(number);
  }

 private:
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<EngineEntry>> engines_;
  uint32_t last_ = 0;
};

}  // namespace sip_async::node
