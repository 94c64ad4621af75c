#include "core/slot_table.h"

#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "test/support/seed.h"
#include "test/support/slot_model.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

struct Bed {
  explicit Bed(uint32_t slots) : region(SlotTable::region_bytes(slots)), table(region, slots) {}
  Region region;
  SlotTable table;
};

// Leads a fresh slot into `state` by the steps that lead there in life.
Task lead_to(SlotTable& table, State state) {
  const uint32_t index = table.try_acquire();
  REQUIRE(index != kNone);
  const uint32_t generation = table.word(index).generation();
  const auto step = [&](Step what) { REQUIRE(take_step(table, {index, generation}, what) == Status::kOk); };
  if (state == State::kReceived) return {index, generation};
  if (state == State::kIdleCancelled) {
    step(Step::kConcludeCancelled);
    return {index, generation};
  }
  step(Step::kBeginRun);
  // Twice around, so that a suspension of before exists and its number is not the present one.
  step(Step::kSuspend);
  step(Step::kMakeDue);
  step(Step::kBeginRun);
  switch (state) {
    case State::kSuspended:
    case State::kDue:
      step(Step::kSuspend);
      if (state == State::kDue) step(Step::kMakeDue);
      break;
    case State::kRunningAnswered:
    case State::kIdleAnswered:
      step(Step::kAnswer);
      break;
    case State::kRunningSilent:
    case State::kIdleSilent:
      step(Step::kAnswerSilent);
      break;
    case State::kRunningCancelled:
      step(Step::kConcludeCancelled);
      break;
    default:
      break;
  }
  if (state == State::kIdle || state == State::kIdleAnswered || state == State::kIdleSilent)
    step(Step::kEndRun);
  return {index, generation};
}

TEST_CASE("every step from every state has the expected answer, and a refused one changes nothing") {
  for (uint32_t s = 0; s < kStates; ++s) {
    for (uint32_t t = 0; t < kSteps; ++t) {
      const auto state = static_cast<State>(s);
      const auto what = static_cast<Step>(t);
      CAPTURE(s);
      CAPTURE(t);
      Bed bed(2);
      const Task task = lead_to(bed.table, state);
      const Word before = bed.table.word(task.index);
      REQUIRE(state_of(before) == state);
      const Outcome expected = outcome(state, what);
      CHECK(take_step(bed.table, task, what) == expected.status);
      const Word after = bed.table.word(task.index);
      if (expected.status != Status::kOk) {
        CHECK(after.bits() == before.bits());
        continue;
      }
      CHECK(state_of(after) == expected.next);
      CHECK(after.generation() == before.generation());
      const bool suspends = what == Step::kSuspend || what == Step::kSuspendDue;
      // Taken back out of a queue, a suspension has not been.
      const bool undone = what == Step::kTakeBack && state == State::kDue;
      CHECK(after.suspension() == before.suspension() + (suspends ? 1 : 0) - (undone ? 1 : 0));
    }
  }
}

TEST_CASE("a handle that does not fit is stale for every step, and changes nothing") {
  Bed bed(2);
  for (uint32_t s = 0; s < kStates; ++s) {
    const Task task = lead_to(bed.table, static_cast<State>(s));
    const uint64_t before = bed.table.word(task.index).bits();
    for (uint32_t t = 0; t < kSteps; ++t) {
      const auto what = static_cast<Step>(t);
      CHECK(take_step(bed.table, {task.index, task.generation + 1}, what) == Status::kStaleHandle);
      CHECK(take_step(bed.table, {task.index, task.generation - 1}, what) == Status::kStaleHandle);
      CHECK(take_step(bed.table, {1, 0}, what) == Status::kStaleHandle);                // never handed out
      CHECK(take_step(bed.table, {2, task.generation}, what) == Status::kStaleHandle);  // beyond the table
      CHECK(take_step(bed.table, {kNone, task.generation}, what) == Status::kStaleHandle);
    }
    CHECK(bed.table.word(task.index).bits() == before);
    CHECK(bed.table.is_current(task.index, task.generation));
    CHECK_FALSE(bed.table.is_current(task.index, task.generation + 1));
    CHECK_FALSE(bed.table.is_current(kNone, task.generation));

    bed.table.release(task.index);
    CHECK_FALSE(bed.table.is_current(task.index, task.generation));
    CHECK_FALSE(bed.table.is_current(task.index, task.generation + 1));
    for (uint32_t t = 0; t < kSteps; ++t) {
      CHECK(take_step(bed.table, task, static_cast<Step>(t)) == Status::kStaleHandle);
      CHECK(take_step(bed.table, {task.index, task.generation + 1}, static_cast<Step>(t)) ==
            Status::kStaleHandle);
    }
    CHECK(bed.table.live() == 0);
    CHECK(bed.table.check_invariants());
  }
}

