import { afterEach, describe, expect, it } from 'vitest';
import { SipAsyncError, htable, shv } from 'sip-async';
import type { HashTable, HashTableOptions, SharedValue } from 'sip-async';
import { setTimeout as wait } from 'node:timers/promises';
import { native } from '../dist/binding.js';
import { eventually } from './support/eventually.ts';
import { sequence } from './support/random.ts';

const { entryBytes } = native.constants.shared;

let made = 0;
/** A table that no other test knows. */
function fresh(options?: HashTableOptions): HashTable {
  made += 1;
  return htable(`table ${made}`, options);
}

const codeOf = (action: () => unknown): string | undefined => {
  try {
    action();
  } catch (error) {
    if (error instanceof SipAsyncError) return error.code;
    throw error;
  }
  return undefined;
};

afterEach(() => {
  for (const name of shv.keys()) shv.delete(name);
});

describe('shv', () => {
  it('has nothing at first', () => {
    expect(shv.get('x')).toBeNull();
    expect(shv.has('x')).toBe(false);
    expect(shv.delete('x')).toBe(false);
    expect(shv.size).toBe(0);
    expect([...shv]).toEqual([]);
  });

  it('keeps, lists, counts and deletes', () => {
    expect(shv.set('a', 'one')).toBe(true);
    expect(shv.set('b', 2)).toBe(true);
    expect(shv.inc('c')).toBe(1);
    expect(shv.inc('c', 4)).toBe(5);
    expect(shv.inc('c', -7)).toBe(-2);
    expect(shv.size).toBe(3);
    expect(new Map(shv)).toEqual(new Map<string, SharedValue>([['a', 'one'], ['b', 2], ['c', -2]]));
    expect([...shv.keys()].sort()).toEqual(['a', 'b', 'c']);
    expect(shv.delete('a')).toBe(true);
    expect(shv.delete('a')).toBe(false);
    expect(shv.get('a')).toBeNull();
    expect(shv.stats()).toMatchObject({ entries: 2, bytes: 2 * (entryBytes + 1) });
  });

  it('is no table that a name reaches', () => {
    shv.set('x', 1);
    for (const name of ['0', 'shv', ' ']) expect(htable(name).has('x')).toBe(false);
  });
});

describe('values', () => {
  const table = fresh();

  it.each<[string, SharedValue]>([
    ['a text', 'text'],
    ['an empty text', ''],
    ['a text beyond Latin-1', 'žluťoučký 電話 ☎ 🤙'],
    ['a text with zeros and line ends', 'a\0b\r\nc'],
    ['zero', 0],
    ['minus zero', -0],
    ['a fraction', 0.1],
    ['the largest safe integer', Number.MAX_SAFE_INTEGER],
    ['a number beyond 2^63', 2 ** 70],
    ['infinity', -Infinity],
    ['what is no number', NaN],
    ['true', true],
    ['false', false],
    ['bytes', Buffer.from([0, 255, 128, 10])],
    ['no bytes', Buffer.alloc(0)],
  ])('%s comes back as it is', (_, value) => {
    expect(table.set('key', value)).toBe(true);
    expect(table.get('key')).toStrictEqual(value);
    expect([...table]).toStrictEqual([['key', value]]);
  });

  // Around the sizes at which the addon reads with one call, with two, and where a character could be cut.
  it.each(['x', 'é', '電', '🤙'])('a text and a key of any length of %s come back', (character) => {
    for (let bytes = 490; bytes < 530; bytes += 1) {
      const text = 'y'.repeat(bytes % 5) + character.repeat(Math.ceil(bytes / Buffer.byteLength(character)));
      expect(table.set(text, text)).toBe(true);
      expect(table.get(text)).toBe(text);
      expect(table.delete(text)).toBe(true);
    }
    const long = character.repeat(300_000);
    table.set(long, long);
    expect(table.get(long)).toBe(long);
    table.delete(long);
  });

  it('bytes are copied in and out', () => {
    const bytes = new Uint8Array([1, 2, 3, 4]);
    table.set('key', bytes.subarray(1, 3));
    bytes.fill(9);
    const first = table.get('key') as Buffer;
    expect(first).toStrictEqual(Buffer.from([2, 3]));
    first.fill(9);
    expect(table.get('key')).toStrictEqual(Buffer.from([2, 3]));
  });

  it('bytes of a SharedArrayBuffer are taken too', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(3)).fill(7);
    table.set('key', bytes);
    expect(table.get('key')).toStrictEqual(Buffer.from([7, 7, 7]));
  });

  it('keys that differ in anything are different', () => {
    const keys = ['', ' ', 'a', 'A', 'a\0', 'a\0b', '\0', '__proto__', 'é', 'e\u0301'];
    table.clear();
    for (const key of keys) table.set(key, `of ${key}`);
    for (const key of keys) expect(table.get(key)).toBe(`of ${key}`);
    expect(table.size).toBe(keys.length);
    expect(new Set(table.keys())).toEqual(new Set(keys));
  });
});

