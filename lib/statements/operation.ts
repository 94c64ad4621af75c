import { native } from '../binding.ts';
import type { SipAsyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';

const { status: STATUS, operation: END } = native.constants;

/**
 * What `async` and `launch` run: it returns a value or a promise of one, and stops when its signal aborts. Those that are ready
 * made are in `sip-async/ops`.
 *
 * @param signal aborted at the deadline, and when the call, the launch or the proxy ends before; its reason is a `SipAsyncError`
 */
export type Operation<Result = unknown> = (signal: AbortSignal) => Result | PromiseLike<Result>;

/** What became of an operation, as its route sees it. */
export interface OperationOutcome {
  /** 1: it has its value; -1: an error; -2: its deadline was first. */
  readonly rc: 1 | -1 | -2;
  /** The value or the error. */
  readonly result: unknown;
}

/** Whether an operation only did as it was told when it failed. */
function obeys(error: unknown, signal: AbortSignal): boolean {
  if (error === signal.reason) return true;
  if (typeof error !== 'object' || error === null) return false;
  return (error as Error).name === 'AbortError' || (error as Error).cause === signal.reason;
}

/**
 * An operation that goes on. It settles once at the most, and whether that was in time is decided by one step of the native
 * slot that waits for it: against the deadline, a CANCEL, and whatever else ends the wait.
 */
export class RunningOperation {
  readonly index: number;
  readonly generation: number;
  readonly #runtime: Runtime;
  readonly #controller = new AbortController();
  #outcome: OperationOutcome | null = null;
  #isOver = false;

  constructor(runtime: Runtime, index: number, generation: number) {
    this.#runtime = runtime;
    this.index = index;
    this.generation = generation;
  }

  /** What it came to, if that was in time; not yet told to its route. */
  get outcome(): OperationOutcome | null {
    return this.#outcome;
  }

  /**
   * Begins. What throws at once, and what is ready at once, goes the same way as what takes its time: by the slot, in a later
   * turn of the event loop.
   */
  start(operation: Operation): void {
    new Promise<unknown>((resolve) => resolve(operation(this.#controller.signal))).then(
      (value) => this.#settle({ rc: 1, result: value }),
      (error: unknown) => this.#settle({ rc: -1, result: error }),
    );
  }

  /** Its route was told, or never will be: what it still does is late. */
  end(how: number): void {
    this.#isOver = true;
    native.operationEnd(this.#runtime.channel, how, true);
  }

  /** The same, and it is told to stop. */
  abort(how: number, reason: SipAsyncError): void {
    this.end(how);
    this.#controller.abort(reason);
  }

  #settle(outcome: OperationOutcome): void {
    if (!this.#isOver) {
      const status = native.waitingResume(this.#runtime.channel, this.index, this.generation);
      // Without a timer left the route runs at the deadline, with the outcome all the same.
      if (status === STATUS.ok || status === STATUS.slotsExhausted) {
        this.#outcome = outcome;
        return;
      }
    }
    if (outcome.rc === -1 && obeys(outcome.result, this.#controller.signal)) return;
    native.operationEnd(this.#runtime.channel, END.late, false);
  }
}
