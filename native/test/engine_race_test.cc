// Receiver, worker, ticker and a canceller at once. Apart from engine_test.cc, which goes through the engine
// step by step.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "core/engine.h"
#include "test/support/engine_bed.h"
#include "test/support/seed.h"
#include "test/support/stress.h"
#include "test/support/wakeables.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

TEST_CASE("threads: a call that begins to run while it is concluded is told to the thread that runs it") {
  constexpr uint32_t kCalls = 256;
  for (const uint64_t flags : {Word::kCancelled, uint64_t{0}}) {
    CAPTURE(flags);
    Bed bed(4 * kCalls);  // inboxes with room for both sides telling the same
    uint64_t untold = 0, disagreed = 0, met = 0;
    for (uint64_t lap = 0; lap < rounds(400); ++lap) {
      std::vector<Task> tasks(kCalls);
      for (Task& task : tasks) {
        const uint32_t index = bed.engine.slots().try_acquire();
        task = {index, bed.engine.slots().word(index).generation()};
        // As the slot's former life left it.
        bed.engine.slots().at(index).thread.store(Bed::kReceiver);
      }
      std::vector<uint8_t> began(kCalls), found_running(kCalls);
      std::atomic<uint32_t> at{0};
      run_together({[&] {
                      for (uint32_t i = 0; i < kCalls; ++i) {
                        at.store(i + 1);
                        began[i] = bed.engine.begin_run(tasks[i], bed.worker(), 0) == Status::kOk;
                      }
                    },
                    [&] {
                      for (uint32_t i = 0; i < kCalls; ++i) {
                        for (uint32_t spin = 0; at.load() < i + 1; ++spin) {
                          if (spin % 1000 == 999) std::this_thread::yield();
                        }
                        Run was = Run::kIdle;
                        bed.engine.conclude(tasks[i], flags, was);
                        found_running[i] = was == Run::kRunning;
                      }
                    }});
      std::set<uint64_t> told;
      Task batch[64];
      for (uint32_t count; (count = bed.engine.take_inbox(bed.worker(), batch, 64)) != 0;) {
        for (uint32_t i = 0; i < count; ++i) told.insert(batch[i].bits());
      }
      while (bed.engine.take_inbox(Bed::kReceiver, batch, 64) != 0) {
      }
      for (uint32_t i = 0; i < kCalls; ++i) {
        met += began[i];
        disagreed += began[i] != found_running[i];
        untold += began[i] != 0 && told.count(tasks[i].bits()) == 0;
        Word before(0);
        if (began[i] != 0) bed.engine.slots().end_run(tasks[i].index, tasks[i].generation, before);
        bed.engine.slots().release(tasks[i].index);
      }
    }
    MESSAGE(met << " of " << rounds(400) * kCalls << " calls were running when they were concluded");
    CHECK(disagreed == 0);
    CHECK(untold == 0);
    bed.check_all_zero();
  }
}

// What a call carries in its payload, touched by nobody but its present owner.
struct Luggage {
  uint32_t number;
  uint64_t due_ns;
};

class Traffic {
 public:
  explicit Traffic(uint32_t calls) : bed_(512), calls_(calls), handles_(calls), ended_(calls) {
    bed_.engine.attach(Bed::kReceiver, &receiver_);
    bed_.engine.attach(bed_.worker(), &worker_);
    bed_.engine.group(Bed::kGroup).attach(0, &worker_);
  }

  void run() {
    bed_.start();
    run_together({[this] { receive(); }, [this] { work(); }, [this] { cancel(); }});
    CHECK(early_ == 0);
    CHECK(deaf_ == false);
    uint64_t wrong = 0;
    for (const auto& count : ended_) wrong += count.load() != 1;
    CHECK(wrong == 0);
    CHECK(suspensions_ > calls_ / 4);
    WARN(concluded_ > 0);
    MESSAGE(suspensions_.load() << " suspensions, " << concluded_.load() << " calls concluded from outside, "
                                << bed_.engine.counters.stale_timers.load() << " stale timers");
    bed_.check_all_zero();
  }

 private:
  Luggage luggage(Slot& slot) {
    Luggage out;
    std::memcpy(&out, bed_.engine.payloads().data(slot.request), sizeof out);
    return out;
  }
  void stow(Slot& slot, const Luggage& luggage) {
    std::memcpy(bed_.engine.payloads().data(slot.request), &luggage, sizeof luggage);
  }

  // By the one who owns a call that has been answered.
  void end(Task task) {
    Slot& slot = bed_.engine.slots().at(task.index);
    ended_[luggage(slot).number].fetch_add(1);
    bed_.engine.payloads().free(slot.request);
    slot.request = kNoPayload;
    bed_.engine.slots().release(task.index);
    ends_.fetch_add(1);
  }