describe('random steps', () => {
  it('give what a Map gives', () => {
    const { seed, next } = sequence();
    const table = fresh();
    const model = new Map<string, SharedValue>();
    for (let step = 0; step < 20_000; step += 1) {
      const key = `key ${next(50)}`;
      const where = `seed ${seed}, step ${step}`;
      const before = model.get(key);
      switch (next(6)) {
        case 0: {
          const value = [next(100), `text ${next(100)}`, next(2) === 0, Buffer.from([next(256)])][next(4)]!;
          expect(table.set(key, value), where).toBe(true);
          model.set(key, value);
          break;
        }
        case 1:
          expect(table.setIfAbsent(key, step), where).toBe(before === undefined);
          if (before === undefined) model.set(key, step);
          break;
        case 2: {
          const sum = before === undefined ? 3 : typeof before === 'number' ? before + 3 : false;
          expect(table.inc(key, 3), where).toBe(sum);
          if (sum !== false) model.set(key, sum);
          break;
        }
        case 3:
          expect(table.delete(key), where).toBe(model.delete(key));
          break;
        default:
          expect(table.get(key), where).toStrictEqual(before ?? null);
          expect(table.has(key), where).toBe(before !== undefined);
      }
      if (step % 1000 === 0) {
        expect(new Map(table), where).toStrictEqual(model);
        expect(table.size, where).toBe(model.size);
      }
    }
  });
});

describe('inc', () => {
  it.each<[SharedValue | null, number, number | false]>([
    [null, 5, 5],
    [null, 0, 0],
    [1, 0.5, 1.5],
    [Number.MAX_SAFE_INTEGER - 1, 1, Number.MAX_SAFE_INTEGER],
    [Number.MAX_SAFE_INTEGER, 1, false],
    [-Number.MAX_SAFE_INTEGER, -1, false],
    [0, Number.MAX_VALUE, false],
    [NaN, 1, false],
    [Infinity, 1, false],
    ['1', 1, false],
    [true, 1, false],
    [Buffer.from('1'), 1, false],
  ])('%o and %d give %o, and false changes nothing', (before, by, after) => {
    const table = fresh();
    if (before !== null) table.set('key', before);
    expect(table.inc('key', by)).toBe(after);
    expect(table.get('key')).toStrictEqual(after === false ? before : after);
  });
});

