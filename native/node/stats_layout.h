// Names of the figures that engineStats and groupStats write, in their order. Exported once, never typed twice.
#pragma once

namespace sip_async::node {

inline constexpr const char* kEngineStats[] = {
    "active",
    "suspended",
    "inScript",
    "completed",
    "cancelled",
    "timedOut",
    "timersPending",
    "timersFired",
    "timersCancelled",
    "latenessP50Ms",
    "latenessP99Ms",
    "latenessMaxMs",
    "received",
    "sent",
    "sendFailed",
    "retransmissionsAbsorbed",
    "acksAbsorbed",
    "keepAlives",
    "strayResponses",
    "refused",
    "repliesRefused",
    "limited",
    "repliesNotKept",
    "stoodIn",
    "slotsInUse",
    "slots",
    "payloadBlocks",
    "payloadHighWaterBytes",
    "tasksActive",
    "tasksDone",
    "tasksDropped",
    "branchesActive",
    "branchesSent",
    "requestsRepeated",
    "launchesOpen",
    "operationsPending",
    "operationsDone",
    "operationsFailed",
    "operationsTimedOut",
    "operationsCancelled",
    "operationsLate",
    "operationsRefused",
    "rawActive",
};

// What became of an operation, in the order of core::OperationEnd.
inline constexpr const char* kOperationEndNames[] = {
    "done", "failed", "timedOut", "cancelled", "late", "refused",
};

inline constexpr const char* kGroupStats[] = {
    "workers",   "idle",      "queued",    "highWater", "done",     "failed",   "refused",
    "waitP50Ms", "waitP99Ms", "waitMaxMs", "runP50Ms",  "runP99Ms", "runMaxMs",
};

// One entry of engineWaiting.
inline constexpr const char* kWaitingFields[] = {
    "index", "generation", "kind", "run", "route", "group", "dueInMs", "suspensions", "sleeps",
};

}  // namespace sip_async::node
