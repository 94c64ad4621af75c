// The stand-in: it reads when the loop has not come round for the grace, stays out when it has, and sleeps when nothing
// comes. The test is the receiver's loop.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "sip/sip_engine.h"
#include "sip/stand_in.h"
#include "test/support/sip_peer.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

using namespace sip_async;
using core::kNsPerMs;
using core::now_ns;
using core::Status;
using sip::Outcome;
using sip::Task;
using test::eventually;
using test::numbered;

namespace {

struct Bed {
  Bed()
      : engine({.transactions = {.max_transactions = 512, .t1_ms = 20, .t2_ms = 40, .wait_ms = 50},
                .receivers = 1,
                .addresses = 1,
                .groups = {{.name = "default", .workers = 1}}}) {
    REQUIRE(engine.listen(0, test::loopback(), 1 << 22, false) == 0);
    engine.start();
  }
  ~Bed() { engine.stop(); }

  void send(const std::string& text) { peer.send(text, engine.transport().socket(0).local()); }
  uint64_t stood_in() { return engine.transport().counters.stood_in.load(); }
  bool has_unread() { return test::readable_within(engine.transport().socket(0), 0); }

  // The loop comes round. The times are taken so that the longest gap is never told too short.
  void note_round() {
    const uint64_t before_ns = now_ns();
    engine.note_round(0);
    longest_gap_ns = std::max(longest_gap_ns, now_ns() - last_round_ns);
    last_round_ns = before_ns;
  }
  // What a loop does when it is told that the socket is readable.
  std::vector<Task> read_as_loop() {
    std::vector<Task> out;
    note_round();
    while (engine.read(0, [&](Task fresh) { out.push_back(fresh); })) {
    }
    return out;
  }
  std::vector<Task> take(size_t count) {
    std::vector<Task> out;
    CHECK(eventually([&] {
      Task tasks[64];
      const uint32_t got = engine.engine().take_inbox(0, tasks, 64);
      out.insert(out.end(), tasks, tasks + got);
      return out.size() >= count;
    }));
    CHECK(out.size() == count);
    return out;
  }
  void drop(const std::vector<Task>& tasks) {
    for (const Task task : tasks) {
      REQUIRE(engine.engine().begin_run(task, 0, now_ns()) == Status::kOk);
      engine.transactions().finish(task, Outcome::kDropped);
    }
  }
  // True when the machine kept this thread from running for the whole grace. Then it was right to stand in, and the case
  // has nothing to show.
  bool was_held_up() {
    if (stood_in() == 0) return false;
    CHECK(longest_gap_ns >= sip::StandIn::kGraceMs * kNsPerMs);
    MESSAGE("this thread was held up");
    drop(take(stood_in()));
    check_all_zero();
    return true;
  }
  void check_all_zero() {
    CHECK(eventually([&] { return engine.engine().slots().live() == 0; }));
    engine.stop();
    CHECK(engine.transactions().in_script() == 0);
    CHECK(engine.transactions().open_transactions() == 0);
    CHECK(engine.engine().payloads().blocks_in_use() == 0);
    CHECK(engine.engine().check_invariants());
  }

  sip::SipEngine engine;
  test::Peer peer;
  uint64_t last_round_ns = now_ns();
  uint64_t longest_gap_ns = 0;
};

// How often the engine's own threads went to sleep so far.
uint64_t sleeps_of_engine_threads(uint32_t& threads) {
  uint64_t sleeps = 0;
  threads = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(entry.path() / "status");
    std::string line;
    bool ours = false;
    while (std::getline(status, line)) {
      if (line.rfind("Name:\tsip-async-", 0) == 0) ours = true;
      if (ours && line.rfind("voluntary_ctxt_switches:", 0) == 0) sleeps += std::stoull(line.substr(24));
    }
    threads += ours;
  }
  return sleeps;
}

}  // namespace

