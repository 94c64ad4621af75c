import { makeError } from './errors.ts';
import type { LogLevel } from './config/limits.ts';
import type { Message } from './message.ts';

/** The code of a route block. It may be synchronous or `async`; what it returns is not looked at. */
export type RouteHandler = (msg: Message) => unknown;

/** A worker group in its object form; Kamailio's `name=abc;workers=4;nonblock=0;usleep=0` says the same. */
export interface GroupDefinition {
  /** 1 to 62 bytes. `default` is the group that `asyncWorkers` makes as well. */
  name: string;
  /** Worker threads, 1 to 256. */
  workers: number;
  /** 1 refuses a task with `GROUP_FULL` once `maxQueue` tasks wait; 0, the default, takes it all the same. */
  nonblock?: 0 | 1 | boolean;
  /** The pause in microseconds that a worker makes between batches, 0 to 10,000,000. The default is 0. */
  usleep?: number;
  /** Tasks that may wait, 1 to 16,777,216. The default is 1024. */
  maxQueue?: number;
  /**
   * How many asynchronous handlers one worker of the group keeps going at once, 1 to 16,777,216; those that wait in
   * `asyncSleep` count. Without it a worker takes whatever comes.
   */
  concurrency?: number;
}

/** `modparam("async", …)`, in Kamailio's spelling. */
export interface AsyncParams {
  /** Threads that resume what `asyncRoute` suspended, 0 to 256; 0 switches it off. The default is 1. */
  workers?: number;
  /** The grain of the millisecond functions in ms, 0 to 30000; 0 switches them off. The default is 1. */
  ms_timer?: number;
  /** 0, the default, ends the script after a suspension; above 0 the function returns `true`, below 0 `false`. */
  return?: number;
  /** 1 runs without transactions and so without everything that suspends one. The default is 0. */
  mode?: 0 | 1;
  /** The longest delay in seconds, up to a year, in place of 100 seconds and 30000 milliseconds. */
  max_sleep?: number;
}

/** `modparam("tm", …)`, in Kamailio's spelling; times in milliseconds. */
export interface TmParams {
  /** How long a final reply may take. The default is 30000. */
  fr_timer?: number;
  /** How long the final reply to an INVITE may take after a provisional one. The default is 120000. */
  fr_inv_timer?: number;
  /** How long an answered transaction absorbs retransmissions. The default is 5000. */
  wt_timer?: number;
  /** T1 of RFC 3261, the first retransmission. The default is 500. */
  retr_timer1?: number;
  /** T2 of RFC 3261, the longest retransmission interval. The default is 4000. */
  retr_timer2?: number;
  /** 1, the default, answers an INVITE that suspends with 100. */
  auto_inv_100?: 0 | 1;
  /** How long a transaction may stay suspended that no timer resumes. The default is 300000. */
  max_suspend?: number;
}

/** `modparam("sworker", …)`. */
export interface SworkerParams {
  /** The variable that is handed over together with a message, as `$var(x)`. */
  xdata?: string;
}

/** Everything of a definition but its routes; also what `startProxy` and the command line override. */
export interface ProxySettings {
  /** The sockets to bind, as `udp:127.0.0.1:5060` or `udp:[::1]:5060`; port 0 takes any free port. */
  listen?: string | readonly string[];
  /** Threads that run `requestRoute`, 1 to 64; the main thread is the first. The default is 1. */
  children?: number;
  /** Workers of the group `default`, 0 to 256 (Kamailio's `async_workers`). The default is 0: no such group. */
  asyncWorkers?: number;
  /** More groups (Kamailio's `async_workers_group`). */
  asyncWorkersGroup?: string | GroupDefinition | readonly (string | GroupDefinition)[];
  /** The group that runs tkv events (Kamailio's `async_tkv_gname`); made with one worker when it is not defined. */
  asyncTkvGname?: string;
  /** The event route that tkv events run (Kamailio's `async_tkv_evcb`). */
  asyncTkvEvcb?: string;
  /** Slots: transactions and tasks that can be alive at a time, up to 16,777,216. The default is 262,144. */
  maxTransactions?: number;
  /** The longest message that is taken in, 256 to 65535 bytes. The default is 65535. */
  maxMessageBytes?: number;
  /** The receive buffer of each socket in bytes. The default is 4 MiB. */
  recvBuffer?: number;
  /** How much is logged. The default is `silent`. */
  log?: LogLevel;
  /** Parameters of the modules, in Kamailio's spelling. */
  modparam?: { async?: AsyncParams; tm?: TmParams; sworker?: SworkerParams };
}

/** A proxy: what a proxy module exports as its default, made by {@link defineProxy}. */
export interface ProxyDefinition<RouteName extends string = string> extends ProxySettings {
  /** Runs for every new request (Kamailio's `request_route`). Required unless `modparam.async.mode` is 1. */
  requestRoute?: RouteHandler;
  /** Route blocks, which suspending functions name (Kamailio's `route[NAME]`). */
  route?: { readonly [Name in RouteName]: RouteHandler };
  /** Run when a transaction fails, if armed with `tOnFailure` (`failure_route[NAME]`). */
  failureRoute?: Readonly<Record<string, RouteHandler>>;
  /** Run for replies, if armed with `tOnReply` (`onreply_route[NAME]`). */
  onreplyRoute?: Readonly<Record<string, RouteHandler>>;
  /** Run for each branch, if armed with `tOnBranch` (`branch_route[NAME]`). */
  branchRoute?: Readonly<Record<string, RouteHandler>>;
  /** `core:tkv`, `core:pre-routing`, `tm:local-request`, and what `asyncTkvEvcb` names (`event_route[NAME]`). */
  eventRoute?: Readonly<Record<string, RouteHandler>>;
}

// Registered, so that a module may import another copy of the package than the one that runs it.
const BRAND = Symbol.for('sip-async.ProxyDefinition');

/**
 * Marks an object as the definition of a proxy and gives it its types. The object comes back as it is; it is checked
 * as a whole when the proxy starts.
 *
 * @example
 * ```js
 * export default defineProxy({
 *   listen: ['udp:127.0.0.1:5060'],
 *   requestRoute(msg) {
 *     msg.asyncRoute('RESUME', 4);
 *   },
 *   route: {
 *     RESUME(msg) { msg.sendReply(404, 'Not found'); },
 *   },
 * });
 * ```
 *
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG` when it is given something else than an object
 */
export function defineProxy<RouteName extends string = string>(
  definition: ProxyDefinition<RouteName>,
): ProxyDefinition<RouteName> {
  if (typeof definition !== 'object' || definition === null || Array.isArray(definition)) {
    throw makeError('CONFIG', 'defineProxy takes one object, as in defineProxy({ requestRoute(msg) {} })');
  }
  // A frozen definition is a good habit, and cannot be marked itself.
  const marked = Object.isExtensible(definition) ? definition : { ...definition };
  return Object.defineProperty(marked, BRAND, { value: true });
}

/** Whether {@link defineProxy} made this value, in whichever copy of the package. */
export function isProxyDefinition(value: unknown): value is ProxyDefinition {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, BRAND);
}
