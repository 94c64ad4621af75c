// Calls that are sent on, against a naive model of RFC 3261 section 16.7: random branches, replies of random codes in random
// order with repetition and loss, CANCEL, failure routes that send on again, reply themselves or do nothing.
//
// The model knows nothing of timers but that silence comes to 408. Where the machine was held up so long that a branch may
// have run out of time before its reply came, the codes are not compared; that all comes to an end is, always.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "test/support/relay_bed.h"
#include "test/support/seed.h"

using namespace sip_async;
using namespace test::relay_case;
using core::now_ns;
using sip::kNoRoute;
using test::Random;
using test::rounds;

namespace {

constexpr uint32_t kFrMs = 250;

SipBedConfig modelled() {
  SipBedConfig out;
  out.slots = 4096;
  out.payload_bytes = 32 << 20;
  out.transactions = {
      .max_transactions = 2000, .t1_ms = 2, .t2_ms = 8, .wait_ms = 600, .fr_ms = kFrMs, .fr_inv_ms = kFrMs};
  return out;
}

// What the model knows of a branch, and what its callee is going to do.
struct Branch {
  Task task{};
  bool is_unresolved = false;
  std::string request;        // as the callee got it
  std::vector<int> replies;   // still to come, in this order
  bool has_answered = false;  // the callee has sent a final reply
  bool rings = false;         // a provisional reply has come back
  bool is_over = false;       // it counts in the choice
  int code = 0;
};

// By the book, without a look at the code: 6xx, else the lowest class; in 4xx first what the caller can do something about.
int chosen(const std::vector<int>& codes) {
  const auto better = [](int a, int b) {
    if ((a >= 600) != (b >= 600)) return a >= 600;
    if (a / 100 != b / 100) return a / 100 < b / 100;
    const auto group = [](int code) {
      if (code == 401 || code == 407) return 0;
      if (code == 415 || code == 420 || code == 484) return 1;
      return code == 408 ? 3 : 2;
    };
    if (group(a) != group(b)) return group(a) < group(b);
    return group(a) == 2 && a < b;
  };
  int best = codes.front();
  for (const int code : codes) best = better(code, best) ? code : best;
  return best == 503 ? 500 : best;
}

class Play {
 public:
  Play(RelayBed& bed, Ear& callee, Random& random, uint64_t number)
      : bed_(bed),
        callee_(callee),
        random_(random),
        request_(numbered(number, random.one_in(3) ? "OPTIONS" : "INVITE")) {
    request_.to = "<sip:bob@example.com>";
  }

  void run() {
    const std::string text = request_.text();
    REQUIRE(bed_.layer.receive({text.data(), text.size(), sip::Hop{bed_.caller.address()}, false}, task_));
    bed_.begin(task_);
    wants_failure_ = random_.one_in(2);
    begin_ns_ = now_ns();
    send_on(task_);
    CHECK_FALSE(bed_.end(task_));
    settle();
    while (!is_ended_) {
      if (!step()) break;
    }
    wait_for_silence();
    check();
  }

 private:
  bool is_invite() const { return request_.method == "INVITE"; }

  void send_on(Task task) {
    const uint16_t on_failure = wants_failure_ ? uint16_t{7} : kNoRoute;
    const uint16_t on_reply = random_.one_in(2) ? uint16_t{5} : kNoRoute;
    for (uint64_t i = random_.between(1, 3); i > 0; --i) {
      Branch branch;
      // Another Request-URI for each, by which the callee's side knows which one it has.
      const std::string user = "sip:" + std::to_string(branches_.size()) +
                               "@127.0.0.1:" + std::to_string(callee_.address().port) +
                               ";call=" + request_.branch.substr(8);
      branch.is_unresolved = random_.one_in(6);
      const std::string name =
          "sip:" + std::to_string(branches_.size()) + "@example.com;call=" + request_.branch.substr(8);
      const Status status = bed_.try_relay(task, branch.is_unresolved ? name : user,
                                           {.on_failure = on_failure, .on_reply = on_reply}, branch.task);
      REQUIRE(status == (branch.is_unresolved ? Status::kUnresolved : Status::kOk));
      plan(branch);
      branches_.push_back(branch);
      note(std::string(branch.is_unresolved ? "name " : "branch ") + std::to_string(branches_.size() - 1));
      if (!branches_.back().is_unresolved) hear(branches_.size() - 1);
    }
  }

