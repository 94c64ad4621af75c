import { makeError } from '../errors.ts';
import type { Handle } from '../suspended.ts';
import type { EngineTasks } from './tasks.ts';

/**
 * What ended the wait of a task: `delay`, its time came; `continue`, somebody called `continue(handle)` before;
 * `timeout`, it had no `delayMs`, and nobody called `continue(handle)` within `maxSuspendMs`.
 */
export type ResumedBy = 'delay' | 'continue' | 'timeout';

/** A run of a route of an engine. */
export class Task {
  /** What `suspend` has returned. */
  readonly handle: Handle;
  /** Name of the route that runs. */
  readonly route: string;
  /** The group that runs it. */
  readonly group: string;
  /** What ended the wait. */
  readonly resumedBy: ResumedBy;
  /** For further tasks, and to continue or cancel others: the engine, or its hand in this worker thread. */
  readonly engine: EngineTasks;
  #controller: AbortController | undefined;
  #isAbandoned = false;

  /** @internal */
  constructor(handle: Handle, route: string, group: string, resumedBy: ResumedBy, engine: EngineTasks) {
    this.handle = handle;
    this.route = route;
    this.group = group;
    this.resumedBy = resumedBy;
    this.engine = engine;
  }

  /** Aborted, with `CLOSED` as its reason, when the engine is closed while an asynchronous handler goes on. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isAbandoned) this.#controller.abort(makeError('CLOSED'));
    return this.#controller.signal;
  }

  /** The engine is closed. @internal */
  abandon(): void {
    this.#isAbandoned = true;
    this.#controller?.abort(makeError('CLOSED'));
  }
}
