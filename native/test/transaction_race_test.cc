// Transactions with threads against each other: traffic, workers, CANCEL, ends from outside and readers at once.
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "test/support/seed.h"
#include "test/support/sip_bed.h"

using namespace sip_async;
using core::kNone;
using core::now_ns;
using core::Status;
using core::Word;
using sip::Outcome;
using sip::Task;
using test::numbered;
using test::Random;
using test::rounds;
using test::run_together;
using test::SipBed;
using test::SipBedConfig;
using test::SipRequest;

namespace {

bool receive(SipBed& bed, const std::string& text, Task& fresh, bool loop_stalled = false) {
  return bed.layer.receive({text.data(), text.size(), sip::Hop{bed.peer.address()}, loop_stalled}, fresh);
}

// Brings two threads to the same point; spins, so that they leave it within some nanoseconds of each other.
class Meeting {
 public:
  void meet() {
    const uint64_t mine = arrived_.fetch_add(1) + 1;
    const uint64_t both = (mine + 1) / 2 * 2;
    for (uint32_t spins = 0; arrived_.load() < both; ++spins) {
      if (spins > 1000) sched_yield();
    }
  }

 private:
  std::atomic<uint64_t> arrived_{0};
};

// Slot tags begin with the slot's number, which is small; tags of stateless replies are random there.
bool is_slot_tag(const std::string& tag) {
  return tag.compare(0, 4, "0000") == 0;
}

// Passes a moment, to have one side of a race arrive a little earlier or later each time.
void dawdle(uint64_t turns) {
  for (; turns > 0; --turns) core::cpu_relax();
}

// Traffic, two workers, one that ends calls from outside, and the peer's ear; see the case.
struct Storm {
  Storm(const SipBedConfig& config, bool counted) : bed(config), is_counted(counted) {}

  void run(uint64_t messages) {
    run_together({[&] { send_traffic(messages); }, [&] { work(0); }, [&] { work(1); }, [&] { end_some(); },
                  [&] { listen(); }});
  }

  void send_traffic(uint64_t messages) {
    Random random(1);
    uint64_t newest = 0;
    for (uint64_t i = 0; i < messages; ++i) {
      const uint64_t number = random.one_in(3) ? ++newest : newest - std::min(newest, random.below(20));
      SipRequest request = numbered(number, number % 3 == 0 ? "OPTIONS" : "INVITE");
      request.body = std::string(number % 7 * 100, 'b');
      std::string text = request.text();
      switch (random.below(8)) {
        case 0:
          text = request.as("CANCEL").text();
          break;
        case 1:
          text = acknowledge(request, random);
          break;
        case 2:
          if (random.one_in(2)) text = garbled(text, random);
          break;
        default:
          break;
      }
      Task fresh{};
      if (receive(bed, text, fresh, random.one_in(8))) {
        fresh_count.fetch_add(1);
        recent[random.below(kRecent)].store(fresh.bits());
        if (random.one_in(50) || !bed.engine.post(bed.worker(random.below32(2)), fresh))
          bed.layer.refuse(fresh);
      }
      if (random.one_in(16)) test::sleep_us(random.below(300));
    }
    traffic_over.store(true);
  }

  // With the tag of a reply that was heard, so that it ends the repeating; without one, when silence is counted, it
  // would be a message for the script, which ends without any decision.
  std::string acknowledge(const SipRequest& request, Random& random) {
    std::string tag;
    {
      const std::lock_guard lock(mutex);
      const auto heard = tags.find(request.call_id);
      if (heard != tags.end()) tag = heard->second;
    }
    if (tag.empty() && is_counted) return request.text();
    // The tag of a stateless reply is good in the INVITE's transaction only.
    const bool own = is_slot_tag(tag) && random.one_in(2);
    return (own ? request.ack_in_own_transaction(tag) : request.ack(tag)).text();
  }

  std::string garbled(std::string text, Random& random) {
    for (uint64_t i = random.below(4); i > 0; --i)
      text[random.below(text.size())] = static_cast<char>(random.bits());
    if (random.one_in(4)) text.resize(random.below(text.size()));
    // A garbled method can be an ACK only by a miracle; the others are requests like any.
    return text;
  }

