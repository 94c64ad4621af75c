import { Worker } from 'node:worker_threads';
import { makeError } from '../errors.ts';
import { openTransaction, queryFailed, unreachable } from './connection.ts';
import type { Connection, Driver, QueryResult } from './connection.ts';
import { SQLITE_CLOSE } from './sqlite-protocol.ts';
import type { SqliteFault, SqliteInput, SqliteReply, SqliteStatement } from './sqlite-protocol.ts';

const entry = new URL('./sqlite-worker.js', import.meta.url);

/** SQLite's own error again, after its way between the threads. */
function causeOf({ message, code }: SqliteFault): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}

class SqliteConnection implements Connection {
  readonly #worker: Worker;
  readonly #abandoned: Int32Array;
  readonly #exited: Promise<void>;
  #number = 0;
  #settle: { resolve: (reply: SqliteReply) => void; reject: (error: Error) => void } | undefined;
  isUsable = true;

  constructor(worker: Worker, abandoned: Int32Array) {
    this.#worker = worker;
    this.#abandoned = abandoned;
    worker.on('message', (reply: SqliteReply) => this.#settle?.resolve(reply));
    worker.on('error', (error) => {
      this.isUsable = false;
      this.#settle?.reject(error);
    });
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        this.isUsable = false;
        this.#settle?.reject(new Error('the thread of the database has ended'));
        resolve();
      });
    });
  }

  /** Waits for the one reply that is due. */
  reply(): Promise<SqliteReply> {
    return new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  async query(sql: string, params: readonly unknown[]): Promise<QueryResult> {
    // Never 0, which stands for none; the number is compared only with those of its own time.
    this.#number = (this.#number % 0x7fff_ffff) + 1;
    const statement: SqliteStatement = { number: this.#number, sql, params };
    let reply;
    try {
      const replied = this.reply();
      this.#worker.postMessage(statement);
      reply = await replied;
    } catch (cause) {
      throw queryFailed(cause);
    }
    if (reply.kind === 'failed') throw queryFailed(causeOf(reply.fault));
    if (reply.kind === 'inTransaction') throw openTransaction();
    if (reply.kind !== 'done') throw queryFailed(new Error(`unexpected ${reply.kind}`));
    return { rows: reply.rows, rowCount: reply.rowCount };
  }

  abandon(): void {
    // Pairs with the load in the thread, which looks before it begins and between two rows.
    Atomics.store(this.#abandoned, 0, this.#number);
  }

  hold(isHeld: boolean): void {
    if (isHeld) this.#worker.ref();
    else this.#worker.unref();
  }

  async end(): Promise<void> {
    this.isUsable = false;
    this.#worker.postMessage(SQLITE_CLOSE);
    await this.#exited;
  }
}

/** SQLite, by the package `better-sqlite3`: a thread for each connection. */
export class SqliteDriver implements Driver {
  readonly #path: string;
  readonly #busyTimeoutMs: number;
  readonly #readonly: boolean;

  constructor(path: string, busyTimeoutMs: number, extra: Readonly<Record<string, unknown>>) {
    this.#path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.#readonly = extra.readonly === true;
  }

  async connect(): Promise<Connection> {
    const abandoned = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const workerData: SqliteInput = {
      path: this.#path,
      busyTimeoutMs: this.#busyTimeoutMs,
      readonly: this.#readonly,
      abandoned,
    };
    // The options of this process's node are not for every file: `--input-type` would be an error.
    const worker = new Worker(entry, { workerData, execArgv: [], name: 'sip-async sqlite' });
    const connection = new SqliteConnection(worker, abandoned);
    let reply;
    try {
      reply = await connection.reply();
    } catch (cause) {
      throw unreachable(cause);
    }
    if (reply.kind === 'ready') return connection;
    await connection.end();
    const cause = causeOf('fault' in reply ? reply.fault : { message: reply.kind });
    throw reply.kind === 'missing' ? makeError('DRIVER_MISSING', 'npm install better-sqlite3', cause) : unreachable(cause);
  }

  async settled(): Promise<void> {}
}
