import { makeError, SipAsyncError } from '../errors.ts';
import { describe } from '../tm/arguments.ts';

/**
 * Something to wait for, as `msg.async` and `msg.launch` take it: called once with the signal that ends it. Each call begins
 * the work anew. After the signal it rejects with `ABORTED`, or with the reason of the signal where that is a `SipAsyncError`,
 * and leaves nothing behind.
 */
export type Operation<T> = (signal: AbortSignal) => Promise<T>;

/** The error of an operation that its signal has ended. */
export function stoppedBy(signal: AbortSignal): SipAsyncError {
  const reason: unknown = signal.reason;
  return reason instanceof SipAsyncError ? reason : makeError('ABORTED', undefined, reason);
}

/** Calls `stop` when the signal aborts. @returns what takes the listener off again */
export function onAbort(signal: AbortSignal, stop: () => void): () => void {
  signal.addEventListener('abort', stop, { once: true });
  return () => signal.removeEventListener('abort', stop);
}

/** An operation that does not begin at all once its signal has aborted. */
export function makeOperation<T>(run: (signal: AbortSignal) => Promise<T>): Operation<T> {
  return async (signal) => {
    if (!(signal instanceof AbortSignal)) throw new TypeError(`signal: expected an AbortSignal, got ${describe(signal)}`);
    if (signal.aborted) throw stoppedBy(signal);
    return run(signal);
  };
}

/**
 * Reads a whole number of the options.
 *
 * @throws TypeError when it is no number, RangeError when it is out of its range
 */
export function readCount(value: unknown, name: string, fallback: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number') throw new TypeError(`${name}: expected a number, got ${describe(value)}`);
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`${name}: expected a whole number from ${min} to ${max}, got ${value}`);
  }
  return value;
}

/** The longest time that a timer of Node takes, in ms. */
export const LONGEST_TIMER_MS = 2_147_483_647;

/** What an error says of itself; anything can be thrown. */
export function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // Node wraps the failures of several addresses of one name in an error that has no words of its own.
  if (cause.message === '' && cause instanceof AggregateError) return cause.errors.map(wordsOf).join(', ');
  return cause.message;
}