  void plan(Branch& branch) {
    static constexpr int kFinals[] = {200, 302, 401, 404, 407, 408, 415, 480,
                                      484, 486, 500, 503, 504, 600, 603};
    if (random_.one_in(3)) branch.replies.push_back(100);
    for (uint64_t i = random_.below(3); i > 0; --i)
      branch.replies.push_back(180 + static_cast<int>(random_.below(3)));
    if (random_.one_in(12)) return;  // silence, or it rings for ever
    const int code = random_.one_in(4) ? 200 : kFinals[random_.below(std::size(kFinals))];
    for (uint64_t i = random_.one_in(3) ? 2 : 1; i > 0; --i) branch.replies.push_back(code);
  }

  // Reads what the callee got until this branch's request is there; answers CANCELs at once, and quietly.
  void hear(size_t number) {
    while (branches_[number].request.empty()) REQUIRE(listen_once(test::kReplyMs));
  }
  bool listen_once(int ms) {
    const std::string got = callee_.next(ms);
    if (got.empty()) return false;
    const std::string uri = test::ruri_of(got);
    if (test::between(uri + ">", ";call=", ">") != request_.branch.substr(8))
      return true;  // an earlier call's
    const size_t number = std::stoul(uri.substr(4));
    Branch& branch = branches_.at(number);
    const std::string method = test::method_of(got);
    if (method == request_.method) branch.request = got;
    if (method == "CANCEL") {
      const bool has_6xx =
          std::any_of(branches_.begin(), branches_.end(), [](const Branch& one) { return one.code >= 600; });
      // Nobody wanted that: it has rung for too long.
      if (!is_cancelled_ && !is_ended_ && !has_6xx) over(number, 408);
      feed(test::reply_to(got, 200));
      if (!branch.has_answered) answer(number, 487);
      // It has ended with this.
      branch.replies.clear();
    }
    return true;
  }

  void feed(const std::string& text, bool from_caller = false) {
    Task none{};
    const sip::Hop from{from_caller ? bed_.caller.address() : callee_.address()};
    CHECK_FALSE(bed_.layer.receive({text.data(), text.size(), from, false}, none));
  }

  // One thing that happens. False when there is nothing left but to wait.
  bool step() {
    std::vector<size_t> ready;
    for (size_t i = 0; i < branches_.size(); ++i) {
      if (branches_[i].is_unresolved || (!branches_[i].request.empty() && !branches_[i].replies.empty()))
        ready.push_back(i);
    }
    if (is_invite() && !is_cancelled_ && random_.one_in(25)) {
      cancel();
    } else if (ready.empty()) {
      return false;
    } else {
      const size_t number = ready[random_.below(ready.size())];
      if (branches_[number].is_unresolved) {
        resolve(number);
      } else {
        const int code = branches_[number].replies.front();
        branches_[number].replies.erase(branches_[number].replies.begin());
        answer(number, code);
      }
    }
    settle();
    return true;
  }

  void resolve(size_t number) {
    Branch& branch = branches_[number];
    branch.is_unresolved = false;
    note("resolve " + std::to_string(number));
    const bool is_late = branch.is_over || is_ended_;
    if (random_.one_in(3)) {
      CHECK(bed_.layer.fail_branch(branch.task, 478) == (is_late ? Status::kCancelled : Status::kOk));
      branch.replies.clear();
      if (!is_late) over(number, 478);
      return;
    }
    const sip::Hop hop = callee_.hop();
    CHECK(bed_.layer.send_to(branch.task, &hop, 1) == (is_late ? Status::kCancelled : Status::kOk));
    if (is_late) {
      branch.replies.clear();
    } else {
      hear(number);
    }
  }