describe('expiry', () => {
  const until = (ms: number) => eventually(() => performance.now() > ms, { intervalMs: 2 });

  it('is never early, hides the entry and gives its memory back', async () => {
    const table = fresh({ expireMs: 60 });
    const startedMs = performance.now();
    table.set('own', 'x'.repeat(100));
    table.set('shorter', 1, { expireMs: 20 });
    table.set('never', 1, { expireMs: 0 });
    table.inc('counter');
    const setMs = performance.now();
    for (;;) {
      const isThere = table.has('own');
      const passedMs = performance.now() - startedMs;
      if (!isThere) {
        expect(passedMs).toBeGreaterThanOrEqual(60);
        break;
      }
      await wait(1);
    }
    await until(setMs + 60);
    expect([...table.keys()]).toEqual(['never']);
    expect(table.get('own')).toBeNull();
    expect(table.delete('shorter')).toBe(false);
    expect(table.setIfAbsent('counter', 7, { expireMs: 0 })).toBe(true);
    expect(table.stats()).toEqual({ entries: 2, bytes: 2 * entryBytes + 12, expired: 3, refused: 0 });
  });

  it('begins anew with set; with inc only where the table says so', async () => {
    const fixed = fresh({ expireMs: 300 });
    const moving = fresh({ expireMs: 300, updateExpire: true });
    for (const table of [fixed, moving]) {
      table.set('value', 1);
      table.inc('counter');
    }
    const startedMs = performance.now();
    // Longer than the tables' time by far, so that no pause of this thread is mistaken for an end.
    for (const table of [fixed, moving]) {
      table.set('value', 1, { expireMs: 60_000 });
      table.inc('counter', 1, { expireMs: 60_000 });
    }
    await until(startedMs + 300);
    expect([fixed.has('value'), fixed.has('counter')]).toEqual([true, false]);
    expect([moving.has('value'), moving.get('counter')]).toEqual([true, 2]);
  });

  it('makes room in a full table by itself', async () => {
    const table = fresh({ maxEntries: 2, expireMs: 20 });
    table.set('a', 1);
    table.set('b', 1);
    await until(performance.now() + 20);
    expect(table.set('c', 1, { expireMs: 0 })).toBe(true);
    expect(table.set('d', 1, { expireMs: 0 })).toBe(true);
    expect(table.stats()).toMatchObject({ entries: 2, expired: 2, refused: 0 });
  });
});

describe('a full table', () => {
  it('refuses by entries, and says so in its figures', () => {
    const table = fresh({ maxEntries: 2 });
    expect([table.set('a', 1), table.set('b', 1), table.set('c', 1), table.setIfAbsent('c', 1), table.inc('c')]).toEqual([
      true, true, false, false, false,
    ]);
    expect(table.setIfAbsent('a', 1)).toBe(false); // there is one; not for lack of room
    expect(table.stats()).toMatchObject({ entries: 2, refused: 3 });
    expect(table.set('a', 'other')).toBe(true);
    expect(table.inc('b')).toBe(2);
    table.delete('a');
    expect(table.set('c', 1)).toBe(true);
  });

  it('refuses by bytes, and leaves what there was', () => {
    const table = fresh({ maxBytes: 1024 });
    const room = 1024 - entryBytes - 'key'.length;
    expect(table.set('key', 'x'.repeat(room + 1))).toBe(false);
    expect(table.set('key', Buffer.alloc(room + 1))).toBe(false);
    expect(table.set('k'.repeat(1024), 1)).toBe(false);
    expect(table.inc('k'.repeat(1024))).toBe(false);
    expect(table.size).toBe(0);
    expect(table.set('key', 'x'.repeat(room))).toBe(true);
    expect(table.set('key', 'y'.repeat(room + 1))).toBe(false);
    expect(table.get('key')).toBe('x'.repeat(room));
    expect(table.setIfAbsent('key', 'y'.repeat(room + 1))).toBe(false);
    expect(table.set('key', 'é'.repeat(room / 2 + 1))).toBe(false); // counted as bytes, not as characters
    expect(table.stats()).toEqual({ entries: 1, bytes: 1024, expired: 0, refused: 6 });
  });

  it('is empty after clear, and gives its memory back', () => {
    const table = fresh({ maxBytes: 200 << 20, maxEntries: 10_000 });
    const fill = () => {
      for (let i = 0; i < 10_000; i += 1) expect(table.set(`key ${i}`, 'x'.repeat(10_000))).toBe(true);
      expect(table.stats()).toMatchObject({ entries: 10_000 });
      table.clear();
      expect(table.stats()).toMatchObject({ entries: 0, bytes: 0 });
      expect([...table]).toEqual([]);
      return process.memoryUsage().rss;
    };
    const first = fill();
    let last = first;
    for (let i = 0; i < 5; i += 1) last = fill();
    // Each fill takes 100 MB; what is not given back would add up.
    expect(last - first).toBeLessThan(100 << 20);
  });
});

