import { makeError } from './errors.ts';
import type { LogLevel } from './config/limits.ts';
import type { Message } from './message.ts';

/**
 * The code of a route block. It may be synchronous or `async`; what it returns is not looked at.
 *
 * @typeParam RouteName the blocks of `route` that its message's functions take; any text when it is left out
 * @typeParam GroupName the worker groups that they take
 * @typeParam FailureRouteName the blocks of `failureRoute`
 * @typeParam OnreplyRouteName the blocks of `onreplyRoute`
 * @typeParam BranchRouteName the blocks of `branchRoute`
 */
export type RouteHandler<
  RouteName extends string = string,
  GroupName extends string = string,
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
> = (msg: Message<RouteName, GroupName, FailureRouteName, OnreplyRouteName, BranchRouteName>) => unknown;

/** A worker group in its object form; Kamailio's `name=abc;workers=4;nonblock=0;usleep=0` says the same. */
export interface GroupDefinition<Name extends string = string> {
  /** 1 to 62 bytes. `default` is the group that `asyncWorkers` makes as well. */
  name: Name;
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
  /**
   * The variable that goes along with a message that `sworkerTask` hands over: `$var(x)`, which is `msg.var.x`, or `$avp(x)`,
   * which is `msg.avp.get('x')`. It is read when `sworkerTask` is called and set, as text, in each route that the worker runs for the
   * message; when it is not set or empty there, it is `null` here.
   */
  xdata?: string;
}

/**
 * What one source may send: an IPv4 address, or the /64 of an IPv6 address. Every message counts that belongs to no
 * transaction of the proxy and would be routed or answered; retransmissions, the ACK and the CANCEL of a known call and
 * responses do not. What is over the limit is dropped without a reply, since a reply would go to whoever the sender has
 * named as the source, and counted in `stats().transport.limited`.
 */
export interface SourceRate {
  /** Requests a second, 1 to 1,000,000. */
  rate: number;
  /** Requests at once from a source that was silent, 1 to 1,000,000. The default is one second's worth. */
  burst?: number;
}

