import type { Socket } from 'node:net';
import { Canceller } from './canceller.ts';
import { loadDriver, Losable, openTransaction, queryFailed, unreachable } from './connection.ts';
import type { Connection, Driver, QueryResult, Row } from './connection.ts';

/** What is used of what a statement without rows gives. */
interface Header {
  readonly affectedRows: number;
  readonly serverStatus?: number;
}

/** What is used of a connection of `mysql2`. */
interface Client {
  readonly threadId: number;
  readonly stream: Socket;
  once(event: 'connect', listener: () => void): unknown;
  on(event: 'error' | 'end', listener: (error: Error) => void): unknown;
  execute(sql: string, values: readonly unknown[], done: (error: Error | null, result: Row[] | Header) => void): unknown;
  query(sql: string, done: (error: Error | null) => void): unknown;
  end(done: () => void): unknown;
}

type Settings = Readonly<Record<string, unknown>>;

/** The flag of a result that says that a transaction is open. */
const SERVER_STATUS_IN_TRANS = 1;

async function connectClient(settings: Settings, timeoutMs: number): Promise<Client> {
  const { default: mysql } = await loadDriver('mysql2', () => import('mysql2'));
  const client = mysql.createConnection(settings) as unknown as Client;
  try {
    await new Promise<void>((resolve, reject) => {
      // The driver's own time ends with the server's first packet; this one ends when the server has let us in.
      const timer = setTimeout(() => reject(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
      client.once('connect', () => {
        clearTimeout(timer);
        resolve();
      });
      client.on('error', (cause) => {
        clearTimeout(timer);
        reject(cause);
      });
    });
  } catch (cause) {
    client.stream.destroy();
    throw unreachable(cause);
  }
  return client;
}

class MysqlConnection implements Connection {
  readonly #client: Client;
  readonly #canceller: Canceller;
  readonly #losable = new Losable();
  isUsable = true;

  constructor(client: Client, canceller: Canceller) {
    this.#client = client;
    this.#canceller = canceller;
    const onGone = (cause: Error) => {
      this.isUsable = false;
      this.#losable.lose(cause);
    };
    client.on('error', onGone);
    client.on('end', onGone);
    client.stream.once('close', () => onGone(new Error('the connection was closed')));
  }

  async query(sql: string, params: readonly unknown[]): Promise<QueryResult> {
    // The server binds them; `undefined` is none of its values.
    const values = params.map((value) => value ?? null);
    const work = new Promise<Row[] | Header>((resolve, reject) => {
      this.#client.execute(sql, values, (error, result) => (error ? reject(error) : resolve(result)));
    });
    let result;
    try {
      result = await this.#losable.wait(work);
    } catch (cause) {
      throw queryFailed(cause);
    }
    // Rows come with their prototype of null or a class of the driver's.
    if (Array.isArray(result)) return { rows: result.map((row) => ({ ...row })), rowCount: result.length };
    if (((result.serverStatus ?? 0) & SERVER_STATUS_IN_TRANS) !== 0) {
      this.isUsable = false;
      throw openTransaction();
    }
    return { rows: [], rowCount: result.affectedRows };
  }

  abandon(): void {
    this.isUsable = false;
    this.#client.stream.destroy();
    this.#canceller.add(this.#client.threadId);
    this.#losable.lose(new Error('abandoned'));
  }

  hold(isHeld: boolean): void {
    if (isHeld) this.#client.stream.ref();
    else this.#client.stream.unref();
  }

  async end(): Promise<void> {
    const wasUsable = this.isUsable;
    this.isUsable = false;
    const { stream } = this.#client;
    if (stream.destroyed) return;
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    if (wasUsable) this.#client.end(() => stream.destroy());
    else stream.destroy();
    await closed;
  }
}

/** MySQL and MariaDB, by the package `mysql2`. */
export class MysqlDriver implements Driver {
  readonly #settings: Settings;
  readonly #connectTimeoutMs: number;
  readonly #canceller: Canceller;

  constructor(url: string, connectTimeoutMs: number, extra: Settings) {
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#settings = {
      // A number that JavaScript cannot hold is a string, not another number.
      supportBigNumbers: true,
      maxPreparedStatements: 256,
      ...extra,
      uri: url.replace(/^mariadb:/, 'mysql:'),
      connectTimeout: connectTimeoutMs,
      multipleStatements: false,
    };
    this.#canceller = new Canceller(async (sessions) => {
      const client = await connectClient(this.#settings, connectTimeoutMs);
      try {
        for (const session of sessions) {
          // One that has ended by itself is an error that says nothing.
          await new Promise<void>((resolve) => client.query(`KILL ${session}`, () => resolve()));
        }
      } finally {
        client.end(() => client.stream.destroy());
      }
    });
  }

  async connect(): Promise<Connection> {
    return new MysqlConnection(await connectClient(this.#settings, this.#connectTimeoutMs), this.#canceller);
  }

  settled(): Promise<void> {
    return this.#canceller.settled();
  }
}