TEST_CASE("the loop hangs: after the grace the datagrams are read for it, and INVITE gets 100") {
  Bed bed;
  const uint64_t sent_ns = now_ns();
  bed.send(numbered(1).text());
  bed.send(numbered(2, "OPTIONS").text());
  const std::string trying = bed.peer.expect(100);
  CHECK(now_ns() - sent_ns >= sip::StandIn::kGraceMs * kNsPerMs);
  CHECK(test::header_of(trying, "Call-ID") == "1@example.com");
  const std::vector<Task> tasks = bed.take(2);
  CHECK(bed.stood_in() == 2);

  // Retransmissions and CANCEL are served while it still hangs.
  bed.send(numbered(1).text());
  bed.peer.expect(100);
  bed.send(numbered(1, "CANCEL").text());
  CHECK(test::header_of(bed.peer.expect(200), "CSeq") == "1 CANCEL");
  const std::string terminated = bed.peer.expect(487);
  bed.send(numbered(1).ack(test::to_tag_of(terminated)).text());
  REQUIRE(eventually([&] { return bed.engine.transport().counters.acks_absorbed.load() == 1; }));
  CHECK(bed.stood_in() == 5);
  CHECK(bed.engine.engine().begin_run(tasks[0], 0, now_ns()) == Status::kCancelled);
  bed.drop({tasks[1]});
  // The suspension behind a stall sends no second 100.
  bed.send(numbered(3).text());
  bed.peer.expect(100);
  const Task third = bed.take(1)[0];
  REQUIRE(bed.engine.engine().begin_run(third, 0, now_ns()) == Status::kOk);
  REQUIRE(bed.engine.transactions().suspend_until(third, 1, 1, 1, core::Engine::kOwnThread, 0) ==
          Status::kOk);
  const Task back = bed.take(1)[0];
  CHECK(back.bits() == third.bits());
  bed.peer.expect_silence();
  bed.drop({back});
  bed.check_all_zero();
}

TEST_CASE("a burst is read while the loop hangs, and the receiver is woken for it") {
  Bed bed;
  test::CountingWakeable receiver;
  bed.engine.engine().attach(0, &receiver);
  for (uint64_t i = 0; i < 200; ++i) bed.send(numbered(i, "OPTIONS").text());
  const std::vector<Task> tasks = bed.take(200);
  CHECK(bed.stood_in() == 200);
  CHECK(receiver.wakes() >= 1);
  bed.drop(tasks);
  bed.engine.engine().detach(0, &receiver);
  bed.check_all_zero();
}

TEST_CASE("the loop comes round: the socket is left to it") {
  Bed bed;
  for (int round = 0; round < 3; ++round) {
    bed.note_round();
    bed.send(numbered(static_cast<uint64_t>(round), "OPTIONS").text());
    // Alive, but too busy to get to the socket.
    for (int i = 0; i < 60; ++i) {
      bed.note_round();
      test::sleep_us(1000);
    }
    if (bed.was_held_up()) return;
    CHECK(bed.has_unread());
    const std::vector<Task> tasks = bed.read_as_loop();
    CHECK(tasks.size() == 1);
    bed.drop(tasks);
  }
  // And when it hangs after all, the stand-in is there.
  bed.send(numbered(9, "OPTIONS").text());
  bed.drop(bed.take(1));
  CHECK(bed.stood_in() == 1);
  bed.check_all_zero();
}

