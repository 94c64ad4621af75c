// Requests that are sent on, with threads against each other: callers with their CANCELs, callees who answer as they like,
// workers whose scripts relay, fork, suspend and fail, somebody who resolves names and continues what waits, ends from
// outside, and the ticker with short timers.
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "test/support/relay_bed.h"
#include "test/support/seed.h"

using namespace sip_async;
using namespace test::relay_case;
using core::now_ns;
using core::Word;
using sip::kNoRoute;
using test::Peer;
using test::Random;
using test::rounds;
using test::run_together;
using test::SipBed;

namespace {

constexpr uint32_t kCallees = 2;

// What one thread leaves for another.
class Shelf {
 public:
  void put(Task task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(task);
  }
  bool take(Task& out) {
    const std::lock_guard lock(mutex_);
    if (tasks_.empty()) return false;
    out = tasks_.front();
    tasks_.pop_front();
    return true;
  }

 private:
  std::mutex mutex_;
  std::deque<Task> tasks_;
};

struct Storm {
  // `counted`: every call keeps its transaction, so that a repetition never is a call of its own.
  Storm(const SipBedConfig& config, bool counted) : bed(config), is_counted(counted) {}

  void run(uint64_t messages) {
    run_together({[&] { call(0, messages); }, [&] { call(1, messages); }, [&] { callee(0); },
                  [&] { callee(1); }, [&] { work(0); }, [&] { work(1); }, [&] { resolve(); },
                  [&] { listen(); }});
  }

  bool is_over() const { return callers_done.load() == 2 && bed.layer.in_script() == 0; }

  void feed(const std::string& text, const sip::Address& from, uint32_t thread) {
    Task fresh{};
    if (!bed.layer.receive({text.data(), text.size(), sip::Hop{from}, false}, fresh)) return;
    fresh_count.fetch_add(1);
    recent[fresh.index % kRecent].store(fresh.bits());
    if (!bed.engine.post(thread, fresh)) bed.layer.refuse(fresh);
  }

  void call(uint32_t side, uint64_t messages) {
    Random random(80 + side);
    uint64_t newest = side * 10'000'000;
    const uint64_t first = newest;
    for (uint64_t i = 0; i < messages; ++i) {
      const bool is_new = random.one_in(2) || newest == first;
      const uint64_t number =
          is_new ? ++newest : newest - random.below(std::min<uint64_t>(newest - first, 20));
      const SipRequest request = numbered(number, number % 3 == 0 ? "OPTIONS" : "INVITE");
      const bool cancels = !is_new && random.one_in(3);
      feed(cancels ? request.as("CANCEL").text() : request.text(), bed.caller.address(), bed.worker(side));
      if (random.one_in(8)) test::sleep_us(random.below(300));
    }
    callers_done.fetch_add(1);
  }

  // Reads what was sent on and answers in its own way; some of it late, twice or never.
  void callee(uint32_t side) {
    Random random(82 + side);
    Peer& peer = callees[side];
    std::map<std::string, std::string> invites;
    std::deque<std::string> late;
    const auto reply = [&](const std::string& request, int code) {
      const std::string text = test::reply_to(request, code, {.tag = "t" + std::to_string(random.below(2))});
      for (uint64_t i = random.one_in(6) ? 2 : 1; i > 0; --i) {
        if (random.one_in(5)) {
          late.push_back(text);
        } else {
          feed(text, peer.address(), bed.worker(side));
        }
      }
    };
    static constexpr int kFinals[] = {200, 200, 302, 401, 404, 407, 486, 487, 500, 503, 503, 603};
    while (!(is_over() && bed.layer.open_branches() == 0)) {
      const std::string got = peer.receive(2);
      if (!late.empty() && random.one_in(2)) {
        feed(late.front(), peer.address(), bed.worker(side));
        late.pop_front();
      }
      const std::string method = test::method_of(got);
      if (method == "INVITE" || method == "OPTIONS") {
        invites[test::branch_of(got)] = got;
        if (random.one_in(20)) bed.layer.undelivered(got.data(), got.size());
        if (random.one_in(3)) reply(got, random.one_in(2) ? 100 : 180);
        if (random.one_in(3)) reply(got, 183);
        if (!random.one_in(6)) reply(got, kFinals[random.below(std::size(kFinals))]);
      } else if (method == "CANCEL") {
        if (!random.one_in(8)) reply(got, 200);
        const auto found = invites.find(test::branch_of(got));
        if (found != invites.end() && !random.one_in(8)) reply(found->second, random.one_in(8) ? 200 : 487);
      }
    }
  }

