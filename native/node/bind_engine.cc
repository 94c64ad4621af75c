// Engines: putting together, sockets, start and stop, statistics.
#include <cstring>
#include <iterator>

#include "node/args.h"
#include "node/environment.h"
#include "node/hub.h"
#include "node/stats_layout.h"

namespace sip_async::node {

namespace {

std::shared_ptr<EngineEntry> entry_of(uint32_t number) {
  return Hub::instance().find(number);
}

// nullptr when there is no such engine, or it is not built.
sip::SipEngine* engine_of(const std::shared_ptr<EngineEntry>& entry) {
  return entry == nullptr ? nullptr : entry->engine.get();
}

// Ends an engine for good. Channels and engine hold each other; whoever calls this has seen to it that the channels are
// closed (workers ended, their clean-up hooks run), so nobody calls through them any more.
void take_down(uint32_t number) {
  const auto entry = entry_of(number);
  if (entry == nullptr) return;
  if (sip::SipEngine* engine = engine_of(entry)) engine->stop();
  Hub::instance().remove(number);
  std::lock_guard lock(entry->mutex);
  entry->channels.clear();
}

// The environment that made an engine ends without having stopped it. Its workers have ended before it, and its own
// channel's hook, which is younger, has run.
void on_environment_end(void* number) {
  take_down(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(number)));
}

void* hook_argument(uint32_t number) {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(number));
}

napi_value create(napi_env env, napi_callback_info info) {
  const Args<13> args(env, info);
  auto entry = std::make_shared<EngineEntry>();
  entry->config.receivers = args.u32(0);
  entry->config.addresses = args.u32(7);
  sip::TransactionConfig& transactions = entry->config.transactions;
  transactions.max_transactions = args.u32(1);
  transactions.max_message_bytes = args.u32(2);
  transactions.t1_ms = args.u32(3);
  transactions.t2_ms = args.u32(4);
  transactions.wait_ms = args.u32(5);
  transactions.auto_100 = args.boolean(6);
  transactions.fr_ms = args.u32(8);
  transactions.fr_inv_ms = args.u32(9);
  transactions.has_cancel_event = args.boolean(10);
  transactions.has_reply_route = args.boolean(11);
  transactions.has_pre_routing = args.boolean(12);
  const uint32_t number = Hub::instance().add(std::move(entry));
  napi_add_env_cleanup_hook(env, on_environment_end, hook_argument(number));
  return make_u32(env, number);
}

// Between engineCreate and engineBuild.
napi_value limits(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (entry == nullptr) return nullptr;
  sip::TransactionConfig& transactions = entry->config.transactions;
  transactions.max_headers = static_cast<uint16_t>(args.u32(1));
  transactions.max_line_bytes = static_cast<uint16_t>(args.u32(2));
  transactions.max_vias = static_cast<uint16_t>(args.u32(3));
  transactions.source_rate = args.u32(4);
  transactions.source_burst = args.u32(5);
  return nullptr;
}

napi_value add_group(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (entry == nullptr) return make_i32(env, -1);
  core::GroupConfig group;
  group.name = args.text(1);
  group.workers = args.u32(2);
  group.nonblock = args.boolean(3);
  group.usleep_us = args.u32(4);
  group.max_queue = args.u32(5);
  entry->config.groups.push_back(std::move(group));
  return make_u32(env, static_cast<uint32_t>(entry->config.groups.size() - 1));
}

napi_value build(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (entry == nullptr || entry->engine != nullptr) return nullptr;
  try {
    entry->engine = std::make_unique<sip::SipEngine>(entry->config);
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "SIPASYNC_ERR_SLOTS_EXHAUSTED",
                     "there is no address space for so many transactions");
  }
  return nullptr;
}

napi_value listen(napi_env env, napi_callback_info info) {
  const Args<7> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  if (engine == nullptr || args.u32(1) >= engine->transport().size()) return make_i32(env, -EINVAL);
  sip::Address local;
  if (!sip::Address::parse(args.text(2), static_cast<uint16_t>(args.u32(3)), local))
    return make_i32(env, -EADDRNOTAVAIL);
  const int fault = engine->listen(args.u32(1), local, args.u32(4), args.boolean(5), args.text(6));
  return make_i32(env, fault != 0 ? -fault : engine->transport().socket(args.u32(1)).local().port);
}