TEST_CASE("a loop and the stand-in at once: every message comes once") {
  Bed bed;
  std::atomic<uint64_t> sent{0}, by_loop{0};
  std::atomic<bool> over{false};
  const uint64_t end_ns = now_ns() + test::kGuardNs;
  std::thread sender([&] {
    // Until both have had something to read.
    while ((sent.load() < 300 || by_loop.load() == 0 || bed.stood_in() == 0) && now_ns() < end_ns) {
      bed.send(numbered(sent.load(), "OPTIONS").text());
      if (sent.fetch_add(1) % 4 == 3) test::sleep_us(1000);
    }
    over.store(true);
  });
  uint64_t seen = 0;
  // A loop that stalls for longer than the grace now and then.
  for (uint32_t turn = 0; !(over.load() && seen >= sent.load()) && now_ns() < end_ns; ++turn) {
    const std::vector<Task> read = bed.read_as_loop();
    by_loop.fetch_add(read.size());
    bed.drop(read);
    Task tasks[64];
    const uint32_t got = bed.engine.engine().take_inbox(0, tasks, 64);
    bed.drop({tasks, tasks + got});
    seen += read.size() + got;
    test::sleep_us(turn % 6 == 0 ? 30'000 : 1000);
  }
  sender.join();
  CHECK(seen == sent.load());
  CHECK(by_loop.load() > 0);
  CHECK(bed.stood_in() > 0);
  CHECK(by_loop.load() + bed.stood_in() == seen);
  CHECK(bed.engine.transport().counters.retransmissions_absorbed.load() == 0);
  bed.check_all_zero();
}

TEST_CASE("a loop that cannot poll is woken for each datagram") {
  Bed bed;
  test::CountingWakeable loop;
  bed.engine.stand_in().wake_for(0, &loop);
  bed.engine.stand_in().rearm(0);
  for (uint32_t i = 1; i <= 20; ++i) {
    bed.last_round_ns = now_ns();
    bed.send(numbered(i, "OPTIONS").text());
    REQUIRE(eventually([&] { return loop.wakes() >= i || bed.stood_in() != 0; }));
    // One wake-up for one datagram: a second would come from a socket that was looked at before it was read.
    CHECK(loop.wakes() == i);
    bed.drop(bed.read_as_loop());
    if (bed.was_held_up()) return;
    bed.engine.stand_in().rearm(0);
    // Now and then longer than the grace, so that the next one comes to a stand-in that sleeps again.
    if (i % 5 == 0) test::sleep_us(25'000);
  }
  test::sleep_us(30'000);
  CHECK(loop.wakes() == 20);
  // Woken and not coming, it is stood in for like any.
  bed.send(numbered(100).text());
  bed.peer.expect(100);
  bed.drop(bed.take(1));
  CHECK(bed.stood_in() == 1);
  CHECK(loop.wakes() == 21);
  // Let go of, it is not woken any more.
  bed.engine.stand_in().wake_for(0, nullptr);
  bed.send(numbered(101, "OPTIONS").text());
  bed.drop(bed.take(1));
  CHECK(loop.wakes() == 21);
  bed.check_all_zero();
}

TEST_CASE("no traffic, no wake-ups") {
  Bed bed;
  uint32_t threads = 0;
  for (const bool after_traffic : {false, true}) {
    CAPTURE(after_traffic);
    if (after_traffic) {
      for (uint64_t i = 0; i < 20; ++i) bed.send(numbered(i, "OPTIONS").text());
      bed.drop(bed.take(20));
      REQUIRE(eventually([&] { return bed.engine.engine().slots().live() == 0; }));
    }
    test::sleep_us(100'000);
    const uint64_t before = sleeps_of_engine_threads(threads);
    CHECK(threads == 2);
    test::sleep_us(300'000);
    CHECK(sleeps_of_engine_threads(threads) == before);
    CHECK(threads == 2);
  }
  bed.check_all_zero();
}

TEST_CASE("it stops while it stands in, and again, and without having been started") {
  {
    Bed bed;
    for (uint64_t i = 0; i < 50; ++i) bed.send(numbered(i, "OPTIONS").text());
    REQUIRE(eventually([&] { return bed.stood_in() > 0; }));
    bed.engine.stop();
    bed.engine.stop();
  }
  sip::SipEngine never(
      {.transactions = {.max_transactions = 1}, .receivers = 2, .addresses = 1, .groups = {}});
  never.stand_in().rearm(0);
  never.stop();
}
