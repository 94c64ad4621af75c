import { isIPv6 } from 'node:net';
import type { ProxyConfig } from './config/schema.ts';
import { parseXdata } from './config/xdata.ts';
import type { XdataVariable } from './config/xdata.ts';
import type { ProxyDefinition, RouteHandler } from './define-proxy.ts';
import { makeError } from './errors.ts';
import type { ErrorName, SipAsyncError } from './errors.ts';
import { native } from './binding.ts';
import type { StatusName } from '../binding.d.ts';
import type { Logger } from './log.ts';
import type { Message } from './message.ts';
import { Operations } from './statements/operations.ts';
import type { OperationOutcome } from './statements/operation.ts';
import { Resolver } from './transport/resolve.ts';

/** What every route in one thread shares: the engine's numbers, the handlers of this thread, the names behind numbers. */
export interface Runtime {
  /** The native channel of this thread. */
  channel: number;
  readonly config: ProxyConfig;
  readonly logger: Logger;
  readonly requestRoute: RouteHandler | undefined;
  readonly replyRoute: RouteHandler | undefined;
  /** Failure, reply and branch routes by number, as `routes`. */
  readonly failureRoutes: readonly (RouteHandler | undefined)[];
  readonly onreplyRoutes: readonly (RouteHandler | undefined)[];
  readonly branchRoutes: readonly (RouteHandler | undefined)[];
  readonly failureNumbers: ReadonlyMap<string, number>;
  readonly onreplyNumbers: ReadonlyMap<string, number>;
  readonly branchNumbers: ReadonlyMap<string, number>;
  /** The event route that each CANCEL runs. */
  readonly cancelRoute: RouteHandler | undefined;
  /** The event route that each message runs before anything else. */
  readonly preRoute: RouteHandler | undefined;
  /** What goes along with a message that is handed over; `null` is nothing. */
  readonly xdata: XdataVariable | null;
  /** Runs the branch route of a new branch, once `prepare` has made its message ready. @returns whether it was dropped */
  runBranch: (
    index: number,
    generation: number,
    method: number,
    route: number,
    prepare: (message: Message) => void,
  ) => boolean;
  /** Runs the report route of a launch that is this thread's to report. */
  report: (index: number, generation: number, route: number, outcome: OperationOutcome, text: string | null) => void;
  /** What goes on in this thread for calls and launches that wait for it. */
  readonly operations: Operations;
  /** Made on the first use: most proxies never look up a name. */
  readonly resolver: () => Resolver;
  /** Look-ups under way end; they would keep the thread alive. */
  readonly closeResolver: () => void;
  /** Route blocks by number; the numbers are the positions in `config.routes.route`, the same in every thread. */
  readonly routes: readonly (RouteHandler | undefined)[];
  readonly routeNumbers: ReadonlyMap<string, number>;
  readonly groupNumbers: ReadonlyMap<string, number>;
  /** Where `asyncMsRoute` resumes: the group "default", else the module's workers. */
  readonly msGroup: number;
  /** Where `asyncTaskRoute` goes: the first group that is not the module's, or -1. */
  readonly firstGroup: number;
  /** Where tkv events go, or -1 when they are switched off. */
  readonly tkvGroup: number;
  readonly tkvRoute: RouteHandler | undefined;
  /** The group that this thread is a worker of; `null` in a receiver and in the module's own workers, as in Kamailio. */
  readonly groupName: string | null;
  readonly maxSeconds: number;
  readonly maxMs: number;
}

/** The event that every message raises before anything else is done with it. */
export const PRE_ROUTING_EVENT = 'core:pre-routing';

/** The event that a CANCEL raises. */
export const CANCEL_EVENT = 'tm:canceled';

/** Number of the group of the module's own workers. */
export const MODULE_GROUP_NUMBER = 0;

/**
 * Puts together what the routes of one thread need. A route that the main thread has and this thread's copy of the
 * module has not (a module that decides by thread what it exports) has no handler here; running it is a 500.
 */