  // The route of a running call: answers, or suspends in one of the three ways.
  void route(Task task, uint32_t thread, Random& random) {
    Engine& engine = bed_.engine;
    Slot& slot = engine.slots().at(task.index);
    Luggage mine = luggage(slot);
    Status status = Status::kGroupFull;
    const uint64_t kind = random.below(10);
    if (kind < 6) {
      mine.due_ns = now_ns() + random.below(random.one_in(50) ? 60'000'000 : 2'500'000);
      stow(slot, mine);
      status =
          engine.suspend_until(task, mine.due_ns, 1, 1, kind < 3 ? Engine::kOwnThread : Bed::kGroup, thread);
    } else if (kind < 8) {
      mine.due_ns = 0;
      stow(slot, mine);
      status = engine.suspend_now(task, now_ns(), 1, Bed::kGroup);
    }
    if (status == Status::kOk) {
      suspensions_.fetch_add(1);
      return;
    }
    // The canceller that comes between the push that failed and taking back owns the call.
    engine.slots().answer(task.index, task.generation);
    Word before(0);
    if (engine.slots().end_run(task.index, task.generation, before) == Status::kOk) end(task);
  }

  void resume(Task task, uint32_t thread, Random& random) {
    const uint64_t now = now_ns();
    if (bed_.engine.begin_run(task, thread, now) != Status::kOk) return;  // concluded, or only told of it
    if (luggage(bed_.engine.slots().at(task.index)).due_ns > now) early_.fetch_add(1);
    route(task, thread, random);
  }

  void drain_inbox(uint32_t thread, Random& random) {
    Task tasks[16];
    for (uint32_t count; (count = bed_.engine.take_inbox(thread, tasks, 16)) != 0;) {
      for (uint32_t i = 0; i < count; ++i) resume(tasks[i], thread, random);
    }
  }

  bool done() const { return ends_.load() == calls_ || deaf_.load(); }

  void receive() {
    Random random(1);
    SlotTable& slots = bed_.engine.slots();
    for (uint32_t number = 0; number < calls_;) {
      drain_inbox(Bed::kReceiver, random);
      const uint32_t index = slots.try_acquire();
      if (index == kNone) {
        std::this_thread::yield();
        continue;
      }
      Slot& slot = slots.at(index);
      const Task task{index, slots.word(index).generation()};
      slot.request = bed_.engine.payloads().try_allocate(sizeof(Luggage));
      stow(slot, {number, 0});
      handles_[number].store(task.bits(), std::memory_order_release);
      made_.store(++number, std::memory_order_release);
      if (random.one_in(4)) std::this_thread::yield();
      resume(task, Bed::kReceiver, random);
    }
    while (!done()) {
      drain_inbox(Bed::kReceiver, random);
      receiver_.park_for_ms(5);
    }
    worker_.wake();
  }

  void work() {
    Random random(2);
    Engine& engine = bed_.engine;
    WorkerGroup& group = engine.group(Bed::kGroup);
    Task tasks[16];
    while (!done()) {
      drain_inbox(bed_.worker(), random);
      const uint32_t count = group.take(tasks, 16);
      for (uint32_t i = 0; i < count; ++i) resume(tasks[i], bed_.worker(), random);
      if (count != 0 || !group.go_idle(0)) continue;
      if (engine.inbox_empty(bed_.worker()) && !done() && !worker_.park()) deaf_.store(true);
      group.leave_idle(0);
    }
  }

  void cancel() {
    Random random(3);
    while (!done()) {
      const uint32_t made = made_.load(std::memory_order_acquire);
      if (made == 0) continue;
      const uint32_t back = random.below32(random.one_in(2) ? 4 : 400) + 1;
      const Task task = Task::of(handles_[made - std::min(made, back)].load(std::memory_order_acquire));
      Run was = Run::kIdle;
      if (bed_.engine.conclude(task, random.one_in(2) ? Word::kCancelled : 0, was) == Status::kOk) {
        concluded_.fetch_add(1);
        // A running call is ended by its route.
        if (was != Run::kRunning) end(task);
      }
      if (random.one_in(3)) sleep_us(20);
    }
  }

  Bed bed_;
  ParkedThread receiver_, worker_;
  uint32_t calls_;
  std::vector<std::atomic<uint64_t>> handles_;
  std::vector<std::atomic<uint32_t>> ended_;
  std::atomic<uint32_t> made_{0}, ends_{0};
  std::atomic<uint64_t> early_{0}, suspensions_{0}, concluded_{0};
  std::atomic<bool> deaf_{false};
};

TEST_CASE("threads: every call ends once, however timers, threads and cancellations meet") {
  Traffic traffic(static_cast<uint32_t>(rounds(60'000)));
  traffic.run();
}

}  // namespace