  void work(uint32_t number) {
    Random random(10 + number);
    const uint32_t thread = bed.worker(number);
    std::deque<Task> pending;
    const uint64_t end_ns = now_ns() + test::kGuardNs;
    while (!(traffic_over.load() && bed.layer.in_script() == 0) && now_ns() < end_ns) {
      Task tasks[16];
      uint32_t count = bed.engine.take_inbox(thread, tasks, 8);
      count += bed.engine.group(SipBed::kGroup).take(tasks + count, 8);
      for (uint32_t i = 0; i < count; ++i) {
        if (bed.engine.begin_run(tasks[i], thread, now_ns()) != Status::kOk) continue;
        if (random.one_in(6)) {
          pending.push_back(tasks[i]);
        } else {
          act(tasks[i], thread, random);
        }
      }
      if (!pending.empty() && (count == 0 || random.one_in(3))) {
        act(pending.front(), thread, random);
        pending.pop_front();
      }
      if (count == 0) test::sleep_us(50);
    }
    in_time.fetch_add(now_ns() < end_ns);
  }

  void act(Task task, uint32_t thread, Random& random) {
    CHECK(bed.layer.with_request(task, true, [](const sip::StoredMessage& stored) {
      // A request that was freed under the route's hands would not index the same.
      sip::MessageIndex index;
      CHECK(sip::index_message(stored.data(), stored.size, {}, index) == sip::IndexStatus::kOk);
      CHECK(index.call_id.offset == stored.index.call_id.offset);
    }));
    if (random.one_in(5)) bed.layer.reply(task, random.one_in(2) ? 180 : 100, {}, {}, random.one_in(2));
    if (random.one_in(8)) bed.layer.new_transaction(task);
    switch (random.below(is_counted ? 5 : 6)) {
      case 0:
        if (suspend(task, thread, random)) return;
        break;
      case 1:
        if (bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kOk) return;
        break;
      case 2:
      case 3: {
        const auto code = static_cast<uint16_t>(random.between(2, 6) * 100 + 4);
        decided.fetch_add(bed.layer.reply(task, code, {}, {}, random.one_in(3)) == Status::kOk);
        // At most one of two is taken.
        decided.fetch_add(bed.layer.reply(task, 499, {}, {}, false) == Status::kOk);
        break;
      }
      case 4:
        break;
      default:
        bed.layer.finish(task, Outcome::kDropped);
        return;
    }
    decided.fetch_add(bed.layer.finish(task, random.one_in(2) ? Outcome::kEnded : Outcome::kThrew));
  }

  bool suspend(Task task, uint32_t thread, Random& random) {
    const uint16_t group = random.one_in(3) ? core::Engine::kOwnThread : SipBed::kGroup;
    return bed.layer.suspend_until(task, random.below(6), random.one_in(3) ? 2 : 1, 1, group, thread) ==
           Status::kOk;
  }

  void end_some() {
    Random random(20);
    while (!(traffic_over.load() && bed.layer.in_script() == 0)) {
      const Task task = Task::of(recent[random.below(kRecent)].load());
      if (random.one_in(4)) {
        bed.layer.with_request(task, false, [](const sip::StoredMessage& stored) {
          CHECK(stored.index.call_id.of(stored.data()).size() < 100);
        });
      }
      if (random.one_in(10)) {
        // Those that it cancels are in the layer's own count.
        const uint64_t flags = random.one_in(2) ? Word::kCancelled : 0;
        const bool has_ended = bed.layer.conclude(task, 480, {}, flags) == Status::kOk;
        decided.fetch_add(has_ended && flags == 0);
      }
      if (random.one_in(400)) decided.fetch_add(bed.layer.conclude_all(503, {}));
      test::sleep_us(random.below(200));
    }
  }

  // A transaction's tag says one thing only, however often.
  void listen() {
    while (!(traffic_over.load() && bed.engine.slots().live() == 0)) {
      const std::string reply = bed.peer.receive(5);
      const int code = test::code_of(reply);
      const std::string tag = test::to_tag_of(reply);
      if (code < 200 || tag.empty() || test::header_of(reply, "CSeq") != "1 INVITE") continue;
      const std::lock_guard lock(mutex);
      // Of a garbled request nothing is taken: its branch, or its method, may be others.
      const std::string call_id = test::header_of(reply, "Call-ID");
      const std::string via =
          "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-" + call_id.substr(0, call_id.find('@'));
      if (code == 400 || code == 505 || test::header_of(reply, "Via").rfind(via + ";rport=", 0) != 0)
        continue;
      tags[call_id] = tag;
      if (!is_slot_tag(tag)) continue;
      const auto known = codes.emplace(tag, code).first;
      if (known->second != code) mixed_codes.fetch_add(1);
    }
  }

