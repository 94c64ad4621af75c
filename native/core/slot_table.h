// The slot table: the truth about everything that waits.
//
// Ground rules
// - Any thread calls any function; none waits. A step that does not fit the present state changes nothing and says so.
// - Handles are (index, generation). An index that was never handed out, a generation that has passed, a step out of
//   order: each is a Status, never an error in the process.
// - Free slots lie in a stack; slots never used lie behind `next_fresh` and have not been touched.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/region.h"
#include "core/slot.h"
#include "core/status.h"

namespace sip_async::core {

class SlotTable {
 public:
  static size_t region_bytes(uint32_t slots);
  SlotTable(Region& region, uint32_t slots);

  uint32_t size() const { return size_; }
  Slot& at(uint32_t index) { return slots_[index]; }
  const Slot& at(uint32_t index) const { return slots_[index]; }
  // Slots lie far apart and are cold when their time comes: whoever has several of them asks for all before the first.
  void prefetch(uint32_t index) const {
    __builtin_prefetch(&slots_[index], 1);
    __builtin_prefetch(reinterpret_cast<const char*>(&slots_[index]) + kCacheLine, 1);
  }

  // The same for who reads the word only.
  void prefetch_word(uint32_t index) const { __builtin_prefetch(&slots_[index]); }

  // A free slot in state `received`, or kNone. `prepare(Slot&)` fills it in before its word says that it is live: a scan
  // of the table may come upon it the moment it does.
  template <class Prepare>
  uint32_t try_acquire(Prepare&& prepare) {
    const uint32_t index = take_free();
    if (index == kNone) return kNone;
    prepare(slots_[index]);
    go_live(index);
    return index;
  }
  uint32_t try_acquire() {
    return try_acquire([](Slot&) {});
  }
  // Gives a slot back: generation counted up, every handle to it stale. Only by whoever may end it (run idle, or
  // never published).
  void release(uint32_t index);
  void release_many(const uint32_t* indexes, uint32_t count);

  // received or due -> running. Fails when the call ended, was cancelled while it waited, or already runs.
  Status begin_run(uint32_t index, uint32_t generation);
  // running -> suspended, or straight to due (`to`); `suspension` receives the number of this suspension.
  Status suspend(uint32_t index, uint32_t generation, Run to, uint32_t& suspension);
  // What suspend() would answer now.
  Status may_suspend(uint32_t index, uint32_t generation) const;
  // suspended -> due, if it is still this very suspension. `flags` is kResumed or nothing.
  Status make_due(uint32_t index, uint32_t generation, uint32_t suspension, uint64_t flags = 0);
  // suspended or due -> running, by the thread that suspended and could not go through with it.
  Status take_back(uint32_t index, uint32_t generation);
  // Sets `answered` on behalf of the running route; who gets kOk sends the one final reply. `silent` ends it without.
  Status answer(uint32_t index, uint32_t generation, bool silent = false);
  // Decides on a final reply from outside the route (CANCEL, shutdown), in any run state, and takes a waiting call
  // (received, suspended or due) out of its wait. `was` tells what it was in: running means that a route still has it,
  // anything else that the caller owns it now. `flags` is kCancelled or nothing, and comes on top of kAnswered.
  Status conclude(uint32_t index, uint32_t generation, uint64_t flags, Run& was);
  // running -> idle, or `to`. `before` receives the word as it was, so that the caller sees whether it was answered.
  Status end_run(uint32_t index, uint32_t generation, Word& before, Run to = Run::kIdle);
  // suspended -> running, if it is still this very suspension: by somebody who will say where it goes on.
  Status claim(uint32_t index, uint32_t generation, uint32_t suspension);
  // Any plain step, of a call that has no final reply yet. kNotSuspended when it is in another state than `from`.
  Status step(uint32_t index, uint32_t generation, Run from, Run to);
  // idle or relayed -> due, as a suspension that ends at once; `suspension` as in suspend().
  Status launch(uint32_t index, uint32_t generation, Run from, uint32_t& suspension);

  Word word(uint32_t index) const { return Word(slots_[index].word.load(std::memory_order_acquire)); }
  bool is_current(uint32_t index, uint32_t generation) const {
    return index < size_ && word(index).generation() == generation && word(index).has(Word::kLive);
  }

  uint64_t live() const;
  // Slots that were ever in use; scans go up to here and do not touch the rest.
  uint32_t high_water() const { return counters_->next_fresh.load(std::memory_order_acquire); }

  // True when free list, words and counters agree. Only while no other thread uses the table.
  bool check_invariants() const;

 private:
  uint32_t take_free();
  void end_life(uint32_t index);
  void go_live(uint32_t index);
  // Applies `step(Word) -> Status` with `next` filled in by it, until the compare-exchange holds.
  template <class Step>
  Status update(uint32_t index, uint32_t generation, Step&& step);

  struct Counters {
    // First slot never handed out. Written by try_acquire (compare-exchange), read by scans; a scan that reads an
    // older value misses slots that are being handed out at that moment, which it must expect anyway.
    alignas(kCacheLine) std::atomic<uint32_t> next_fresh;
    // Statistics, relaxed.
    alignas(kCacheLine) std::atomic<uint64_t> acquired;
    alignas(kCacheLine) std::atomic<uint64_t> released;
    IndexStack free_slots;
  };
  auto link() const {
    return [this](uint32_t index) -> std::atomic<uint32_t>& { return slots_[index].free_link; };
  }

  Counters* counters_;
  Slot* slots_;
  uint32_t size_;
};

}  // namespace sip_async::core
