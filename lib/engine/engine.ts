import { native } from '../binding.ts';
import { Closing } from '../closing.ts';
import { readFigures, readGroups, readMemory, readTasks, readTimers } from '../stats.ts';
import type { GroupStats, MemoryStats, TaskStats, TimerStats } from '../stats.ts';
import { readWaiting } from '../suspended.ts';
import type { Handle } from '../suspended.ts';
import type { WorkerPool } from '../workers/pool.ts';
import { KeepAlive } from './keep-alive.ts';
import type { EngineRuntime } from './runtime.ts';
import { TaskRunner } from './runner.ts';
import { EngineTasks } from './tasks.ts';
import type { SuspendOptions } from './tasks.ts';

const LOCAL = 0;

/** A task that waits, as `engine.suspended()` lists it. */
export interface WaitingTask {
  readonly handle: Handle;
  /** `suspended`: neither its time nor `continue` has come; `queued`: it waits for its turn. */
  readonly state: 'suspended' | 'queued';
  /** The route that will run. */
  readonly route: string;
  /** The group that will run it. */
  readonly group: string;
  /** Milliseconds until its time comes, or until it has waited too long for `continue`; 0 for one that is queued. */
  readonly dueInMs: number;
}

/** What `engine.stats()` returns: plain numbers, taken without stopping anything. */
export interface EngineStats {
  /** Tasks that wait for their time or for `continue`, or in a queue behind that. */
  suspended: number;
  timers: TimerStats;
  tasks: TaskStats;
  /** By name, `local` among them. */
  groups: Record<string, GroupStats>;
  memory: MemoryStats;
}

/** What {@link Engine.close} did. */
export interface EngineCloseReport {
  /** Tasks that were there when it began and ended by themselves in time. */
  drained: number;
  /** Tasks that still waited at the deadline; their routes do not run. */
  dropped: number;
  /** Tasks whose handlers still ran at the deadline. Their `signal` is aborted; nothing waits for them. */
  interrupted: number;
}

/**
 * Timers, slots and worker groups over payloads of any meaning, made by `createEngine`. It belongs to the thread that made
 * it. It keeps the process alive while it has tasks, as a timer of Node's does, and not while it has none.
 */
export class Engine extends EngineTasks {
  readonly #engine: number;
  readonly #runtime: EngineRuntime;
  readonly #pool: WorkerPool;
  readonly #runner: TaskRunner;
  readonly #keepAlive: KeepAlive;
  readonly #closing: Closing<EngineCloseReport>;
  #lastStats: EngineStats | undefined;

  /** Opens the channel of this thread. @internal */
  constructor(engine: number, runtime: EngineRuntime, pool: WorkerPool) {
    super(runtime);
    this.#engine = engine;
    this.#closing = new Closing(engine, (closing) => this.#close(closing));
    this.#runtime = runtime;
    this.#pool = pool;
    this.#runner = new TaskRunner(runtime, LOCAL, this, () => this.#keepAlive.look());
    const { records, onBatch } = this.#runner;
    runtime.channel = native.channelOpen(engine, LOCAL, LOCAL, 0, records, onBatch);
    this.#runner.begin();
    this.#keepAlive = new KeepAlive(engine, runtime.channel, runtime.config.groups.length > 1);
  }

  override suspend(payload: string | Uint8Array, options: SuspendOptions): Handle | false {
    const handle = super.suspend(payload, options);
    if (handle !== false) this.#keepAlive.hold();
    return handle;
  }

  override cancel(handle: Handle): boolean {
    const isCancelled = super.cancel(handle);
    if (isCancelled) this.#keepAlive.look();
    return isCancelled;
  }

  /**
   * What waits. Taken without stopping anything, so what comes and goes meanwhile may or may not be in it.
   *
   * @param options `limit`: how many at the most, 1 to 1,000,000, 1000 by default
   * @throws TypeError, RangeError for a limit that is none
   */
  suspended(options: { limit?: number } = {}): WaitingTask[] {
    const { routes, groups } = this.#runtime.config;
    return readWaiting(this.#engine, options.limit).map((at) => {
      const isQueued = at('run') !== 0;
      return {
        handle: { index: at('index'), label: at('generation') },
        state: isQueued ? 'queued' : 'suspended',
        route: routes[at('route')]!,
        group: groups[at('group')]!.name,
        dueInMs: isQueued ? 0 : at('dueInMs'), // one that was continued may have been due much later
      };
    });
  }

  /** Statistics as plain numbers. After `close()` they are those of the end. */
  stats(): EngineStats {
    return this.#lastStats ?? this.#readStats();
  }

  #readStats(): EngineStats {
    const of = readFigures(this.#engine);
    return {
      suspended: of('suspended'),
      timers: readTimers(of),
      tasks: readTasks(of),
      groups: readGroups(this.#engine, this.#runtime.config.groups),
      memory: readMemory(of),
    };
  }

  /**
   * Takes no more tasks, waits until those it has have ended, drops what is left at the deadline, and ends all threads.
   * While it waits, `continue` and `cancel` go on working. Calling it again returns the same promise; a shorter deadline
   * then counts. A handler that waits for it waits for itself, until the deadline.
   *
   * @param options `timeoutMs`: how long to wait for tasks, 8000 by default; 0 drops everything at once
   */
  close(options: { timeoutMs?: number } = {}): Promise<EngineCloseReport> {
    return this.#closing.begin(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(closing: Closing<EngineCloseReport>): Promise<EngineCloseReport> {
    const engine = this.#engine;
    native.engineStopIntake(engine, true);
    const open = await closing.drain();
    const dropped = native.engineDropTasks(engine);
    const interrupted = native.engineInScript(engine);
    this.#runner.abandonAll();
    await this.#pool.close();
    this.#lastStats = this.#readStats();
    this.#keepAlive.end();
    native.channelClose(this.#runtime.channel);
    native.engineStop(engine);
    return { drained: Math.max(0, open - dropped - interrupted), dropped, interrupted };
  }
}
