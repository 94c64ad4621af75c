// A layer that sends requests on, read by the test itself: a caller, and callees on the loopback who answer when they are
// told to. The test is the script. Whoever waits for a message passes over repetitions of what came before.
//
// Two sets of timers: calm ones, which hardly end anything while a case goes its way, and hurried ones for cases about them.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "test/support/sip_bed.h"

namespace sip_async::test {

inline SipBedConfig calm() {
  SipBedConfig out;
  out.transactions = {
      .max_transactions = 128, .t1_ms = 8, .t2_ms = 32, .wait_ms = 250, .fr_ms = 30'000, .fr_inv_ms = 30'000};
  return out;
}
inline SipBedConfig hurried() {
  SipBedConfig out;
  out.transactions = {
      .max_transactions = 128, .t1_ms = 20, .t2_ms = 80, .wait_ms = 100, .fr_ms = 300, .fr_inv_ms = 600};
  return out;
}

inline std::string method_of(const std::string& message) {
  return message.rfind("SIP/2.0 ", 0) == 0 ? std::string() : message.substr(0, message.find(' '));
}
inline std::string ruri_of(const std::string& request) {
  return between(request, " ", " ");
}
// All values of a header, line by line, in the order in which they stand.
inline std::vector<std::string> headers_of(const std::string& message, const std::string& name) {
  std::vector<std::string> out;
  const std::string begin = "\r\n" + name + ": ";
  for (size_t at = message.find(begin); at != std::string::npos; at = message.find(begin, at + 2)) {
    out.push_back(between(message.substr(at), begin, "\r\n"));
  }
  return out;
}
inline std::string branch_of(const std::string& message) {
  const std::string via = header_of(message, "Via");
  const size_t at = via.find(";branch=");
  return at == std::string::npos ? std::string() : via.substr(at + 8, via.find(';', at + 8) - at - 8);
}
inline std::string body_of(const std::string& message) {
  const size_t at = message.find("\r\n\r\n");
  return at == std::string::npos ? std::string() : message.substr(at + 4);
}

struct Answer {
  std::string tag = "callee";
  std::string more = {};  // whole header lines, each ended by CRLF
  std::string body = {};
};
// What a server makes of a request it got (RFC 3261 section 8.2.6).
inline std::string reply_to(const std::string& request, int code, const Answer& parts = {}) {
  std::string out = "SIP/2.0 " + std::to_string(code) + " Reply\r\n";
  for (const std::string& via : headers_of(request, "Via")) out += "Via: " + via + "\r\n";
  for (const std::string& route : headers_of(request, "Record-Route"))
    out += "Record-Route: " + route + "\r\n";
  out += "From: " + header_of(request, "From") + "\r\nTo: " + header_of(request, "To");
  if (code != 100 && !parts.tag.empty()) out += ";tag=" + parts.tag;
  return out + "\r\nCall-ID: " + header_of(request, "Call-ID") + "\r\nCSeq: " + header_of(request, "CSeq") +
         "\r\n" + parts.more + "Content-Length: " + std::to_string(parts.body.size()) + "\r\n\r\n" +
         parts.body;
}

// A peer that passes over repetitions.
class Ear : public Peer {
 public:
  // The next message that has not come before, or nothing.
  std::string next(int ms = kReplyMs) {
    for (;;) {
      std::string message = receive(ms);
      if (message.empty() || seen_.insert(message).second) return message;
      ++repetitions;
    }
  }
  std::string expect_request(const std::string& method) {
    const std::string message = next();
    CAPTURE(message);
    CHECK(method_of(message) == method);
    return message;
  }
  std::string expect_reply(int code) {
    const std::string message = next();
    CAPTURE(message);
    CHECK(code_of(message) == code);
    return message;
  }
  // One that came before comes again.
  std::string expect_repetition() {
    const std::string message = receive();
    CAPTURE(message);
    CHECK_FALSE(message.empty());
    CHECK(seen_.count(message) == 1);
    return message;
  }
  // Nothing new: for what must not come at all, so there is nothing to wait for.
  void expect_nothing(int ms = 40) {
    const std::string message = next(ms);
    CAPTURE(message);
    CHECK(message.empty());
  }
  std::string uri(const std::string& tail = {}) const {
    return "sip:callee@127.0.0.1:" + std::to_string(address().port) + tail;
  }
  sip::Hop hop() const { return sip::Hop{address()}; }

  uint64_t repetitions = 0;

 private:
  std::set<std::string> seen_;
};

// What a script has set when it sends a request on.
struct Wish {
  uint16_t on_failure = sip::kNoRoute;
  uint16_t on_reply = sip::kNoRoute;
  bool records_route = false;
};

class RelayBed : public SipBed {
 public:
  explicit RelayBed(const SipBedConfig& config = calm()) : SipBed(config) {}

