#include "node/channel.h"

#include <algorithm>
#include <optional>

#include "node/exceptions.h"
#include "sip/stand_in.h"

namespace sip_async::node {

using core::Status;
using core::Task;

namespace {

// False in an environment that is ending: nothing of the script can run there any more.
bool can_run_script(napi_env env) {
  napi_value source = nullptr;
  napi_value result = nullptr;
  if (napi_create_string_utf8(env, "0", 1, &source) == napi_ok &&
      napi_run_script(env, source, &result) == napi_ok)
    return true;
  (void)napi_get_and_clear_last_exception(env, &result);
  return false;
}

// What a task that has just begun to run is for.
RecordKind kind_of(const core::Slot& slot) {
  const auto kind = slot.kind.load(std::memory_order_relaxed);
  if (kind == core::SlotKind::kTask) return RecordKind::kTask;
  if (kind == core::SlotKind::kEvent) return RecordKind::kEvent;
  if (kind == core::SlotKind::kLaunch) return RecordKind::kLaunch;
  if (kind == core::SlotKind::kRaw) return RecordKind::kPreRouting;
  switch (static_cast<sip::Entry>(slot.entry.load(std::memory_order_relaxed))) {
    case sip::Entry::kRequestRoute:
      return RecordKind::kRequest;
    case sip::Entry::kWake:
      return RecordKind::kWake;
    case sip::Entry::kFailureRoute:
      return RecordKind::kFailure;
    case sip::Entry::kReplyRoute:
      return RecordKind::kReply;
    case sip::Entry::kCancelEvent:
      return RecordKind::kCancel;
    case sip::Entry::kRouteBlock:
    case sip::Entry::kOperation:
    case sip::Entry::kSuspendTimeout:
    case sip::Entry::kPreRouting:
    case sip::Entry::kHandedOver:
      break;
  }
  return RecordKind::kResume;
}

}  // namespace

bool Channel::open(napi_env env, napi_value records, napi_value on_batch) {
  env_ = env;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, records, &type, &length, &data, nullptr, nullptr) != napi_ok)
    return false;
  records_ = static_cast<uint32_t*>(data);
  capacity_ = static_cast<uint32_t>(length / kRecordWords);
  records_held_.resize(capacity_);
  napi_create_reference(env, records, 1, &records_ref_);
  napi_create_reference(env, on_batch, 1, &on_batch_);
  napi_value name;
  napi_create_string_utf8(env, "sip-async", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, nullptr, name, &async_context_);
  const LoopWake::Woken woken = {.from_poll = on_woken, .from_function = on_wake};
  if (!loop_wake_.start(env, "sip-async", on_batch, woken, this, shared_from_this())) return false;
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  open_ = true;
  {
    std::lock_guard lock(entry_->mutex);
    entry_->channels.push_back(shared_from_this());
  }
  core::Engine& engine = entry_->engine->engine();
  engine.attach(place_.thread, this);
  if (place_.group >= 0) engine.group(static_cast<uint32_t>(place_.group)).attach(place_.worker, this);
  // A worker that takes over a dead one's place finds what was left for it, and declares itself idle.
  wake();
  return true;
}

void Channel::wake() {
  if (scheduled_.exchange(true, std::memory_order_seq_cst)) return;
  std::lock_guard lock(mutex_);
  if (open_) loop_wake_.wake();
}

void Channel::listen() {
  if (place_.group >= 0 || !watches_.empty()) return;  // only receivers have sockets, and read each once
  sip::SipEngine& engine = *entry_->engine;
  for (uint32_t socket = place_.thread; socket < engine.transport().size(); socket += engine.receivers()) {
    auto watch = std::make_unique<Watch>(Watch{this, socket, nullptr});
    if (engine.transport().socket(socket).fd() < 0) continue;  // a stream's
    watch->poll = LoopPoll::start(env_, engine.transport().socket(socket).fd(), on_readable, watch.get());
    if (watch->poll == nullptr) {
      woken_to_read_ = true;
      engine.stand_in().wake_for(socket, this);
      engine.stand_in().rearm(socket);
    }
    watches_.push_back(std::move(watch));
  }
}

