import { native } from '../binding.ts';
import { Faults, describeValue, mismatch, quote } from '../config/faults.ts';
import { didYouMean } from '../config/nearest.ts';
import { makeError } from '../errors.ts';
import { MAX_EXPIRE_MS, checkKey } from './shared-arguments.ts';
import type { EntryOptions, SharedInput } from './shared-arguments.ts';
import { SharedTable } from './shared-table.ts';

/** How a table is made. */
export interface HashTableOptions {
  /**
   * Milliseconds until an entry expires that is set without a time of its own, up to ten years; the default is 0, never
   * (Kamailio's `autoexpire`, in seconds there).
   */
  readonly expireMs?: number;
  /**
   * Whether `inc` gives an entry that is there its whole time again (Kamailio's `updateexpire`). The default is `false`,
   * so that a counter ends when its time has passed since it was made; Kamailio's is 1.
   */
  readonly updateExpire?: boolean;
  /** The most entries, 1 to 16,777,215. The default is 262,144. */
  readonly maxEntries?: number;
  /** The most bytes: keys, values, and 192 for each entry; 1024 to 64 GiB. The default is 64 MiB. */
  readonly maxBytes?: number;
}

const { limits: LIMITS, mostTables, mostEntries, mostBytes, usualEntries, usualBytes } = native.constants.shared;

/** What each option may be, if it is a number, and what a table has that nobody says anything about. */
const NUMBERS = {
  expireMs: { min: 0, max: MAX_EXPIRE_MS },
  maxEntries: { min: 1, max: mostEntries },
  maxBytes: { min: 1024, max: mostBytes },
};
const USUAL: Required<HashTableOptions> = {
  expireMs: 0,
  updateExpire: false,
  maxEntries: usualEntries,
  maxBytes: usualBytes,
};

/**
 * A hash table in the memory of the process: the same one in every JavaScript thread and in every proxy of the process
 * (Kamailio's `htable` module). Made by {@link htable}.
 */
export class HashTable extends SharedTable {
  /** The name under which every thread finds it. */
  readonly name: string;

  /** @internal */
  constructor(name: string, table: number) {
    super(table, 'key');
    this.name = name;
  }

  /**
   * Sets an entry, whose time begins anew (`$sht(name=>key) = value`). Returns `false` when the table is full: nothing
   * was changed then, and `stats().refused` has counted it.
   *
   * @throws TypeError when an argument is not of the right type
   * @throws SipAsyncError `SIPASYNC_ERR_DELAY_OUT_OF_RANGE` when `expireMs` is not a whole number from 0 to ten years
   */
  set(key: string, value: SharedInput, options?: EntryOptions): boolean {
    return this.put(key, value, options, false);
  }

  /**
   * Sets an entry unless there is one. Of all threads that try, one gets `true`: a lock, or the first sight of a
   * Call-ID. Returns `false` when there is one, or when the table is full. Throws as {@link set} does.
   */
  setIfAbsent(key: string, value: SharedInput, options?: EntryOptions): boolean {
    return this.put(key, value, options, true);
  }

  /**
   * Adds to a number and returns the sum, atomically (`$shtinc(name=>key)`). A missing entry counts as 0 and is made,
   * with the time of `options` or the table; there, `$shtinc` of a missing entry is `$null` unless the table has an
   * `initval`. An entry that is there keeps its time, unless the table has `updateExpire`.
   *
   * Returns `false`, and changes nothing, when the entry holds something else than a number, when the sum would be beyond
   * `Number.MAX_SAFE_INTEGER` either way, or when there is no room for a new entry.
   *
   * @throws TypeError when an argument is not of the right type, or `by` is not finite
   * @throws SipAsyncError `SIPASYNC_ERR_DELAY_OUT_OF_RANGE` when `expireMs` is not a whole number from 0 to ten years
   */
  inc(key: string, by = 1, options?: EntryOptions): number | false {
    return this.add(key, by, options);
  }

  /** Removes all entries. What other threads set meanwhile may stay. */
  clear(): void {
    native.sharedClear(this.table);
  }
}

const tables = new Map<string, HashTable>();

/** Checks the options, and takes `undefined` for what is not there. */
function readOptions(options: unknown): HashTableOptions {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null) throw new TypeError(`options: ${mismatch('an object', options)}`);
  const faults = new Faults();
  for (const [name, value] of Object.entries(options)) {
    const path = ['options', name];
    if (!Object.hasOwn(USUAL, name)) {
      faults.add(path, `there is no such option${didYouMean(name, Object.keys(USUAL))}`);
    } else if (value !== undefined) {
      const type = typeof USUAL[name as keyof HashTableOptions];
      if (typeof value !== type) throw new TypeError(`options.${name}: ${mismatch(`a ${type}`, value)}`);
      if (typeof value !== 'number') continue;
      const { min, max } = NUMBERS[name as keyof typeof NUMBERS];
      const isFitting = Number.isInteger(value) && value >= min && value <= max;
      if (!isFitting) faults.add(path, mismatch(`a whole number from ${min} to ${max}`, value));
    }
  }
  faults.throwIfAny();
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** What the table was made with, by whichever thread was first. */
function optionsOf(table: number): Required<HashTableOptions> {
  const figures = new Float64Array(LIMITS.length);
  native.sharedLimits(table, figures);
  const of = (name: keyof HashTableOptions) => figures[LIMITS.indexOf(name)]!;
  return {
    expireMs: of('expireMs'),
    updateExpire: of('updateExpire') === 1,
    maxEntries: of('maxEntries'),
    maxBytes: of('maxBytes'),
  };
}

/**
 * The table of this name. The first call of the process, in whichever thread, makes it, with its options; the others get
 * the same one, and need not repeat them. It lives as long as the process.
 *
 * @example
 * ```js
 * const attempts = htable('attempts', { expireMs: 60_000, maxEntries: 100_000 });
 *
 * export default defineProxy({
 *   requestRoute(msg) {
 *     const count = attempts.inc(msg.srcIp);
 *     if (count !== false && count > 100) msg.drop(); // a full table shuts nobody out
 *     msg.sendReply(404, 'Not found');
 *   },
 * });
 * ```
 *
 * @throws TypeError when an argument is not of the right type
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG` when the name is empty, an option is unknown or out of its range, the table
 *   was made with another value of an option that is given here, or there are 1023 tables already
 */
export function htable(name: string, options?: HashTableOptions): HashTable {
  checkKey(name, 'name');
  if (name === '') throw makeError('CONFIG', 'the name of a table must not be empty');
  const known = tables.get(name);
  if (known !== undefined && options === undefined) return known;
  const asked = readOptions(options);
  const { maxEntries, maxBytes, expireMs, updateExpire } = { ...USUAL, ...asked };
  const table = native.sharedOpen(name, maxEntries, maxBytes, expireMs, updateExpire);
  if (table < 0) throw makeError('CONFIG', `there are ${mostTables} tables already, which is the most there can be`);
  const made = optionsOf(table);
  const different = (Object.keys(asked) as (keyof HashTableOptions)[])
    .filter((option) => asked[option] !== made[option])
    .map((option) => `${option} ${describeValue(made[option])}, not ${describeValue(asked[option])}`);
  if (different.length > 0) throw makeError('CONFIG', `the table ${quote(name)} was made with ${different.join('; ')}`);
  const opened = known ?? new HashTable(name, table);
  tables.set(name, opened);
  return opened;
}
