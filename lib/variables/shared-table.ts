import { native } from '../binding.ts';
import { checkAddend, checkKey, checkValue, readExpiry } from './shared-arguments.ts';
import type { SharedInput, SharedValue } from './shared-arguments.ts';

/** Figures of one table. */
export interface SharedStats {
  /** Entries that are there. */
  entries: number;
  /** What counts against `maxBytes`: the bytes of all keys and values, and 192 for each entry. */
  bytes: number;
  /** Entries that were dropped because their time had passed. */
  expired: number;
  /** Operations that returned `false` because the table was full. */
  refused: number;
}

const STATS = native.constants.shared.stats;
const figures = new Float64Array(STATS.length);

/**
 * What shared variables and hash tables have in common: a table in the memory of the process, the same one in every
 * JavaScript thread. Each operation on one entry is atomic. What is read is a copy.
 */
export abstract class SharedTable implements Iterable<[string, SharedValue]> {
  /** @internal */
  protected readonly table: number;
  /** What the key is called where it is passed. */
  readonly #parameter: string;

  /** @internal */
  protected constructor(table: number, parameter: string) {
    this.table = table;
    this.#parameter = parameter;
  }

  /** The value, or `null` when there is none. Bytes come as a `Buffer` of the caller's own. */
  get(key: string): SharedValue | null {
    checkKey(key, this.#parameter);
    return native.sharedGet(this.table, key);
  }

  /** Whether there is such an entry. */
  has(key: string): boolean {
    checkKey(key, this.#parameter);
    return native.sharedHas(this.table, key);
  }

  /** Removes the entry. Returns whether there was one. */
  delete(key: string): boolean {
    checkKey(key, this.#parameter);
    return native.sharedDelete(this.table, key);
  }

  /** The number of entries. What has expired is dropped first. */
  get size(): number {
    return this.stats().entries;
  }

  /**
   * All entries, in no particular order. Other threads may go on meanwhile: an entry that is there all the time is given
   * exactly once, one that comes or goes meanwhile once or not at all; each with the value that it had when its part of
   * the table, some thousand entries, was copied.
   */
  *entries(): IterableIterator<[string, SharedValue]> {
    for (let part = 0; part >= 0; ) {
      const batch = native.sharedScan(this.table, part);
      for (let i = 1; i < batch.length; i += 2) yield [batch[i] as string, batch[i + 1]!];
      part = batch[0] as number;
    }
  }

  /** All keys, as {@link entries} finds them. */
  *keys(): IterableIterator<string> {
    for (const [key] of this.entries()) yield key;
  }

  /** The same as {@link entries}. */
  [Symbol.iterator](): IterableIterator<[string, SharedValue]> {
    return this.entries();
  }

  /** Plain numbers about the table. What has expired is dropped first, which takes the longer the more there is. */
  stats(): SharedStats {
    native.sharedStats(this.table, figures);
    return Object.fromEntries(STATS.map((name, i) => [name, figures[i]!])) as unknown as SharedStats;
  }

  /** @internal */
  protected put(key: string, value: SharedInput, options: unknown, onlyIfAbsent: boolean): boolean {
    checkKey(key, this.#parameter);
    checkValue(value);
    return native.sharedSet(this.table, key, value, readExpiry(options), onlyIfAbsent);
  }

  /** @internal */
  protected add(key: string, by: number, options: unknown): number | false {
    checkKey(key, this.#parameter);
    checkAddend(by);
    return native.sharedInc(this.table, key, by, readExpiry(options)) ?? false;
  }
}