napi_value add_alias(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (sip::SipEngine* engine = engine_of(entry)) {
    engine->transactions().listeners().add_alias(args.text(1), static_cast<uint16_t>(args.u32(2)));
  }
  return nullptr;
}

napi_value start(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (sip::SipEngine* engine = engine_of(entry)) engine->start();
  return nullptr;
}

napi_value stop_intake(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto entry = entry_of(args.u32(0));
  if (sip::SipEngine* engine = engine_of(entry)) {
    engine->transactions().stop_intake();
    if (args.boolean(1)) {
      engine->tasks().stop_intake();
      engine->transactions().close_raw_intake();
    }
  }
  return nullptr;
}

napi_value in_script(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  return make_u32(env, engine == nullptr ? 0 : engine->transactions().in_script() + engine->tasks().open());
}

napi_value conclude_all(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  if (engine == nullptr) return make_u32(env, 0);
  return make_u32(env, engine->transactions().conclude_all(static_cast<uint16_t>(args.u32(1)), args.text(2)));
}

napi_value drop_tasks(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  return make_u32(env, engine == nullptr ? 0 : engine->tasks().drop_all());
}

napi_value drop_launches(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  return make_u32(env, engine == nullptr ? 0 : engine->tasks().drop_launches());
}

napi_value thread_gone(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* engine = engine_of(entry);
  if (engine == nullptr) return make_u32(env, 0);
  engine->operations().thread_gone(args.u32(1));
  const uint32_t calls = engine->transactions().thread_gone(args.u32(1));
  return make_u32(env, calls + engine->tasks().thread_gone(args.u32(1)));
}

napi_value stop(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const uint32_t number = args.u32(0);
  if (entry_of(number) == nullptr) return nullptr;
  napi_remove_env_cleanup_hook(env, on_environment_end, hook_argument(number));
  take_down(number);
  return nullptr;
}

// The typed array to write statistics into.
struct Figures {
  Figures(napi_env env, napi_value array) {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) == napi_ok &&
        type == napi_float64_array) {
      at = static_cast<double*>(data);
      left = length;
    }
  }
  void put(double value) {
    if (left == 0) return;
    *at++ = value;
    --left;
  }
  void put(const std::atomic<uint64_t>& counter) {
    put(static_cast<double>(counter.load(std::memory_order_relaxed)));
  }
  double* at = nullptr;
  size_t left = 0;
};

napi_value engine_stats(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* sip = engine_of(entry);
  if (sip == nullptr) return nullptr;
  Figures out(env, args[1]);
  const auto relaxed = std::memory_order_relaxed;
  core::Engine& engine = sip->engine();
  const auto& counters = engine.counters;
  const uint64_t fired = counters.fired.load(relaxed);
  const uint64_t withdrawn = counters.withdrawn.load(relaxed);
  const uint64_t scheduled = counters.scheduled.load(relaxed);
  const int64_t suspended = counters.suspended.load(relaxed);
  const auto lateness = counters.lateness.snapshot();
  const auto& transport = sip->transport().counters;
  // In the order of kEngineStats.
  out.put(static_cast<double>(sip->transactions().open_transactions()));
  out.put(static_cast<double>(suspended > 0 ? suspended : 0));
  out.put(static_cast<double>(sip->transactions().in_script()));
  out.put(sip->transactions().counters.completed);
  out.put(sip->transactions().counters.cancelled);
  out.put(sip->transactions().counters.timed_out);
  out.put(static_cast<double>(scheduled > fired + withdrawn ? scheduled - fired - withdrawn : 0));
  out.put(static_cast<double>(fired));
  out.put(static_cast<double>(withdrawn));
  out.put(lateness.p50_ms);
  out.put(lateness.p99_ms);
  out.put(lateness.max_ms);
  out.put(transport.received);
  out.put(transport.sent);
  out.put(transport.send_failed);
  out.put(transport.retransmissions_absorbed);
  out.put(transport.acks_absorbed);
  out.put(transport.keep_alives);
  out.put(transport.stray_responses);
  out.put(transport.refused);
  out.put(transport.replies_refused);
  out.put(transport.limited);
  out.put(transport.replies_not_kept);
  out.put(transport.stood_in);
  out.put(static_cast<double>(engine.slots().live()));
  out.put(static_cast<double>(engine.slots().size()));
  out.put(static_cast<double>(engine.payloads().blocks_in_use()));
  out.put(static_cast<double>(engine.payloads().high_water_bytes()));
  out.put(static_cast<double>(sip->tasks().open()));
  out.put(sip->tasks().counters.done);
  out.put(sip->tasks().counters.dropped);
  out.put(static_cast<double>(sip->transactions().open_branches()));
  out.put(sip->transactions().counters.relayed);
  out.put(sip->transactions().counters.repeated);
  out.put(static_cast<double>(sip->tasks().open_launches()));
  out.put(static_cast<double>(sip->operations().pending()));
  for (uint32_t how = 0; how < core::kOperationEnds; ++how)
    out.put(static_cast<double>(sip->operations().ended(how)));
  out.put(static_cast<double>(sip->transactions().open_raw()));
  return nullptr;
}

