// What the slot table shall answer, written down as a table: every state that a live slot can be in, every
// step, and what comes of it.
#pragma once

#include <cstdint>

#include "core/slot_table.h"
#include "core/worker_group.h"

namespace sip_async::test {

using core::Run;
using core::SlotTable;
using core::Status;
using core::Task;
using core::Word;

enum class State : uint8_t {
  kReceived,
  kRunning,
  kRunningAnswered,
  kRunningSilent,
  kRunningCancelled,
  kSuspended,
  kDue,
  kIdle,
  kIdleAnswered,
  kIdleSilent,
  kIdleCancelled,
  kImpossible,
};
inline constexpr uint32_t kStates = 11;

enum class Step : uint8_t {
  kBeginRun,
  kSuspend,
  kSuspendDue,
  kMakeDue,
  kMakeDueOfEarlier,
  kTakeBack,
  kAnswer,
  kAnswerSilent,
  kConclude,
  kConcludeCancelled,
  kEndRun,
};
inline constexpr uint32_t kSteps = 11;

inline State state_of(Word word) {
  const bool answered = word.has(Word::kAnswered);
  const bool cancelled = word.has(Word::kCancelled);
  const bool silent = word.has(Word::kSilent);
  if (!word.has(Word::kLive) || ((cancelled || silent) && !answered) || (cancelled && silent)) {
    return State::kImpossible;
  }
  const auto ended = [&](State open, State with_reply, State without, State by_cancel) {
    return cancelled ? by_cancel : silent ? without : answered ? with_reply : open;
  };
  switch (word.run()) {
    case Run::kRunning:
      return ended(State::kRunning, State::kRunningAnswered, State::kRunningSilent, State::kRunningCancelled);
    case Run::kIdle:
      return ended(State::kIdle, State::kIdleAnswered, State::kIdleSilent, State::kIdleCancelled);
    case Run::kReceived:
      return answered ? State::kImpossible : State::kReceived;
    case Run::kSuspended:
      return answered ? State::kImpossible : State::kSuspended;
    case Run::kDue:
      return answered ? State::kImpossible : State::kDue;
  }
  return State::kImpossible;
}

struct Outcome {
  Status status;
  State next;  // for kOk only
};

inline Outcome outcome(State from, Step step) {
  // A refusal (one letter), or the state that the step leads to.
  struct Cell {
    constexpr Cell(State state) : status(Status::kOk), next(state) {}
    constexpr Cell(Status refusal) : status(refusal), next(State::kImpossible) {}
    Status status;
    State next;
  };
  constexpr Status n = Status::kNotSuspended, s = Status::kAlreadySuspended;
  constexpr Status a = Status::kAlreadyAnswered, c = Status::kCancelled;
  constexpr State kR = State::kRunning, kRA = State::kRunningAnswered, kRS = State::kRunningSilent;
  constexpr State kRC = State::kRunningCancelled, kSu = State::kSuspended, kDu = State::kDue;
  constexpr State kI = State::kIdle, kIA = State::kIdleAnswered, kIS = State::kIdleSilent;
  constexpr State kIC = State::kIdleCancelled;
  // clang-format off
  static constexpr Cell kTable[kSteps][kStates] = {
      // received | running: open, answered, silent, cancelled | suspended | due | idle: as running
      {kR,   n,   n,   n,   c,   n,   kR,  n,   n,   n,   c},    // begin_run
      {n,    kSu, a,   a,   c,   s,   s,   n,   a,   a,   c},    // suspend
      {n,    kDu, a,   a,   c,   s,   s,   n,   a,   a,   c},    // suspend, due at once
      {n,    n,   n,   n,   n,   kDu, n,   n,   n,   n,   n},    // make_due
      {n,    n,   n,   n,   n,   n,   n,   n,   n,   n,   n},    // make_due of an earlier suspension
      {n,    n,   n,   n,   c,   kR,  kR,  n,   n,   n,   c},    // take_back
      {s,    kRA, a,   a,   c,   s,   s,   s,   a,   a,   c},    // answer
      {s,    kRS, a,   a,   c,   s,   s,   s,   a,   a,   c},    // answer, silent
      {kIA,  kRA, a,   a,   c,   kIA, kIA, kIA, a,   a,   c},    // conclude
      {kIC,  kRC, a,   a,   c,   kIC, kIC, kIC, a,   a,   c},    // conclude, cancelled
      {n,    kI,  kIA, kIS, kIC, n,   n,   n,   n,   n,   n},    // end_run
  };
  // clang-format on
  const Cell& cell = kTable[static_cast<uint32_t>(step)][static_cast<uint32_t>(from)];
  return {cell.status, cell.next};
}

inline Status take_step(SlotTable& table, Task task, Step step) {
  const uint32_t index = task.index;
  const uint32_t generation = task.generation;
  const uint32_t suspension = index < table.size() ? table.word(index).suspension() : 0;
  uint32_t new_suspension = 0;
  Run was = Run::kIdle;
  Word before(0);
  switch (step) {
    case Step::kBeginRun:
      return table.begin_run(index, generation);
    case Step::kSuspend:
      return table.suspend(index, generation, Run::kSuspended, new_suspension);
    case Step::kSuspendDue:
      return table.suspend(index, generation, Run::kDue, new_suspension);
    case Step::kMakeDue:
      return table.make_due(index, generation, suspension);
    case Step::kMakeDueOfEarlier:
      return table.make_due(index, generation, (suspension - 1) & Word::kSuspensionMask);
    case Step::kTakeBack:
      return table.take_back(index, generation);
    case Step::kAnswer:
      return table.answer(index, generation);
    case Step::kAnswerSilent:
      return table.answer(index, generation, true);
    case Step::kConclude:
      return table.conclude(index, generation, 0, was);
    case Step::kConcludeCancelled:
      return table.conclude(index, generation, Word::kCancelled, was);
    case Step::kEndRun:
      return table.end_run(index, generation, before);
  }
  return Status::kClosed;
}

}  // namespace sip_async::test
