import { LIMITS } from '../config/limits.ts';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { describe } from '../tm/arguments.ts';
import type { Operation } from './operation.ts';

const MAX_SECONDS = LIMITS.maxSleepSeconds.max;
/** What arithmetic leaves behind, as in 1.1 * 1000. */
const EPSILON_MS = 1e-6;

/** What `msg.async` takes beside the operation and the route. */
export interface AsyncOptions {
  /**
   * Seconds until the operation is given up, fractions allowed: above 0, a year at the most. The timer has milliseconds and rounds
   * up. `modparam.tm.max_suspend` (300 s) when it is left out.
   */
  timeout?: number;
}

/** What `msg.launch` and `proxy.launch` take beside the operation and the route. */
export interface LaunchOptions extends AsyncOptions {
  /** What the report route finds as `msg.launchText`. */
  text?: string;
}

/** @throws TypeError */
export function checkOperation(operation: unknown): asserts operation is Operation {
  if (typeof operation !== 'function') {
    throw new TypeError(`operation: expected a function that takes an AbortSignal, got ${describe(operation)}`);
  }
}

/**
 * Reads the options of a statement. A misspelt timeout would be none, so unknown members are refused.
 *
 * @throws TypeError
 */
export function checkOptions(options: unknown, known: readonly string[]): asserts options is LaunchOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options: expected { ${known.join(', ')} }, got ${describe(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`options: ${name} is unknown, expected ${known.join(', ')}`);
  }
  const { timeout, text } = options as LaunchOptions;
  if (timeout !== undefined && typeof timeout !== 'number') {
    throw new TypeError(`timeout: expected a number of seconds, got ${describe(timeout)}`);
  }
  if (text !== undefined && typeof text !== 'string') throw new TypeError(`text: expected a string, got ${describe(text)}`);
}

/** @returns milliseconds, or why the timeout cannot be had */
export function timeoutMs(timeout: number | undefined, maxSuspendMs: number): number | SipAsyncError {
  if (timeout === undefined) return maxSuspendMs;
  // Written so that NaN is refused.
  if (!(timeout > 0 && timeout <= MAX_SECONDS)) {
    return makeError('DELAY_OUT_OF_RANGE', `timeout: ${timeout}, above 0 to ${MAX_SECONDS} seconds`);
  }
  return Math.max(1, Math.ceil(timeout * 1000 - EPSILON_MS));
}
