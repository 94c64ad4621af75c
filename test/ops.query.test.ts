import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase, query } from 'sip-async/ops';
import type { Database, DatabaseOptions } from 'sip-async/ops';
import { aborted, Attempt, codeOf, run } from './support/attempt.ts';
import { eventually } from './support/eventually.ts';
import { MariadbServer } from './support/mariadb-server.ts';
import { PostgresServer } from './support/postgres-server.ts';
import { sequence } from './support/random.ts';
import { freeTcpPort } from './support/server-process.ts';
import { SilentPeer } from './support/silent-peer.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function open(options: DatabaseOptions): Database {
  const db = openDatabase(options);
  ends.push(() => db.close());
  return db;
}

/** The same in the words of each server. */
interface Dialect {
  readonly kind: string;
  readonly scheme: string;
  readonly start: () => Promise<{ readonly url: string; stop(): Promise<void> }>;
  /** A statement with one parameter that gives it back as `value`. */
  readonly echo: string;
  /** The same after so many seconds, the first parameter; the value is the second. */
  readonly slow: string;
  /** How many statements that sleep the server works on, as `count`. */
  readonly sleeping: string;
  /** How many connections of clients there are, as `count`. */
  readonly connected: string;
  /** Ends all connections but the own. */
  readonly endOthers: string;
  readonly insert: string;
  readonly bytes: string;
  /** Which `cause.code` a statement that is none has. */
  readonly syntaxCode: string;
}

const DIALECTS: Dialect[] = [
  {
    kind: 'postgres',
    scheme: 'postgres',
    start: () => PostgresServer.start(),
    echo: 'SELECT $1::text AS value',
    slow: 'SELECT $2::text AS value FROM pg_sleep($1::float8)',
    sleeping: "SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    connected: "SELECT count(*)::int AS count FROM pg_stat_activity WHERE backend_type = 'client backend'",
    endOthers:
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tester' AND pid <> pg_backend_pid()",
    insert: 'INSERT INTO users (uid, credit) VALUES ($1, $2)',
    bytes: 'SELECT $1::bytea AS value',
    syntaxCode: '42601',
  },
  {
    kind: 'mysql',
    scheme: 'mysql',
    start: () => MariadbServer.start(),
    echo: 'SELECT CAST(? AS CHAR) AS value',
    slow: 'SELECT CAST(later.word AS CHAR) AS value FROM (SELECT SLEEP(?) AS slept, ? AS word) later WHERE later.slept >= 0',
    sleeping: "SELECT COUNT(*) AS count FROM information_schema.processlist WHERE state = 'User sleep'",
    connected: "SELECT COUNT(*) AS count FROM information_schema.processlist WHERE user = 'tester'",
    endOthers: `BEGIN NOT ATOMIC
      FOR other IN (SELECT id FROM information_schema.processlist WHERE user = 'tester' AND id <> CONNECTION_ID())
      DO EXECUTE IMMEDIATE CONCAT('KILL ', other.id); END FOR;
    END`,
    insert: 'INSERT INTO users (uid, credit) VALUES (?, ?)',
    bytes: 'SELECT CAST(? AS BINARY(3)) AS value',
    syntaxCode: 'ER_PARSE_ERROR',
  },
];

