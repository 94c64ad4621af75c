#include "core/worker_group.h"

#include <sched.h>

#include <algorithm>
#include <bit>

#include "core/clock.h"

namespace sip_async::core {

namespace {

// A look costs less than the clock.
constexpr uint32_t kLooksBetweenClock = 4;

}  // namespace

WorkerGroup::WorkerGroup(Region& region, const GroupConfig& config, uint32_t capacity)
    : config_(config), queue_(region, capacity) {}

void WorkerGroup::note_depth(uint32_t depth) {
  uint32_t high = counters.high_water.load(std::memory_order_relaxed);
  while (depth > high && !counters.high_water.compare_exchange_weak(high, depth, std::memory_order_relaxed)) {
  }
}

Status WorkerGroup::admit() {
  if (config_.workers == 0) return Status::kNoWorkers;
  if (config_.nonblock && queued() >= config_.max_queue) {
    counters.refused.fetch_add(1, std::memory_order_relaxed);
    return Status::kGroupFull;
  }
  return Status::kOk;
}

bool WorkerGroup::push(Task task) {
  if (!queue_.try_push(task.bits())) return false;
  note_depth(queued());
  return true;
}

void WorkerGroup::hold() {
  held_.fetch_add(1, std::memory_order_relaxed);
  note_depth(queued());
}

void WorkerGroup::wake_one() {
  if (lookout_.load(std::memory_order_seq_cst)) return;
  for (uint32_t word = 0; word * 64 < config_.workers; ++word) {
    // Sequentially consistent: comes after the push in the one order that go_idle() takes part in.
    uint64_t bits = idle_[word].load(std::memory_order_seq_cst);
    while (bits != 0) {
      // The lowest number first: one worker stays warm while others sleep.
      const uint32_t bit = static_cast<uint32_t>(std::countr_zero(bits));
      const uint64_t mask = uint64_t{1} << bit;
      if ((idle_[word].fetch_and(~mask, std::memory_order_seq_cst) & mask) != 0) {
        // Acquire: pairs with attach().
        Wakeable* target = wakeables_[word * 64 + bit].load(std::memory_order_acquire);
        if (target != nullptr) {
          target->wake();
          return;
        }
      }
      bits = idle_[word].load(std::memory_order_seq_cst);
    }
  }
}

uint32_t WorkerGroup::take(Task* tasks, uint32_t most) {
  const uint32_t waiting = queue_.size();
  if (waiting == 0) return 0;
  // A share for each worker that could help, so that none sits on work while another idles.
  const uint32_t share = std::max(1u, (waiting + config_.workers - 1) / std::max(1u, config_.workers));
  uint64_t bits[256];
  const uint32_t count = queue_.try_pop_many(bits, std::min({most, share, 256u}));
  for (uint32_t i = 0; i < count; ++i) tasks[i] = Task::of(bits[i]);
  if (waiting > count) wake_one();
  return count;
}

bool WorkerGroup::look_out(uint64_t most_ns, const std::atomic<bool>& woken) {
  if (lookout_.exchange(true, std::memory_order_seq_cst)) return false;
  const uint64_t until = now_ns() + most_ns;
  bool found = false;
  do {
    for (uint32_t i = 0; i < kLooksBetweenClock && !found; ++i) {
      // Not a loop that holds the processor: the thread that would hand the next task over often waits for this very one.
      sched_yield();
      found = queue_.size() != 0;
    }
    // Relaxed: whoever woke this worker is seen when it goes on, at the latest.
  } while (!found && !woken.load(std::memory_order_relaxed) && now_ns() < until);
  lookout_.store(false, std::memory_order_seq_cst);
  return found || queue_.size() != 0;
}

bool WorkerGroup::go_idle(uint32_t worker) {
  std::atomic<uint64_t>& word = idle_[worker / 64];
  const uint64_t mask = uint64_t{1} << (worker % 64);
  word.fetch_or(mask, std::memory_order_seq_cst);
  if (queue_.size() == 0) return true;
  word.fetch_and(~mask, std::memory_order_seq_cst);
  return false;
}

void WorkerGroup::leave_idle(uint32_t worker) {
  idle_[worker / 64].fetch_and(~(uint64_t{1} << (worker % 64)), std::memory_order_seq_cst);
}

void WorkerGroup::attach(uint32_t worker, Wakeable* wakeable) {
  // The idle bit of whoever was this worker before. Here and not in detach(), which may come after a successor has
  // fallen asleep.
  leave_idle(worker);
  wakeables_[worker].store(wakeable, std::memory_order_release);
}

void WorkerGroup::detach(uint32_t worker, Wakeable* wakeable) {
  Wakeable* mine = wakeable;
  // Only if the place was not taken by a successor; acquire and release as in attach and wake_one.
  if (!wakeables_[worker].compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel)) return;
  // What is queued may have counted on this worker.
  if (queue_.size() != 0) wake_one();
}

uint32_t WorkerGroup::idle() const {
  uint32_t count = 0;
  for (const auto& word : idle_)
    count += static_cast<uint32_t>(std::popcount(word.load(std::memory_order_relaxed)));
  return count;
}

}  // namespace sip_async::core