describe('htable', () => {
  it('gives the same table for the same name', () => {
    const table = htable('same', { expireMs: 1000, maxEntries: 10 });
    table.set('key', 1);
    expect(htable('same')).toBe(table);
    expect(htable('same', {})).toBe(table);
    expect(htable('same', { expireMs: 1000 })).toBe(table);
    expect(htable('same', { maxEntries: 10, expireMs: 1000, updateExpire: false })).toBe(table);
    expect(htable('other').has('key')).toBe(false);
    expect(table.name).toBe('same');
  });

  it.each<[HashTableOptions, string]>([
    [{ expireMs: 0 }, 'expireMs 1000, not 0'],
    [{ maxEntries: 11 }, 'maxEntries 10, not 11'],
    [{ maxBytes: 2048 }, 'maxBytes 4096, not 2048'],
    [{ updateExpire: false }, 'updateExpire true, not false'],
    [{ expireMs: 5, maxEntries: 10, maxBytes: 5000 }, 'expireMs 1000, not 5; maxBytes 4096, not 5000'],
  ])('refuses %o for a table that was made with other options', (options, text) => {
    const made = { expireMs: 1000, maxEntries: 10, maxBytes: 4096, updateExpire: true };
    htable('refusing', made);
    expect(codeOf(() => htable('refusing', options))).toBe('SIPASYNC_ERR_CONFIG');
    expect(() => htable('refusing', options)).toThrow(`the table "refusing" was made with ${text}`);
    expect(htable('refusing', made)).toBe(htable('refusing'));
  });

  it.each<[string, object, string]>([
    ['an unknown option', { expireMS: 5 }, 'options.expireMS: there is no such option, did you mean expireMs?'],
    ['no room at all', { maxEntries: 0 }, 'options.maxEntries: expected a whole number from 1 to 16777215, got 0'],
    ['too many entries', { maxEntries: 2 ** 24 }, 'options.maxEntries: expected a whole number'],
    ['a fraction of an entry', { maxEntries: 1.5 }, 'options.maxEntries: expected a whole number'],
    ['too few bytes', { maxBytes: 1023 }, 'options.maxBytes: expected a whole number from 1024 to 68719476736, got 1023'],
    ['too many bytes', { maxBytes: 2 ** 36 + 1 }, 'options.maxBytes: expected a whole number'],
    ['a negative time', { expireMs: -1 }, 'options.expireMs: expected a whole number from 0 to 315360000000, got -1'],
    ['a time that is no number', { expireMs: NaN }, 'options.expireMs: expected a whole number'],
    ['several', { maxEntries: 0, maxBytes: 0 }, '2 faults'],
  ])('refuses %s', (_, options, text) => {
    expect(codeOf(() => htable('faulty', options))).toBe('SIPASYNC_ERR_CONFIG');
    expect(() => htable('faulty', options)).toThrow(text);
  });

  it('refuses an empty name', () => {
    expect(codeOf(() => htable(''))).toBe('SIPASYNC_ERR_CONFIG');
  });

  it('has the limits that its documentation names', () => {
    expect(native.constants.shared).toMatchObject({
      mostTables: 1023,
      mostEntries: 16_777_215,
      mostBytes: 2 ** 36,
      usualEntries: 262_144,
      usualBytes: 2 ** 26,
      entryBytes: 192,
    });
    const table = fresh({ maxEntries: 16_777_215, maxBytes: 2 ** 36, expireMs: 315_360_000_000 });
    expect(table.set('key', 1)).toBe(true);
    expect(table.get('key')).toBe(1);
  });
});

