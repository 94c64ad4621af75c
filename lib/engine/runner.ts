import { native } from '../binding.ts';
import { TaskRoom } from '../workers/room.ts';
import { TaskBytes } from '../workers/task-bytes.ts';
import { Task } from './task.ts';
import type { ResumedBy } from './task.ts';
import type { EngineRuntime } from './runtime.ts';
import { WAITS_FOR } from './tasks.ts';
import type { EngineTasks } from './tasks.ts';

const { record: RECORD, outcome: OUTCOME } = native.constants;

/** Records that one batch holds. */
const BATCH = 128;

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}

function resumedBy(info: number, waitsFor: number): ResumedBy {
  if ((info & RECORD.continued) !== 0) return 'continue';
  return waitsFor === WAITS_FOR.continue ? 'timeout' : 'delay';
}

/** Runs the routes of one thread of an engine: the only place of an engine that runs user code. */
export class TaskRunner {
  readonly records = new Uint32Array(BATCH * RECORD.words);
  readonly #runtime: EngineRuntime;
  readonly #engine: EngineTasks;
  readonly #room: TaskRoom;
  readonly #taskBytes = new TaskBytes();
  readonly #afterRuns: () => void;
  /** Tasks whose asynchronous handlers have not settled. */
  readonly #running = new Set<Task>();

  /** @param afterRuns called when runs have ended, so that somebody may look whether any are left */
  constructor(runtime: EngineRuntime, group: number, engine: EngineTasks, afterRuns: () => void = () => undefined) {
    this.#runtime = runtime;
    this.#engine = engine;
    this.#afterRuns = afterRuns;
    this.#room = new TaskRoom(
      runtime.config.groups[group],
      () => this.#running.size,
      (room) => native.channelRun(runtime.channel, room),
    );
  }

  /** To be called once the channel is open. */
  begin(): void {
    this.#room.begin();
  }

  /** Called by the addon with `count` records. Returns how many more tasks it may bring; 0 is a pause until `channelRun`. */
  readonly onBatch = (count: number): number => {
    const { records } = this;
    for (let i = 0, at = 0; i < count; i += 1, at += RECORD.words) {
      const outcome = this.#runRecord(at);
      records[at + 2] = (outcome | OUTCOME.mark) >>> 0;
    }
    this.#taskBytes.renew(this.#runtime.channel);
    // The addon ends the runs once this function has returned.
    queueMicrotask(this.#afterRuns);
    return this.#room.afterBatch();
  };

  /** The engine is closed: what still runs is told. */
  abandonAll(): void {
    for (const task of this.#running) task.abandon();
  }

  /** @param at where the record begins */
  #runRecord(at: number): number {
    const { records } = this;
    const index = records[at]!;
    const generation = records[at + 1]!;
    const info = records[at + 2]!;
    const route = records[at + 3]!;
    // Word of a task that has ended from outside meanwhile.
    if ((info & 0xff) !== RECORD.task) return OUTCOME.pending;
    const { channel, config, groupName, handlers } = this.#runtime;
    const handle = { index, label: generation };
    const task = new Task(handle, config.routes[route]!, groupName, resumedBy(info, records[at + RECORD.taskNumber]!), this.#engine);
    const payload = this.#taskBytes.take(records, at) ?? native.taskData(channel, index, generation);
    const handler = handlers[route];
    if (handler === undefined || payload === null) {
      this.#runtime.logger.error({ route: task.route, handle }, 'this thread has no such route');
      return OUTCOME.threw;
    }
    try {
      const result = handler(payload, task);
      if (!isThenable(result)) return OUTCOME.ended;
      this.#running.add(task);
      // By way of a promise of our own, which settles once, whatever the handler has returned.
      Promise.resolve(result).then(
        () => this.#settle(task, OUTCOME.ended),
        (error: unknown) => this.#settle(task, this.#fail(task, error)),
      );
      return OUTCOME.pending;
    } catch (error) {
      return this.#fail(task, error);
    }
  }

  #settle(task: Task, outcome: number): void {
    this.#running.delete(task);
    native.finish(this.#runtime.channel, task.handle.index, task.handle.label, outcome);
    this.#room.afterRun();
    this.#afterRuns();
  }

  #fail(task: Task, error: unknown): number {
    this.#runtime.logger.error({ route: task.route, group: task.group, handle: task.handle, err: error }, 'the route threw');
    return OUTCOME.threw;
  }
}
