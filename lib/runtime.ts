import type { ProxyConfig } from './config/schema.ts';
import type { ProxyDefinition, RouteHandler } from './define-proxy.ts';
import { makeError } from './errors.ts';
import type { ErrorName, SipAsyncError } from './errors.ts';
import { native } from './binding.ts';
import type { StatusName } from '../binding.d.ts';
import type { Logger } from './log.ts';

/** What every route in one thread shares: the engine's numbers, the handlers of this thread, the names behind numbers. */
export interface Runtime {
  /** The native channel of this thread. */
  channel: number;
  readonly config: ProxyConfig;
  readonly logger: Logger;
  readonly requestRoute: RouteHandler | undefined;
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
  const handlers = definition.route ?? {};
  const events = definition.eventRoute ?? {};
  const { tkv } = config;
  return {
    channel: -1,
    config,
    logger,
    requestRoute: definition.requestRoute,
    routes: config.routes.route.map((name) => (Object.hasOwn(handlers, name) ? handlers[name] : undefined)),
    routeNumbers: new Map(config.routes.route.map((name, number) => [name, number])),
    groupNumbers: new Map(groups.map((name, number) => [name, number] as const).slice(MODULE_GROUP_NUMBER + 1)),
    msGroup: Math.max(MODULE_GROUP_NUMBER, groups.indexOf('default')),
    firstGroup: groups.length > 1 ? 1 : -1,
    tkvGroup: tkv.group === null || tkv.eventRoute === null ? -1 : groups.indexOf(tkv.group),
    tkvRoute: tkv.eventRoute !== null && Object.hasOwn(events, tkv.eventRoute) ? events[tkv.eventRoute] : undefined,
    groupName: group > MODULE_GROUP_NUMBER ? groups[group]! : null,
    maxSeconds: config.async.maxSleepMs === null ? 100 : config.async.maxSleepMs / 1000,
    maxMs: config.async.maxSleepMs ?? 30_000,
  };
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
} as const satisfies Record<StatusName, ErrorName>;

const NAME_OF_STATUS: ErrorName[] = [];
for (const [name, number] of Object.entries(native.constants.status)) {
  NAME_OF_STATUS[number] = ERROR_OF_STATUS[name as StatusName];
}

/** The error that a native status other than `ok` stands for. */
export function errorOfStatus(status: number): SipAsyncError {
  return makeError(NAME_OF_STATUS[status] ?? 'CLOSED');
}
