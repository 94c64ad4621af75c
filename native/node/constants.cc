// Every number that both sides must agree on, exported once.
#include "node/args.h"
#include "node/environment.h"
#include "node/message_fields.h"
#include "node/outgoing_layout.h"
#include "node/shared_tables.h"
#include "node/stats_layout.h"

namespace sip_async::node {

namespace {

// Counted up with every change of a record's layout or of a function's meaning; lib/binding.ts refuses another.
constexpr uint32_t kBindingVersion = 10;

constexpr const char* kStatusNames[] = {
    "ok",
    "staleHandle",
    "alreadySuspended",
    "notSuspended",
    "alreadyAnswered",
    "cancelled",
    "slotsExhausted",
    "groupFull",
    "noWorkers",
    "payloadTooLarge",
    "noTransaction",
    "closed",
    "notAnswerable",
    "unresolved",
    "unroutable",
    "tooManyHops",
    "loop",
};
constexpr const char* kMethodNames[] = {
    "",          "INVITE", "ACK",     "BYE",  "CANCEL", "OPTIONS", "REGISTER", "PRACK",
    "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER",  "MESSAGE", "UPDATE",
};

class Object {
 public:
  explicit Object(napi_env env) : env_(env) { napi_create_object(env, &value_); }
  Object& set(const char* name, napi_value value) {
    napi_set_named_property(env_, value_, name, value);
    return *this;
  }
  Object& set(const char* name, uint32_t value) { return set(name, make_u32(env_, value)); }
  napi_value value() const { return value_; }

 private:
  napi_env env_;
  napi_value value_;
};

template <size_t Count>
napi_value numbered(napi_env env, const char* const (&names)[Count]) {
  Object out(env);
  for (uint32_t i = 0; i < Count; ++i) out.set(names[i], i);
  return out.value();
}

template <size_t Count>
napi_value listed(napi_env env, const char* const (&names)[Count]) {
  napi_value out;
  napi_create_array_with_length(env, Count, &out);
  for (uint32_t i = 0; i < Count; ++i) napi_set_element(env, out, i, make_text(env, names[i]));
  return out;
}

}  // namespace

napi_value make_constants(napi_env env) {
  Object record(env);
  record.set("words", kRecordWords)
      .set("request", static_cast<uint32_t>(RecordKind::kRequest))
      .set("resume", static_cast<uint32_t>(RecordKind::kResume))
      .set("wake", static_cast<uint32_t>(RecordKind::kWake))
      .set("ended", static_cast<uint32_t>(RecordKind::kEnded))
      .set("task", static_cast<uint32_t>(RecordKind::kTask))
      .set("event", static_cast<uint32_t>(RecordKind::kEvent))
      .set("failure", static_cast<uint32_t>(RecordKind::kFailure))
      .set("reply", static_cast<uint32_t>(RecordKind::kReply))
      .set("cancel", static_cast<uint32_t>(RecordKind::kCancel))
      .set("launch", static_cast<uint32_t>(RecordKind::kLaunch))
      .set("preRouting", static_cast<uint32_t>(RecordKind::kPreRouting))
      .set("routeTypeShift", kRouteTypeShift)
      .set("continued", kContinuedMark)
      .set("variables", kVariablesMark)
      .set("sworker", kSworkerMark)
      .set("taskBegin", kTaskBeginWord)
      .set("taskSize", kTaskSizeWord)
      .set("taskNumber", kTaskNumberWord);
  Object task_bytes(env);
  task_bytes.set("ask", TaskBytes::kAsk).set("noRoom", TaskBytes::kNoRoom);
  Object outcome(env);
  outcome.set("pending", static_cast<uint32_t>(sip::Outcome::kPending))
      .set("ended", static_cast<uint32_t>(sip::Outcome::kEnded))
      .set("threw", static_cast<uint32_t>(sip::Outcome::kThrew))
      .set("dropped", static_cast<uint32_t>(sip::Outcome::kDropped))
      .set("suspended", static_cast<uint32_t>(sip::Outcome::kSuspended))
      .set("mark", kOutcomeMark);
  napi_value malformed;
  constexpr auto kReasons = static_cast<uint32_t>(sip::IndexStatus::kCount);
  napi_create_array_with_length(env, kReasons, &malformed);
  for (uint32_t i = 0; i < kReasons; ++i) {
    napi_set_element(env, malformed, i,
                     make_text(env, sip::index_status_name(static_cast<sip::IndexStatus>(i))));
  }
  const core::SharedTableLimits usual;
  Object shared(env);
  shared.set("limits", listed(env, kSharedLimits))
      .set("stats", listed(env, kSharedStats))
      .set("mostTables", SharedTables::kMostTables - 1)
      .set("mostEntries", static_cast<uint32_t>(core::SharedTable::kMostEntries))
      .set("mostBytes", make_double(env, static_cast<double>(core::SharedTable::kMostBytes)))
      .set("usualEntries", static_cast<uint32_t>(usual.max_entries))
      .set("usualBytes", make_double(env, static_cast<double>(usual.max_bytes)))
      .set("entryBytes", static_cast<uint32_t>(core::SharedTable::kEntryBytes));
  Object outgoing(env);
  outgoing.set("words", kOutgoingWords)
      .set("flow", kOutgoingFlow)
      .set("transport", kOutgoingTransport)
      .set("socket", kOutgoingSocket)
      .set("port", kOutgoingPort)
      .set("nameBytes", kOutgoingNameBytes);
  Object no_slot(env);
  no_slot.set("index", sip::FakedRequest::kName.index).set("generation", sip::FakedRequest::kName.generation);
  Object out(env);
  out.set("shared", shared.value());
  out.set("outgoing", outgoing.value()).set("transports", listed(env, kTransportNames));
  out.set("version", kBindingVersion)
      .set("status", numbered(env, kStatusNames))
      .set("record", record.value())
      .set("taskBytes", task_bytes.value())
      .set("outcome", outcome.value())
      .set("field", numbered(env, kFieldNames))
      .set("number", numbered(env, kNumberNames))
      .set("methods", listed(env, kMethodNames))
      .set("engineStats", listed(env, kEngineStats))
      .set("groupStats", listed(env, kGroupStats))
      .set("malformed", malformed)
      .set("ownThread", core::Engine::kOwnThread)
      .set("noSlot", no_slot.value())
      .set("operation", numbered(env, kOperationEndNames))
      .set("maxDataBytes", static_cast<uint32_t>(core::DataTasks::kMaxBytes))
      .set("waiting", listed(env, kWaitingFields));
  return out.value();
}

}  // namespace sip_async::node