export function makeRuntime(
  definition: ProxyDefinition,
  config: ProxyConfig,
  logger: Logger,
  group = -1,
): Runtime {
  const groups = config.groups.map((group) => group.name);
  const events = definition.eventRoute ?? {};
  const { routes } = config;
  const handlersOf = (names: readonly string[], handlers: Readonly<Record<string, RouteHandler | undefined>> = {}) =>
    names.map((name) => (Object.hasOwn(handlers, name) ? handlers[name] : undefined));
  const numbersOf = (names: readonly string[]) => new Map(names.map((name, number) => [name, number]));
  let resolver: Resolver | undefined;
  const { tkv } = config;
  const runtime: Runtime = {
    channel: -1,
    config,
    logger,
    requestRoute: definition.requestRoute,
    replyRoute: definition.replyRoute,
    routes: handlersOf(routes.route, definition.route),
    routeNumbers: numbersOf(routes.route),
    failureRoutes: handlersOf(routes.failureRoute, definition.failureRoute),
    failureNumbers: numbersOf(routes.failureRoute),
    onreplyRoutes: handlersOf(routes.onreplyRoute, definition.onreplyRoute),
    onreplyNumbers: numbersOf(routes.onreplyRoute),
    branchRoutes: handlersOf(routes.branchRoute, definition.branchRoute),
    branchNumbers: numbersOf(routes.branchRoute),
    cancelRoute: Object.hasOwn(events, CANCEL_EVENT) ? events[CANCEL_EVENT] : undefined,
    preRoute: Object.hasOwn(events, PRE_ROUTING_EVENT) ? events[PRE_ROUTING_EVENT] : undefined,
    xdata: config.sworker.xdata === null ? null : parseXdata(config.sworker.xdata),
    runBranch: () => {
      throw makeError('CLOSED');
    },
    report: () => {
      throw makeError('CLOSED');
    },
    operations: new Operations(() => runtime),
    resolver: () => {
      const families = [...new Set(config.listen.map(({ host }) => (isIPv6(host) ? 6 : 4)))] as (4 | 6)[];
      const transports = [...new Set(config.listen.map(({ transport }) => transport))];
      resolver ??= new Resolver({ transports, families, ...config.dns });
      return resolver;
    },
    closeResolver: () => resolver?.close(),
    groupNumbers: new Map(groups.map((name, number) => [name, number] as const).slice(MODULE_GROUP_NUMBER + 1)),
    msGroup: Math.max(MODULE_GROUP_NUMBER, groups.indexOf('default')),
    firstGroup: groups.length > 1 ? 1 : -1,
    tkvGroup: tkv.group === null || tkv.eventRoute === null ? -1 : groups.indexOf(tkv.group),
    tkvRoute: tkv.eventRoute !== null && Object.hasOwn(events, tkv.eventRoute) ? events[tkv.eventRoute] : undefined,
    groupName: group > MODULE_GROUP_NUMBER ? groups[group]! : null,
    maxSeconds: config.async.maxSleepMs === null ? 100 : config.async.maxSleepMs / 1000,
    maxMs: config.async.maxSleepMs ?? 30_000,
  };
  return runtime;
}

const ERROR_OF_STATUS = {
  ok: 'CLOSED',
  staleHandle: 'STALE_HANDLE',
  alreadySuspended: 'ALREADY_SUSPENDED',
  notSuspended: 'NOT_SUSPENDED',
  alreadyAnswered: 'ALREADY_ANSWERED',
  cancelled: 'CANCELLED',
  slotsExhausted: 'SLOTS_EXHAUSTED',
  groupFull: 'GROUP_FULL',
  noWorkers: 'NO_WORKERS',
  payloadTooLarge: 'PAYLOAD_TOO_LARGE',
  noTransaction: 'NO_TRANSACTION',
  closed: 'CLOSED',
  notAnswerable: 'INVALID_STATUS',
  unresolved: 'CLOSED',
  unroutable: 'UNROUTABLE',
  tooManyHops: 'TOO_MANY_HOPS',
  loop: 'LOOP_DETECTED',
} as const satisfies Record<StatusName, ErrorName>;

const NAME_OF_STATUS: ErrorName[] = [];
for (const [name, number] of Object.entries(native.constants.status)) {
  NAME_OF_STATUS[number] = ERROR_OF_STATUS[name as StatusName];
}

/** The error that a native status other than `ok` stands for. */
export function errorOfStatus(status: number): SipAsyncError {
  return makeError(NAME_OF_STATUS[status] ?? 'CLOSED');
}