TEST_CASE("conclude and end_run tell what they found") {
  Bed bed(16);
  const auto found = [&](State state) {
    Run was = Run::kIdle;
    const Task task = lead_to(bed.table, state);
    REQUIRE(bed.table.conclude(task.index, task.generation, Word::kCancelled, was) == Status::kOk);
    return was;
  };
  CHECK(found(State::kReceived) == Run::kReceived);
  CHECK(found(State::kRunning) == Run::kRunning);
  CHECK(found(State::kSuspended) == Run::kSuspended);
  CHECK(found(State::kDue) == Run::kDue);
  CHECK(found(State::kIdle) == Run::kIdle);

  Word before(0);
  const Task silent = lead_to(bed.table, State::kRunningSilent);
  REQUIRE(bed.table.end_run(silent.index, silent.generation, before) == Status::kOk);
  CHECK(before.has(Word::kAnswered));
  CHECK(before.has(Word::kSilent));
  const Task open = lead_to(bed.table, State::kRunning);
  REQUIRE(bed.table.end_run(open.index, open.generation, before) == Status::kOk);
  CHECK_FALSE(before.has(Word::kAnswered));
}

TEST_CASE("slots are handed out until there are none, and touched only then") {
  Bed bed(8);
  CHECK(bed.table.high_water() == 0);
  for (uint32_t i = 0; i < 8; ++i) {
    CHECK(bed.table.try_acquire() == i);
    CHECK(bed.table.high_water() == i + 1);
  }
  CHECK(bed.table.try_acquire() == kNone);
  CHECK(bed.table.live() == 8);
  bed.table.release(3);
  CHECK(bed.table.live() == 7);
  CHECK(bed.table.try_acquire() == 3);
  CHECK(bed.table.word(3).generation() == 1);
  CHECK(bed.table.try_acquire() == kNone);
  CHECK(bed.table.check_invariants());
}

TEST_CASE("the number of a suspension goes round without touching its neighbours in the word") {
  Bed bed(1);
  const Task task = lead_to(bed.table, State::kRunning);
  Slot& slot = bed.table.at(task.index);
  slot.word = Word::make(task.generation, Word::kSuspensionMask, Word::kLive, Run::kRunning).bits();
  uint32_t suspension = Word::kSuspensionMask;
  REQUIRE(bed.table.suspend(task.index, task.generation, Run::kSuspended, suspension) == Status::kOk);
  const Word after = bed.table.word(task.index);
  CHECK(after.suspension() == suspension);
  CHECK(suspension < Word::kSuspensionMask);
  // 0 is a call that was never suspended.
  CHECK(suspension != 0);
  CHECK(after.generation() == task.generation);
  CHECK(state_of(after) == State::kSuspended);
  CHECK(bed.table.make_due(task.index, task.generation, Word::kSuspensionMask) == Status::kNotSuspended);
  CHECK(bed.table.make_due(task.index, task.generation, suspension) == Status::kOk);
}

