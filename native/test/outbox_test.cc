// The outbox: order, limits, what is left at the end, and threads that push against the one that takes.
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <map>
#include <string>

#include "sip/outbox.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

using namespace sip_async;
using sip::Hop;
using sip::Outbox;
using sip::OutgoingMessage;
using sip::Transport;
using test::Random;

namespace {

core::EngineConfig configured(uint64_t payload_bytes = 1 << 20) {
  return {.slots = 16, .payload_bytes = payload_bytes, .receivers = 1, .groups = {}};
}

Hop hop(uint32_t flow, uint16_t port = 5060) {
  Hop out;
  REQUIRE(sip::Address::parse("192.0.2.7", port, out.address));
  out.flow = flow;
  out.socket = 3;
  out.transport = Transport::kTcp;
  return out;
}

struct Taken {
  uint32_t flow;
  uint16_t port;
  std::string name;
  std::string data;
  bool operator==(const Taken&) const = default;
};

bool take(Outbox& outbox, Taken& out) {
  return outbox.take([&](const OutgoingMessage& message) {
    out = {message.to.flow, message.to.address.port, std::string(message.name(), message.name_size),
           std::string(message.data(), message.size)};
  });
}

void check_nothing_left(core::Engine& engine, const Outbox& outbox) {
  CHECK(outbox.empty());
  CHECK(outbox.bytes() == 0);
  CHECK(outbox.check_invariants());
  CHECK(engine.payloads().blocks_in_use() == 0);
  CHECK(engine.payloads().check_invariants());
}

}  // namespace

TEST_CASE("what is pushed comes out whole and in order, and wakes the thread with the connections") {
  core::Engine engine(configured());
  test::CountingWakeable owner;
  engine.attach(Outbox::kThread, &owner);
  Outbox outbox(engine);
  CHECK(outbox.push("one", 3, hop(7)));
  CHECK(outbox.push("second", 6, hop(0, 5061), "proxy.example.com"));
  CHECK(owner.wakes() == 2);
  Taken out{};
  REQUIRE(take(outbox, out));
  CHECK(out == Taken{7, 5060, "", "one"});
  REQUIRE(take(outbox, out));
  CHECK(out == Taken{0, 5061, "proxy.example.com", "second"});
  CHECK_FALSE(take(outbox, out));
  check_nothing_left(engine, outbox);
  engine.detach(Outbox::kThread, &owner);
}

TEST_CASE("a full queue, used up bytes and a used up pool refuse and leave nothing behind") {
  core::Engine engine(configured(1 << 14));
  const std::string text(1000, 'x');
  SUBCASE("the queue") {
    Outbox outbox(engine, 4);
    for (uint32_t i = 0; i < 4; ++i) CHECK(outbox.push("a", 1, hop(i)));
    CHECK_FALSE(outbox.push("a", 1, hop(9)));
    CHECK(engine.payloads().blocks_in_use() == 4);
    outbox.close();
    check_nothing_left(engine, outbox);
  }
  SUBCASE("the bytes") {
    Outbox outbox(engine, 1024, 2500);
    CHECK(outbox.push(text.data(), text.size(), hop(1)));
    CHECK(outbox.push(text.data(), text.size(), hop(2)));
    CHECK_FALSE(outbox.push(text.data(), text.size(), hop(3)));
    Taken out{};
    REQUIRE(take(outbox, out));
    CHECK(outbox.push(text.data(), text.size(), hop(4)));
    outbox.close();
    check_nothing_left(engine, outbox);
  }
  SUBCASE("the pool") {
    Outbox outbox(engine);
    uint32_t pushed = 0;
    while (outbox.push(text.data(), text.size(), hop(1))) ++pushed;
    CHECK(pushed > 8);
    CHECK(outbox.size() == pushed);
    outbox.close();
    check_nothing_left(engine, outbox);
  }
}

TEST_CASE("a closed outbox takes nothing") {
  core::Engine engine(configured());
  Outbox outbox(engine);
  CHECK(outbox.push("a", 1, hop(1)));
  outbox.close();
  CHECK_FALSE(outbox.push("a", 1, hop(1)));
  check_nothing_left(engine, outbox);
}

