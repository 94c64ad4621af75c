// One contender, one case: nanoseconds to schedule, to cancel and to expire a timer while so many are pending. All
// contenders are driven by one thread and jump from one time at which they have something to do to the next.
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "bench/contend.h"
#include "bench/timers/naive_wheel.h"
#include "bench/timers/own_wheel.h"
#include "bench/timers/priority_queue.h"
#ifdef BENCH_HAS_ASIO
#include "bench/timers/asio_queue.h"
#endif

namespace {

using namespace sip_async::bench;

constexpr uint32_t kSameTicks = 4000;
constexpr uint32_t kLongestTicks = 32'000;
// So that the 65,536th tick, where two upper levels of a wheel move, lies in the stretch that is measured.
constexpr uint64_t kFirstTick = 41'536;
// The wheel takes in what was scheduled whenever time is looked at; an engine does it at least so often.
constexpr uint32_t kScheduledAtOnce = 256;

struct Case {
  uint32_t pending;
  bool random;
  uint64_t operations;  // at least so many for each figure
};

// Drawn beforehand, so that drawing is not part of what is measured.
class Delays {
 public:
  explicit Delays(bool random) : ticks_(kDrawn) {
    std::mt19937 engine(1);
    for (uint32_t& ticks : ticks_)
      ticks = random ? 1 + static_cast<uint32_t>(engine()) % kLongestTicks : kSameTicks;
  }
  uint32_t next() { return ticks_[at_++ % kDrawn]; }

 private:
  static constexpr uint32_t kDrawn = 1 << 16;
  std::vector<uint32_t> ticks_;
  uint32_t at_ = 0;
};

// What is pending, one bit a timer, so that looking into it costs next to nothing beside what is measured.
class Pending {
 public:
  explicit Pending(uint32_t timers) : words_(timers / 64 + 1) {}
  void add(uint32_t timer) { words_[timer / 64] |= bit(timer); }
  bool take(uint32_t timer) {
    const bool was = (words_[timer / 64] & bit(timer)) != 0;
    words_[timer / 64] &= ~bit(timer);
    return was;
  }
  bool none() const {
    return std::all_of(words_.begin(), words_.end(), [](uint64_t word) { return word == 0; });
  }

 private:
  static uint64_t bit(uint32_t timer) { return uint64_t{1} << timer % 64; }
  std::vector<uint64_t> words_;
};

template <class Timers>
class Course {
 public:
  explicit Course(const Case& now)
      : case_(now), timers_(now.pending), delays_(now.random), pending_(now.pending) {
    timers_.advance(now_, [](uint32_t) {});
  }

  void run() {
    fill();
    // Once over, so that timers lie in memory as they do after a while.
    Meter warm_up;
    turn_over(std::max<uint64_t>(case_.pending, case_.operations / 4), warm_up);
    Meter both, schedule, cancel, expire;
    turn_over(case_.operations, both);
    cancel_and_schedule(schedule, cancel);
    drain(expire);
    while (expire.operations() < case_.operations / 2) {
      fill();
      drain(expire);
    }
    both.print("schedule+expire");
    schedule.print("schedule");
    cancel.print("cancel");
    expire.print("expire");
  }

 private:
  void schedule(uint32_t timer, uint64_t due_tick) {
    pending_.add(timer);
    timers_.schedule(timer, due_tick);
  }
  void settle() {
    timers_.advance(now_, [](uint32_t timer) { fail("timer " + std::to_string(timer) + " expired early"); });
  }

  // Spread over the whole delay, as they are once they have been running for a while.
  void fill() {
    for (uint32_t timer = 0; timer < case_.pending; ++timer) {
      schedule(timer, now_ + 1 + uint64_t{delays_.next()} * (timer + 1) / case_.pending);
      if (timer % kScheduledAtOnce == 0) settle();
    }
    settle();
  }

  // What expires is scheduled again.
  void turn_over(uint64_t operations, Meter& meter) {
    std::vector<uint32_t> out;
    uint64_t done = 0;
    meter.start();
    while (done < operations) {
      out.clear();
      now_ = timers_.next_event();
      timers_.advance(now_, [&](uint32_t timer) {
        if (!pending_.take(timer))
          fail("timer " + std::to_string(timer) + " expired twice or was never scheduled");
        out.push_back(timer);
      });
      for (const uint32_t timer : out) schedule(timer, now_ + delays_.next());
      done += out.size();
    }
    meter.stop(done);
    settle();
  }

