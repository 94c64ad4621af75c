import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, query } from 'sip-async/ops';
import type { Database, DatabaseOptions } from 'sip-async/ops';
import { aborted, Attempt, codeOf, run } from './support/attempt.ts';
import { eventually } from './support/eventually.ts';

// Node starts the threads that read files with the first use, all at once; here they are not to be counted.
beforeAll(() => stat('.'));

let folder: string;
const ends: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sip-async-sqlite-'));
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

const file = () => `sqlite:${join(folder, 'x.db')}`;

function open(options: string | DatabaseOptions = 'sqlite::memory:'): Database {
  const db = openDatabase(options);
  ends.push(() => db.close());
  return db;
}

/** Threads of this process, as the kernel counts them. */
const threads = () => readdirSync('/proc/self/task').length;

/** Gives rows without end. */
const ENDLESS = `WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count)
  SELECT n FROM count WHERE n % 1000 = 0`;

describe('query of SQLite', () => {
  it('gives rows as plain objects, and binds what it is given', async () => {
    const db = open();
    expect(db.kind).toBe('sqlite');
    const hostile = "x'; DROP TABLE users; --";
    const values = [hostile, 1.5, true, null, undefined, new Uint8Array([0, 255])];
    const { rows, rowCount } = await run(query(db, 'SELECT ? a, ? b, ? c, ? d, ? e, ? f', values));
    expect(rows).toEqual([{ a: hostile, b: 1.5, c: 1, d: null, e: null, f: new Uint8Array([0, 255]) }]);
    expect(rowCount).toBe(1);
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 1 });
  });

  it('keeps a database in memory as long as it is open, and one in a file beyond', async () => {
    const memory = open({ url: 'sqlite::memory:', maxConnections: 5, idleMs: 1 });
    await run(query(memory, 'CREATE TABLE users (uid TEXT PRIMARY KEY, credit INTEGER)'));
    await Promise.all(['a', 'b', 'c'].map((uid) => run(query(memory, 'INSERT INTO users VALUES (?, 7)', [uid]))));
    expect((await run(query(memory, 'UPDATE users SET credit = 8'))).rowCount).toBe(3);
    expect((await run(query(memory, 'SELECT credit FROM users WHERE uid = ?', ['b']))).rows).toEqual([{ credit: 8 }]);

    const first = openDatabase(file());
    await run(query(first, 'CREATE TABLE kept (id)'));
    await run(query(first, 'INSERT INTO kept VALUES (1)'));
    await first.close();
    const again = open({ url: file(), driver: { readonly: true } });
    expect((await run(query(again, 'SELECT id FROM kept'))).rows).toEqual([{ id: 1 }]);
    await expect(run(query(again, 'DELETE FROM kept'))).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_QUERY',
      cause: { code: 'SQLITE_READONLY' },
    });
  });

  it('rejects what the database refuses, and its thread serves on', async () => {
    const db = open();
    await expect(run(query(db, 'SELEC 1'))).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_QUERY',
      cause: { code: 'SQLITE_ERROR' },
    });
    expect(await codeOf(run(query(db, 'SELECT 1; SELECT 2')))).toBe('QUERY');
    expect(await codeOf(run(query(db, 'SELECT ?', [])))).toBe('QUERY');
    expect(await codeOf(run(query(db, 'SELECT ?', [() => 1])))).toBe('QUERY');
    expect(await codeOf(run(query(db, 'BEGIN')))).toBe('QUERY');
    expect((await run(query(db, 'SELECT 1 one'))).rows).toEqual([{ one: 1 }]);
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 1 });
  });

  it('says why a file cannot be opened', async () => {
    writeFileSync(join(folder, 'text'), 'no database at all, but some text that is long enough to be looked at');
    for (const url of [`sqlite:${folder}/no/such/folder/x.db`, `sqlite:${folder}`, `sqlite:${folder}/text`]) {
      const before = threads();
      expect(await codeOf(run(query(open(url), 'SELECT 1')))).toBe('DATABASE_UNREACHABLE');
      await eventually(() => threads() <= before);
    }
  });

  it('stops rows that nobody wants any more, and its thread serves on', async () => {
    const db = open();
    await run(query(db, 'SELECT 1'));
    const endless = new Attempt(query(db, ENDLESS));
    const waiting = new Attempt(query(db, 'SELECT ? one', [1]));
    // While the thread works, this one goes on.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([endless.outcome, waiting.outcome]).toEqual([null, null]);
    endless.abort();
    expect(await codeOf(endless.result)).toBe('ABORTED');
    expect((await waiting.result).rows).toEqual([{ one: 1 }]);
    expect([endless.listeners, waiting.listeners]).toEqual([0, 0]);
  });

  it('throws the result of an aborted statement away, whatever the moment', async () => {
    const db = open({ url: file(), maxConnections: 2 });
    await run(query(db, 'CREATE TABLE t (id)'));
    const attempts = Array.from({ length: 200 }, (_, number) => new Attempt(query(db, 'SELECT ? value', [number])));
    for (const [number, attempt] of attempts.entries()) {
      if (number % 2 === 0) continue;
      void attempts[number - (number % 5)]!.result.finally(() => attempt.abort()).catch(() => undefined);
    }
    await Promise.allSettled(attempts.map(({ result }) => result));
    for (const [number, { outcome, listeners }] of attempts.entries()) {
      if ('value' in outcome!) expect(outcome.value.rows).toEqual([{ value: number }]);
      else expect(outcome!.error).toMatchObject({ code: 'SIPASYNC_ERR_ABORTED' });
      expect(listeners).toBe(0);
    }
    await eventually(() => db.stats().running === 0);
  });

  it('does not begin after its signal', async () => {
    const before = threads();
    expect(await codeOf(aborted(query(open(), 'SELECT 1')))).toBe('ABORTED');
    expect(threads()).toBe(before);
  });

  it('queues what is too much, and refuses what is more', async () => {
    const db = open({ url: 'sqlite::memory:', maxQueue: 2 });
    const [first, second, third, fourth] = [1, 2, 3, 4].map((number) => new Attempt(query(db, 'SELECT ? n', [number])));
    expect(await codeOf(fourth!.result)).toBe('POOL_FULL');
    expect(db.stats()).toEqual({ running: 1, queued: 2, idle: 0 });
    second!.abort();
    expect(await codeOf(second!.result)).toBe('ABORTED');
    expect((await first!.result).rows).toEqual([{ n: 1 }]);
    expect((await third!.result).rows).toEqual([{ n: 3 }]);
  });

  it('ends its threads when it closes or nobody uses them', async () => {
    const before = threads();
    const db = openDatabase({ url: file(), maxConnections: 3 });
    await Promise.all([1, 2, 3].map(() => run(query(db, 'SELECT 1'))));
    expect(threads()).toBeGreaterThan(before);
    await db.close();
    expect(await codeOf(run(query(db, 'SELECT 1')))).toBe('CLOSED');
    await eventually(() => threads() === before);
    const idle = open({ url: file(), idleMs: 1 });
    await run(query(idle, 'SELECT 1'));
    await eventually(() => idle.stats().idle === 0 && threads() === before);
  });
});
