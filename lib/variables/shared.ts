import type { SharedInput } from './shared-arguments.ts';
import { SharedTable } from './shared-table.ts';

export { HashTable, htable } from './shared-hash-table.ts';
export type { HashTableOptions } from './shared-hash-table.ts';
export type { EntryOptions, SharedInput, SharedValue } from './shared-arguments.ts';
export type { SharedStats } from './shared-table.ts';

/** The table that the addon makes by itself. */
const UNNAMED = 0;

/** Variables of the whole process. There is one object of this class, {@link shv}. */
export class SharedVariables extends SharedTable {
  /** @internal */
  constructor() {
    super(UNNAMED, 'name');
  }

  /**
   * Sets a variable (`$shv(name) = value`). Returns `false` when 262,144 variables or 64 MiB are used up: nothing was
   * changed then.
   *
   * @throws TypeError when an argument is not of the right type
   */
  set(name: string, value: SharedInput): boolean {
    return this.put(name, value, undefined, false);
  }

  /**
   * Adds to a number and returns the sum, atomically: of calls in any threads none is lost. A missing variable counts as
   * 0 and is made. In Kamailio `$shv(x) = $shv(x) + 1` loses counts unless the script takes a lock.
   *
   * Returns `false`, and changes nothing, when the variable holds something else than a number, when the sum would be
   * beyond `Number.MAX_SAFE_INTEGER` either way, or when there is no room for a new variable.
   *
   * @throws TypeError when an argument is not of the right type, or `by` is not finite
   */
  inc(name: string, by = 1): number | false {
    return this.add(name, by, undefined);
  }
}

/**
 * Variables in the memory of the process, the same in every JavaScript thread and in every proxy of the process
 * (Kamailio's `$shv(name)`). They need not be declared, never expire, and are gone when the process ends.
 *
 * @example
 * ```js
 * import { shv } from 'sip-async';
 *
 * shv.set('maintenance', true);
 * shv.inc('calls');
 * shv.get('calls'); // 1, in whichever thread
 * ```
 */
export const shv = new SharedVariables();
