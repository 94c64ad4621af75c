import { lookup } from 'node:dns/promises';
import { getSystemErrorMap } from 'node:util';
import { emitTkv, sendTaskData } from './async/data-task.ts';
import { native } from './binding.ts';
import { BoundAddress } from './bound-address.ts';
import { Closing } from './closing.ts';
import type { LogLevel } from './config/limits.ts';
import type { ListenAddress } from './config/listen.ts';
import { checkConfig } from './config/schema.ts';
import type { ProxyConfig } from './config/schema.ts';
import { ControlServer } from './control/server.ts';
import type { ProxyDefinition, ProxySettings } from './define-proxy.ts';
import { makeError } from './errors.ts';
import type { SipAsyncError } from './errors.ts';
import { makeLogger } from './log.ts';
import type { Logger } from './log.ts';
import { raise } from './ops/events.ts';
import { CANCEL_EVENT, makeRuntime, PRE_ROUTING_EVENT } from './runtime.ts';
import type { Runtime } from './runtime.ts';
import { Script } from './script.ts';
import { launch, reportLeftLaunches } from './statements/launch.ts';
import type { Operation } from './statements/operation.ts';
import type { LaunchOptions } from './statements/options.ts';
import { readFigures, readStats } from './stats.ts';
import type { ProxyStats } from './stats.ts';
import { cancelWaiting, continueSuspended, listWaiting } from './suspended.ts';
import type { Handle, SuspendedEntry } from './suspended.ts';
import { checkText } from './tm/arguments.ts';
import { Streams } from './transport/streams.ts';
import { loadTls } from './transport/tls.ts';
import type { TlsMaterial } from './transport/tls.ts';
import { moduleUrl } from './workers/module-url.ts';
import { workerPlaces } from './workers/place.ts';
import type { Place, WorkerInput } from './workers/place.ts';
import { WorkerPool } from './workers/pool.ts';

/** What {@link Proxy.close} did. */
export interface CloseReport {
  /** Calls that were open when it began and ended by themselves in time. */
  drained: number;
  /** Calls that were answered 503 at the deadline. */
  answered: number;
  /**
   * Data tasks and events that had not begun at the deadline, and launches that were reported as closed then. Messages that waited in a group by `sworkerTask` are among
   * {@link answered}; replies and ACKs, which cannot be answered, are counted in `stats().transport` only.
   */
  dropped: number;
}

/** A running proxy, made by {@link startProxy}. It keeps the process alive until it is closed. */
export class Proxy {
  /** The sockets that are bound, in the order of `listen`. */
  readonly addresses: readonly BoundAddress[];
  readonly #engine: number;
  readonly #config: ProxyConfig;
  readonly #runtime: Runtime;
  readonly #pool: WorkerPool;
  readonly #streams: Streams;
  readonly #control: ControlServer | null;
  readonly #closing: Closing<CloseReport>;
  #lastStats: ProxyStats | undefined;
  #error: SipAsyncError | null = null;

  /** @internal */
  constructor(
    engine: number,
    config: ProxyConfig,
    runtime: Runtime,
    pool: WorkerPool,
    streams: Streams,
    addresses: BoundAddress[],
    control: ControlServer | null,
  ) {
    this.#engine = engine;
    this.#closing = new Closing(engine, (closing) => this.#close(closing));
    this.#config = config;
    this.#runtime = runtime;
    this.#pool = pool;
    this.#streams = streams;
    this.#control = control;
    this.addresses = addresses;
    control?.serve({
      suspended: (limit) => this.suspended({ limit }),
      // Not cancel(), for `asyncError` belongs to the program.
      cancel: (handle) => cancelWaiting(runtime, handle),
      stats: () => this.stats(),
    });
  }

  /** Why the last function of the proxy returned `false`; `null` after one that succeeded. */
  get asyncError(): SipAsyncError | null {
    return this.#error;
  }

  /**
   * Hands data to a route block that runs in a worker of the first group (`async_task_data`).
   *
   * @returns as `msg.asyncTaskData`, with the reason in {@link asyncError}; `CLOSED` once the draining of `close()` is over
   */
  asyncTaskData(routename: string, data: string | Uint8Array): boolean {
    return this.#taken(sendTaskData(this.#runtime, routename, data));
  }

