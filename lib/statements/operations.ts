import { native } from '../binding.ts';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { RunningOperation } from './operation.ts';
import type { OperationOutcome } from './operation.ts';

const { status: STATUS, operation: END, noSlot: NO_SLOT } = native.constants;

/** A launch that goes on: its report route (a number, or 65535 for none) and its text. */
export interface LaunchReport {
  readonly route: number;
  readonly text: string | null;
}

interface Waiting {
  readonly running: RunningOperation;
  /** `null`: a call waits for it. */
  readonly report: LaunchReport | null;
}

const failed = (error: SipAsyncError): OperationOutcome => ({ rc: -1, result: error });

/** The operations of one thread that a slot waits for, by slot. */
export class Operations {
  readonly #runtimeOf: () => Runtime;
  readonly #waiting = new Map<number, Waiting>();
  /** Reports of launches that were refused, until they have run. */
  readonly #refused = new Set<() => void>();

  constructor(runtimeOf: () => Runtime) {
    this.#runtimeOf = runtimeOf;
  }

  /** An operation for a slot that waits since just now. */
  begin(index: number, generation: number, report: LaunchReport | null): RunningOperation {
    // Word that an earlier call of the slot has ended never came: there was no room for it.
    const lost = this.#waiting.get(index);
    if (lost !== undefined) lost.running.abort(END.cancelled, makeError('CANCELLED'));
    const running = new RunningOperation(this.#runtimeOf(), index, generation);
    this.#waiting.set(index, { running, report });
    return running;
  }

  /** A call goes on: with what its operation came to, or because the deadline was first. `null`: it waited for none. */
  resumed(index: number, generation: number): OperationOutcome | null {
    const waiting = this.#take(index, generation);
    return waiting === undefined ? null : this.#inTime(waiting.running);
  }

  /** A launch is to be reported; `isCut`: by something other than its deadline. */
  launched(index: number, generation: number, isCut: boolean): OperationOutcome {
    const waiting = this.#take(index, generation);
    if (waiting === undefined) return failed(makeError('THREAD_ENDED'));
    const { running } = waiting;
    return isCut && running.outcome === null ? this.#cut(running, makeError('CANCELLED')) : this.#inTime(running);
  }

  /** A call has ended from outside; its route does not run. */
  ended(index: number, generation: number): void {
    const waiting = this.#take(index, generation);
    if (waiting === undefined) return;
    const { channel } = this.#runtimeOf();
    const isCancelled = native.isCancelled(channel, index, generation);
    const reason = native.cancelReason(channel, index, generation) || undefined;
    this.#cut(waiting.running, isCancelled ? makeError('CANCELLED', reason) : makeError('CLOSED'));
  }

  /** A launch found no slot: that is reported, too, in a later turn of the event loop. */
  refuse({ route, text }: LaunchReport, error: SipAsyncError): void {
    const runtime = this.#runtimeOf();
    native.operationEnd(runtime.channel, END.refused, false);
    const run = () => {
      if (this.#refused.delete(run)) runtime.report(NO_SLOT.index, NO_SLOT.generation, route, failed(error), text);
    };
    this.#refused.add(run);
    setImmediate(run);
  }

  /** The thread ends, or the time of `close()` is over: calls are given up, launches are reported. */
  close(): void {
    const runtime = this.#runtimeOf();
    const left = [...this.#waiting];
    this.#waiting.clear();
    for (const [index, { running, report }] of left) {
      const { generation } = running;
      const isOurs = report !== null && native.launchTake(runtime.channel, index, generation) === STATUS.ok;
      const outcome = isOurs && running.outcome !== null ? this.#inTime(running) : this.#cut(running, makeError('CLOSED'));
      if (isOurs) runtime.report(index, generation, report.route, outcome, report.text);
    }
    for (const run of [...this.#refused]) run();
  }

  #take(index: number, generation: number): Waiting | undefined {
    const waiting = this.#waiting.get(index);
    if (waiting === undefined || waiting.running.generation !== generation) return undefined;
    this.#waiting.delete(index);
    return waiting;
  }

  #inTime(running: RunningOperation): OperationOutcome {
    const { outcome } = running;
    if (outcome !== null) {
      running.end(outcome.rc === 1 ? END.done : END.failed);
      return outcome;
    }
    const error = makeError('TIMEOUT');
    running.abort(END.timedOut, error);
    return { rc: -2, result: error };
  }

  #cut(running: RunningOperation, error: SipAsyncError): OperationOutcome {
    running.abort(END.cancelled, error);
    return failed(error);
  }
}