  // The scripts. The first worker is the receiver as well, where reply and failure routes run.
  void work(uint32_t number) {
    Random random(84 + number);
    const uint32_t thread = bed.worker(number);
    std::deque<Task> pending;
    const uint64_t end_ns = now_ns() + 3 * test::kGuardNs;
    while (!(is_over() && bed.layer.open_branches() == 0) && now_ns() < end_ns) {
      Task tasks[24];
      uint32_t count = bed.engine.take_inbox(thread, tasks, 8);
      if (number == 0) count += bed.engine.take_inbox(SipBed::kReceiver, tasks + count, 8);
      count += bed.engine.group(SipBed::kGroup).take(tasks + count, 8);
      for (uint32_t i = 0; i < count; ++i) {
        const Task task = tasks[i];
        if (bed.engine.begin_run(task, thread, now_ns()) != Status::kOk) continue;
        if (bed.layer.runs_without_script(task)) continue;
        if (random.one_in(5)) {
          pending.push_back(task);
        } else {
          act(task, thread, random);
        }
      }
      if (!pending.empty() && (count == 0 || random.one_in(3))) {
        const Task task = pending.front();
        pending.pop_front();
        act(task, thread, random);
      }
      if (count == 0) test::sleep_us(50);
    }
    in_time.fetch_add(now_ns() < end_ns && pending.empty());
  }

  bool is_branch(Task task) {
    return bed.engine.slots().at(task.index).kind.load() == core::SlotKind::kBranch;
  }

  void act(Task task, uint32_t thread, Random& random) {
    CHECK(bed.layer.with_request(task, true, [](const sip::StoredMessage& stored) {
      // What was freed under the route's hands would not index the same.
      sip::MessageIndex index;
      CHECK(sip::index_message(stored.data(), stored.size, {}, index) == sip::IndexStatus::kOk);
      CHECK(index.call_id.offset == stored.index.call_id.offset);
    }));
    if (random.one_in(8) && suspend(task, thread, random)) return;
    if (is_branch(task)) {
      end_branch_route(task, random);
      return;
    }
    if (random.one_in(8)) bed.layer.save_variables(task, "variables");
    if (!random.one_in(8)) relay(task, thread, random);
    if (random.one_in(10) && suspend(task, thread, random)) return;
    if (random.one_in(10))
      bed.layer.reply(task, random.one_in(2) ? 480 : 183, {}, {}, !is_counted && random.one_in(3));
    bed.layer.finish(task, random.one_in(4) ? Outcome::kThrew : Outcome::kEnded);
  }

  sip::RelayRequest wish(Random& random, const std::string& uri) {
    sip::RelayRequest out;
    out.ruri = uri;
    if (random.one_in(2)) out.on_failure = 1;
    if (random.one_in(2)) out.on_reply = 2;
    out.records_route = random.one_in(4);
    return out;
  }

  std::string target(Random& random) {
    if (random.one_in(4)) return "sip:callee@example.com";
    return "sip:callee@127.0.0.1:" + std::to_string(callees[random.below(kCallees)].address().port);
  }

  void relay(Task task, uint32_t thread, Random& random) {
    for (uint64_t i = random.between(1, 3); i > 0; --i) {
      Task branch{};
      const std::string uri = target(random);
      const sip::RelayRequest request = wish(random, uri);
      if (random.one_in(5)) {
        if (bed.layer.open_branch(task, request, thread, branch) != Status::kOk) continue;
        if (random.one_in(3) && suspend(branch, thread, random)) continue;
        end_branch_route(branch, random);
      } else if (bed.layer.relay(task, request, branch) == Status::kUnresolved) {
        unresolved.put(branch);
      }
    }
  }

  // Of a branch route or a reply route.
  void end_branch_route(Task branch, Random& random) {
    if (bed.engine.slots().at(branch.index).route_type == static_cast<uint8_t>(sip::RouteType::kReply)) {
      sip::MessageEdits edits;
      edits.appended_lines = "X-Seen: 1\r\n";
      CHECK(bed.layer.status_of(branch) != 0);
      (void)bed.layer.shared_variables(branch);
      if (random.one_in(4)) bed.layer.share_variables(branch, "shared");
      if (random.one_in(2)) {
        bed.layer.finish_reply(branch, edits);
      } else {
        bed.layer.finish(branch, random.one_in(2) ? Outcome::kDropped : Outcome::kEnded);
      }
      return;
    }
    if (random.one_in(4)) {
      bed.layer.finish(branch, random.one_in(2) ? Outcome::kDropped : Outcome::kThrew);
      return;
    }
    const std::string uri = target(random);
    if (bed.layer.relay_branch(branch, wish(random, uri)) == Status::kUnresolved) unresolved.put(branch);
  }

