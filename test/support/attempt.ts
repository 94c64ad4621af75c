import { getEventListeners } from 'node:events';
import type { Operation } from 'sip-async/ops';

/** One run of an operation, with a signal of its own. */
export class Attempt<T> {
  readonly #stop = new AbortController();
  readonly result: Promise<T>;
  /** How it ended, once it has. */
  outcome: { value: T } | { error: unknown } | null = null;

  constructor(operation: Operation<T>) {
    this.result = operation(this.#stop.signal);
    this.result.then((value) => (this.outcome = { value }), (error: unknown) => (this.outcome = { error }));
  }

  abort(reason?: unknown): void {
    this.#stop.abort(reason);
  }

  /** How many wait for the signal. */
  get listeners(): number {
    return getEventListeners(this.#stop.signal, 'abort').length;
  }
}

export const run = <T>(operation: Operation<T>): Promise<T> => operation(new AbortController().signal);

/** The code that an operation rejects with. */
export async function codeOf(result: Promise<unknown>): Promise<string> {
  try {
    await result;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code?.replace('SIPASYNC_ERR_', '') ?? message;
  }
  return 'no error';
}

export const aborted = <T>(operation: Operation<T>, reason?: unknown): Promise<T> => operation(AbortSignal.abort(reason));