  void cancel_and_schedule(Meter& schedule_meter, Meter& cancel_meter) {
    std::vector<uint32_t> chosen(case_.pending);
    for (uint32_t timer = 0; timer < case_.pending; ++timer) chosen[timer] = timer;
    std::shuffle(chosen.begin(), chosen.end(), std::mt19937(2));
    chosen.resize(std::max<size_t>(1, chosen.size() / 2));
    // Twice all of them at least, so that what a cancelled timer leaves behind is paid for, too.
    while (cancel_meter.operations() <
           std::max<uint64_t>(case_.operations / 2, 2 * uint64_t{case_.pending})) {
      cancel_meter.start();
      for (const uint32_t timer : chosen) {
        pending_.take(timer);
        timers_.cancel(timer);
      }
      cancel_meter.stop(chosen.size());
      uint32_t since = 0;
      schedule_meter.start();
      for (const uint32_t timer : chosen) {
        schedule(timer, now_ + delays_.next());
        if (++since % kScheduledAtOnce == 0) settle();
      }
      settle();
      schedule_meter.stop(chosen.size());
    }
    // A part stays cancelled: none of these may come out of what follows.
    chosen.resize(chosen.size() / 10);
    for (const uint32_t timer : chosen) {
      pending_.take(timer);
      timers_.cancel(timer);
    }
    cancelled_ = chosen.size();
  }

  void drain(Meter& meter) {
    const uint64_t expected = case_.pending - cancelled_;
    cancelled_ = 0;
    uint64_t done = 0;
    meter.start();
    for (uint64_t next = timers_.next_event(); next != UINT64_MAX; next = timers_.next_event()) {
      now_ = next;
      timers_.advance(now_, [&](uint32_t timer) {
        if (!pending_.take(timer)) fail("timer " + std::to_string(timer) + " was cancelled and expired");
        ++done;
      });
    }
    meter.stop(done);
    if (done != expected || !pending_.none()) {
      fail(std::to_string(done) + " of " + std::to_string(expected) + " timers expired");
    }
  }

  Case case_;
  Timers timers_;
  Delays delays_;
  Pending pending_;
  uint64_t now_ = kFirstTick;
  uint64_t cancelled_ = 0;
};

// The figures say nothing about punctuality, so each contender is looked at before: nothing comes out early or late.
template <class Timers>
void check_punctual(bool random) {
  constexpr uint32_t kTimers = 5000;
  Timers timers(kTimers);
  Delays delays(random);
  std::vector<uint64_t> due(kTimers);
  timers.advance(kFirstTick, [](uint32_t) {});
  for (uint32_t timer = 0; timer < kTimers; ++timer) {
    due[timer] = kFirstTick + delays.next();
    timers.schedule(timer, due[timer]);
  }
  for (uint32_t timer = 0; timer < kTimers; timer += 3) timers.cancel(timer);
  timers.advance(kFirstTick, [](uint32_t) { fail("expired early"); });
  for (uint64_t next = timers.next_event(); next != UINT64_MAX; next = timers.next_event()) {
    timers.advance(next, [&](uint32_t timer) {
      if (timer % 3 == 0) fail("a cancelled timer expired");
      if (due[timer] != next)
        fail("due at " + std::to_string(due[timer]) + ", expired at " + std::to_string(next));
      due[timer] = 0;
    });
  }
  for (uint32_t timer = 0; timer < kTimers; ++timer) {
    if (timer % 3 != 0 && due[timer] != 0) fail("a timer never expired");
  }
}

template <class Timers>
void contend(const Case& now) {
  check_punctual<Timers>(now.random);
  Course<Timers>(now).run();
}

}  // namespace

int main(int argc, char** argv) {
  using Run = void (*)(const Case&);
  const std::vector<Contender<Run>> contenders = {
      {"sip-async", contend<OwnWheel>},
      {"priority_queue", contend<PriorityQueue>},
#ifdef BENCH_HAS_ASIO
      {"asio", contend<AsioQueue>},
#endif
      {"naive-wheel", contend<NaiveWheel>},
  };
  const char* usage = "CONTENDER PENDING same|random OPERATIONS";
  const auto& contender = choose(contenders, argc, argv, usage);
  if (argc != 5) fail(usage);
  const std::string delays = argv[3];
  if (delays != "same" && delays != "random") fail(usage);
  const uint64_t pending = number_of(argv[2]);
  if (pending == 0 || pending > 1'000'000'000) fail(usage);
  contender.run({static_cast<uint32_t>(pending), delays == "random", number_of(argv[4])});
}