TEST_CASE("random steps of many slots against a model") {
  Random random(1);
  constexpr uint32_t kSlots = 12;
  Bed bed(kSlots);
  struct Model {
    bool live = false;
    uint32_t generation = 0;
    uint32_t suspension = 0;
    State state = State::kReceived;
  };
  Model model[kSlots];
  uint32_t live = 0;
  for (uint64_t step = 0; step < rounds(400'000); ++step) {
    if (random.one_in(12)) {
      const uint32_t index = bed.table.try_acquire();
      REQUIRE((index == kNone) == (live == kSlots));
      if (index == kNone) continue;
      REQUIRE_FALSE(model[index].live);
      ++live;
      model[index].live = true;
      model[index].suspension = 0;
      model[index].state = State::kReceived;
      REQUIRE(bed.table.word(index).generation() == model[index].generation);
    } else if (random.one_in(12)) {
      const uint32_t index = random.below32(kSlots);
      if (!model[index].live) continue;
      bed.table.release(index);
      --live;
      model[index].live = false;
      ++model[index].generation;
    } else {
      const uint32_t index = random.below32(kSlots + 1);
      const auto what = static_cast<Step>(random.below(kSteps));
      const bool fits = index < kSlots && !random.one_in(10);
      const uint32_t generation =
          (index < kSlots ? model[index].generation : 0) + (fits ? 0 : 1 - random.below32(3));
      const bool current = index < kSlots && model[index].live && generation == model[index].generation;
      const Outcome expected =
          current ? outcome(model[index].state, what) : Outcome{Status::kStaleHandle, State::kReceived};
      REQUIRE(take_step(bed.table, {index, generation}, what) == expected.status);
      if (expected.status == Status::kOk) {
        if (what == Step::kTakeBack && model[index].state == State::kDue) --model[index].suspension;
        model[index].state = expected.next;
        if (what == Step::kSuspend || what == Step::kSuspendDue) ++model[index].suspension;
      }
      if (current) {
        REQUIRE(state_of(bed.table.word(index)) == model[index].state);
        REQUIRE(bed.table.word(index).suspension() == model[index].suspension);
      }
    }
    REQUIRE(bed.table.live() == live);
    if (step % 32 == 0) REQUIRE(bed.table.check_invariants());
  }
}

// Lets threads race over many slots at once: each body is called with every slot, a barrier stands before and
// after, and between two laps `check` looks at what came of it.
void race_over(SlotTable& table, uint32_t laps, uint32_t slots, State from,
               const std::vector<std::function<void(uint32_t, Task)>>& bodies,
               const std::function<void(uint32_t, Task)>& check) {
  std::vector<Task> tasks(slots);
  const auto prepare = [&] {
    for (Task& task : tasks) task = lead_to(table, from);
  };
  prepare();
  uint32_t lap = 0;
  bool end = false;
  std::barrier together(static_cast<std::ptrdiff_t>(bodies.size()), [&]() noexcept {
    if (lap++ % 2 == 0) return;  // the barrier before the race
    for (uint32_t i = 0; i < slots; ++i) {
      check(i, tasks[i]);
      table.release(tasks[i].index);
    }
    end = lap == 2 * laps;
    if (!end) prepare();
  });
  run_together(static_cast<uint32_t>(bodies.size()), [&](uint32_t thread) {
    while (!end) {
      together.arrive_and_wait();
      for (uint32_t i = 0; i < slots; ++i) bodies[thread](i, tasks[i]);
      together.arrive_and_wait();
    }
  });
  CHECK(table.live() == 0);
  CHECK(table.check_invariants());
}

constexpr uint32_t kRaceSlots = 256;

TEST_CASE("threads: of all that answer or conclude a running call one wins") {
  Bed bed(kRaceSlots);
  std::atomic<uint32_t> answered[kRaceSlots] = {};
  std::atomic<uint32_t> concluded[kRaceSlots] = {};
  uint64_t by_answer = 0;
  uint64_t wrong = 0;
  const auto conclude = [&](uint64_t flags) {
    return [&, flags](uint32_t i, Task task) {
      Run was = Run::kIdle;
      if (bed.table.conclude(task.index, task.generation, flags, was) != Status::kOk) return;
      if (was == Run::kRunning) concluded[i].fetch_add(1, std::memory_order_relaxed);
    };
  };
  const auto laps = static_cast<uint32_t>(rounds(600));
  race_over(bed.table, laps, kRaceSlots, State::kRunning,
            {[&](uint32_t i, Task task) {
               if (bed.table.answer(task.index, task.generation) == Status::kOk) {
                 answered[i].fetch_add(1, std::memory_order_relaxed);
               }
             },
             conclude(Word::kCancelled), conclude(0)},
            [&](uint32_t i, Task task) {
              const uint32_t won = answered[i].exchange(0);
              wrong += won + concluded[i].exchange(0) != 1;
              by_answer += won;
              const Word word = bed.table.word(task.index);
              wrong += !word.has(Word::kAnswered) || word.run() != Run::kRunning;
              wrong += won == 1 && word.has(Word::kCancelled);
            });
  CHECK(wrong == 0);
  MESSAGE("answered " << by_answer << " of " << uint64_t{laps} * kRaceSlots);
}

TEST_CASE("threads: a suspension becomes due once, and a conclusion knows whether it did") {
  Bed bed(kRaceSlots);
  std::atomic<uint32_t> due[kRaceSlots] = {};
  std::atomic<uint32_t> concluded[kRaceSlots] = {};
  std::atomic<uint32_t> found_due[kRaceSlots] = {};
  uint64_t wrong = 0;
  const auto make_due = [&](uint32_t i, Task task) {
    const uint32_t suspension = bed.table.word(task.index).suspension();
    if (bed.table.make_due(task.index, task.generation, suspension) == Status::kOk) due[i].fetch_add(1);
  };
  race_over(bed.table, static_cast<uint32_t>(rounds(600)), kRaceSlots, State::kSuspended,
            {make_due, make_due,
             [&](uint32_t i, Task task) {
               Run was = Run::kIdle;
               if (bed.table.conclude(task.index, task.generation, Word::kCancelled, was) != Status::kOk)
                 return;
               concluded[i].fetch_add(1);
               if (was == Run::kDue) found_due[i].fetch_add(1);
             }},
            [&](uint32_t i, Task task) {
              const uint32_t times = due[i].exchange(0);
              wrong += times > 1 || concluded[i].exchange(0) != 1 || found_due[i].exchange(0) != times;
              wrong += state_of(bed.table.word(task.index)) != State::kIdleCancelled;
            });
  CHECK(wrong == 0);
}

TEST_CASE("threads: a due call is run by one, unless it is concluded first") {
  Bed bed(kRaceSlots);
  std::atomic<uint32_t> begun[kRaceSlots] = {};
  std::atomic<uint32_t> found_running[kRaceSlots] = {};
  std::atomic<uint32_t> concluded[kRaceSlots] = {};
  uint64_t wrong = 0;
  const auto begin = [&](uint32_t i, Task task) {
    if (bed.table.begin_run(task.index, task.generation) == Status::kOk) begun[i].fetch_add(1);
  };
  race_over(bed.table, static_cast<uint32_t>(rounds(600)), kRaceSlots, State::kDue,
            {begin, begin,
             [&](uint32_t i, Task task) {
               Run was = Run::kIdle;
               if (bed.table.conclude(task.index, task.generation, 0, was) != Status::kOk) return;
               concluded[i].fetch_add(1);
               if (was == Run::kRunning) found_running[i].fetch_add(1);
             }},
            [&](uint32_t i, Task task) {
              const uint32_t times = begun[i].exchange(0);
              wrong += times > 1 || concluded[i].exchange(0) != 1 || found_running[i].exchange(0) != times;
              const State expected = times == 1 ? State::kRunningAnswered : State::kIdleAnswered;
              wrong += state_of(bed.table.word(task.index)) != expected;
            });
  CHECK(wrong == 0);
}

TEST_CASE("a head that was taken and put back while a pop looked at it is told apart") {
  IndexStack stack;
  std::atomic<uint32_t> links[3] = {};
  const auto link = [&](uint32_t index) -> std::atomic<uint32_t>& { return links[index]; };
  for (const uint32_t index : {2u, 1u, 0u}) stack.push(index, link);
  // Stands in for a thread that is stopped right after it has read what lies below the head.
  struct Interrupted {
    uint32_t load(std::memory_order order) const {
      const uint32_t below = link->load(order);
      (*meanwhile)();
      return below;
    }
    std::atomic<uint32_t>* link;
    const std::function<void()>* meanwhile;
  };
  bool happened = false;
  const std::function<void()> meanwhile = [&] {
    if (happened) return;
    happened = true;
    CHECK(stack.pop(link) == 0);
    CHECK(stack.pop(link) == 1);
    stack.push(0, link);
  };
  CHECK(stack.pop([&](uint32_t index) { return Interrupted{&links[index], &meanwhile}; }) == 0);
  CHECK(happened);
  CHECK(stack.pop(link) == 2);  // 1 is somebody's
  CHECK(stack.pop(link) == kNone);
}

TEST_CASE("threads: the free list never hands out a slot twice") {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kSlots = 6;  // fewer than the threads want, so that the same heads come again and again
  Bed bed(kSlots);
  std::atomic<uint32_t> holders[kSlots] = {};
  std::atomic<uint64_t> acquired{0};
  std::atomic<uint64_t> wrong{0};
  run_together(kThreads, [&](uint32_t thread) {
    Random random(30 + thread);
    uint64_t mine = 0;
    for (uint64_t round = 0; round < rounds(200'000); ++round) {
      uint32_t held[3];
      uint32_t count = 0;
      for (const uint32_t want = random.below32(3) + 1; count < want;) {
        const uint32_t index = bed.table.try_acquire();
        if (index == kNone) break;
        held[count++] = index;
        if (holders[index].fetch_add(1, std::memory_order_relaxed) != 0) wrong.fetch_add(1);
        // Plain members: a hand-over without order would be a data race.
        bed.table.at(index).due_tick = thread;
        bed.table.at(index).chain = static_cast<uint32_t>(round);
      }
      mine += count;
      while (count > 0) {
        const uint32_t index = held[--count];
        const Slot& slot = bed.table.at(index);
        if (slot.due_tick != thread || slot.chain != static_cast<uint32_t>(round)) wrong.fetch_add(1);
        holders[index].fetch_sub(1, std::memory_order_relaxed);
        bed.table.release(index);
      }
    }
    acquired.fetch_add(mine);
  });
  CHECK(wrong == 0);
  CHECK(bed.table.live() == 0);
  CHECK(bed.table.check_invariants());
  // Every life has counted its slot's generation up by one.
  uint64_t lives = 0;
  for (uint32_t index = 0; index < kSlots; ++index) lives += bed.table.word(index).generation();
  CHECK(lives == acquired);
  for (uint32_t i = 0; i < kSlots; ++i) CHECK(bed.table.try_acquire() != kNone);
  CHECK(bed.table.try_acquire() == kNone);
}

}  // namespace