napi_value group_stats(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* sip = engine_of(entry);
  if (sip == nullptr || args.u32(1) >= sip->engine().group_count()) return nullptr;
  Figures out(env, args[2]);
  const core::WorkerGroup& group = sip->engine().group(args.u32(1));
  const auto wait = group.counters.wait.snapshot();
  const auto run = group.counters.run.snapshot();
  // In the order of kGroupStats.
  out.put(group.config().workers);
  out.put(group.idle());
  out.put(group.queued());
  out.put(group.counters.high_water.load(std::memory_order_relaxed));
  out.put(group.counters.done);
  out.put(group.counters.failed);
  out.put(group.counters.refused);
  for (const auto& histogram : {wait, run}) {
    out.put(histogram.p50_ms);
    out.put(histogram.p99_ms);
    out.put(histogram.max_ms);
  }
  return nullptr;
}

napi_value malformed_stats(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* sip = engine_of(entry);
  if (sip == nullptr) return nullptr;
  Figures out(env, args[1]);
  for (const auto& counter : sip->transport().counters.malformed) out.put(counter);
  return nullptr;
}

// What waits in the slots, as far as `out` has room: one row of kWaitingFields for each. A scan without a lock: what comes
// and goes meanwhile may or may not be in it.
napi_value waiting(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto entry = entry_of(args.u32(0));
  sip::SipEngine* sip = engine_of(entry);
  if (sip == nullptr) return make_u32(env, 0);
  Figures out(env, args[1]);
  const auto relaxed = std::memory_order_relaxed;
  core::Engine& engine = sip->engine();
  core::SlotTable& slots = engine.slots();
  const uint64_t now = engine.clock().tick_at(core::now_ns());
  uint32_t count = 0;
  for (uint32_t index = 0, bound = slots.high_water(); index < bound; ++index) {
    if (out.left < std::size(kWaitingFields)) break;
    const core::Word word = slots.word(index);
    const core::Slot& slot = slots.at(index);
    const auto kind = slot.kind.load(relaxed);
    const bool queued_task = word.run() == core::Run::kReceived && kind != core::SlotKind::kMessage &&
                             kind != core::SlotKind::kRaw;
    if (!word.has(core::Word::kLive)) continue;
    if (word.run() != core::Run::kSuspended && word.run() != core::Run::kDue && !queued_task) continue;
    // In the order of kWaitingFields.
    out.put(index);
    out.put(word.generation());
    out.put(static_cast<double>(kind));
    out.put(word.run() == core::Run::kSuspended ? 0 : 1);
    out.put(slot.route.load(relaxed));
    out.put(slot.group.load(relaxed));
    const uint64_t due = slot.due_tick.load(relaxed);
    out.put(due > now ? static_cast<double>(due - now) : 0);
    out.put(word.suspension());
    out.put(slot.entry.load(relaxed) == static_cast<uint8_t>(sip::Entry::kWake) ? 1 : 0);
    ++count;
  }
  return make_u32(env, count);
}

}  // namespace

const std::vector<Export> kEngineExports = {
    {"engineCreate", create},
    {"engineLimits", limits},
    {"engineAddGroup", add_group},
    {"engineBuild", build},
    {"engineListen", listen},
    {"engineAddAlias", add_alias},
    {"engineStart", start},
    {"engineStopIntake", stop_intake},
    {"engineInScript", in_script},
    {"engineConcludeAll", conclude_all},
    {"engineDropTasks", drop_tasks},
    {"engineDropLaunches", drop_launches},
    {"engineThreadGone", thread_gone},
    {"engineWaiting", waiting},
    {"engineStop", stop},
    {"engineStats", engine_stats},
    {"groupStats", group_stats},
    {"malformedStats", malformed_stats},
};

}  // namespace sip_async::node