TEST_CASE("random pushes and takes behave as a deque with limits") {
  Random random(71);
  core::Engine engine(configured());
  constexpr uint32_t kMostMessages = 32;
  constexpr uint64_t kMostBytes = 20'000;
  Outbox outbox(engine, kMostMessages, kMostBytes);
  std::deque<Taken> model;
  uint64_t model_bytes = 0;
  uint64_t refused = 0;
  const auto bytes_of = [](const Taken& one) {
    return sizeof(OutgoingMessage) + one.name.size() + one.data.size();
  };
  for (uint64_t round = test::rounds(50'000); round > 0; --round) {
    if (random.one_in(2)) {
      const Taken one{random.below32(1000), static_cast<uint16_t>(random.below32(65536)),
                      std::string(random.one_in(3) ? random.below(64) : 0, 'n'),
                      std::string(1 + random.below(random.one_in(8) ? 4000 : 300),
                                  static_cast<char>('a' + random.below(26)))};
      const bool fits = model.size() < kMostMessages && model_bytes + bytes_of(one) <= kMostBytes;
      REQUIRE(outbox.push(one.data.data(), one.data.size(), hop(one.flow, one.port), one.name) == fits);
      if (fits) {
        model_bytes += bytes_of(one);
        model.push_back(one);
      } else {
        ++refused;
      }
    } else {
      Taken out{};
      REQUIRE(take(outbox, out) == !model.empty());
      if (model.empty()) continue;
      REQUIRE(out == model.front());
      model_bytes -= bytes_of(model.front());
      model.pop_front();
    }
    REQUIRE(outbox.size() == model.size());
    REQUIRE(outbox.bytes() == model_bytes);
    REQUIRE(engine.payloads().blocks_in_use() == model.size());
  }
  CHECK(refused > 0);
  outbox.close();
  check_nothing_left(engine, outbox);
}

TEST_CASE(
    "many threads push while one takes: each message once, in the order of its thread, and no wake-up is "
    "lost") {
  constexpr uint32_t kPushers = 3;
  const auto each = static_cast<uint32_t>(test::rounds(20'000));
  core::Engine engine(configured(1 << 22));
  test::ParkedThread owner;
  engine.attach(Outbox::kThread, &owner);
  Outbox outbox(engine, 64);
  std::atomic<uint32_t> refused{0};
  std::vector<std::function<void()>> bodies;
  for (uint32_t pusher = 0; pusher < kPushers; ++pusher) {
    bodies.push_back([&, pusher] {
      Random random(100 + pusher);
      for (uint32_t i = 0; i < each; ++i) {
        const std::string text = std::to_string(i) + std::string(random.below(400), '.');
        while (!outbox.push(text.data(), text.size(), hop(pusher))) {
          refused.fetch_add(1);
          sched_yield();
        }
      }
    });
  }
  uint32_t next[kPushers] = {};
  bool in_order = true;
  bool woken = true;
  bodies.push_back([&] {
    Taken out{};
    for (uint32_t left = kPushers * each; left > 0 && woken;) {
      while (take(outbox, out)) {
        in_order = in_order && std::stoul(out.data) == next[out.flow]++;
        --left;
      }
      if (left > 0) woken = owner.park();
    }
  });
  test::run_together(bodies);
  CHECK(in_order);
  CHECK(woken);
  for (const uint32_t count : next) CHECK(count == each);
  engine.detach(Outbox::kThread, &owner);
  check_nothing_left(engine, outbox);
}

TEST_CASE("closed while threads push: what came too late is freed by the last close") {
  for (uint64_t round = test::rounds(300); round > 0; --round) {
    core::Engine engine(configured());
    Outbox outbox(engine, 64);
    test::run_together(3, [&](uint32_t thread) {
      if (thread == 2) {
        outbox.close();
        return;
      }
      for (uint32_t i = 0; i < 200; ++i) (void)outbox.push("text", 4, hop(thread));
    });
    outbox.close();
    check_nothing_left(engine, outbox);
  }
}