  // ---- the network ----
  void send(Ear& from, const std::string& text) {
    from.send(text, transport.socket(0).local());
    read_one();
  }
  // What has come in by the layer's socket, which must be something.
  void read_one() {
    REQUIRE(readable_within(transport.socket(0), kReplyMs));
    REQUIRE(transport.socket(0).receive(batch_) == 1);
    sip::Task task{};
    if (layer.receive({batch_.data(0), batch_.size(0), sip::Hop{sip::Address::of(batch_.from(0))}, false},
                      task))
      fresh_tasks.push_back(task);
  }
  // A request of the caller's whose route runs in the receiver.
  sip::Task call(const SipRequest& request) { return call(request.text()); }
  sip::Task call(const std::string& text) {
    const sip::Task task = fresh_from_caller(text);
    begin(task);
    return task;
  }
  sip::Task fresh_from_caller(const std::string& text) {
    send(caller, text);
    REQUIRE(fresh_tasks.size() == 1);
    const sip::Task task = fresh_tasks.front();
    fresh_tasks.pop_front();
    return task;
  }
  void reply(Ear& callee, const std::string& request, int code, const Answer& parts = {}) {
    send(callee, reply_to(request, code, parts));
  }
  // CANCEL, and its 200.
  void cancel(const SipRequest& invite, const std::string& more = {}) {
    SipRequest request = invite.as("CANCEL");
    request.more = more;
    send(caller, request.text());
    const std::string ok = caller.expect_reply(200);
    CHECK(header_of(ok, "CSeq") == std::to_string(invite.cseq) + " CANCEL");
  }
  // The final reply to a call, acknowledged where that is done hop by hop.
  std::string final_reply(const SipRequest& request, int code) {
    const std::string reply = caller.expect_reply(code);
    CHECK(header_of(reply, "CSeq") == std::to_string(request.cseq) + " " + request.method);
    if (request.method == "INVITE" && code >= 300) send(caller, request.ack(to_tag_of(reply)).text());
    return reply;
  }

  // ---- the script ----
  core::Status try_relay(sip::Task task, const std::string& uri, const Wish& wish, sip::Task& branch) {
    sip::RelayRequest request;
    request.ruri = uri;
    request.on_failure = wish.on_failure;
    request.on_reply = wish.on_reply;
    request.records_route = wish.records_route;
    return layer.relay(task, request, branch);
  }
  sip::Task relay(sip::Task task, const Ear& callee, const Wish& wish = {}) {
    sip::Task branch{};
    REQUIRE(try_relay(task, callee.uri(), wish, branch) == core::Status::kOk);
    return branch;
  }
  sip::Task relay_unresolved(sip::Task task, const Wish& wish = {}) {
    sip::Task branch{};
    REQUIRE(try_relay(task, "sip:callee@example.com", wish, branch) == core::Status::kUnresolved);
    return branch;
  }
  bool end(sip::Task task, sip::Outcome outcome = sip::Outcome::kEnded) {
    return layer.finish(task, outcome);
  }
  // The whole of a simple script.
  sip::Task relayed(const SipRequest& request, const Ear& callee, const Wish& wish = {}) {
    const sip::Task task = call(request);
    relay(task, callee, wish);
    CHECK_FALSE(end(task));
    return task;
  }
  // The same of an INVITE, for which the caller has its 100: what the callee got.
  std::string relayed_invite(const SipRequest& invite, Ear& callee, const Wish& wish = {}) {
    relayed(invite, callee, wish);
    caller.expect_reply(100);
    return callee.expect_request("INVITE");
  }
  // The next route that is to run in the receiver, begun.
  sip::Task next_route(sip::Entry entry) {
    sip::Task task{core::kNone, 0};
    REQUIRE(eventually([&] { return try_next_route(task); }));
    CHECK(entry_of(task) == entry);
    return task;
  }
  // False when there is none.
  bool try_next_route(sip::Task& task) {
    while (engine.take_inbox(kReceiver, &task, 1) == 1) {
      if (engine.begin_run(task, kReceiver, core::now_ns()) != core::Status::kOk) continue;
      if (!layer.runs_without_script(task)) return true;
    }
    return false;
  }
  sip::Entry entry_of(sip::Task task) {
    return static_cast<sip::Entry>(engine.slots().at(task.index).entry.load());
  }
  uint16_t route_of(sip::Task task) { return engine.slots().at(task.index).route.load(); }

  // Waits for all timers; those of the calls must not be what it hangs on.
  void check_nothing_left() {
    sip::Task none{};
    CHECK_FALSE(try_next_route(none));
    CHECK(eventually([&] { return engine.slots().live() == 0; }));
    CHECK(layer.open_branches() == 0);
    check_all_zero();
  }

  Ear caller;
  std::deque<sip::Task> fresh_tasks;

 private:
  sip::ReceiveBatch batch_;
};

// What a case about sending on speaks of.
namespace relay_case {

using core::kNone;
using core::Run;
using core::Status;
using sip::Entry;
using sip::Outcome;
using sip::Task;
using test::calm;
using test::Ear;
using test::eventually;
using test::hurried;
using test::numbered;
using test::RelayBed;
using test::SipBedConfig;
using test::SipRequest;
using test::Wish;

inline sip::MessageEdits appended(std::string_view lines) {
  sip::MessageEdits out;
  out.appended_lines = lines;
  return out;
}

}  // namespace relay_case

}  // namespace sip_async::test