  void answer(size_t number, int code) {
    Branch& branch = branches_[number];
    note(std::to_string(number) + ":" + std::to_string(code));
    feed(test::reply_to(branch.request, code, {.tag = "b" + std::to_string(number)}));
    last_reply_ns_ = now_ns();
    if (code < 200) {
      branch.rings = true;
      return;
    }
    const bool is_first = !branch.has_answered;
    branch.has_answered = true;
    if (code < 300) {
      if (is_invite()) {
        if (!is_ended_ && !branch.is_over) expect_final(200);
        expected_dialogs_.push_back("b" + std::to_string(number));
        if (!is_ended_ && branch.is_over) expect_final(200);
      } else if (is_first && !is_ended_) {
        expect_final(200);
      }
      branch.is_over = true;
      branch.code = code;
      return;
    }
    if (is_first) over(number, code);
  }

  void over(size_t number, int code) {
    Branch& branch = branches_[number];
    if (branch.is_over) return;
    branch.is_over = true;
    branch.code = code;
    has_news_ = true;
    if (code < 600) return;
    for (size_t i = 0; i < branches_.size(); ++i) {
      if (branches_[i].is_unresolved && !branches_[i].is_over) {
        branches_[i].is_over = true;
        branches_[i].code = 487;
      }
    }
  }

  void cancel() {
    note("CANCEL");
    feed(request_.as("CANCEL").text(), true);
    if (is_ended_) return;
    is_cancelled_ = true;
    for (size_t i = 0; i < branches_.size(); ++i) {
      if (!branches_[i].is_over && !branches_[i].rings) over(i, 487);
    }
  }

  void expect_final(int code) {
    is_ended_ = true;
    final_ = code;
  }

  // The scripts run, and the model decides, until nothing moves any more.
  void settle() {
    for (bool moved = true; moved;) {
      moved = false;
      Task route{};
      while (bed_.try_next_route(route)) {
        moved = true;
        if (bed_.entry_of(route) == Entry::kReplyRoute) {
          bed_.end(route);
        } else {
          failure(route);
        }
      }
      while (listen_once(0)) moved = true;
    }
    decide();
  }

  bool has_all() const {
    return std::all_of(branches_.begin(), branches_.end(),
                       [](const Branch& branch) { return branch.is_over; });
  }
  int best() const {
    std::vector<int> codes;
    for (const Branch& branch : branches_) codes.push_back(branch.code);
    // Who has cancelled is told so if any branch was.
    if (is_cancelled_ && std::count(codes.begin(), codes.end(), 487) != 0) return 487;
    return chosen(codes);
  }
  // Behind the failure route, if there is one.
  void decide() {
    if (!is_ended_ && has_all() && !(wants_failure_ && has_news_)) expect_final(best());
  }

  void failure(Task route) {
    // Silence has come to its end.
    for (size_t i = 0; i < branches_.size(); ++i) {
      if (!branches_[i].is_over) over(i, branches_[i].rings && is_cancelled_ ? 487 : 408);
    }
    ++failures_;
    note("failure " + std::to_string(bed_.layer.status_of(route)));
    CAPTURE(story_);
    if (is_in_time()) {
      CHECK(wants_failure_);
      CHECK(has_news_);
      const uint16_t status = bed_.layer.status_of(route);
      CHECK((status == 503 ? 500 : status) == best());
    }
    has_news_ = false;
    wants_failure_ = false;
    switch (is_cancelled_ ? 3 : random_.below(3)) {
      case 0:
        wants_failure_ = failures_ < 3 && random_.one_in(2);
        begin_ns_ = now_ns();
        send_on(route);
        break;
      case 1:
        if (bed_.answer(route, 480) == Status::kOk) expect_final(480);
        break;
      default:
        break;
    }
    CHECK_FALSE(bed_.end(route));
  }

