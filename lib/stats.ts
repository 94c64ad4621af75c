import { native } from './binding.ts';
import type { ProxyConfig } from './config/schema.ts';
import type { ConnectionCounters } from './transport/counters.ts';

/** Percentiles of a time, in milliseconds. */
export interface Percentiles {
  p50: number;
  p99: number;
  max: number;
}

/** One worker group. */
export interface GroupStats {
  /** Worker threads by configuration. */
  workers: number;
  /** Workers that wait for work. */
  idle: number;
  /** Tasks that wait for a worker. */
  queued: number;
  /** The most that ever waited. */
  highWater: number;
  /** Runs that ended. */
  done: number;
  /** Runs that threw. */
  failed: number;
  /** Tasks that were refused because the group was full. */
  refused: number;
  /** From being due to being run. */
  waitMs: Percentiles;
  /** From being run to the last reply. */
  runMs: Percentiles;
}

/** Timed suspensions. */
export interface TimerStats {
  /** Suspensions whose time has not come. */
  pending: number;
  fired: number;
  /** Withdrawn before their time. */
  cancelled: number;
  /** From the due time to its being noticed. */
  latenessMs: Percentiles;
}

/** Data tasks, tkv events and launches, or what an engine of `sip-async/engine` suspends. */
export interface TaskStats {
  /** Waiting or running. */
  active: number;
  /** Runs that ended. */
  done: number;
  /** Cancelled, or ended with their thread or with the proxy. */
  dropped: number;
}

/** Operations of `async()` and `launch()`. */
export interface OperationStats {
  /** Going on, or ended and not yet told to their route. */
  pending: number;
  /** Told with a value, since the start. */
  done: number;
  /** Told with an error of the operation's own. */
  failed: number;
  /** Told that the deadline was first. */
  timedOut: number;
  /** Ended from outside: by CANCEL, `proxy.cancel`, `close()`, or with their thread. */
  cancelled: number;
  /** Settled behind one of the last two with something else than the abort; thrown away, and counted besides. */
  late: number;
  /** Launches that found no slot. */
  refused: number;
}

/** What is held in native memory. */
export interface MemoryStats {
  slotsInUse: number;
  slots: number;
  /** Payload blocks in use: requests and replies that are kept, and the data of tasks. */
  payloadBlocks: number;
  /** Bytes of payload memory that were ever touched. */
  payloadHighWaterBytes: number;
}

/** What `proxy.stats()` returns: plain numbers, taken without stopping anything. */
export interface ProxyStats {
  transactions: {
    /** Server transactions, those in their wait time included. */
    active: number;
    /** Suspended, or waiting in a queue to be resumed. */
    suspended: number;
    /** Messages that wait for a route, are in one, or wait for what they were sent on to. */
    inScript: number;
    /** Of these, messages in `core:pre-routing`, or handed over to a group and not yet dealt with. */
    preRouting: number;
    /** Final replies sent, since the start. */
    completed: number;
    /** Ended by CANCEL, since the start. */
    cancelled: number;
    /**
     * Since the start: finals to INVITE that no ACK came for (timer H), branches that nothing came back for (B and F), CANCELs
     * that nobody answered, and calls that nobody continued in time (`max_suspend`).
     */
    timedOut: number;
  };
  /** Client transactions. */
  branches: {
    /** Waiting for a reply, or answering repetitions of one. */
    active: number;
    /** Requests sent on, since the start. */
    sent: number;
    /** Sent again by a timer, since the start. */
    repeated: number;
  };
  timers: TimerStats;
  tasks: TaskStats;
  operations: OperationStats;
  groups: Record<string, GroupStats>;
  transport: {
    /** Datagrams, and messages of connections. */
    received: number;
    sent: number;
    /** Datagrams that the kernel did not take, and messages that found the queue to the connections full. */
    sendFailed: number;
    /** Messages refused, by reason. */
    malformed: Record<string, number>;
    retransmissionsAbsorbed: number;
    acksAbsorbed: number;
    /** Keep-alives: datagrams of CR LF, and those of connections that were answered. */
    keepAlives: number;
    /** Responses that belong to nothing here. */
    strayResponses: number;
    /** New requests answered 503 without a route, because no slot was left or the proxy is closing. */
    refused: number;
    /** Replies dropped, and not even shown to `core:pre-routing`, because no slot was left or the proxy is closing. */
    repliesRefused: number;
    /** Requests dropped because their source was over `maxRequestsPerSource`. */
    limited: number;
    /** Replies sent but not kept for retransmissions, because no memory was left. */
    repliesNotKept: number;
    /** Datagrams read while a receiver's event loop was stuck. */
    stoodIn: number;
  } & ConnectionCounters;
  memory: MemoryStats;
}

