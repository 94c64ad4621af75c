// One core path, so many times, for scripts/instructions.mjs to count the instructions of: one thread, no ticker, time as the
// program says. A step that goes another way than it should ends the program with 1.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "bench/contend.h"
#include "bench/samples.h"
#include "core/slot_table.h"
#include "core/task_queue.h"
#include "core/timer_wheel.h"
#include "sip/header_index.h"
#include "sip/transaction_layer.h"
#include "test/support/sip_request.h"

namespace {

using namespace sip_async;
using bench::fail;
using core::Status;

void expect(bool holds, const char* what) {
  if (!holds) fail(what);
}

// Timers are scheduled over 30 seconds; every second one is cancelled and swept out, the others expire.
void count_wheel(uint64_t operations) {
  constexpr uint32_t kTimers = 1000;
  core::Region region(core::TimerWheel::region_bytes(kTimers));
  core::TimerWheel wheel(region, kTimers);
  uint64_t now = 0;
  uint64_t ended = 0;
  for (; ended < operations;) {
    for (uint32_t timer = 0; timer < kTimers; ++timer) wheel.insert({timer}, now + 1 + timer * 7919 % 30'000);
    ended += wheel.advance(now, [](core::TimerEntry) {});
    wheel.sweep([](core::TimerEntry entry) { return entry.slot() % 2 == 0; },
                [&](core::TimerEntry) { ++ended; }, [](core::TimerEntry) {});
    while (wheel.next_event() != core::TimerWheel::kNever) {
      now = wheel.next_event();
      ended += wheel.advance(now, [](core::TimerEntry) {});
    }
  }
  expect(ended == operations && wheel.placed() == 0, "not every timer ended once");
}

void count_queue(uint64_t operations) {
  constexpr uint32_t kAtOnce = 32;
  core::Region region(core::TaskQueue::region_bytes(1024));
  core::TaskQueue queue(region, 1024);
  uint64_t values[kAtOnce];
  for (uint64_t done = 0; done < operations; done += kAtOnce) {
    for (uint32_t i = 0; i < kAtOnce; ++i) expect(queue.try_push(done + i), "the queue is full");
    expect(queue.try_pop_many(values, kAtOnce) == kAtOnce && values[0] == done,
           "not what was pushed came out");
  }
}

void count_slots(uint64_t operations) {
  core::Region region(core::SlotTable::region_bytes(64));
  core::SlotTable table(region, 64);
  for (uint64_t done = 0; done < operations; ++done) {
    const uint32_t index = table.try_acquire();
    const uint32_t generation = table.word(index).generation();
    uint32_t suspension = 0;
    core::Word before(0);
    bool held = table.begin_run(index, generation) == Status::kOk;
    held &= table.suspend(index, generation, core::Run::kSuspended, suspension) == Status::kOk;
    held &= table.make_due(index, generation, suspension) == Status::kOk;
    held &= table.begin_run(index, generation) == Status::kOk;
    held &= table.answer(index, generation) == Status::kOk;
    held &= table.end_run(index, generation, before) == Status::kOk;
    expect(held, "a step of a slot was refused");
    table.release(index);
  }
}

void count_index(const std::string& message, uint64_t operations) {
  const sip::IndexLimits limits;
  sip::MessageIndex index;
  for (uint64_t done = 0; done < operations; ++done) {
    expect(sip::index_message(message.data(), message.size(), limits, index) == sip::IndexStatus::kOk,
           "refused");
  }
}

// Received, suspended, resumed, answered and ended, a hundred calls at a time.
void count_calls(const std::string& method, uint64_t operations) {
  constexpr uint32_t kAtOnce = 100;
  constexpr uint64_t kDelayMs = 100;
  constexpr uint64_t kResumedNs = 200 * core::kNsPerMs;
  constexpr uint64_t kEndedNs = 60'000 * core::kNsPerMs;
  core::Engine engine({.slots = 256,
                       .payload_bytes = 1 << 20,
                       .receivers = 1,
                       .groups = {{.name = "default", .workers = 1}}});
  sip::Transports transport(engine, 1);
  sip::Address local;
  const bool has_address = sip::Address::parse("127.0.0.1", 0, local);
  expect(has_address && transport.socket(0).open(local, 1 << 16, false) == 0, "no socket");
  sip::TransactionLayer layer(engine, transport, {.max_transactions = 128});
  layer.listeners().add(0, sip::Transport::kUdp, transport.socket(0).local());
  engine.start_without_ticker(&layer);
  const sip::Hop from{transport.socket(0).local()};
  const auto receive = [&](const std::string& text, sip::Task& fresh) {
    return layer.receive({text.data(), text.size(), from, false}, fresh);
  };

  std::vector<std::pair<std::string, std::string>> messages;  // with the ACK of each
  for (uint64_t done = 0; done < operations; done += kAtOnce) {
    // Written before, so that as little as can be of this program is counted; a branch may come again when its call ended.
    if (messages.empty()) {
      for (uint32_t i = 0; i < kAtOnce; ++i) {
        const test::SipRequest request = test::numbered(1000 + i, method);
        messages.emplace_back(request.text(), request.ack("1").text());
      }
    }
    for (const auto& [text, ack] : messages) {
      sip::Task task{};
      expect(receive(text, task), "not a new message");
      expect(engine.begin_run(task, 0, core::now_ns()) == Status::kOk, "does not run");
      expect(layer.suspend_until(task, kDelayMs, 1, 1, 0, 0) == Status::kOk, "not suspended");
    }
    engine.tick(core::now_ns() + kResumedNs);
    uint32_t resumed = 0;
    for (sip::Task task{}; engine.group(0).take(&task, 1) == 1; ++resumed) {
      expect(engine.begin_run(task, engine.worker_thread(0, 0), core::now_ns()) == Status::kOk,
             "does not go on");
      expect(layer.reply(task, 404, {}, {}, false) == Status::kOk, "not answered");
      layer.finish(task, sip::Outcome::kEnded);
    }
    expect(resumed == kAtOnce, "not every call was resumed");
    if (method == "INVITE") {
      sip::Task none{};
      for (const auto& [text, ack] : messages)
        expect(!receive(ack, none), "the ACK is taken for something new");
    }
    // Timers may set others.
    for (int round = 0; round < 4 && layer.open_transactions() > 0; ++round)
      engine.tick(core::now_ns() + kEndedNs);
    expect(layer.open_transactions() == 0 && engine.slots().live() == 0, "a transaction did not end");
  }
}

}  // namespace

int main(int argc, char** argv) {
  using Run = void (*)(uint64_t);
  const std::vector<bench::Contender<Run>> paths = {
      {"wheel", count_wheel},
      {"queue", count_queue},
      {"slot", count_slots},
      {"index-options", [](uint64_t operations) { count_index(bench::kOptions, operations); }},
      {"index-invite", [](uint64_t operations) { count_index(bench::kInvite, operations); }},
      {"call-options", [](uint64_t operations) { count_calls("OPTIONS", operations); }},
      {"call-invite", [](uint64_t operations) { count_calls("INVITE", operations); }},
  };
  const char* usage = "PATH OPERATIONS";
  const auto& path = bench::choose(paths, argc, argv, usage);
  if (argc != 3) fail(usage);
  // Every path does this many at once, or a divisor of it.
  constexpr uint64_t kStep = 4000;
  const uint64_t operations = bench::number_of(argv[2]);
  if (operations == 0 || operations % kStep != 0) fail("OPERATIONS must be a multiple of 4000");
  path.run(operations);
}