void Channel::ref(bool on) {
  loop_wake_.ref(env_, on);
  for (const auto& watch : watches_) {
    if (watch->poll != nullptr) watch->poll->ref(on);
  }
}

void Channel::on_environment_end(void* self) {
  static_cast<Channel*>(self)->close(true);
}

void Channel::close(bool environment_ends) {
  {
    std::lock_guard lock(mutex_);
    if (!open_) return;
    open_ = false;
    loop_wake_.stop();
  }
  if (!environment_ends) napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  sip::SipEngine& engine = *entry_->engine;
  for (const auto& watch : watches_) {
    if (watch->poll != nullptr) {
      watch->poll->stop();
    } else {
      engine.stand_in().wake_for(watch->socket, nullptr);
    }
  }
  if (place_.group >= 0)
    engine.engine().group(static_cast<uint32_t>(place_.group)).detach(place_.worker, this);
  engine.engine().detach(place_.thread, this);
  if (environment_ends) return;  // Node frees what belongs to the environment
  napi_delete_reference(env_, on_batch_);
  if (on_outgoing_ != nullptr) napi_delete_reference(env_, on_outgoing_);
  on_outgoing_ = nullptr;
  task_bytes_.forget(env_);
  // A handler that closes its own channel is still inside deliver(), which reads the records once more, and in a callback of
  // that context.
  if (delivering_) return;
  napi_async_destroy(env_, async_context_);
  napi_delete_reference(env_, records_ref_);
}

void Channel::on_wake(napi_env env, napi_value callback, void* context, void*) {
  if (env == nullptr) return;  // the environment is going down; the clean-up hook has done the rest
  auto* self = static_cast<Channel*>(context);
  self->scheduled_.store(false, std::memory_order_seq_cst);
  if (self->open_) self->turn(callback);
}

void Channel::on_woken(void* context) {
  // Kept until this returns: the script may close the channel, and end its engine.
  const std::shared_ptr<Channel> self = static_cast<Channel*>(context)->shared_from_this();
  napi_handle_scope scope;
  if (napi_open_handle_scope(self->env_, &scope) != napi_ok) return;
  self->loop_wake_.clear();
  self->scheduled_.store(false, std::memory_order_seq_cst);
  napi_value callback = nullptr;
  napi_get_reference_value(self->env_, self->on_batch_, &callback);
  napi_value resource = nullptr;
  napi_get_global(self->env_, &resource);
  for (uint32_t turn = 0; self->open_; ++turn) {
    // One for the whole turn: what the script has promised goes on when all runs of the turn have been settled.
    napi_callback_scope callback_scope = nullptr;
    if (napi_open_callback_scope(self->env_, resource, self->async_context_, &callback_scope) != napi_ok)
      break;
    self->turn(callback);
    napi_close_callback_scope(self->env_, callback_scope);
    if (!self->open_ || !self->look_out_due_) break;
    self->look_out_due_ = false;
    if (turn == kTurnsPerWake) {
      self->wake();  // others on this loop first
      break;
    }
    core::WorkerGroup& group = self->engine().engine().group(static_cast<uint32_t>(self->place_.group));
    self->has_looked_out_ = !group.look_out(LoopWake::kLookOutNs, self->scheduled_);
  }
  napi_close_handle_scope(self->env_, scope);
}

void Channel::run(uint32_t task_room) {
  task_room_ = task_room;
  wake();
}

void Channel::hand_out_to(napi_value on_outgoing) {
  if (open_ && on_outgoing_ == nullptr) napi_create_reference(env_, on_outgoing, 1, &on_outgoing_);
  wake();  // something may wait already
}

// At the end of a turn, so that the replies of its batch go out with it.
void Channel::hand_out() {
  if (on_outgoing_ == nullptr || entry_->engine->transport().outbox().empty()) return;
  napi_value callback = nullptr;
  napi_value receiver = nullptr;
  napi_get_reference_value(env_, on_outgoing_, &callback);
  napi_get_global(env_, &receiver);
  if (napi_call_function(env_, receiver, callback, 0, nullptr, nullptr) == napi_pending_exception)
    surface_exception(env_);
  // It takes so many at a time; others on this loop first.
  if (open_ && !entry_->engine->transport().outbox().empty()) wake();
}

void Channel::turn(napi_value callback) {
  run_rounds(callback);
  if (open_) hand_out();
}

