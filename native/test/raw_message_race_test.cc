// Messages handed over to a group by two receivers, taken by two workers, refused from outside, and read meanwhile: whatever
// happens, each ends once and nothing is left.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "test/support/seed.h"
#include "test/support/sip_bed.h"

using namespace sip_async;
using core::now_ns;
using core::Run;
using core::Status;
using sip::Outcome;
using sip::Task;
using test::Random;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

TEST_CASE("receivers, workers and an end from outside: every message ends once") {
  SipBedConfig config;
  config.transactions.has_pre_routing = true;
  config.transactions.wait_ms = 20;
  SipBed bed(config);
  constexpr uint32_t kReceivers = 2;
  std::atomic<uint32_t> receiving{kReceivers};
  std::atomic<uint64_t> processed{0};
  const auto is_over = [&] { return receiving.load() == 0 && bed.layer.open_raw() == 0; };

  std::vector<std::function<void()>> bodies;
  for (uint32_t receiver = 0; receiver < kReceivers; ++receiver) {
    bodies.push_back([&, receiver] {
      Random random(300 + receiver);
      for (uint64_t i = 0; i < test::rounds(20'000); ++i) {
        SipRequest request = test::numbered(random.below(400), random.one_in(8) ? "CANCEL" : "INVITE");
        request.call_id = std::to_string(random.below(5));
        const std::string text = request.text();
        Task raw{}, fresh{};
        if (!bed.layer.receive({text.data(), text.size(), sip::Hop{bed.peer.address()}, false}, raw))
          continue;
        if (bed.engine.begin_run(raw, SipBed::kReceiver, now_ns()) != Status::kOk) continue;
        const uint16_t group = random.one_in(3) ? SipBed::kTightGroup : SipBed::kGroup;
        if (bed.layer.hand_over(raw, group, random.one_in(2) ? "x" : "") == Status::kOk) {
          std::string copy;
          (void)bed.layer.with_request(raw, false, [&](const sip::StoredMessage& message) {
            copy.assign(message.data(), message.size);
          });
          continue;
        }
        if (bed.layer.finish_raw(raw, Outcome::kEnded, fresh)) bed.layer.refuse(fresh);
      }
      receiving.fetch_sub(1);
    });
  }
  for (uint32_t worker = 0; worker < 3; ++worker) {
    bodies.push_back([&, worker] {
      const uint16_t group = worker == 2 ? SipBed::kTightGroup : SipBed::kGroup;
      while (!is_over()) {
        Task raw{}, fresh{};
        if (bed.engine.group(group).take(&raw, 1) == 0) {
          std::this_thread::yield();
          continue;
        }
        if (bed.engine.begin_run(raw, bed.worker(worker), now_ns()) != Status::kOk) continue;
        if (bed.layer.begin_handed_over(raw, fresh) &&
            bed.engine.begin_run(fresh, bed.worker(worker), now_ns()) == Status::kOk) {
          (void)bed.layer.reply(fresh, 404, {}, {}, true);
          bed.layer.finish(fresh, Outcome::kEnded);
        }
        (void)bed.layer.xdata(raw);
        bed.layer.leave_lane(raw);
        processed.fetch_add(1);
      }
    });
  }
  bodies.push_back([&] {
    Random random(400);
    while (!is_over()) {
      const uint32_t index = random.below32(bed.engine.slots().size());
      const core::Word word = bed.engine.slots().word(index);
      const Task task{index, word.generation()};
      if (word.has(core::Word::kLive) && word.run() == Run::kDue && bed.layer.is_raw(task))
        bed.layer.refuse(task);
      test::sleep_us(50);
    }
  });
  std::atomic<bool> done{false};
  std::thread ear([&] {
    while (!done.load()) (void)bed.peer.receive(1);
  });
  test::run_together(bodies);
  done.store(true);
  ear.join();
  CHECK(processed.load() > 0);
  CHECK(test::eventually([&] { return bed.engine.slots().live() == 0; }));
  bed.engine.stop();
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.layer.open_transactions() == 0);
  CHECK(bed.engine.payloads().blocks_in_use() == 0);
  CHECK(bed.engine.group(SipBed::kGroup).queued() == 0);
  CHECK(bed.layer.lanes_hold());
  CHECK(bed.engine.check_invariants());
}