  // What is left is what only timers end.
  void wait_for_silence() {
    const uint64_t end_ns = now_ns() + test::kGuardNs;
    while (!is_ended_ && now_ns() < end_ns) {
      const bool is_decided = bed_.engine.slots().word(task_.index).has(core::Word::kAnswered);
      if (is_decided) {
        settle();
        if (!is_ended_) {
          for (size_t i = 0; i < branches_.size(); ++i) {
            if (!branches_[i].is_over) over(i, is_cancelled_ ? 487 : 408);
          }
          decide();
        }
      } else {
        (void)listen_once(1);
        const size_t before = branches_.size();
        settle();
        // A failure route has sent it on again: that has its own replies to come.
        if (branches_.size() != before) {
          while (!is_ended_ && step()) {
          }
        }
      }
    }
  }

  // What happened, for who has to find a fault.
  void note(const std::string& what) { story_ += (story_.empty() ? "" : ", ") + what; }

  bool is_in_time() const {
    return last_reply_ns_ < begin_ns_ || last_reply_ns_ - begin_ns_ < uint64_t{kFrMs} / 2 * core::kNsPerMs;
  }

  void check() {
    std::vector<int> finals;
    std::vector<std::string> dialogs;
    const size_t expected = expected_dialogs_.size() + (final_ == 200 && is_invite() ? 0 : 1);
    while (finals.size() + dialogs.size() < expected) {
      const std::string reply = bed_.caller.receive();
      if (reply.empty()) break;
      if (test::header_of(reply, "Call-ID") != request_.call_id || test::code_of(reply) < 200) continue;
      if (test::header_of(reply, "CSeq") == "1 CANCEL") continue;
      if (is_invite() && test::code_of(reply) == 200) {
        dialogs.push_back(test::to_tag_of(reply));
      } else if (finals.empty() || finals.back() != test::code_of(reply)) {
        finals.push_back(test::code_of(reply));  // an INVITE's refusal is repeated until its ACK
        if (is_invite()) feed(request_.ack(test::to_tag_of(reply)).text(), true);
      }
    }
    note("model " + std::to_string(final_));
    for (const int code : finals) note("caller " + std::to_string(code));
    CAPTURE(story_);
    CHECK(bed_.engine.slots().word(task_.index).has(core::Word::kAnswered));
    if (!is_in_time()) return;
    checked = true;
    if (final_ != 200 || !is_invite()) {
      CHECK(finals == std::vector<int>{final_});
    } else {
      CHECK(finals.empty());
    }
    // Every repetition, too, and those that came behind another final reply.
    std::sort(dialogs.begin(), dialogs.end());
    std::sort(expected_dialogs_.begin(), expected_dialogs_.end());
    CHECK(dialogs == expected_dialogs_);
  }

 public:
  bool checked = false;

 private:
  RelayBed& bed_;
  Ear& callee_;
  Random& random_;
  SipRequest request_;
  std::string story_;
  Task task_{};
  std::vector<Branch> branches_;
  bool wants_failure_ = false, has_news_ = false, is_cancelled_ = false, is_ended_ = false;
  int final_ = 0;
  uint32_t failures_ = 0;
  uint64_t begin_ns_ = 0, last_reply_ns_ = 0;
  std::vector<std::string> expected_dialogs_;
};

}  // namespace

TEST_CASE("random calls against the model") {
  RelayBed bed(modelled());
  Ear callee;
  Random random(90);
  const uint64_t calls = rounds(400);
  uint64_t checked = 0;
  for (uint64_t i = 0; i < calls; ++i) {
    Play play(bed, callee, random, i);
    play.run();
    checked += play.checked;
  }
  CHECK(checked > calls / 4);
  CHECK(bed.layer.in_script() == 0);
  CHECK(bed.layer.counters.completed.load() == calls);
  bed.check_nothing_left();
}
