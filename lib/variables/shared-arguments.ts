import { isUint8Array } from 'node:util/types';
import { mismatch } from '../config/faults.ts';
import { makeError } from '../errors.ts';

/** What can be put into a shared variable or table. */
export type SharedInput = string | number | boolean | Uint8Array;
/** What comes out of it: always a copy. */
export type SharedValue = string | number | boolean | Buffer;

/** How an entry of a table is to be set. */
export interface EntryOptions {
  /** Milliseconds until the entry expires, up to ten years; 0 is never. The default is the table's `expireMs`. */
  readonly expireMs?: number;
}

/** The longest that an entry may be told to stay, short of for ever: ten years. */
export const MAX_EXPIRE_MS = 10 * 365 * 86_400_000;
/** As the addon knows it: the table's own time. */
const TABLE_EXPIRY = -1;

/** Throws a `TypeError` unless the argument is a string. */
export function checkKey(key: unknown, parameter: string): asserts key is string {
  if (typeof key !== 'string') throw new TypeError(`${parameter}: ${mismatch('a string', key)}`);
}

/** Throws a `TypeError` unless the argument can be a value. */
export function checkValue(value: unknown): asserts value is SharedInput {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return;
  if (!isUint8Array(value)) {
    throw new TypeError(`value: ${mismatch('a string, a number, a boolean or a Uint8Array', value)}`);
  }
}

/** Throws a `TypeError` unless the argument can be added. */
export function checkAddend(by: unknown): asserts by is number {
  if (!Number.isFinite(by)) throw new TypeError(`by: ${mismatch('a finite number', by)}`);
}

/** Whether this is a time that an entry can be given. */
export function isExpireMs(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_EXPIRE_MS;
}

/**
 * Reads the time of an entry.
 *
 * @throws TypeError when the options, or a member of them, are not of the right type
 * @throws SipAsyncError `SIPASYNC_ERR_DELAY_OUT_OF_RANGE` when the time is not a whole number from 0 to ten years
 */
export function readExpiry(options: unknown): number {
  if (options === undefined) return TABLE_EXPIRY;
  if (typeof options !== 'object' || options === null) throw new TypeError(`options: ${mismatch('an object', options)}`);
  for (const name in options) {
    if (name !== 'expireMs') throw new TypeError(`options.${name}: there is no such option, only expireMs`);
  }
  const { expireMs } = options as EntryOptions;
  if (expireMs === undefined) return TABLE_EXPIRY;
  if (typeof expireMs !== 'number') throw new TypeError(`options.expireMs: ${mismatch('a number', expireMs)}`);
  if (!isExpireMs(expireMs)) {
    throw makeError('DELAY_OUT_OF_RANGE', `options.expireMs is to be 0 to ${MAX_EXPIRE_MS} ms, got ${expireMs}`);
  }
  return expireMs;
}
