// libFuzzer entry for the transaction layer: the input is a row of datagrams, and a byte before each says what the route
// does with it: it replies, suspends, sends on to several, looks names up, or leaves it. A datagram that is a reply comes back
// to a branch that was sent: the branch parameter in it is replaced by one of ours. Whatever comes, every call ends and
// nothing is left of it. What is sent goes to the layer's own socket, or to where a Route or a Via says; that may fail, and
// being bound to the loopback it never leaves this machine. Built with SIP_ASYNC_FUZZ_STANDALONE it replays the files and
// folders that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <string>
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
        transport_(engine_, 1),
        layer_(engine_, transport_, {.max_transactions = kSlots / 2, .max_message_bytes = 65507}) {
    sip::Address local;
    require(sip::Address::parse("127.0.0.1", 0, local));
    require(transport_.socket(0).open(local, 1 << 16, false) == 0);
    layer_.listeners().add(0, sip::Transport::kUdp, transport_.socket(0).local());
    uri_ = "sip:callee@127.0.0.1:" + std::to_string(transport_.socket(0).local().port);
  }

  void feed(uint8_t wish, std::string_view datagram) {
    const bool stalled = (wish & 0x80) != 0;
    read_sent();
    const std::string own = as_reply(wish, datagram);
    if (!own.empty()) datagram = own;
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
      if (engine_.begin_run(task, kThread, core::now_ns()) != Status::kOk) continue;
      if (!layer_.runs_without_script(task)) route(task, wish >> 2);
    }
    if (!open_.empty() && (wish & 0x18) == 0x18) {
      layer_.continue_with(open_.back(), 1, (wish & 1) != 0 ? core::Engine::kOwnThread : 0);
      open_.pop_back();
    }
    if (!unresolved_.empty() && (wish & 0x14) == 0x14) {
      const sip::Hop hops[] = {sip::Hop{transport_.socket(0).local()},
                               sip::Hop{transport_.socket(0).local()}};
      if ((wish & 1) != 0) layer_.fail_branch(unresolved_.back(), 478);
      layer_.send_to(unresolved_.back(), hops, wish % 3);
      unresolved_.pop_back();
    }
    if ((wish & 0x3f) == 0x3e) layer_.undelivered(last_sent_.data(), last_sent_.size());
  }

  // The ticker is not started, so what waits for a timer goes on waiting; the rest must have come to its end.
  void end() {
    layer_.conclude_all(503, {});
    for (const Task task : running_) layer_.finish(task, Outcome::kEnded);
    require(layer_.in_script() == 0);
    // Branches wait for their timers, and so may a script of one that is suspended; a route that waits in a queue has no
    // reply left to give.
    const uint32_t branches = layer_.open_branches();
    require(engine_.counters.suspended.load() >= 0 && engine_.counters.suspended.load() <= branches);
    require(engine_.slots().live() == layer_.open_transactions() + branches);
    require(engine_.check_invariants());
  }

 private:
  // The datagram with one of our branch parameters in its topmost Via, if it is a reply and something was sent.
  std::string as_reply(uint8_t wish, std::string_view datagram) {
    sip::MessageIndex index;
    if (branches_.empty() ||
        sip::index_message(datagram.data(), datagram.size(), {}, index) != sip::IndexStatus::kOk ||
        index.is_request || index.via.branch.empty()) {
      return {};
    }
    std::string out(datagram);
    out.replace(index.via.branch.offset, index.via.branch.length, branches_[wish % branches_.size()]);
    return out;
  }
  // What was sent lies in the socket, for the branch parameters in it.
  void read_sent() {
    static sip::ReceiveBatch batch;
    const uint32_t count = transport_.socket(0).receive(batch);
    for (uint32_t i = 0; i < count; ++i) {
      sip::MessageIndex index;
      const auto status = sip::index_message(batch.data(i), batch.size(i), {}, index);
      if (status != sip::IndexStatus::kOk || !index.is_request || index.method == sip::Method::kCancel)
        continue;
      branches_.emplace_back(index.via.branch.of(batch.data(i)));
      last_sent_.assign(batch.data(i), batch.size(i));
    }
  }
  void relay(Task task, uint8_t wish) {
    sip::RelayRequest request;
    request.ruri =
        (wish & 0x30) == 0x30 ? std::string_view("sip:callee@example.com") : std::string_view(uri_);
    if ((wish & 8) != 0) request.on_failure = 1;
    if ((wish & 16) != 0) request.on_reply = 2;
    request.records_route = (wish & 4) != 0;
    Task branch{};
    Status status = Status::kOk;
    if ((wish & 0x28) == 0x28) {
      status = layer_.open_branch(task, request, kThread, branch);
      if (status == Status::kOk && (wish & 2) != 0) {
        layer_.finish(branch, (wish & 1) != 0 ? Outcome::kDropped : Outcome::kThrew);
        return;
      }
      if (status == Status::kOk) status = layer_.relay_branch(branch, request);
    } else {
      status = layer_.relay(task, request, branch);
    }
    if (status == Status::kUnresolved) unresolved_.push_back(branch);
  }
  void route(Task task, uint8_t wish) {
    const auto code = static_cast<uint16_t>(100 + wish % 7 * 99);
    if (engine_.slots().at(task.index).kind.load() == core::SlotKind::kBranch) {
      end_branch_route(task, wish);
      return;
    }
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
        sends_on(task, wish);
        if ((wish & 0x20) == 0) break;
        uint32_t suspension = 0;
        if (layer_.suspend_open(task, 1000, (wish & 8) != 0 ? uint16_t{3} : sip::kNoRoute, suspension) !=
            Status::kOk)
          break;
        if ((wish & 0x10) != 0 && layer_.undo_suspension(task, suspension, kThread) == Status::kOk) break;
        open_.push_back(task);
        return;
    }
    layer_.finish(task, Outcome::kEnded);
    require(!layer_.is_current(task) || engine_.slots().word(task.index).run() != core::Run::kRunning);
  }
  void sends_on(Task task, uint8_t wish) {
    relay(task, wish);
    if ((wish & 8) != 0) relay(task, static_cast<uint8_t>(wish * 5 + 1));
    sip::RelayRequest request;
    request.ruri = uri_;
    if ((wish & 16) != 0) layer_.forward(task, request);
  }
  // Of a branch or a reply route that has come by way of a queue.
  void end_branch_route(Task branch, uint8_t wish) {
    if ((wish & 3) == 3 && layer_.suspend_now(branch, 1, 0) == Status::kOk) return;
    sip::MessageEdits edits;
    edits.appended_lines = "X-Seen: 1\r\n";
    if ((wish & 4) != 0) layer_.finish_reply(branch, edits);
    if (layer_.is_current(branch))
      layer_.finish(branch, (wish & 1) != 0 ? Outcome::kDropped : Outcome::kEnded);
  }

  core::Engine engine_;
  sip::Transports transport_;
  sip::TransactionLayer layer_;
  std::vector<Task> running_, open_, unresolved_;
  std::vector<std::string> branches_;  // of requests that were sent
  std::string last_sent_;
  std::string uri_;
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