describe('wrong arguments', () => {
  const table = fresh();
  const bad = (value: unknown) => value as never;

  it.each<[string, () => unknown, string]>([
    ['htable without a name', () => htable(bad(undefined)), 'name: expected a string, got nothing'],
    ['htable by number', () => htable(bad(5)), 'name: expected a string, got 5'],
    ['options null', () => htable('x', bad(null)), 'options: expected an object, got null'],
    ['maxEntries text', () => htable('x', bad({ maxEntries: '5' })), 'options.maxEntries: expected a number, got the string'],
    ['updateExpire number', () => htable('x', bad({ updateExpire: 1 })), 'options.updateExpire: expected a boolean, got 1'],
    ['shv.get', () => shv.get(bad(1)), 'name: expected a string, got 1'],
    ['shv.set', () => shv.set(bad(null), 1), 'name: expected a string, got null'],
    ['shv.inc', () => shv.inc(bad({})), 'name: expected a string, got an object'],
    ['shv.has', () => shv.has(bad(undefined)), 'name: expected a string, got nothing'],
    ['shv.delete', () => shv.delete(bad(['x'])), 'name: expected a string, got an array'],
    ['get', () => table.get(bad(1)), 'key: expected a string, got 1'],
    ['has', () => table.has(bad(1)), 'key: expected a string, got 1'],
    ['delete', () => table.delete(bad(1)), 'key: expected a string, got 1'],
    ['set without a value', () => table.set('key', bad(undefined)), 'value: expected a string, a number, a boolean'],
    ['set null', () => table.set('key', bad(null)), 'got null'],
    ['set an object', () => table.set('key', bad({})), 'got an object'],
    ['set a bigint', () => table.set('key', bad(1n)), 'got 1n'],
    ['set an ArrayBuffer', () => table.set('key', bad(new ArrayBuffer(1))), 'value:'],
    ['set a Uint16Array', () => table.set('key', bad(new Uint16Array(1))), 'value:'],
    ['setIfAbsent an array', () => table.setIfAbsent('key', bad([])), 'value:'],
    ['inc by text', () => table.inc('key', bad('1')), 'by: expected a finite number, got the string "1"'],
    ['inc by NaN', () => table.inc('key', NaN), 'by: expected a finite number, got NaN'],
    ['inc by infinity', () => shv.inc('key', Infinity), 'by: expected a finite number'],
    ['options that are none', () => table.set('key', 1, bad(5)), 'options: expected an object, got 5'],
    ['options null', () => table.set('key', 1, bad(null)), 'options: expected an object, got null'],
    ['an unknown option', () => table.inc('key', 1, bad({ expire: 5 })), 'options.expire: there is no such option'],
    ['expireMs text', () => table.set('key', 1, bad({ expireMs: '5' })), 'options.expireMs: expected a number'],
  ])('%s: a TypeError that names the parameter', (_, action, text) => {
    expect(action).toThrow(TypeError);
    expect(action).toThrow(text);
    expect(table.size).toBe(0);
  });

  it.each([-1, 0.5, NaN, Infinity, 315_360_000_001])('refuses an entry its time of %d ms', (expireMs) => {
    for (const action of [
      () => table.set('key', 1, { expireMs }),
      () => table.setIfAbsent('key', 1, { expireMs }),
      () => table.inc('key', 1, { expireMs }),
    ]) {
      expect(codeOf(action)).toBe('SIPASYNC_ERR_DELAY_OUT_OF_RANGE');
    }
    expect(table.size).toBe(0);
  });

  it('takes an option that is undefined for one that is not there', () => {
    const options = { expireMs: undefined } as unknown as { expireMs: number };
    expect(table.set('key', 1, options)).toBe(true);
    expect(fresh(options).set('key', 1)).toBe(true);
    table.clear();
  });
});

describe('iteration', () => {
  it('gives every entry once, in tables of any size', () => {
    for (const count of [1, 15, 300, 5000]) {
      const table = fresh();
      for (let i = 0; i < count; i += 1) table.set(`key ${i}`, i);
      const found = [...table.entries()];
      expect(found).toHaveLength(count);
      expect(new Map(found)).toEqual(new Map(Array.from({ length: count }, (_, i) => [`key ${i}`, i])));
    }
  });

  it('copes with a loop that changes the table', () => {
    const table = fresh();
    for (let i = 0; i < 3000; i += 1) table.set(`key ${i}`, i);
    const seen = new Set<string>();
    for (const key of table.keys()) {
      if (key.startsWith('other')) continue;
      expect(seen.has(key)).toBe(false);
      seen.add(key);
      table.delete(key);
      table.set(`other ${key}`, 1);
    }
    expect(seen.size).toBe(3000);
    expect(table.size).toBe(3000);
  });

  it('can be left before its end', () => {
    const table = fresh();
    for (let i = 0; i < 10; i += 1) table.set(`key ${i}`, i);
    for (const _ of table) break;
    expect(table.size).toBe(10);
  });
});
