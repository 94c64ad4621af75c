// How runs of a channel end, and what follows them: messages that were handed over, routes that a run has led to, the ends of a
// batch.
#include "node/channel.h"

namespace sip_async::node {

using core::Status;
using core::Task;

void Channel::open_handed_over(Task raw) {
  held_.push_back({raw, 0});
  const auto held = static_cast<uint32_t>(held_.size());
  Task fresh{};
  bool is_fresh = false;
  {
    const sip::LaunchScope scope(place_.thread, launches_);
    is_fresh = transactions().begin_handed_over(raw, fresh);
  }
  if (is_fresh) follow(fresh, held);
  follow_launches(held);
  add_follow_ups();
  if (held_[held - 1].runs != 0) return;
  transactions().leave_lane(raw);
  held_.pop_back();
  count_run(entry_->engine->engine().group(static_cast<uint32_t>(place_.group)), sip::Outcome::kEnded);
}

void Channel::follow(Task task, uint32_t held) {
  if (entry_->engine->engine().begin_run(task, place_.thread, core::now_ns()) != Status::kOk) return;
  follow_ups_.push_back({task, held});
  if (held != 0) ++held_[held - 1].runs;
}

void Channel::follow_launches(uint32_t held) {
  for (const core::Engine::Launch& launch : launches_) {
    entry_->engine->engine().keep(launch);
    follow(launch.task, held);
  }
  launches_.clear();
}

void Channel::add_follow_ups() {
  uint32_t taken = 0;
  while (taken < follow_ups_.size() && room() != 0) {
    const FollowUp& next = follow_ups_[taken++];
    add_record(next.task);
    if (next.held == 0) continue;
    records_held_[count_ - 1] = next.held;
    records_[size_t{count_ - 1} * kRecordWords + 2] |= kSworkerMark;
  }
  follow_ups_.erase(follow_ups_.begin(), follow_ups_.begin() + taken);
}

uint32_t Channel::held_by(Task task) const {
  if (held_.empty()) return 0;
  for (uint32_t i = 0; i < count_; ++i) {
    const uint32_t* record = records_ + size_t{i} * kRecordWords;
    if (record[0] == task.index && record[1] == task.generation) return records_held_[i];
  }
  return 0;
}

void Channel::leave_held(uint32_t held) {
  if (held == 0 || --held_[held - 1].runs != 0) return;
  lanes_to_leave_.push_back(held_[held - 1].raw);
}

void Channel::leave_lanes() {
  for (const Task raw : lanes_to_leave_) transactions().leave_lane(raw);
  lanes_to_leave_.clear();
}

void Channel::take_fresh(Task fresh) {
  if (settling_) {
    follow(fresh, 0);
  } else if (!entry_->engine->engine().post(place_.thread, fresh)) {
    transactions().refuse(fresh);
  }
}

void Channel::count_run(core::WorkerGroup& group, sip::Outcome outcome) {
  (outcome == sip::Outcome::kThrew ? group.counters.failed : group.counters.done)
      .fetch_add(1, std::memory_order_relaxed);
}

bool Channel::finish(Task task, sip::Outcome outcome) {
  if (place_.group >= 0)
    count_run(entry_->engine->engine().group(static_cast<uint32_t>(place_.group)), outcome);
  bool sent_500 = false;
  within(task, [&] { sent_500 = end_run(task, outcome); });
  return sent_500;
}

bool Channel::end_run(Task task, sip::Outcome outcome) {
  core::DataTasks& tasks = entry_->engine->tasks();
  if (tasks.is_task(task)) {
    tasks.finish(task);
    return false;
  }
  // One that was handed over may be another's by now.
  if (outcome != sip::Outcome::kSuspended && transactions().is_raw(task)) {
    Task fresh{};
    if (transactions().finish_raw(task, outcome, fresh)) take_fresh(fresh);
    return false;
  }
  return transactions().finish(task, outcome);
}

void Channel::settle(uint64_t started_ns) {
  core::Engine& engine = entry_->engine->engine();
  core::WorkerGroup* group = place_.group < 0 ? nullptr : &engine.group(static_cast<uint32_t>(place_.group));
  core::DataTasks& tasks = entry_->engine->tasks();
  uint64_t cursor = started_ns;
  settling_ = true;
  Task ended[core::DataTasks::kMostFinished];
  uint32_t ended_count = 0;
  const auto finish_ended = [&] {
    if (ended_count == 0) return;
    if (group != nullptr) group->counters.done.fetch_add(ended_count, std::memory_order_relaxed);
    tasks.finish_many(ended, ended_count);
    ended_count = 0;
  };
  for (uint32_t i = 0; i < count_; ++i) {
    uint32_t* record = records_ + size_t{i} * kRecordWords;
    const Task task{record[0], record[1]};
    // A record that the script did not get to (it could not be called) is a run that threw.
    const bool told = (record[2] & kOutcomeMark) != 0;
    if (!told && (record[2] & 0xff) == static_cast<uint32_t>(RecordKind::kEnded)) continue;
    const auto outcome = told ? static_cast<sip::Outcome>(record[2] & 0xff) : sip::Outcome::kThrew;
    const uint32_t held = records_held_[i];
    if (outcome == sip::Outcome::kPending) {
      leave_held(held);
      continue;
    }
    // Most of a batch are runs like this. What they took is not recorded, for none of them has replied.
    if (outcome == sip::Outcome::kEnded && held == 0 && tasks.is_data(task) &&
        engine.slots().at(task.index).action_ns <= cursor) {
      ended[ended_count++] = task;
      if (ended_count == core::DataTasks::kMostFinished) finish_ended();
      continue;
    }
    if (group != nullptr) {
      // What a run took: from the end of the one before it to its last reply. A call that was suspended may be another
      // thread's by now, and is not looked at.
      if (outcome != sip::Outcome::kSuspended) {
        const uint64_t acted = engine.slots().at(task.index).action_ns;
        if (acted > cursor) {
          group->counters.run.record_ns(acted - cursor);
          cursor = acted;
        }
      }
      count_run(*group, outcome);
    }
    within_held(held, [&] { end_run(task, outcome); });
    leave_held(held);
  }
  finish_ended();
  settling_ = false;
}

}  // namespace sip_async::node