  static constexpr uint32_t kRecent = 64;
  SipBed bed;
  const bool is_counted;
  std::atomic<bool> traffic_over{false};
  std::atomic<uint64_t> recent[kRecent] = {};
  std::atomic<uint64_t> fresh_count{0}, decided{0}, mixed_codes{0};
  std::atomic<uint32_t> in_time{0};
  std::mutex mutex;
  std::map<std::string, std::string> tags;  // by Call-ID
  std::map<std::string, int> codes;         // by tag
};

void weather(const SipBedConfig& config, bool counted) {
  Storm storm(config, counted);
  storm.run(test::kSanitized ? 6000 : 20'000);
  CHECK(storm.in_time.load() == 2);
  CHECK(storm.fresh_count.load() > 100);
  CHECK(storm.codes.size() > 20);
  CHECK(storm.mixed_codes.load() == 0);
  // refuse() decides, too, and CANCEL; what a refused message was answered before it became fresh is not in either.
  const uint64_t completed = storm.bed.layer.counters.completed.load();
  const uint64_t cancelled = storm.bed.layer.counters.cancelled.load();
  // Where there is hardly room for a transaction, there may be none to cancel.
  if (config.slots > 1000) WARN(cancelled > 0);
  CHECK(storm.decided.load() + cancelled <= completed);
  if (counted) {
    CHECK(completed == storm.fresh_count.load());
  } else {
    CHECK(completed < storm.fresh_count.load());
  }
  storm.bed.check_all_zero();
}

SipBedConfig stormy() {
  SipBedConfig out;
  out.slots = 8192;
  out.payload_bytes = 32 << 20;
  out.transactions = {.max_transactions = 6000, .t1_ms = 2, .t2_ms = 8, .wait_ms = 10};
  return out;
}

}  // namespace

TEST_CASE("a storm: every call has exactly one final decision, and all drains to nothing") {
  SUBCASE("with room for all") {
    weather(stormy(), true);
  }
  SUBCASE("with drops and foreign ACKs") {
    weather(stormy(), false);
  }
  SUBCASE("with a full table, few slots and little memory") {
    SipBedConfig config = stormy();
    config.slots = 48;
    config.payload_bytes = 96 << 10;
    config.transactions.max_transactions = 32;
    weather(config, true);
  }
}

TEST_CASE("a final reply against CANCEL: one of the two") {
  SipBed bed;
  Meeting meeting;
  const uint64_t calls = rounds(10'000);
  Random random(31);
  Task task{};
  uint64_t replied = 0;
  run_together({[&] {
                  for (uint64_t i = 0; i < calls; ++i) {
                    while (!receive(bed, numbered(i).text(), task)) test::sleep_us(100);
                    bed.begin(task);
                    meeting.meet();
                    dawdle(random.below(
                        test::kSanitized ? 8000 : 800));  // CANCEL is read, and gets its own 200, first
                    // Stateless, so that slots are soon free again; who loses leaves a 487 to its timers.
                    const bool mine = bed.layer.reply(task, 200, {}, {}, true) == Status::kOk;
                    meeting.meet();
                    replied += mine;
                    CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
                    Task none{};
                    if (!mine) CHECK_FALSE(receive(bed, numbered(i).ack("x").text(), none));
                    while (bed.engine.take_inbox(SipBed::kReceiver, &none, 1) != 0) {
                    }
                  }
                },
                [&] {
                  for (uint64_t i = 0; i < calls; ++i) {
                    const std::string text = numbered(i).as("CANCEL").text();
                    Task none{};
                    meeting.meet();
                    CHECK_FALSE(receive(bed, text, none));
                    meeting.meet();
                  }
                }});
  // How the race goes is up to the machine; that either side can win is only worth a word.
  WARN(replied > 0);
  WARN(bed.layer.counters.cancelled.load() > 0);
  CHECK(replied + bed.layer.counters.cancelled.load() == calls);
  CHECK(bed.layer.counters.completed.load() == calls);
  bed.check_all_zero();
}

TEST_CASE("a message that is refused against its CANCEL") {
  SipBed bed;
  Meeting meeting;
  Random random(30);
  const uint64_t calls = rounds(40'000);
  Task task{};
  uint64_t concluded = 0;
  run_together({[&] {
                  for (uint64_t i = 0; i < calls; ++i) {
                    while (!receive(bed, numbered(i, "OPTIONS").text(), task)) test::sleep_us(100);
                    meeting.meet();
                    // The other side has a reply to build first.
                    dawdle(random.below(60));
                    bed.layer.refuse(task);
                    meeting.meet();
                  }
                },
                [&] {
                  for (uint64_t i = 0; i < calls; ++i) {
                    meeting.meet();
                    concluded += bed.layer.conclude(task, 487, {}, Word::kCancelled) == Status::kOk;
                    meeting.meet();
                  }
                }});
  WARN(concluded > 0);
  WARN(concluded < calls);
  CHECK(bed.layer.counters.completed.load() == calls);
  bed.check_all_zero();
}

TEST_CASE("conclude_all against messages that are just coming in") {
  SipBed bed(stormy());
  const uint64_t calls = rounds(30'000);
  std::atomic<bool> over{false};
  uint64_t fresh_count = 0, replied = 0, concluded = 0;
  run_together({[&] {
                  for (uint64_t i = 0; i < calls; ++i) {
                    Task task{};
                    if (!receive(bed, numbered(i, "OPTIONS").text(), task)) continue;
                    ++fresh_count;
                    if (bed.engine.begin_run(task, SipBed::kReceiver, now_ns()) != Status::kOk) continue;
                    replied += bed.layer.reply(task, 200, {}, {}, true) == Status::kOk;
                    CHECK_FALSE(bed.layer.finish(task, Outcome::kEnded));
                    while (bed.engine.take_inbox(SipBed::kReceiver, &task, 1) != 0) {
                    }
                  }
                  over.store(true);
                },
                [&] {
                  while (!over.load()) concluded += bed.layer.conclude_all(503, {});
                }});
  CHECK(fresh_count > 0);
  CHECK(replied + concluded == fresh_count);
  bed.check_all_zero();
}

TEST_CASE("a reader that is not the owner sees the whole request of that very call, or none") {
  SipBedConfig config;
  config.slots = 1;
  SipBed bed(config);
  // One slot, so the generation tells which call a handle means.
  constexpr uint32_t kLives = 1 << 16;
  std::vector<std::atomic<uint64_t>> number_of(kLives);
  std::atomic<uint32_t> life{0};
  std::atomic<bool> over{false};
  std::atomic<uint64_t> read_count{0};
  const uint64_t calls = rounds(40'000);
  const uint64_t end_ns = now_ns() + test::kGuardNs;
  run_together({[&] {
                  // The end waits until both have met now and then, for a machine with a single core.
                  for (uint64_t i = 1; (i <= calls || read_count.load() < 100) && now_ns() < end_ns; ++i) {
                    SipRequest request = numbered(i, "OPTIONS");
                    request.body = std::to_string(i) + std::string(i % 5 * 300, '.');
                    Task task{};
                    REQUIRE(receive(bed, request.text(), task));
                    number_of[task.generation % kLives].store(i);
                    life.store(task.generation);
                    bed.begin(task);
                    REQUIRE(bed.layer.reply(task, 404, {}, {}, true) == Status::kOk);
                    bed.layer.finish(task, Outcome::kEnded);
                  }
                  over.store(true);
                },
                [&] {
                  while (!over.load()) {
                    const Task task{0, life.load()};
                    std::string id, body;
                    const bool there =
                        bed.layer.with_request(task, false, [&](const sip::StoredMessage& stored) {
                          id = stored.index.call_id.of(stored.data());
                          body = stored.index.body.of(stored.data());
                        });
                    if (!there || task.generation == 0) continue;
                    read_count.fetch_add(1);
                    const std::string number = std::to_string(number_of[task.generation % kLives].load());
                    CHECK(id == number + "@example.com");
                    CHECK(body.substr(0, body.find('.')) == number);
                  }
                }});
  CHECK(read_count.load() >= 100);
  bed.check_all_zero();
}
