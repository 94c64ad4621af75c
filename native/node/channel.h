// A channel: the way between the engine and one JavaScript environment (the main thread or a worker thread).
//
// Ground rules
// - wake() may be called by any thread at any time, also after the environment has ended. It only schedules: what wakes
//   the loop is touched under the mutex and only while the channel is open.
// - Everything else happens on the environment's own thread.
// - The environment's clean-up hook closes the channel. It is registered after the thread-safe function was made, so it
//   runs before Node's own (hooks run newest first), while the function is still valid.
// - The engine keeps the channel until it is gone itself (EngineEntry::channels), so a wake() that comes late finds an
//   object that is closed, not one that is gone.
#pragma once

#include <node_api.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "node/hub.h"
#include "node/loop_poll.h"
#include "node/loop_wake.h"
#include "node/task_bytes.h"

namespace sip_async::node {

// What one record of a batch says.
enum class RecordKind : uint32_t {
  kRequest = 0,
  kResume = 1,
  kWake = 2,
  kEnded = 3,
  kTask = 4,
  kEvent = 5,
  kFailure = 6,
  kReply = 7,
  kCancel = 8,
  kLaunch = 9,
  kPreRouting = 10,
};
// Index, generation, kind with marks, route; of a data task also where its bytes begin (TaskBytes::lay), their number, and the
// number that came with it.
inline constexpr uint32_t kRecordWords = 8;
inline constexpr uint32_t kTaskBeginWord = 4;
inline constexpr uint32_t kTaskSizeWord = 5;
inline constexpr uint32_t kTaskNumberWord = 6;
inline constexpr uint32_t kOutcomeMark = 0x8000'0000;
// In the third word of a record: the suspension was ended by its handle.
inline constexpr uint32_t kContinuedMark = 0x0001'0000;
// The call has variables that an earlier run saved; without it nobody needs to ask.
inline constexpr uint32_t kVariablesMark = 0x0002'0000;
// A worker runs it for a message that was handed over (sworker_task).
inline constexpr uint32_t kSworkerMark = 0x0004'0000;
// Where its sip::RouteType stands.
inline constexpr uint32_t kRouteTypeShift = 20;

class Channel : public core::Wakeable, public std::enable_shared_from_this<Channel> {
 public:
  struct Place {
    uint32_t thread = 0;
    int32_t group = -1;  // -1: a receiver
    uint32_t worker = 0;
  };

  Channel(std::shared_ptr<EngineEntry> entry, Place place) : entry_(std::move(entry)), place_(place) {}

  // False, with an exception pending, when Node refuses.
  bool open(napi_env env, napi_value records, napi_value on_batch);
  void listen();
  // Where the bytes of data tasks are laid from now on.
  void lay_tasks_in(napi_value memory) { task_bytes_.use(env_, memory); }
  // Goes on after a pause with `task_room` tasks at the most.
  void run(uint32_t task_room);
  void ref(bool on);
  void close(bool environment_ends = false);
  // `on_outgoing()` is called when the outbox holds something.
  void hand_out_to(napi_value on_outgoing);
  // Ends a run outside of a batch: an asynchronous handler that has settled.
  bool finish(core::Task task, sip::Outcome outcome);

  // Does something that may launch routes for a task that this thread runs; for one that was handed over, they run here, too.
  template <class Action>
  void within(core::Task task, Action&& action) {
    within_held(held_by(task), action);
  }
  // What was handed over with the message that record `number` of the batch runs for; while the script has the batch.
  std::string_view xdata(uint32_t number);

  void wake() override;

  sip::TransactionLayer& transactions() { return entry_->engine->transactions(); }
  sip::SipEngine& engine() { return *entry_->engine; }
  sip::Transports& transport() { return entry_->engine->transport(); }
  const Place& place() const { return place_; }

 private:
  // Rounds of taking and running tasks before the loop gets its turn again.
  static constexpr uint32_t kRoundsPerTurn = 4;
  // Turns, with a lookout between them, before the loop gets its turn again.
  static constexpr uint32_t kTurnsPerWake = 4;
  // Batches read from the socket before the loop gets its turn again.
  static constexpr uint32_t kReadsPerTurn = 2;

  static void on_wake(napi_env env, napi_value callback, void* context, void* data);
  static void on_woken(void* context);
  static void on_readable(void* watch);
  static void on_environment_end(void* self);

