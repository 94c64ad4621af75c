#include "core/slot_table.h"

#include <vector>

namespace sip_async::core {

size_t SlotTable::region_bytes(uint32_t slots) {
  return Region::padded(sizeof(Counters)) + Region::padded(sizeof(Slot) * slots);
}

SlotTable::SlotTable(Region& region, uint32_t slots)
    : counters_(region.take<Counters>(1)), slots_(region.take<Slot>(slots)), size_(slots) {}

uint32_t SlotTable::take_free() {
  uint32_t index = counters_->free_slots.pop(link());
  if (index == kNone) {
    index = counters_->next_fresh.load(std::memory_order_relaxed);
    do {
      if (index >= size_) return kNone;
      // Release: pairs with the acquire in high_water(); a scan that sees the new bound may look at the word.
    } while (!counters_->next_fresh.compare_exchange_weak(index, index + 1, std::memory_order_release,
                                                          std::memory_order_relaxed));
  }
  return index;
}

void SlotTable::go_live(uint32_t index) {
  Slot& slot = slots_[index];
  // Relaxed: ours alone since it was popped, and the pop was an acquire.
  const Word old(slot.word.load(std::memory_order_relaxed));
  // Release: a scan that sees `live` sees what the slot was filled in with.
  slot.word.store(Word::make(old.generation(), 0, Word::kLive, Run::kReceived).bits(),
                  std::memory_order_release);
  counters_->acquired.fetch_add(1, std::memory_order_relaxed);
}

void SlotTable::end_life(uint32_t index) {
  Slot& slot = slots_[index];
  const Word old(slot.word.load(std::memory_order_relaxed));
  slot.word.store(Word::make(old.generation() + 1, 0, 0, Run::kIdle).bits(), std::memory_order_release);
}

void SlotTable::release_many(const uint32_t* indexes, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) end_life(indexes[i]);
  counters_->released.fetch_add(count, std::memory_order_relaxed);
  counters_->free_slots.push_many(indexes, count, link());
}

void SlotTable::release(uint32_t index) {
  end_life(index);
  counters_->released.fetch_add(1, std::memory_order_relaxed);
  counters_->free_slots.push(index, link());
}

template <class Step>
Status SlotTable::update(uint32_t index, uint32_t generation, Step&& step) {
  if (index >= size_) return Status::kStaleHandle;
  std::atomic<uint64_t>& word = slots_[index].word;
  uint64_t old = word.load(std::memory_order_acquire);
  for (;;) {
    const Word before(old);
    if (before.generation() != generation || !before.has(Word::kLive)) return Status::kStaleHandle;
    Word after = before;
    const Status status = step(before, after);
    if (status != Status::kOk) return status;
    // Takes over what the last owner wrote (acquire) and hands on what this one wrote (release); sequentially consistent
    // because Engine::begin_run and Engine::conclude rely on one order of this word and the slot's thread.
    if (word.compare_exchange_weak(old, after.bits(), std::memory_order_seq_cst, std::memory_order_acquire)) {
      return Status::kOk;
    }
  }
}

Status SlotTable::begin_run(uint32_t index, uint32_t generation) {
  return update(index, generation, [](Word before, Word& after) {
    if (before.run() != Run::kReceived && before.run() != Run::kDue) {
      return before.has(Word::kCancelled) ? Status::kCancelled : Status::kNotSuspended;
    }
    after = before.with_run(Run::kRunning);
    return Status::kOk;
  });
}

namespace {

Status suspend_refusal(Word word) {
  if (word.run() == Run::kSuspended || word.run() == Run::kDue) return Status::kAlreadySuspended;
  if (word.has(Word::kCancelled)) return Status::kCancelled;
  if (word.has(Word::kAnswered)) return Status::kAlreadyAnswered;
  return word.run() == Run::kRunning ? Status::kOk : Status::kNotSuspended;
}

}  // namespace

Status SlotTable::may_suspend(uint32_t index, uint32_t generation) const {
  return is_current(index, generation) ? suspend_refusal(word(index)) : Status::kStaleHandle;
}

Status SlotTable::suspend(uint32_t index, uint32_t generation, Run to, uint32_t& suspension) {
  return update(index, generation, [&](Word before, Word& after) {
    if (const Status refusal = suspend_refusal(before); refusal != Status::kOk) return refusal;
    after = before.next_suspension().with_run(to);
    suspension = after.suspension();
    return Status::kOk;
  });
}