  /** The same in a group (`async_task_group_data`), as `msg.asyncTaskGroupData`. */
  asyncTaskGroupData(routename: string, groupname: string, data: string | Uint8Array): boolean {
    checkText(groupname, 'groupname');
    return this.#taken(sendTaskData(this.#runtime, routename, data, groupname));
  }

  /** Emits a tkv event (`async_tkv_emit`), as `msg.asyncTkvEmit`. */
  asyncTkvEmit(type: number, key: string, value: string): boolean {
    return this.#taken(emitTkv(this.#runtime, type, key, value));
  }

  /**
   * Runs an operation that nothing waits for (OpenSIPS' `launch()`), as `msg.launch`; the report route runs in the main thread.
   *
   * @returns as `msg.launch`, with the reason in {@link asyncError}
   */
  launch(operation: Operation, reportRoute?: string | null, options?: LaunchOptions): boolean {
    return this.#taken(launch(this.#runtime, operation, reportRoute, options));
  }

  #taken(refusal: SipAsyncError | null): boolean {
    this.#error = refusal;
    return refusal === null;
  }

  /**
   * What waits: suspended calls, sleepers, queued tasks. Taken without stopping anything, so what comes and goes meanwhile
   * may or may not be in it.
   *
   * @param options `limit`: how many at the most, 1 to 1,000,000; 1000 by default
   * @throws TypeError, RangeError for a limit that is none
   */
  suspended(options: { limit?: number } = {}): SuspendedEntry[] {
    return listWaiting(this.#engine, this.#runtime, options.limit);
  }

  /**
   * Ends what waits: a call is answered 487, its sleeper wakes with `CANCELLED` and its `signal` aborts, as does that of an
   * operation; a task is dropped; a launch is reported with `CANCELLED`.
   *
   * @param handle the `handle` of an entry of {@link suspended}
   * @returns `false` with `STALE_HANDLE`, `NOT_SUSPENDED` (it runs, was sent on, or was answered), `NO_TRANSACTION` (a reply or
   *   branch of a call that waits by itself), `CLOSED` in {@link asyncError}
   * @throws TypeError for a handle that is none
   */
  cancel(handle: Handle): boolean {
    return this.#taken(cancelWaiting(this.#runtime, handle));
  }

  /**
   * Continues a suspended call with a route block (`t_continue`), as `msg.tContinue`: for parts of the program that know nothing
   * of the call but the two numbers.
   *
   * @returns as `msg.tContinue`, with the reason in {@link asyncError}; also `false` with `CLOSED`
   * @throws TypeError for numbers or a name of a wrong type
   */
  tContinue(index: number, label: number, routename: string): boolean {
    return this.#taken(continueSuspended(this.#runtime, { index, label }, routename));
  }

  /**
   * Tells all who wait for an event (`waitForEvent` of `sip-async/ops`) in any thread of the process, also in those of another
   * proxy; the same as `raise` of `sip-async/ops`, which a route can call.
   *
   * @param data as that takes it
   * @throws TypeError when the name or the key is no string, or the data cannot be copied; nobody was told then
   */
  raise(name: string, key: string, data?: unknown): void {
    raise(name, key, data);
  }

  /** Statistics as plain numbers. After `close()` they are those of the end. */
  stats(): ProxyStats {
    return this.#lastStats ?? readStats(this.#engine, this.#config, this.#streams.counters);
  }

  /**
   * Stops taking new requests (they get 503), waits until every call in a route has ended, answers what is left at the
   * deadline with 503, reports the launches that go on, and ends all threads. Calling it again returns the same promise; a shorter deadline then counts.
   *
   * @param options `timeoutMs`: how long to wait for calls, 8000 by default; 0 answers everything at once
   * @returns what it did
   * @throws TypeError for a `timeoutMs` that is negative or no number
   */
  close(options: { timeoutMs?: number } = {}): Promise<CloseReport> {
    return this.#closing.begin(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(closing: Closing<CloseReport>): Promise<CloseReport> {
    const engine = this.#engine;
    native.engineStopIntake(engine, false);
    this.#control?.withdraw();
    this.#streams.stopListening();
    const open = await closing.drain();
    native.engineStopIntake(engine, true);
    const answered = native.engineConcludeAll(engine, 503, 'Service Unavailable');
    const dropped = native.engineDropTasks(engine) + readFigures(engine)('launchesOpen');
    this.#runtime.operations.close();
    this.#control?.close();
    await this.#streams.close();
    await this.#pool.close();
    // Of threads that did not end by themselves.
    reportLeftLaunches(engine, this.#runtime);
    this.#runtime.closeResolver();
    native.channelClose(this.#runtime.channel);
    // Handlers that have not settled are nobody's any more, in this thread as in those that ended.
    const threads = [0, ...workerPlaces(this.#config).map(({ thread }) => thread)];
    for (const thread of threads) native.engineThreadGone(engine, thread);
    native.engineDropLaunches(engine);
    this.#lastStats = readStats(engine, this.#config, { ...this.#streams.counters });
    native.engineStop(engine);
    return { drained: Math.max(0, open - answered - dropped), answered, dropped };
  }
}

function errnoText(errno: number): string {
  const [name, text] = getSystemErrorMap().get(errno) ?? [String(errno), 'unknown error'];
  return `${name}, ${text}`;
}

async function numericHost(address: ListenAddress): Promise<string> {
  try {
    return (await lookup(address.host)).address;
  } catch (cause) {
    throw makeError('LISTEN', `${address.transport}:${address.host}:${address.port}: the name does not resolve`, cause);
  }
}

async function bindDatagrams(engine: number, config: ProxyConfig): Promise<(BoundAddress | undefined)[]> {
  const bound: (BoundAddress | undefined)[] = [];
  for (const [number, address] of config.listen.entries()) {
    if (address.transport !== 'udp') {
      bound.push(undefined);
      continue;
    }
    const host = await numericHost(address);
    let { port } = address;
    for (let child = 0; child < config.children; child += 1) {
      const socket = number * config.children + child;
      const result = native.engineListen(
        engine,
        socket,
        host,
        port,
        config.recvBufferBytes,
        config.children > 1,
        config.advertise ?? '',
      );
      if (result < 0) {
        const cause = Object.assign(new Error(errnoText(result)), {
          errno: result,
          code: getSystemErrorMap().get(result)?.[0],
          syscall: 'bind',
        });
        throw makeError('LISTEN', `${address.transport}:${address.host}:${port}: ${errnoText(result)}`, cause);
      }
      port = result; // a free port was asked for: the other receivers take the same
    }
    bound.push(new BoundAddress(address.transport, host, port));
  }
  return bound;
}

/** Binds what `bindDatagrams` has left: connections may come at once, so everything else is ready then. */
async function bindStreams(
  streams: Streams,
  config: ProxyConfig,
  datagrams: readonly (BoundAddress | undefined)[],
): Promise<BoundAddress[]> {
  const bound: BoundAddress[] = [];
  for (const [number, datagram] of datagrams.entries()) {
    const address = config.listen[number]!;
    if (address.transport === 'udp') bound.push(datagram!);
    else bound.push(await streams.listen(number, address.transport, await numericHost(address), address.port));
  }
  return bound;
}

function createEngine(config: ProxyConfig): number {
  const { tm, children, listen } = config;
  const engine = native.engineCreate(
    children,
    config.maxTransactions,
    config.maxMessageBytes,
    tm.t1Ms,
    tm.t2Ms,
    tm.wtTimerMs,
    tm.autoInv100,
    listen.length,
    tm.frTimerMs,
    tm.frInvTimerMs,
    config.routes.eventRoute.includes(CANCEL_EVENT),
    config.routes.replyRoute,
    config.routes.eventRoute.includes(PRE_ROUTING_EVENT),
  );
  const { rate, burst } = config.maxRequestsPerSource ?? { rate: 0, burst: 0 };
  native.engineLimits(engine, config.maxHeaders, config.maxLineBytes, config.maxVias, rate, burst);
  for (const group of config.groups) {
    native.engineAddGroup(engine, group.name, group.workers, group.nonblock, group.usleepUs, group.maxQueue);
  }
  native.engineBuild(engine);
  return engine;
}

async function loadModule(module: URL | string): Promise<{ url: string; definition: unknown }> {
  const url = moduleUrl(module);
  try {
    const { default: definition } = (await import(url)) as { default?: unknown };
    return { url, definition };
  } catch (cause) {
    throw makeError('CONFIG', `the proxy module ${url} cannot be loaded: ${String(cause)}`, cause);
  }
}

/**
 * Starts the proxy that a module exports as its default. Nothing is started before the whole configuration was found
 * good, and everything is taken down again when starting fails.
 *
 * @param module the module's URL, or its path; every worker thread loads it, too
 * @param overrides a definition without routes that takes precedence over the module's
 * @throws SipAsyncError `CONFIG` with a line for each fault; `LISTEN` when an address or the control socket cannot be
 *   bound; `WORKER_FAILED` when a worker thread cannot load the module
 *
 * @example
 * ```js
 * await using proxy = await startProxy(new URL('./proxy.mjs', import.meta.url), { listen: ['udp:127.0.0.1:0'] });
 * console.log(String(proxy.addresses[0]));
 * ```
 */
export async function startProxy(module: URL | string, overrides?: ProxySettings): Promise<Proxy> {
  return startProxyWith(module, overrides, 'silent');
}

/** {@link startProxy} with another log level for modules that name none. @internal */
export async function startProxyWith(
  module: URL | string,
  overrides: ProxySettings | undefined,
  defaultLog: LogLevel,
): Promise<Proxy> {
  if (typeof module !== 'string' && !(module instanceof URL)) {
    throw new TypeError(`module: expected a URL or a path, got ${typeof module}`);
  }
  const { url, definition } = await loadModule(module);
  const config = checkConfig(definition, overrides);
  const chosen = definition as ProxyDefinition;
  if (chosen.log === undefined && overrides?.log === undefined) config.log = defaultLog;

  const tls = await loadTls(config.tls);
  const logger = makeLogger(config.log, 'receiver 0');
  const control = config.control === null ? null : await ControlServer.open(config.control, logger);
  try {
    return await launchProxy(url, chosen, config, tls, logger, control);
  } catch (error) {
    control?.close();
    throw error;
  }
}

async function launchProxy(
  url: string,
  chosen: ProxyDefinition,
  config: ProxyConfig,
  tls: TlsMaterial,
  logger: Logger,
  control: ControlServer | null,
): Promise<Proxy> {
  const runtime = makeRuntime(chosen, config, logger);
  const engine = createEngine(config);
  const entry = new URL('./workers/entry.js', import.meta.url);
  const inputFor = (place: Place): WorkerInput => ({ engine, moduleUrl: url, config, place });
  const pool = new WorkerPool({ engine, entry, inputFor, keepAlive: true }, logger);
  let streams: Streams | undefined;
  try {
    const datagrams = config.async.mode === 1 ? [] : await bindDatagrams(engine, config);
    for (const { host, port } of config.aliases) native.engineAddAlias(engine, host, port);
    await pool.start(workerPlaces(config));
    const script = new Script(runtime);
    runtime.channel = native.channelOpen(engine, 0, -1, 0, script.records, script.onBatch);
    streams = new Streams(engine, runtime.channel, config, tls);
    const addresses = await bindStreams(streams, config, datagrams);
    // Behind all listeners, which no other thread may be reading while they are added.
    native.engineStart(engine);
    if (config.async.mode === 0) {
      native.channelListen(runtime.channel);
      pool.listen();
    }
    return new Proxy(engine, config, runtime, pool, streams, addresses, control);
  } catch (error) {
    await streams?.close();
    await pool.close();
    if (runtime.channel >= 0) native.channelClose(runtime.channel);
    native.engineStop(engine);
    throw error;
  }
}
