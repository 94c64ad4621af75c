import { makeError } from '../errors.ts';
import { describe } from '../tm/arguments.ts';
import { LONGEST_TIMER_MS, makeOperation, onAbort, stoppedBy } from './operation.ts';
import type { Operation } from './operation.ts';

/**
 * Waits on a timer of Node, not on the wheel of a proxy: an operation must work without one. A timer of Node takes 2^31 ms at
 * the most, so a longer time is a chain of them.
 */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + ms;
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const stopListening = onAbort(signal, () => {
      clearTimeout(timer);
      reject(stoppedBy(signal));
    });
    const look = () => {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) {
        stopListening();
        resolve();
        return;
      }
      // A timer of Node counts from the beginning of the loop's round and may so be early by a part of a millisecond.
      timer = setTimeout(look, Math.min(Math.ceil(leftMs), LONGEST_TIMER_MS));
    };
    look();
  });
}

function sleepOf(value: unknown, name: string, msPerUnit: number): Operation<void> {
  if (typeof value !== 'number') throw new TypeError(`${name}: expected a number, got ${describe(value)}`);
  return makeOperation(async (signal) => {
    if (!Number.isFinite(value) || value < 0) throw makeError('DELAY_OUT_OF_RANGE', `${name}: ${value}`);
    if (value > 0) await wait(value * msPerUnit, signal);
  });
}

/**
 * Waits (`sleep` of OpenSIPS' cfgutils). Unlike there 0 is fine: it is over at once.
 *
 * Resolves to `undefined`; never early. Rejects with `DELAY_OUT_OF_RANGE` for a number that is negative or not finite, with
 * `ABORTED` after its signal, at once.
 *
 * @param seconds 0 or more, fractions allowed; no upper limit
 * @throws TypeError when it is no number
 */
export function sleep(seconds: number): Operation<void> {
  return sleepOf(seconds, 'seconds', 1000);
}

/**
 * Waits (`usleep` of OpenSIPS' cfgutils), as {@link sleep}. It goes on with the timer of Node, which counts whole
 * milliseconds: what is less is rounded up.
 *
 * @param microseconds 0 or more, fractions allowed; no upper limit
 * @throws TypeError when it is no number
 */
export function usleep(microseconds: number): Operation<void> {
  return sleepOf(microseconds, 'microseconds', 0.001);
}
