// libFuzzer entry for the transaction layer: the input is a row of datagrams, and a byte before each says what the route
// does with it. Whatever comes, every call ends and nothing is left of it. Replies go to the layer's own socket, where
// nobody reads them. Built with SIP_ASYNC_FUZZ_STANDALONE it replays the files and folders that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "sip/transaction_layer.h"

namespace {

using namespace sip_async;
using core::Status;
using fuzz::require;
using sip::Outcome;
using sip::Task;

// Between two datagrams; bytes that a message hardly holds by itself.
constexpr std::string_view kSeparator = "\xff\xfe\n";
constexpr uint32_t kSlots = 64;
constexpr uint32_t kThread = 0;

class Script {
 public:
  Script()
      : engine_({.slots = kSlots,
                 .payload_bytes = 1 << 20,
                 .receivers = 1,
                 .groups = {{.name = "default", .workers = 1}}}),
        transport_(1),
        layer_(engine_, transport_, {.max_transactions = kSlots / 2, .max_message_bytes = 65507}) {
    sip::Address local;
    require(sip::Address::parse("127.0.0.1", 0, local));
    require(transport_.socket(0).open(local, 1 << 16, false) == 0);
  }

  void feed(uint8_t wish, std::string_view datagram) {
    const bool stalled = (wish & 0x80) != 0;
    Task fresh{};
    if (layer_.receive({datagram.data(), datagram.size(), sip::Hop{transport_.socket(0).local()}, stalled},
                       fresh)) {
      require(layer_.is_current(fresh));
      if ((wish & 0x7f) == 0x7f) {
        layer_.refuse(fresh);
      } else if ((wish & 0x40) == 0) {
        require(engine_.begin_run(fresh, kThread, core::now_ns()) == Status::kOk);
        route(fresh, wish);
      }
    }
    // What a worker finds, and what a receiver is told of.
    Task task{};
    if ((wish & 0x20) != 0 && engine_.group(0).take(&task, 1) == 1 &&
        engine_.begin_run(task, kThread, core::now_ns()) == Status::kOk) {
      route(task, wish >> 1);
    }
    while (engine_.take_inbox(kThread, &task, 1) == 1) {
    }
  }

  // The ticker is not started, so what waits for a timer goes on waiting; the rest must have come to its end.
  void end() {
    layer_.conclude_all(503, {});
    for (const Task task : running_) layer_.finish(task, Outcome::kEnded);
    require(layer_.in_script() == 0);
    require(engine_.counters.suspended.load() == 0);
    require(engine_.slots().live() == layer_.open_transactions());
    require(transport_.counters.send_failed.load() == 0);
    require(engine_.check_invariants());
  }

 private:
  void route(Task task, uint8_t wish) {
    const auto code = static_cast<uint16_t>(100 + wish % 7 * 99);
    require(layer_.with_request(task, true, [](const sip::StoredMessage& request) {
      sip::MessageIndex index;
      require(sip::index_message(request.data(), request.size, {}, index) == sip::IndexStatus::kOk);
    }));
    switch (wish & 7) {
      case 0:
        layer_.reply(task, code, {}, {}, true);
        break;
      case 1:
        layer_.reply(task, code, "A reason", "X-Line: 1\r\n", false);
        break;
      case 2:
        if (layer_.suspend_now(task, 1, 0) == Status::kOk) return;
        break;
      case 3:
        if (layer_.suspend_until(task, 1000, 1, 1, 0, kThread) == Status::kOk) return;
        break;
      case 4:
        layer_.new_transaction(task);
        break;
      case 5:
        layer_.finish(task, Outcome::kDropped);
        return;
      case 6:
        running_.push_back(task);  // an asynchronous handler
        return;
      default:
        break;
    }
    layer_.finish(task, Outcome::kEnded);
    require(!layer_.with_request(task, true, [](const sip::StoredMessage&) {}));
  }

  core::Engine engine_;
  sip::UdpTransport transport_;
  sip::TransactionLayer layer_;
  std::vector<Task> running_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(bytes), size);
  Script script;
  while (!input.empty()) {
    const auto wish = static_cast<uint8_t>(input.front());
    input.remove_prefix(1);
    const size_t at = input.find(kSeparator);
    const std::string_view datagram = input.substr(0, at);
    // A copy of its own, so that a read behind its end is seen.
    const std::vector<char> own(datagram.begin(), datagram.end());
    script.feed(wish, {own.data(), own.size()});
    input.remove_prefix(at == std::string_view::npos ? input.size() : at + kSeparator.size());
  }
  script.end();
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