void Channel::run_rounds(napi_value callback) {
  sip::SipEngine& engine = *entry_->engine;
  // What waits is for the thread that takes this one's place.
  if (failed_ && !can_run_script(env_)) return;
  failed_ = false;
  if (place_.group < 0) engine.note_round(place_.thread);
  for (uint32_t round = 0; round < kRoundsPerTurn; ++round) {
    if (collect() == 0) {
      if (woken_to_read_) read_sockets(callback);
      if (place_.group < 0 || paused()) return;
      core::WorkerGroup& group = engine.engine().group(static_cast<uint32_t>(place_.group));
      if (wants_to_look_out()) return;
      if (group.go_idle(place_.worker)) return;
      continue;
    }
    note_work();
    deliver(callback, false);
    if (!open_) return;  // closed by the script
    if (failed_) break;
  }
  wake();  // there may be more; others on this loop first
}

bool Channel::wants_to_look_out() {
  if (empty_since_ns_ == 0) empty_since_ns_ = core::now_ns();
  look_out_due_ = waited_briefly_ && !has_looked_out_ && loop_wake_.has_loop();
  return look_out_due_;
}

// A wait that was short is a sign that the next will be.
void Channel::note_work() {
  if (empty_since_ns_ == 0) return;
  waited_briefly_ = core::now_ns() - empty_since_ns_ < LoopWake::kBriefNs;
  empty_since_ns_ = 0;
  has_looked_out_ = false;
}

uint32_t Channel::collect() {
  core::Engine& engine = entry_->engine->engine();
  core::SlotTable& slots = engine.slots();
  Task tasks[64];
  const uint64_t now = core::now_ns();
  count_ = 0;
  // What came back to this thread.
  uint32_t taken = engine.take_inbox(place_.thread, tasks, std::min(64u, room()));
  for (uint32_t i = 0; i < taken; ++i) {
    if (engine.begin_run(tasks[i], place_.thread, now) != Status::kOk) {
      // Ended from outside; a handler of this thread may be waiting for it.
      add_record(tasks[i], RecordKind::kEnded);
    } else if (!transactions().runs_without_script(tasks[i])) {
      add_record(tasks[i]);
    }
  }
  if (place_.group < 0 || paused()) return count_;
  core::WorkerGroup& group = engine.group(static_cast<uint32_t>(place_.group));
  bool handed_over = false;
  do {
    taken = group.take(tasks, std::min({64u, room(), task_room_}));
    for (uint32_t i = 0; i < taken; ++i) slots.prefetch(tasks[i].index);
    for (uint32_t i = 0; i < taken; ++i) {
      if (engine.begin_run(tasks[i], place_.thread, now) != Status::kOk) continue;
      const uint64_t queued = slots.at(tasks[i].index).queued_ns.load(std::memory_order_relaxed);
      group.counters.wait.record_ns(now - std::min(now, queued));
      if (transactions().is_raw(tasks[i])) {
        open_handed_over(tasks[i]);
        handed_over = true;
        continue;
      }
      transactions().prefetch(tasks[i]);
      add_record(tasks[i]);
    }
    // Tasks that ended meanwhile leave no record, but there may be others behind them. Messages that no script was needed for
    // were work all the same, and the loop gets its turn.
  } while (count_ == 0 && taken != 0 && !handed_over);
  return count_;
}

void Channel::add_record(Task task) {
  add_record(task, kind_of(entry_->engine->engine().slots().at(task.index)));
}

void Channel::add_record(Task task, RecordKind kind) {
  const core::SlotTable& slots = entry_->engine->engine().slots();
  records_held_[count_] = 0;
  uint32_t* record = records_ + size_t{count_++} * kRecordWords;
  record[0] = task.index;
  record[1] = task.generation;
  const core::Slot& slot = slots.at(task.index);
  record[2] = static_cast<uint32_t>(kind) | uint32_t{slot.method} << 8;
  record[3] = slot.route.load(std::memory_order_relaxed);
  if (kind == RecordKind::kEnded) return;  // another's by now, maybe
  record[2] |= uint32_t{slot.route_type} << kRouteTypeShift;
  if (slots.word(task.index).has(core::Word::kResumed)) record[2] |= kContinuedMark;
  if (slot.variables != core::kNoPayload) record[2] |= kVariablesMark;
  if (kind != RecordKind::kTask) return;
  const core::TaskData& data = entry_->engine->tasks().data(task);
  record[kTaskBeginWord] = task_bytes_.lay(data);
  record[kTaskSizeWord] = data.size;
  record[kTaskNumberWord] = static_cast<uint32_t>(data.number);
}

