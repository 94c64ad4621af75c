import { SLOT_KIND } from '../async/data-task.ts';
import { native } from '../binding.ts';
import { makeError } from '../errors.ts';
import type { ErrorName, SipAsyncError } from '../errors.ts';
import { errorOfStatus } from '../runtime.ts';
import { cancelWaiting, checkHandle, isUint32 } from '../suspended.ts';
import type { Handle } from '../suspended.ts';
import { checkText, describe } from '../tm/arguments.ts';
import { LOCAL_GROUP } from './config.ts';
import type { EngineRuntime } from './runtime.ts';

const { status: STATUS, maxDataBytes: MAX_DATA_BYTES } = native.constants;

/** What goes with a task as its number: whether it waits for its time, or for `continue` until its time is over. */
export const WAITS_FOR = { delay: 0, continue: 1 } as const;

/** Where the addon writes the handle of a new task: read at once, so that one serves all. */
const written = new Uint32Array(2);

/** What {@link EngineTasks.suspend} takes beside the payload. */
export interface SuspendOptions {
  /** The route that goes on with the payload. */
  route: string;
  /**
   * Milliseconds until it does, a whole number from 0 (at once) to `maxSleepMs`. Without it the task waits for
   * {@link EngineTasks.continue}, `maxSuspendMs` at the most.
   */
  delayMs?: number;
  /** The group that runs the route; `local`, the thread that made the engine, by default. */
  group?: string;
}

function checkOptions(options: unknown): asserts options is SuspendOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options: expected { route, delayMs, group }, got ${describe(options)}`);
  }
  const { route, delayMs, group } = options as Partial<SuspendOptions>;
  checkText(route, 'route');
  if (delayMs !== undefined && typeof delayMs !== 'number') {
    throw new TypeError(`delayMs: expected a number, got ${describe(delayMs)}`);
  }
  if (group !== undefined) checkText(group, 'group');
  // A misspelt delay would be no delay, and the task would wait for ever so long.
  for (const name of Object.keys(options)) {
    if (name !== 'route' && name !== 'delayMs' && name !== 'group') {
      throw new TypeError(`options: ${name} is unknown, expected route, delayMs, group`);
    }
  }
}

/**
 * What may be done with the tasks of an engine: in the thread that made it, and in its worker threads, where a route has it
 * as `task.engine`.
 *
 * A function returns `false` when it could not do its work; nothing is changed then, and {@link asyncError} says why. An
 * argument of the wrong type throws `TypeError`.
 */
export class EngineTasks {
  readonly #runtime: EngineRuntime;
  #error: SipAsyncError | null = null;

  /** @internal */
  constructor(runtime: EngineRuntime) {
    this.#runtime = runtime;
  }

  /** Why the last function returned `false`; `null` after one that succeeded. */
  get asyncError(): SipAsyncError | null {
    return this.#error;
  }

  /**
   * Keeps a payload until its time comes, or until {@link continue}, and then runs a route with it. Never early; exactly
   * once, unless it is cancelled or dropped; equal times in the order of the calls, in a group of one worker.
   *
   * @param payload at most 1 MiB. A string travels as UTF-8, so half a surrogate pair becomes U+FFFD
   * @returns the handle, or `false` with `UNKNOWN_ROUTE`, `UNKNOWN_GROUP`, `NO_WORKERS` (the group `local` of an engine
   *   without `routes`), `DELAY_OUT_OF_RANGE`, `GROUP_FULL`, `PAYLOAD_TOO_LARGE`, `SLOTS_EXHAUSTED`, `CLOSED`
   */
  suspend(payload: string | Uint8Array, options: SuspendOptions): Handle | false {
    if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
      throw new TypeError(`payload: expected a string or a Uint8Array, got ${describe(payload)}`);
    }
    checkOptions(options);
    const { route, delayMs, group = LOCAL_GROUP } = options;
    const { channel, config, targets } = this.#runtime;
    const target = targets.get(group);
    if (target === undefined) return this.#refuse('UNKNOWN_GROUP', group);
    if (target.routes.size === 0) return this.#refuse('NO_WORKERS', 'the engine was made without routes of its own');
    const number = target.routes.get(route);
    if (number === undefined) return this.#refuse('UNKNOWN_ROUTE', `${route} in ${group}`);
    if (delayMs !== undefined && !(Number.isInteger(delayMs) && delayMs >= 0 && delayMs <= config.maxSleepMs)) {
      return this.#refuse('DELAY_OUT_OF_RANGE', `${delayMs}, 0 to ${config.maxSleepMs} ms`);
    }
    // A text may still turn out to be longer as UTF-8; that is told by the addon.
    if (payload.length > MAX_DATA_BYTES) return this.#refuse('PAYLOAD_TOO_LARGE', `at most ${MAX_DATA_BYTES} bytes`);
    const waitsFor = delayMs === undefined ? WAITS_FOR.continue : WAITS_FOR.delay;
    const waitMs = delayMs ?? config.maxSuspendMs;
    const { task } = SLOT_KIND;
    const status = native.taskSubmit(channel, task, number, target.group, payload, waitsFor, 0, waitMs, written);
    if (!this.#taken(status === STATUS.ok ? null : errorOfStatus(status))) return false;
    return { index: written[0]!, label: written[1]! };
  }

  /**
   * Runs the route of a suspended task now, before its time (`t_continue`). Of all that may end a wait (its time, this
   * function, {@link cancel}) one does, and only it succeeds.
   *
   * @returns `false` with `STALE_HANDLE` (it has ended), `NOT_SUSPENDED` (it runs, or waits for its turn to),
   *   `SLOTS_EXHAUSTED`, `CLOSED`
   */
  continue(handle: Handle): boolean {
    const { index, label } = checkHandle(handle);
    // No slot was ever named like that.
    if (!isUint32(index) || !isUint32(label)) return this.#refuse('STALE_HANDLE');
    const status = native.waitingResume(this.#runtime.channel, index, label);
    return this.#taken(status === STATUS.ok ? null : errorOfStatus(status));
  }

  /**
   * Ends a task that waits, for its time, for {@link continue}, or for its turn: its route will not run.
   *
   * @returns `false` with `STALE_HANDLE` (it has ended), `NOT_SUSPENDED` (it runs), `CLOSED`
   */
  cancel(handle: Handle): boolean {
    return this.#taken(cancelWaiting(this.#runtime, handle));
  }

  #refuse(name: ErrorName, detail?: string): false {
    this.#error = makeError(name, detail);
    return false;
  }

  #taken(refusal: SipAsyncError | null): boolean {
    this.#error = refusal;
    return refusal === null;
  }
}