describe.each(DIALECTS)('query of $kind', (dialect) => {
  let server: Awaited<ReturnType<Dialect['start']>>;
  beforeAll(async () => {
    server = await dialect.start();
  }, 120_000);
  afterAll(async () => {
    await server.stop();
  }, 30_000);

  const openHere = (options: Partial<DatabaseOptions> = {}) => open({ url: server.url, ...options });
  const { echo, slow } = dialect;

  async function count(db: Database, sql: string): Promise<number> {
    return Number((await run(query<{ count: number }>(db, sql))).rows[0]!.count);
  }

  it('gives rows as plain objects, and binds what it is given', async () => {
    const db = openHere();
    expect(db.kind).toBe(dialect.kind);
    const hostile = "x'; DROP TABLE users; -- $1 ? \\";
    const { rows, rowCount } = await run(query(db, echo, [hostile]));
    expect(rows).toEqual([{ value: hostile }]);
    expect(Object.getPrototypeOf(rows[0])).toBe(Object.prototype);
    expect(rowCount).toBe(1);
    expect((await run(query(db, echo, [null]))).rows).toEqual([{ value: null }]);
    expect((await run(query(db, echo, [undefined]))).rows).toEqual([{ value: null }]);
    expect((await run(query<{ value: Uint8Array }>(db, dialect.bytes, [Buffer.from([0, 39, 255])]))).rows[0]!.value)
      .toEqual(Buffer.from([0, 39, 255]));
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 1 });
  });

  it('counts what a statement has changed', async () => {
    const db = openHere();
    await run(query(db, 'CREATE TABLE users (uid varchar(64) PRIMARY KEY, credit int)'));
    expect(await run(query(db, dialect.insert, ['alice', 7]))).toEqual({ rows: [], rowCount: 1 });
    await run(query(db, dialect.insert, ['bob', 8]));
    expect((await run(query(db, 'UPDATE users SET credit = credit + 1'))).rowCount).toBe(2);
    expect((await run(query(db, "SELECT credit FROM users WHERE uid = 'bob'"))).rows).toEqual([{ credit: 9 }]);
    expect(await run(query(db, "SELECT credit FROM users WHERE uid = 'eve'"))).toEqual({ rows: [], rowCount: 0 });
    await expect(run(query(db, dialect.insert, ['bob', 8]))).rejects.toMatchObject({ code: 'SIPASYNC_ERR_QUERY' });
    await run(query(db, 'DROP TABLE users'));
  });

  it('rejects what the database refuses, and its connection serves on', async () => {
    const db = openHere();
    const attempt = new Attempt(query(db, 'SELEC 1'));
    await expect(attempt.result).rejects.toMatchObject({ code: 'SIPASYNC_ERR_QUERY', cause: { code: dialect.syntaxCode } });
    expect(attempt.listeners).toBe(0);
    expect(await codeOf(run(query(db, 'SELECT 1; SELECT 2')))).toBe('QUERY');
    expect((await run(query(db, echo, ['on']))).rows).toEqual([{ value: 'on' }]);
    expect(await count(db, dialect.connected)).toBe(1);
  });

  it('does not let a statement leave a transaction open', async () => {
    const db = openHere({ maxConnections: 1 });
    await expect(run(query(db, 'BEGIN'))).rejects.toThrow('transaction');
    await run(query(db, 'CREATE TABLE after_begin (id int)'));
    // Another connection sees it: it was not part of a transaction.
    expect((await run(query(openHere(), 'SELECT id FROM after_begin'))).rows).toEqual([]);
    await run(query(db, 'DROP TABLE after_begin'));
  });

  it('says that nobody can be reached, and does not repeat the password', async () => {
    const url = `${dialect.scheme}://tester:geheim@127.0.0.1:${await freeTcpPort()}/x`;
    const attempt = new Attempt(query(open({ url }), echo, ['x']));
    await expect(attempt.result).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_DATABASE_UNREACHABLE',
      cause: { code: 'ECONNREFUSED' },
    });
    await expect(attempt.result).rejects.not.toThrow('geheim');
    const other = new URL(server.url);
    other.pathname = '/no_such_database';
    other.username = 'tester';
    expect(await codeOf(run(query(open({ url: other }), echo, ['x'])))).toBe('DATABASE_UNREACHABLE');
  });

  it('gives up a server that never answers, and a signal ends it before', async () => {
    const silent = await SilentPeer.start();
    ends.push(() => silent.stop());
    const url = `${dialect.scheme}://tester@127.0.0.1:${silent.port}/x`;
    const db = open({ url, connectTimeoutMs: 2000, maxConnections: 1, maxQueue: 1 });
    const connecting = new Attempt(query(db, echo, ['x']));
    const waiting = new Attempt(query(db, echo, ['y']));
    await eventually(() => silent.sockets.length === 1);
    connecting.abort();
    expect(await codeOf(connecting.result)).toBe('ABORTED');
    expect(connecting.listeners).toBe(0);
    // The connection is being made for whoever is next; its own limit ends it.
    expect(await codeOf(waiting.result)).toBe('DATABASE_UNREACHABLE');
    await eventually(() => silent.open === 0);
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 0 });
  });

  it('rejects when the connection breaks, and makes a new one for the next', async () => {
    const db = openHere({ maxConnections: 2 });
    const admin = openHere();
    const broken = new Attempt(query(db, slow, [1000, 'x']));
    await eventually(async () => (await count(admin, dialect.sleeping)) === 1);
    await run(query(db, echo, ['idle']));
    expect(db.stats()).toEqual({ running: 1, queued: 0, idle: 1 });
    await run(query(admin, dialect.endOthers));
    expect(await codeOf(broken.result)).toBe('QUERY');
    expect(broken.listeners).toBe(0);
    // The one that nobody used is noticed, too.
    await eventually(() => db.stats().idle === 0);
    expect((await run(query(db, echo, ['new']))).rows).toEqual([{ value: 'new' }]);
  });

  it('queues what is too much, and refuses what is more', async () => {
    const db = openHere({ maxConnections: 2, maxQueue: 3 });
    const admin = openHere();
    const blockers = [0, 1].map((number) => new Attempt(query(db, slow, [1000, String(number)])));
    const waiting = [2, 3, 4].map((number) => new Attempt(query(db, echo, [String(number)])));
    expect(await codeOf(run(query(db, echo, ['5'])))).toBe('POOL_FULL');
    expect(db.stats()).toEqual({ running: 2, queued: 3, idle: 0 });
    waiting[1]!.abort();
    expect(await codeOf(waiting[1]!.result)).toBe('ABORTED');
    expect(db.stats().queued).toBe(2);
    await eventually(async () => (await count(admin, dialect.sleeping)) === 2);
    for (const blocker of blockers) blocker.abort();
    expect(await Promise.all([waiting[0]!, waiting[2]!].map(async ({ result }) => (await result).rows))).toEqual([
      [{ value: '2' }], [{ value: '4' }],
    ]);
    expect([...blockers, ...waiting].map(({ listeners }) => listeners)).toEqual([0, 0, 0, 0, 0]);
  });

  it('tells the server to stop what was aborted', async () => {
    const db = openHere({ maxConnections: 8 });
    const admin = openHere();
    const attempts = Array.from({ length: 8 }, () => new Attempt(query(db, slow, [1000, 'x'])));
    await eventually(async () => (await count(admin, dialect.sleeping)) === 8);
    for (const attempt of attempts) attempt.abort();
    for (const attempt of attempts) expect(await codeOf(attempt.result)).toBe('ABORTED');
    await eventually(async () => (await count(admin, dialect.sleeping)) === 0);
    await eventually(async () => (await count(admin, dialect.connected)) === 1);
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 0 });
  });

  it('does not begin after its signal', async () => {
    const db = openHere();
    expect(await codeOf(aborted(query(db, echo, ['x'])))).toBe('ABORTED');
    expect(db.stats()).toEqual({ running: 0, queued: 0, idle: 0 });
  });

  it('one of 1,000 is aborted, and the others are not touched', async () => {
    const db = openHere({ maxConnections: 10 });
    const attempts = Array.from({ length: 1000 }, (_, number) =>
      new Attempt(query(db, number === 5 ? slow : echo, number === 5 ? [1000, 'x'] : [String(number)])));
    const others = attempts.filter((_, number) => number !== 5);
    await Promise.all(others.map(({ result }) => result));
    attempts[5]!.abort();
    expect(await codeOf(attempts[5]!.result)).toBe('ABORTED');
    for (const [number, { outcome, listeners }] of attempts.entries()) {
      if (number !== 5) expect(outcome).toMatchObject({ value: { rows: [{ value: String(number) }] } });
      expect(listeners).toBe(0);
    }
    await eventually(() => db.stats().running === 0);
  });

  it('never gives the result of one statement to another, whenever signals abort', async () => {
    const db = openHere({ maxConnections: 4 });
    const random = sequence();
    const attempts = Array.from({ length: 400 }, (_, number) =>
      new Attempt(query(db, slow, [0.001 * random.next(4), String(number)])));
    // Every second one at another moment: waiting, connecting, under way, just done, over.
    await Promise.all(attempts.map(async (attempt, number) => {
      if (number % 2 === 0) return;
      if (random.next(2) === 0) await attempts[random.next(attempts.length)]!.result.catch(() => undefined);
      for (let rounds = random.next(20); rounds > 0; rounds -= 1) await new Promise((resolve) => setImmediate(resolve));
      attempt.abort();
    }));
    await Promise.allSettled(attempts.map(({ result }) => result));
    for (const [number, { outcome, listeners }] of attempts.entries()) {
      const seed = `SIP_ASYNC_SEED=${random.seed}`;
      if ('value' in outcome!) expect(outcome.value.rows, seed).toEqual([{ value: String(number) }]);
      else expect(outcome!.error, seed).toMatchObject({ code: 'SIPASYNC_ERR_ABORTED' });
      expect(listeners, seed).toBe(0);
    }
    expect(attempts.filter(({ outcome }) => 'value' in outcome!).length).toBeGreaterThanOrEqual(200);
    await eventually(() => db.stats().running === 0);
  });

  it('ends connections that nobody uses', async () => {
    const db = openHere({ idleMs: 20 });
    const admin = openHere();
    await Promise.all([1, 2, 3].map((number) => run(query(db, echo, [String(number)]))));
    await eventually(() => db.stats().idle === 0);
    await eventually(async () => (await count(admin, dialect.connected)) === 1);
    expect((await run(query(db, echo, ['again']))).rows).toEqual([{ value: 'again' }]);
  });

  it('refuses what waits and what comes when it closes, and lets the rest end', async () => {
    const db = openHere({ maxConnections: 1 });
    const admin = openHere();
    const underWay = new Attempt(query(db, slow, [0.2, 'x']));
    const waiting = new Attempt(query(db, echo, ['y']));
    expect(db.stats()).toEqual({ running: 1, queued: 1, idle: 0 });
    const closed = db.close();
    expect(db.close()).toBe(closed);
    expect(await codeOf(waiting.result)).toBe('CLOSED');
    expect(await codeOf(run(query(db, echo, ['z'])))).toBe('CLOSED');
    expect((await underWay.result).rows).toEqual([{ value: 'x' }]);
    await closed;
    await eventually(async () => (await count(admin, dialect.connected)) === 1);
  });
});

describe('openDatabase', () => {
  it('throws for what is no database, and does not repeat it', () => {
    for (const url of ['', 'oracle://x', 'geheim', 'postgres://[geheim', 'sqlite:', 1, null, { url: 2 }, {}]) {
      expect(() => openDatabase(url as string)).toThrow(TypeError);
      expect(() => openDatabase(url as string)).not.toThrow(/geheim/);
    }
    expect(() => openDatabase({ url: 'sqlite:x', driver: 1 as never })).toThrow(TypeError);
    expect(() => openDatabase({ url: 'sqlite:x', maxConnections: 0 })).toThrow(RangeError);
    expect(() => openDatabase({ url: 'sqlite:x', maxQueue: '1' as never })).toThrow(TypeError);
  });

  it('makes no operation of wrong arguments', () => {
    const db = openDatabase('sqlite::memory:');
    expect(() => query({} as Database, 'SELECT 1')).toThrow(TypeError);
    expect(() => query(db, 1 as never)).toThrow(TypeError);
    expect(() => query(db, 'SELECT 1', 'x' as never)).toThrow(TypeError);
  });
});