void Channel::on_readable(void* context) {
  const auto* watch = static_cast<Watch*>(context);
  // As in on_woken().
  const std::shared_ptr<Channel> self = watch->channel->shared_from_this();
  napi_handle_scope scope;
  if (napi_open_handle_scope(self->env_, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_get_reference_value(self->env_, self->on_batch_, &callback);
  self->entry_->engine->note_round(self->place_.thread);
  self->read_socket(watch->socket, callback, true);
  napi_close_handle_scope(self->env_, scope);
}

void Channel::read_sockets(napi_value callback) {
  sip::SipEngine& engine = *entry_->engine;
  for (const auto& watch : watches_) {
    read_socket(watch->socket, callback, false);
    if (!open_) return;
    engine.stand_in().rearm(watch->socket);
  }
}

void Channel::read_socket(uint32_t socket, napi_value callback, bool own_scope) {
  sip::SipEngine& engine = *entry_->engine;
  const uint32_t thread = place_.thread;
  const uint64_t now = core::now_ns();
  for (uint32_t i = 0; i < kReadsPerTurn; ++i) {
    // What the stand-in has read came before what is in the socket.
    while (transactions().has_pre_routing() && collect() != 0) {
      deliver(callback, own_scope);
      if (!open_) return;
    }
    count_ = 0;
    sip::SendScope sends(transport(), transport().batch(place_.thread));
    const bool more = engine.read(socket, [&](Task fresh) {
      // The records hold at least a receive batch, but the inbox takes what does not fit all the same.
      if (room() == 0) {
        if (!engine.engine().post(thread, fresh)) engine.transactions().refuse(fresh);
      } else if (engine.engine().begin_run(fresh, thread, now) == Status::kOk) {
        add_record(fresh);
      }
    });
    if (count_ <= 1) sends.close();
    if (count_ != 0) deliver(callback, own_scope);
    if (!open_ || !more) return;
  }
}

void Channel::deliver(napi_value callback, bool own_scope) {
  call_batch(callback, own_scope);
  while (count_ != 0 && open_) call_batch(callback, own_scope);
  // Closed by the script: what has begun is ended as that of a thread that is gone.
  count_ = 0;
  follow_ups_.clear();
  for (uint32_t i = 0; i < held_.size(); ++i) {
    if (held_[i].runs != 0) transactions().leave_lane(held_[i].raw);
  }
  held_.clear();
}

void Channel::call_batch(napi_value callback, bool own_scope) {
  const uint64_t started = core::now_ns();
  // The reply of a single route need not wait for its end.
  std::optional<sip::SendScope> sends;
  if (count_ > 1) sends.emplace(transport(), transport().batch(place_.thread));
  napi_value receiver;
  napi_value count;
  napi_value result = nullptr;
  delivering_ = true;
  napi_get_global(env_, &receiver);  // napi_make_callback wants an object
  napi_create_uint32(env_, count_, &count);
  const napi_status status =
      own_scope ? napi_make_callback(env_, async_context_, receiver, callback, 1, &count, &result)
                : napi_call_function(env_, receiver, callback, 1, &count, &result);
  delivering_ = false;
  failed_ = failed_ || status != napi_ok;
  if (status == napi_ok) {
    napi_get_value_uint32(env_, result, &task_room_);
  } else if (status == napi_pending_exception) {
    surface_exception(env_);
  }
  settle(started);
  // Another thread may have the next message of a call the moment its lane is left, and must not overtake what gathers here.
  sends.reset();
  leave_lanes();
  count_ = 0;
  add_follow_ups();
}

std::string_view Channel::xdata(uint32_t number) {
  if (!delivering_ || number >= count_ || records_held_[number] == 0) return {};
  return transactions().xdata(held_[records_held_[number] - 1].raw);
}

}  // namespace sip_async::node