function figures(names: readonly string[], fill: (out: Float64Array) => void): Record<string, number> {
  const values = new Float64Array(names.length);
  fill(values);
  return Object.fromEntries(names.map((name, i) => [name, values[i]!]));
}

function percentiles(from: Record<string, number>, prefix: string): Percentiles {
  return { p50: from[`${prefix}P50Ms`]!, p99: from[`${prefix}P99Ms`]!, max: from[`${prefix}MaxMs`]! };
}

/** The figures of a whole engine, by name. */
export type EngineFigures = (name: string) => number;

export function readFigures(engine: number): EngineFigures {
  const all = figures(native.constants.engineStats, (out) => native.engineStats(engine, out));
  return (name) => all[name]!;
}

export function readTimers(of: EngineFigures): TimerStats {
  return {
    pending: of('timersPending'),
    fired: of('timersFired'),
    cancelled: of('timersCancelled'),
    latenessMs: { p50: of('latenessP50Ms'), p99: of('latenessP99Ms'), max: of('latenessMaxMs') },
  };
}

export function readTasks(of: EngineFigures): TaskStats {
  return { active: of('tasksActive'), done: of('tasksDone'), dropped: of('tasksDropped') };
}

export function readMemory(of: EngineFigures): MemoryStats {
  return {
    slotsInUse: of('slotsInUse'),
    slots: of('slots'),
    payloadBlocks: of('payloadBlocks'),
    payloadHighWaterBytes: of('payloadHighWaterBytes'),
  };
}

/** @param groups in the order in which the engine numbers them */
export function readGroups(engine: number, groups: readonly { name: string }[]): Record<string, GroupStats> {
  const entries = groups.map(({ name }, number): [string, GroupStats] => {
    const one = figures(native.constants.groupStats, (out) => native.groupStats(engine, number, out));
    return [
      name,
      {
        workers: one.workers!,
        idle: one.idle!,
        queued: one.queued!,
        highWater: one.highWater!,
        done: one.done!,
        failed: one.failed!,
        refused: one.refused!,
        waitMs: percentiles(one, 'wait'),
        runMs: percentiles(one, 'run'),
      },
    ];
  });
  return Object.fromEntries(entries);
}

/** Reads the statistics of a proxy. */
export function readStats(engine: number, config: ProxyConfig, connections: ConnectionCounters): ProxyStats {
  const of = readFigures(engine);
  const malformed = figures(native.constants.malformed, (out) => native.malformedStats(engine, out));
  return {
    transactions: {
      active: of('active'),
      suspended: of('suspended'),
      inScript: of('inScript'),
      preRouting: of('rawActive'),
      completed: of('completed'),
      cancelled: of('cancelled'),
      timedOut: of('timedOut'),
    },
    branches: { active: of('branchesActive'), sent: of('branchesSent'), repeated: of('requestsRepeated') },
    timers: readTimers(of),
    tasks: readTasks(of),
    operations: {
      pending: of('operationsPending'),
      done: of('operationsDone'),
      failed: of('operationsFailed'),
      timedOut: of('operationsTimedOut'),
      cancelled: of('operationsCancelled'),
      late: of('operationsLate'),
      refused: of('operationsRefused'),
    },
    groups: readGroups(engine, config.groups),
    transport: {
      received: of('received'),
      sent: of('sent'),
      sendFailed: of('sendFailed'),
      // Only what has happened: the list of what could is long.
      malformed: Object.fromEntries(Object.entries(malformed).filter(([, count]) => count > 0)),
      retransmissionsAbsorbed: of('retransmissionsAbsorbed'),
      acksAbsorbed: of('acksAbsorbed'),
      strayResponses: of('strayResponses'),
      refused: of('refused'),
      repliesRefused: of('repliesRefused'),
      limited: of('limited'),
      repliesNotKept: of('repliesNotKept'),
      stoodIn: of('stoodIn'),
      ...connections,
      keepAlives: of('keepAlives') + connections.keepAlives,
    },
    memory: readMemory(of),
  };
}
