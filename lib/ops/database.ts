import { checkText, describe } from '../tm/arguments.ts';
import { Connections } from './connections.ts';
import type { Driver, QueryResult, Row } from './connection.ts';
import { MysqlDriver } from './mysql.ts';
import { LONGEST_TIMER_MS, makeOperation, readCount } from './operation.ts';
import type { Operation } from './operation.ts';
import { PostgresDriver } from './postgres.ts';
import { SqliteDriver } from './sqlite.ts';

/** Options of {@link openDatabase}. */
export interface DatabaseOptions {
  /**
   * `postgres://user:password@host:port/database`, `mysql://…` or `mariadb://…` of the same form, `sqlite:/path/of/file`,
   * `sqlite::memory:`. What follows a `?` is for the driver, except with SQLite.
   */
  url: string | URL;
  /** How many connections this thread makes; 10 by default, as in OpenSIPS, 1 for SQLite (and always for `:memory:`). */
  maxConnections?: number;
  /** How many statements may wait for a connection before the next gets `POOL_FULL`; 1024 by default. */
  maxQueue?: number;
  /** How long making a connection may take, in ms; 10000 by default. With SQLite: how long a statement waits for a lock. */
  connectTimeoutMs?: number;
  /** How long a connection is kept unused, in ms; 30000 by default. A database in memory is kept. */
  idleMs?: number;
  /** Further settings of a connection as the driver names them (`ssl`, …); `readonly` with SQLite. */
  driver?: Readonly<Record<string, unknown>>;
}

/** What stands behind a URL. */
export type DatabaseKind = 'postgres' | 'mysql' | 'sqlite';

const KINDS: Readonly<Record<string, DatabaseKind>> = {
  'postgres:': 'postgres',
  'postgresql:': 'postgres',
  'mysql:': 'mysql',
  'mariadb:': 'mysql',
  'sqlite:': 'sqlite',
};

const IN_MEMORY = ':memory:';

/** @throws TypeError that does not repeat the URL, for it may hold a password */
function kindOf(url: string): DatabaseKind {
  const scheme = /^[a-z]+:/i.exec(url)?.[0].toLowerCase() ?? '';
  const kind = Object.hasOwn(KINDS, scheme) ? KINDS[scheme]! : null;
  if (kind === null) throw new TypeError('url: expected one that begins with postgres:, mysql:, mariadb: or sqlite:');
  if (kind !== 'sqlite' && !URL.canParse(url)) throw new TypeError('url: it is not a URL');
  return kind;
}

/** `sqlite:name`, `sqlite:/path`, `sqlite:///path` */
function pathOf(url: string): string {
  const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
  if (path === '') throw new TypeError('url: expected sqlite: and the path of a file, or sqlite::memory:');
  return path;
}

/** A database and this thread's connections to it. Made by {@link openDatabase}. */
export class Database {
  /** Which driver serves it. */
  readonly kind: DatabaseKind;
  readonly #connections: Connections;

  /** @internal */
  constructor(options: DatabaseOptions) {
    const url = String(options.url);
    this.kind = kindOf(url);
    const { driver: extra = {} } = options;
    if (typeof extra !== 'object' || extra === null) throw new TypeError(`driver: expected an object, got ${describe(extra)}`);
    const isSqlite = this.kind === 'sqlite';
    const connectTimeoutMs = readCount(options.connectTimeoutMs, 'connectTimeoutMs', 10_000, 1, LONGEST_TIMER_MS);
    const maxQueue = readCount(options.maxQueue, 'maxQueue', 1024, 0);
    let maxConnections = readCount(options.maxConnections, 'maxConnections', isSqlite ? 1 : 10, 1, 65_535);
    let idleMs: number | null = readCount(options.idleMs, 'idleMs', 30_000, 1, LONGEST_TIMER_MS);
    let driver: Driver;
    if (isSqlite) {
      const path = pathOf(url);
      if (path === IN_MEMORY) {
        // The database is its connection's own and ends with it.
        maxConnections = 1;
        idleMs = null;
      }
      driver = new SqliteDriver(path, connectTimeoutMs, extra);
    } else {
      const Kind = this.kind === 'mysql' ? MysqlDriver : PostgresDriver;
      driver = new Kind(url, connectTimeoutMs, extra);
    }
    this.#connections = new Connections(driver, maxConnections, maxQueue, idleMs);
  }

  /** What is going on in this thread. */
  stats(): { running: number; queued: number; idle: number } {
    const { running, queued, idle } = this.#connections;
    return { running, queued, idle };
  }

  /**
   * Refuses what waits and what comes with `CLOSED`, lets the statements under way end, and ends the connections. Calling it
   * again returns the same promise.
   */
  close(): Promise<void> {
    return this.#connections.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  async run(sql: string, params: readonly unknown[], signal: AbortSignal): Promise<QueryResult> {
    this.#connections.check();
    return this.#connections.run(sql, params, signal);
  }
}

/**
 * Opens a database: PostgreSQL, MySQL or MariaDB, or SQLite, with the packages `pg`, `mysql2` and `better-sqlite3`. The package
 * is loaded, and the first connection made, by the first statement; opening costs nothing, and each thread that opens it has
 * connections of its own. An unused connection does not keep the process alive.
 *
 * @throws TypeError for a URL or option that is none (the message does not repeat the URL), RangeError for a number out of its
 *   range
 */
export function openDatabase(database: string | URL | DatabaseOptions): Database {
  const options = typeof database === 'string' || database instanceof URL ? { url: database } : database;
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`database: expected a URL, got ${describe(options)}`);
  }
  if (!(options.url instanceof URL)) checkText(options.url, 'url');
  return new Database(options);
}

/**
 * Runs one statement (`sql_query` of OpenSIPS' sqlops).
 *
 * Parameters are bound by the database and never become part of the text: `$1`, `$2`, … with PostgreSQL, `?` with the others.
 * A thread has up to `maxConnections` statements under way; more wait, up to `maxQueue`. Each may get another connection, so a
 * statement cannot leave a transaction open: it is rolled back and the statement rejected.
 *
 * When the signal aborts, it rejects at once and the result is never seen by anyone: the connection to PostgreSQL or MySQL is
 * dropped, and the server told on another to stop. SQLite stops before the next row of a result; a statement that computes
 * without returning rows goes on to its end, with its effect, and only its thread waits for it.
 *
 * Rejects with `DRIVER_MISSING` when the package is not installed, `DATABASE_UNREACHABLE` when no connection can be made,
 * `QUERY` when the database refuses the statement or the connection breaks meanwhile (the statement may have been carried out;
 * `cause` is the driver's error), `POOL_FULL`, `CLOSED`, and with `ABORTED` after its signal.
 *
 * @param params values as the driver takes them: text, numbers, booleans, bytes, `null`
 * @throws TypeError for an argument of a wrong type
 */
export function query<R extends Row = Row>(
  db: Database,
  sql: string,
  params: readonly unknown[] = [],
): Operation<QueryResult<R>> {
  if (!(db instanceof Database)) throw new TypeError('db: expected what openDatabase returns');
  checkText(sql, 'sql');
  if (!Array.isArray(params)) throw new TypeError(`params: expected an array, got ${describe(params)}`);
  return makeOperation((signal) => db.run(sql, params, signal) as Promise<QueryResult<R>>);
}