/** Certificates for `tls` and `wss`; files are read once, at the start. */
export interface TlsSettings {
  /** The private key: PEM text, or the path of a file. */
  key?: string;
  /** The certificate, followed by those in between up to the authority: PEM text, or the path of a file. */
  cert?: string;
  /** The authorities that certificates of others are checked against, in place of the system's: PEM text, or a path. */
  ca?: string;
  /** 1 takes only clients that show a certificate which `ca` vouches for. The default is 0. */
  requestCert?: 0 | 1 | boolean;
  /** 0 connects to servers whatever their certificate says: for tests. The default is 1. */
  verifyServer?: 0 | 1 | boolean;
  /** The oldest version that is spoken. The default is `TLSv1.2`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** Everything of a definition but its routes; also what `startProxy` and the command line override. */
export interface ProxySettings {
  /**
   * The sockets to bind, as `udp:127.0.0.1:5060` or `udp:[::1]:5060`; port 0 takes any free port. The transports are `udp`,
   * `tcp`, `tls`, `ws` and `wss`; `tls` and `wss` need {@link tls}.
   */
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
  /** Header lines of a message, 16 to 4096; a request with more gets 400. The default is 256. */
  maxHeaders?: number;
  /** Bytes of one header with its folded lines, 256 to 65535; a request with a longer one gets 513. The default is 8192. */
  maxLineBytes?: number;
  /** Via values of a message, that is hops behind it, 1 to 256; a request with more gets 400. The default is 70. */
  maxVias?: number;
  /** How many requests one source may send. There is no limit by default. */
  maxRequestsPerSource?: SourceRate;
  /** The receive buffer of each socket in bytes. The default is 4 MiB. */
  recvBuffer?: number;
  /** Other names of the proxy (Kamailio's `alias`), as `sip.example.com` or `sip.example.com:5060`: Route headers with them are ours. */
  alias?: string | readonly string[];
  /** The host that Via and Record-Route name in place of the socket's address (Kamailio's `advertised_address`). */
  advertise?: string;
  /** Name servers in place of the system's, and the milliseconds that looking up a target may take, 5000 by default. */
  dns?: { servers?: readonly string[]; timeout?: number };
  /** Connections that are open at a time, both ways, 1 to 1,000,000 (`tcp_max_connections`). The default is 10,000. */
  maxConnections?: number;
  /** Connections from one address (`tcp_accept_iplimit`), 1 to 1,000,000. There is no such limit by default. */
  maxConnectionsPerSource?: number;
  /**
   * Seconds after which a connection without traffic is closed (`tcp_connection_lifetime`), up to a day. The default is 180:
   * clients send keep-alives every 120 s at the latest (RFC 5626 section 4.4.1).
   */
  connectionIdle?: number;
  /** Seconds that opening a connection may take (`tcp_connect_timeout`), TLS included. The default is 10. */
  connectTimeout?: number;
  /** Seconds that a client may take for the TLS and WebSocket handshakes, together. The default is 10. */
  handshakeTimeout?: number;
  /** Seconds from the first byte of a message to its last. The default is 20. */
  messageTimeout?: number;
  /**
   * Bytes that may wait for a peer to read them (`tcp_conn_wq_max`), 65,536 up to 1 GiB; behind that the connection is closed.
   * The default is 262,144.
   */
  connectionSendBuffer?: number;
  /** Certificates for `tls` and `wss`. */
  tls?: TlsSettings;
  /**
   * A Unix socket on which `sip-async ps`, `cancel` and `stats` reach the proxy: its path, at most 107 bytes, relative to the
   * working directory. It has mode 0600, and is removed when the proxy begins to close. There is none by default.
   */
  control?: string;
  /** How much is logged. The default is `silent`. */
  log?: LogLevel;
  /** Parameters of the modules, in Kamailio's spelling. */
  modparam?: { async?: AsyncParams; tm?: TmParams; sworker?: SworkerParams };
}

/** Route blocks by name. Each is optional, because a definition may leave one out on a condition. */
type Routes<Name extends string, Handler> = { readonly [Block in Name]?: Handler };

/**
 * The part of a definition that is code. Only the keys say which routes there are: what a handler takes is behind `NoInfer`, or
 * one that takes any message would widen the names for all of them.
 */
interface RouteBlocks<
  RouteName extends string,
  GroupName extends string,
  FailureRouteName extends string,
  OnreplyRouteName extends string,
  BranchRouteName extends string,
  Handler = RouteHandler<
    NoInfer<RouteName>,
    NoInfer<GroupName>,
    NoInfer<FailureRouteName>,
    NoInfer<OnreplyRouteName>,
    NoInfer<BranchRouteName>
  >,
> {
  /** Runs for every new request (Kamailio's `request_route`). Required unless `modparam.async.mode` is 1. */
  requestRoute?: Handler;
  /**
   * Runs for every reply to what was sent on, before the reply route that `tOnReply` armed (Kamailio's `reply_route`). A reply
   * that belongs to no transaction goes its way without it.
   */
  replyRoute?: Handler;
  /** Route blocks, which suspending functions name (Kamailio's `route[NAME]`). */
  route?: Routes<RouteName, Handler>;
  /** Run when a transaction fails, if armed with `tOnFailure` (`failure_route[NAME]`). */
  failureRoute?: Routes<FailureRouteName, Handler>;
  /** Run for replies, if armed with `tOnReply` (`onreply_route[NAME]`). */
  onreplyRoute?: Routes<OnreplyRouteName, Handler>;
  /** Run for each branch, if armed with `tOnBranch` (`branch_route[NAME]`). */
  branchRoute?: Routes<BranchRouteName, Handler>;
  /**
   * `core:tkv`, `core:pre-routing`, `tm:local-request`, `tm:canceled` (each CANCEL of an open call, with the CANCEL as its
   * message), and what `asyncTkvEvcb` names (`event_route[NAME]`).
   *
   * `core:pre-routing` runs for every well-formed request and reply before any transaction or route: also for retransmissions,
   * ACK and CANCEL. It may hand the message over to a group (`sworkerTask`), drop it (`drop`), or answer it (`slSendReply`); else
   * the message goes on when the route has ended, by an error too. There is no transaction yet, and nothing that is set there
   * goes along but the variable of `modparam.sworker.xdata`. It may be `async`; then the message waits for it.
   */
  eventRoute?: Readonly<Record<string, Handler>>;
}

/**
 * A proxy: what a proxy module exports as its default, made by {@link defineProxy}.
 *
 * @typeParam RouteName the blocks of `route`
 * @typeParam GroupName the worker groups
 * @typeParam FailureRouteName the blocks of `failureRoute`
 * @typeParam OnreplyRouteName the blocks of `onreplyRoute`
 * @typeParam BranchRouteName the blocks of `branchRoute`
 */
export interface ProxyDefinition<
  RouteName extends string = string,
  GroupName extends string = string,
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
> extends ProxySettings,
    RouteBlocks<RouteName, GroupName, FailureRouteName, OnreplyRouteName, BranchRouteName> {}

// The settings accept any text and number besides what is inferred from them: where TypeScript has to settle the types before
// it has seen the groups, a definition must still be one. The `& {}` keeps a literal from being taken for the general type.
type AnyText = string & {};
type AnyNumber = number & {};
// When all groups are objects, TypeScript makes them a candidate for GroupText. It does not fit, and the constraint takes its
// place. This part of the constraint, of which there is no value, tells that case from a text that is not literal.
type NoText = GroupDefinition<never>;

/** The settings, with the type of what names the groups. */
interface GroupSettings<
  GroupText extends string | NoText,
  NamedGroup extends string,
  WorkerCount extends number,
  TkvGroup extends string,
> extends ProxySettings {
  asyncWorkers?: WorkerCount | AnyNumber;
  asyncWorkersGroup?: Group<GroupText, NamedGroup> | readonly Group<GroupText, NamedGroup>[];
  asyncTkvGname?: TkvGroup | AnyText;
}
type Group<GroupText extends string | NoText, NamedGroup extends string> =
  GroupText | AnyText | GroupDefinition<NamedGroup | AnyText>;

type Space = ' ' | '\t' | '\n' | '\r';
type Trim<Text extends string> = Text extends `${Space}${infer Rest}` | `${infer Rest}${Space}` ? Trim<Rest> : Text;
type Unquote<Text extends string> = Text extends `"${infer Inner}"` | `'${infer Inner}'` ? Inner : Text;

/** The name in `name=abc;workers=4`, read as lib/config/group-string.ts reads it; `string` when there is none to see. */
type NameInText<Text> = Text extends `${infer Field};${infer Rest}`
  ? NameInField<Field, NameInText<Rest>>
  : Text extends string ? NameInField<Text, string> : never;
type NameInField<Field extends string, Otherwise> = Field extends `${infer Key}=${infer Value}`
  ? Lowercase<Trim<Key>> extends 'name' ? Unquote<Trim<Value>> : Otherwise
  : Otherwise;

/**
 * The names of all groups of a definition. One that is not literal makes it `string`, and so does a definition without
 * groups, for those can come from the command line and from `startProxy`.
 */
type GroupNames<
  GroupText extends string | NoText,
  NamedGroup extends string,
  WorkerCount extends number,
  TkvGroup extends string,
> = [GroupText | NamedGroup | WorkerCount] extends [never]
  ? string
  :
      | (NoText extends GroupText ? never : NameInText<GroupText>)
      | NamedGroup
      | (WorkerCount extends 0 ? never : 'default')
      | TkvGroup;

// Registered, so that a module may import another copy of the package than the one that runs it.
const BRAND = Symbol.for('sip-async.ProxyDefinition');

/**
 * Marks an object as the definition of a proxy and gives it its types. The object comes back as it is; it is checked
 * as a whole when the proxy starts.
 *
 * TypeScript reads the names of routes and worker groups from the definition: `msg.asyncRoute('RESUEM', 4)` in one of its
 * handlers does not compile when `route` has no `RESUEM`. Where a name is not literal, and in handlers that take a plain
 * {@link Message}, any text does. No type argument needs to be written.
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
 * @typeParam RouteName the blocks of `route`
 * @typeParam FailureRouteName the blocks of `failureRoute`
 * @typeParam OnreplyRouteName the blocks of `onreplyRoute`
 * @typeParam BranchRouteName the blocks of `branchRoute`
 * @typeParam GroupText the groups that are written as `name=abc;workers=4`
 * @typeParam NamedGroup the names of those that are written as objects
 * @typeParam WorkerCount the type of `asyncWorkers`
 * @typeParam TkvGroup the name in `asyncTkvGname`
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG` when it is given something else than an object
 */
export function defineProxy<
  RouteName extends string = string,
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
  GroupText extends string | NoText = never,
  NamedGroup extends string = never,
  WorkerCount extends number = never,
  TkvGroup extends string = never,
>(
  definition: GroupSettings<GroupText, NamedGroup, WorkerCount, TkvGroup> &
    RouteBlocks<
      RouteName,
      NoInfer<GroupNames<GroupText, NamedGroup, WorkerCount, TkvGroup>>,
      FailureRouteName,
      OnreplyRouteName,
      BranchRouteName
    >,
): ProxyDefinition<
  RouteName,
  GroupNames<GroupText, NamedGroup, WorkerCount, TkvGroup>,
  FailureRouteName,
  OnreplyRouteName,
  BranchRouteName
> {
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