  bool suspend(Task task, uint32_t thread, Random& random) {
    switch (random.below(3)) {
      case 0:
        return bed.layer.suspend_until(task, random.below(6), 1, 1, SipBed::kGroup, thread) == Status::kOk;
      case 1:
        return bed.layer.suspend_now(task, 1, SipBed::kGroup) == Status::kOk;
      default:
        break;
    }
    uint32_t suspension = 0;
    if (bed.layer.suspend_open(task, random.below(30), random.one_in(2) ? 1 : kNoRoute, suspension) !=
        Status::kOk)
      return false;
    if (random.one_in(4)) return bed.layer.undo_suspension(task, suspension, thread) != Status::kOk;
    waiting.put(task);
    return true;
  }

  void resolve() {
    Random random(86);
    Task task{};
    while (!(is_over() && bed.layer.open_branches() == 0)) {
      while (unresolved.take(task)) {
        sip::Hop hops[3];
        for (sip::Hop& hop : hops) hop.address = callees[random.below(kCallees)].address();
        if (random.one_in(8)) continue;  // never
        if (random.one_in(4)) {
          bed.layer.fail_branch(task, 478);
        } else {
          bed.layer.send_to(task, hops, random.between(1, 3));
        }
        if (random.one_in(4)) bed.layer.fail_branch(task, 478);
      }
      while (waiting.take(task)) {
        const uint16_t group = random.one_in(2) ? core::Engine::kOwnThread : SipBed::kGroup;
        if (!random.one_in(6)) bed.layer.continue_with(task, 1, group);
        if (random.one_in(3)) bed.layer.continue_with(task, 1, group);
      }
      const Task some = Task::of(recent[random.below(kRecent)].load());
      if (random.one_in(20)) bed.layer.conclude(some, 480, {}, random.one_in(2) ? Word::kCancelled : 0);
      if (random.one_in(300)) bed.layer.conclude_all(503, {});
      (void)bed.layer.is_cancelled(some);
      (void)bed.layer.cancel_reason(some);
      (void)bed.layer.status_of(some);
      test::sleep_us(random.below(200));
    }
  }

  // Whoever calls hears of one refusal at most, and of one reply in all unless it is an INVITE that was accepted.
  void listen() {
    while (!(is_over() && bed.engine.slots().live() == 0)) {
      const std::string reply = bed.caller.receive(5);
      const int code = test::code_of(reply);
      const std::string cseq = test::header_of(reply, "CSeq");
      if (code < 200 || cseq == "1 CANCEL") continue;
      const std::string id = test::header_of(reply, "Call-ID");
      if (code >= 300 || cseq != "1 INVITE") {
        refusals[id].insert(std::to_string(code) + test::to_tag_of(reply));
      } else {
        accepted.insert(id);
      }
      CHECK(test::headers_of(reply, "Via").size() == 1);
    }
  }

  static constexpr uint32_t kRecent = 64;
  test::RelayBed bed;
  const bool is_counted;
  Peer callees[kCallees];
  Shelf unresolved, waiting;
  std::atomic<uint64_t> recent[kRecent] = {};
  std::atomic<uint32_t> callers_done{0}, in_time{0};
  std::atomic<uint64_t> fresh_count{0};
  std::map<std::string, std::set<std::string>> refusals;
  std::set<std::string> accepted;
};

void weather(const SipBedConfig& config, uint64_t messages, bool counted) {
  Storm storm(config, counted);
  storm.run(messages);
  CHECK(storm.in_time.load() == 2);
  CHECK(storm.fresh_count.load() > 100);
  CHECK(storm.bed.layer.counters.completed.load() == storm.fresh_count.load());
  CHECK(storm.bed.layer.counters.relayed.load() > 100);
  CHECK_FALSE(storm.accepted.empty());
  for (const auto& [id, replies] : storm.refusals) {
    std::string all = id;
    for (const std::string& one : replies) all += " " + one;
    CAPTURE(all);
    if (counted) CHECK(replies.size() == 1);
  }
  Task stale{};
  CHECK_FALSE(storm.bed.try_next_route(stale));
  CHECK(test::eventually([&] { return storm.bed.engine.slots().live() == 0; }));
  CHECK(storm.bed.layer.open_branches() == 0);
  storm.bed.check_all_zero();
}

SipBedConfig stormy() {
  SipBedConfig out;
  out.slots = 32768;
  out.payload_bytes = 256 << 20;
  out.transactions = {
      .max_transactions = 16384, .t1_ms = 4, .t2_ms = 16, .wait_ms = 2000, .fr_ms = 100, .fr_inv_ms = 200};
  return out;
}

}  // namespace

TEST_CASE("a storm of calls that are sent on: one final decision each, and all drains to nothing") {
  SUBCASE("with room for all") {
    weather(stormy(), test::kSanitized ? 1500 : 6000, true);
  }
  SUBCASE("with few slots and little memory") {
    SipBedConfig config = stormy();
    config.slots = 160;
    config.payload_bytes = 512 << 10;
    config.transactions.max_transactions = 64;
    config.transactions.wait_ms = 10;
    weather(config, test::kSanitized ? 3000 : 12'000, false);
  }
}
