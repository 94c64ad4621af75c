// What a step under a lock leads to and must not be done under it: messages to be sent, routes to be run, the ticker to be
// woken. It is collected while the lock is held, and done by flush() or at the end.
//
// Bytes lie in a buffer of the thread, so there is one Dispatch at a time in a thread.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "sip/launch_scope.h"
#include "sip/transports.h"

namespace sip_async::sip {

class Dispatch {
 public:
  Dispatch(core::Engine& engine, Transports& transport) : engine_(engine), transport_(transport) {
    buffers().letters.clear();
    buffers().bytes.clear();
    buffers().launches.clear();
  }
  ~Dispatch() { flush(); }
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // `server_name` as in Transports::send().
  void send(const Hop& to, const char* data, size_t size, std::string_view server_name = {}) {
    if (size == 0) return;
    Buffers& own = buffers();
    own.letters.push_back({to, own.bytes.size(), size, server_name.size()});
    own.bytes.insert(own.bytes.end(), data, data + size);
    own.bytes.insert(own.bytes.end(), server_name.begin(), server_name.end());
  }
  void run(const core::Engine::Launch& launch) { buffers().launches.push_back(launch); }
  // For what arms a timer and is told whether the ticker sleeps past it.
  void wake_ticker(bool wanted) { wakes_ = wakes_ || wanted; }

  // Without any lock.
  void flush() {
    Buffers& own = buffers();
    if (wakes_) engine_.wake_ticker();
    wakes_ = false;
    for (const Letter& letter : own.letters) {
      const char* data = own.bytes.data() + letter.offset;
      transport_.send(data, letter.size, letter.to, {data + letter.size, letter.name_size});
    }
    own.letters.clear();
    own.bytes.clear();
    for (const core::Engine::Launch& launch : own.launches) {
      if (!LaunchScope::take(launch)) engine_.deliver(launch, core::now_ns());
    }
    own.launches.clear();
  }

 private:
  struct Letter {
    Hop to;
    size_t offset;
    size_t size;
    size_t name_size;  // the server's name stands behind the bytes
  };
  struct Buffers {
    std::vector<Letter> letters;
    std::vector<char> bytes;
    std::vector<core::Engine::Launch> launches;
  };
  static Buffers& buffers() {
    thread_local Buffers own;
    return own;
  }

  core::Engine& engine_;
  Transports& transport_;
  bool wakes_ = false;
};

}  // namespace sip_async::sip