  void turn(napi_value callback);
  void run_rounds(napi_value callback);
  void hand_out();
  uint32_t collect();
  void read_socket(uint32_t socket, napi_value callback, bool own_scope);
  void read_sockets(napi_value callback);
  void add_record(core::Task task);  // one that has just begun to run
  void add_record(core::Task task, RecordKind kind);
  // Deals with a message that was handed over; what it wants of the script comes to the batch, or behind it.
  void open_handed_over(core::Task raw);
  // Begins what dealing with a message, or ending a run, has led to. `held`: as records_held_.
  void follow(core::Task task, uint32_t held);
  void follow_launches(uint32_t held);
  void add_follow_ups();
  void leave_held(uint32_t held);
  // Behind the end of a batch: the lanes of the messages whose last run was in it.
  void leave_lanes();
  template <class Action>
  void within_held(uint32_t held, Action&& action);
  // As records_held_, of a task of the present batch.
  uint32_t held_by(core::Task task) const;
  // A new message that this thread runs.
  void take_fresh(core::Task fresh);
  void call_batch(napi_value callback, bool own_scope);
  // Calls on_batch for the records that were collected and settles the runs that it ended. on_batch returns how many
  // more tasks it can take; 0 is a pause until run().
  void deliver(napi_value callback, bool own_scope);
  void settle(uint64_t started_ns);
  static void count_run(core::WorkerGroup& group, sip::Outcome outcome);
  bool end_run(core::Task task, sip::Outcome outcome);
  uint32_t room() const { return capacity_ - count_; }
  bool wants_to_look_out();
  void note_work();
  bool paused() const { return task_room_ == 0; }

  std::shared_ptr<EngineEntry> entry_;
  Place place_;
  napi_env env_ = nullptr;
  napi_ref on_batch_ = nullptr;
  napi_ref records_ref_ = nullptr;
  napi_ref on_outgoing_ = nullptr;
  napi_async_context async_context_ = nullptr;
  uint32_t* records_ = nullptr;  // the caller's typed array
  uint32_t capacity_ = 0;        // in records
  uint32_t count_ = 0;
  // One for each socket of a receiver.
  struct Watch {
    Channel* channel;
    uint32_t socket;
    LoopPoll* poll;
  };
  std::vector<std::unique_ptr<Watch>> watches_;
  bool woken_to_read_ = false;       // no libuv: the stand-in wakes us for each datagram
  uint32_t task_room_ = UINT32_MAX;  // tasks of the group that on_batch has room for
  bool delivering_ = false;
  bool settling_ = false;
  // When this worker last found its group's queue empty, 0 while it has work; and whether the wait before was short.
  uint64_t empty_since_ns_ = 0;
  bool waited_briefly_ = false;
  bool look_out_due_ = false;    // at the end of this turn, when the script's promises have been kept
  bool has_looked_out_ = false;  // in vain
  bool failed_ = false;          // a batch could not be run
  // Messages that were handed over and whose lanes are held: until the routes that they led to have returned.
  struct Held {
    core::Task raw;
    uint32_t runs;
  };
  std::vector<Held> held_;
  std::vector<core::Task> lanes_to_leave_;
  // For each record of the batch: number + 1 of what it holds, 0 for nothing.
  std::vector<uint32_t> records_held_;
  // What is to run behind the present batch: it has begun.
  struct FollowUp {
    core::Task task;
    uint32_t held;
  };
  std::vector<FollowUp> follow_ups_;
  std::vector<core::Engine::Launch> launches_;
  TaskBytes task_bytes_;

  // Guards loop_wake_ and open_ against wake() of other threads.
  std::mutex mutex_;
  bool open_ = false;
  LoopWake loop_wake_;
  // A wake-up is on its way. Set by wake() of any thread, cleared by on_wake before it looks at the queues. Sequentially
  // consistent: a push that sees it set is seen by the look that follows the clearing.
  std::atomic<bool> scheduled_{false};
};

template <class Action>
void Channel::within_held(uint32_t held, Action&& action) {
  if (held == 0) {
    action();
    return;
  }
  {
    const sip::LaunchScope scope(place_.thread, launches_);
    action();
  }
  follow_launches(held);
}

}  // namespace sip_async::node