Status SlotTable::make_due(uint32_t index, uint32_t generation, uint32_t suspension, uint64_t flags) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.run() != Run::kSuspended || before.suspension() != suspension) return Status::kNotSuspended;
    after = before.with(flags).with_run(Run::kDue);
    return Status::kOk;
  });
}

Status SlotTable::take_back(uint32_t index, uint32_t generation) {
  return update(index, generation, [](Word before, Word& after) {
    if (before.run() != Run::kSuspended && before.run() != Run::kDue) {
      return before.has(Word::kCancelled) ? Status::kCancelled : Status::kNotSuspended;
    }
    // Out of a queue it is as if it had not tried; the number of one in the wheel is in use there.
    after = before.run() == Run::kDue ? before.previous_suspension() : before;
    after = after.with_run(Run::kRunning);
    return Status::kOk;
  });
}

Status SlotTable::answer(uint32_t index, uint32_t generation, bool silent) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.has(Word::kCancelled)) return Status::kCancelled;
    if (before.has(Word::kAnswered)) return Status::kAlreadyAnswered;
    if (before.run() != Run::kRunning) return Status::kAlreadySuspended;
    after = before.with(Word::kAnswered | (silent ? Word::kSilent : 0));
    return Status::kOk;
  });
}

Status SlotTable::conclude(uint32_t index, uint32_t generation, uint64_t flags, Run& was) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.has(Word::kCancelled)) return Status::kCancelled;
    if (before.has(Word::kAnswered)) return Status::kAlreadyAnswered;
    was = before.run();
    after = before.with(Word::kAnswered | flags);
    if (was != Run::kRunning) after = after.with_run(Run::kIdle);
    return Status::kOk;
  });
}

Status SlotTable::end_run(uint32_t index, uint32_t generation, Word& before_out, Run to) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.run() != Run::kRunning) return Status::kNotSuspended;
    before_out = before;
    // One that has been answered meanwhile waits for nothing.
    after = before.with_run(before.has(Word::kAnswered) ? Run::kIdle : to);
    return Status::kOk;
  });
}

Status SlotTable::claim(uint32_t index, uint32_t generation, uint32_t suspension) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.has(Word::kCancelled)) return Status::kCancelled;
    if (before.run() != Run::kSuspended || before.suspension() != suspension) return Status::kNotSuspended;
    after = before.with_run(Run::kRunning);
    return Status::kOk;
  });
}

Status SlotTable::step(uint32_t index, uint32_t generation, Run from, Run to) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.has(Word::kCancelled)) return Status::kCancelled;
    if (before.has(Word::kAnswered)) return Status::kAlreadyAnswered;
    if (before.run() != from) return Status::kNotSuspended;
    after = before.with_run(to);
    return Status::kOk;
  });
}

Status SlotTable::launch(uint32_t index, uint32_t generation, Run from, uint32_t& suspension) {
  return update(index, generation, [&](Word before, Word& after) {
    if (before.has(Word::kAnswered)) return Status::kAlreadyAnswered;
    if (before.run() != from) return Status::kNotSuspended;
    after = before.next_suspension().with_run(Run::kDue);
    suspension = after.suspension();
    return Status::kOk;
  });
}

uint64_t SlotTable::live() const {
  const uint64_t released = counters_->released.load(std::memory_order_relaxed);
  const uint64_t acquired = counters_->acquired.load(std::memory_order_relaxed);
  return acquired > released ? acquired - released : 0;
}

bool SlotTable::check_invariants() const {
  const uint32_t bound = high_water();
  if (bound > size_) return false;
  std::vector<bool> is_free(bound, false);
  bool good = true;
  counters_->free_slots.for_each_quiescent(link(), [&](uint32_t index) {
    good = good && index < bound && !is_free[index] && !word(index).has(Word::kLive);
    if (index < bound) is_free[index] = true;
  });
  uint64_t in_use = 0;
  for (uint32_t index = 0; index < bound && good; ++index) {
    const Word at = word(index);
    good = at.has(Word::kLive) != is_free[index];
    if (!at.has(Word::kLive)) continue;
    ++in_use;
    // A call that still waits has no final reply, and a cancelled one counts as answered.
    const bool waits = at.run() == Run::kSuspended || at.run() == Run::kDue || at.run() == Run::kReceived ||
                       at.run() == Run::kRelayed;
    if (waits && at.has(Word::kAnswered)) good = false;
    if (at.has(Word::kCancelled) && !at.has(Word::kAnswered)) good = false;
  }
  return good && in_use == live();
}

}  // namespace sip_async::core
