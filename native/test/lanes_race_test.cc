// Lanes under threads: those that bring tasks, those that work them off, and one that takes some out from anywhere.
#include "core/lanes.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "test/support/seed.h"
#include "test/support/stress.h"

using namespace sip_async;
using core::Hash128;
using core::kNone;
using core::Lanes;
using core::Run;
using core::Status;
using core::Task;

namespace {

constexpr uint32_t kSlots = 256;
constexpr uint32_t kProducers = 3;
constexpr uint32_t kWorkers = 3;
// Each producer has names of its own, so that it knows the order in which they came in.
constexpr uint32_t kNames = 4;

// What a task is, as its owner wrote it.
struct Letter {
  uint32_t name;
  uint64_t number;
};

struct Scene {
  core::Region region{core::SlotTable::region_bytes(kSlots) + core::TaskQueue::region_bytes(kSlots)};
  core::SlotTable slots{region, kSlots};
  core::TaskQueue queue{region, kSlots};
  Lanes lanes{kSlots};
  std::vector<Letter> letters = std::vector<Letter>(kSlots);
  // Of each name: how many of it run now, and the number that ran last. Plain: only one of a name runs at a time, and the
  // lane hands them on.
  std::vector<uint64_t> last = std::vector<uint64_t>(kProducers * kNames, 0);
  std::vector<std::atomic<uint32_t>> running = std::vector<std::atomic<uint32_t>>(kProducers * kNames);
  std::atomic<uint64_t> entered{0};
  std::atomic<uint64_t> ended{0};
  std::atomic<uint64_t> repeated{0};
  std::atomic<bool> out_of_order{false};
  std::atomic<bool> two_at_once{false};
  std::atomic<uint32_t> producing{kProducers};

  static Hash128 hash(uint64_t number) { return core::SipHash(3, 4).add_number(number).finish(); }

  void leave(uint32_t index) {
    Task next{};
    uint16_t group = 0;
    (void)lanes.leave(index, next, group);
    if (next.index == kNone) return;
    while (!queue.try_push(next.bits())) std::this_thread::yield();
  }

  void produce(uint32_t producer) {
    test::Random random(100 + producer);
    uint64_t numbers[kNames] = {};
    for (uint64_t i = 0; i < test::rounds(40'000); ++i) {
      uint32_t generation = 0;
      const uint32_t index = slots.try_acquire([&](core::Slot& slot) {
        generation = core::Word(slot.word.load(std::memory_order_relaxed)).generation();
      });
      if (index == kNone) {
        std::this_thread::yield();
        continue;
      }
      const Task task{index, generation};
      REQUIRE(slots.begin_run(index, generation) == Status::kOk);
      const uint32_t own = random.below32(kNames);
      const uint32_t name = producer * kNames + own;
      // Now and then the one before once more.
      const bool repeats = numbers[own] != 0 && random.one_in(5);
      const uint64_t number = repeats ? numbers[own] : ++numbers[own];
      letters[index] = {name, number};
      const Hash128 key = hash(uint64_t{name} << 32 | number);
      const auto entry = lanes.enter(task, 0, hash(name), &key, [&] {
        return slots.step(index, generation, Run::kRunning, Run::kDue) == Status::kOk;
      });
      if (entry == Lanes::Entry::kRepeated) {
        repeated.fetch_add(1);
        core::Word before(0);
        REQUIRE(slots.end_run(index, generation, before) == Status::kOk);
        slots.release(index);
        continue;
      }
      REQUIRE(entry != Lanes::Entry::kRefused);
      entered.fetch_add(1);
      if (entry == Lanes::Entry::kFirst) {
        while (!queue.try_push(task.bits())) std::this_thread::yield();
      }
    }
    producing.fetch_sub(1);
  }

  bool is_over() { return producing.load() == 0 && ended.load() == entered.load(); }

  void work() {
    while (!is_over()) {
      uint64_t bits = 0;
      if (!queue.try_pop(bits)) {
        std::this_thread::yield();
        continue;
      }
      const Task task = Task::of(bits);
      if (slots.begin_run(task.index, task.generation) != Status::kOk) continue;  // taken out meanwhile
      lanes.begin(task.index);
      const Letter letter = letters[task.index];
      if (running[letter.name].fetch_add(1) != 0) two_at_once.store(true);
      // A repetition of one that had begun comes behind it with the same number.
      if (letter.number < last[letter.name]) out_of_order.store(true);
      last[letter.name] = letter.number;
      running[letter.name].fetch_sub(1);
      leave(task.index);
      end(task);
    }
  }

  void end(Task task) {
    core::Word before(0);
    REQUIRE(slots.end_run(task.index, task.generation, before) == Status::kOk);
    slots.release(task.index);
    ended.fetch_add(1);
  }

  // As a shutdown does, only that it does not end everything.
  void take_out() {
    test::Random random(200);
    while (!is_over()) {
      const uint32_t index = random.below32(kSlots);
      const core::Word word = slots.word(index);
      if (word.has(core::Word::kLive) && word.run() == Run::kDue &&
          slots.step(index, word.generation(), Run::kDue, Run::kIdle) == Status::kOk) {
        leave(index);
        slots.release(index);
        ended.fetch_add(1);
      }
      test::sleep_us(20);
    }
  }
};

}  // namespace

TEST_CASE("lanes: threads bring, work off and take out; each name keeps its order, one at a time") {
  auto scene = std::make_unique<Scene>();
  std::vector<std::function<void()>> bodies;
  for (uint32_t i = 0; i < kProducers; ++i) bodies.push_back([&, i] { scene->produce(i); });
  for (uint32_t i = 0; i < kWorkers; ++i) bodies.push_back([&] { scene->work(); });
  bodies.push_back([&] { scene->take_out(); });
  test::run_together(bodies);
  CHECK_FALSE(scene->out_of_order.load());
  CHECK_FALSE(scene->two_at_once.load());
  CHECK(scene->repeated.load() > 0);
  CHECK(scene->slots.live() == 0);
  CHECK(scene->lanes.waiting() == 0);
  CHECK(scene->lanes.check_invariants());
}
