import { Canceller } from './canceller.ts';
import { loadDriver, Losable, openTransaction, queryFailed, unreachable } from './connection.ts';
import type { Connection, Driver, QueryResult, Row } from './connection.ts';

/** Extended: parameters never become part of the text, and a text is one statement. */
interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly queryMode: 'extended';
}

/** What is used of a client of `pg`. */
interface Client {
  readonly processID: number | null;
  connect(): Promise<unknown>;
  query(query: Statement): Promise<{ rows: Row[]; rowCount: number | null }>;
  /** `I` outside of a transaction. */
  getTransactionStatus?(): string | null;
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown;
  end(): Promise<void>;
  ref(): void;
  unref(): void;
}

type Settings = Readonly<Record<string, unknown>>;

async function makeClient(settings: Settings): Promise<Client> {
  const { default: pg } = await loadDriver('pg', () => import('pg'));
  return new pg.Client(settings) as unknown as Client;
}

async function connectClient(settings: Settings): Promise<Client> {
  const client = await makeClient(settings);
  // The listener also keeps an error between two statements from ending the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (cause) {
    void client.end().catch(() => undefined);
    throw unreachable(cause);
  }
  return client;
}

class PostgresConnection implements Connection {
  readonly #client: Client;
  readonly #canceller: Canceller;
  readonly #losable = new Losable();
  isUsable = true;

  constructor(client: Client, canceller: Canceller) {
    this.#client = client;
    this.#canceller = canceller;
    const onGone = () => {
      this.isUsable = false;
    };
    client.on('error', onGone);
    client.on('end', onGone);
  }

  async query(sql: string, params: readonly unknown[]): Promise<QueryResult> {
    let result;
    try {
      result = await this.#losable.wait(this.#client.query({ text: sql, values: params, queryMode: 'extended' }));
    } catch (cause) {
      this.#checkTransaction();
      throw queryFailed(cause);
    }
    if (!this.#checkTransaction()) throw openTransaction();
    return { rows: result.rows, rowCount: result.rowCount ?? result.rows.length };
  }

  #checkTransaction(): boolean {
    const status = this.#client.getTransactionStatus?.() ?? 'I';
    if (status !== 'I') this.isUsable = false;
    return status === 'I';
  }

  abandon(): void {
    this.isUsable = false;
    const session = this.#client.processID;
    // Closes the socket at once, since a statement is under way.
    void this.#client.end().catch(() => undefined);
    if (session !== null) this.#canceller.add(session);
    this.#losable.lose(new Error('abandoned'));
  }

  hold(isHeld: boolean): void {
    if (isHeld) this.#client.ref();
    else this.#client.unref();
  }

  async end(): Promise<void> {
    this.isUsable = false;
    await this.#client.end().catch(() => undefined);
  }
}

/** PostgreSQL, by the package `pg`. */
export class PostgresDriver implements Driver {
  readonly #settings: Settings;
  readonly #canceller: Canceller;

  constructor(url: string, connectTimeoutMs: number, extra: Settings) {
    this.#settings = { keepAlive: true, ...extra, connectionString: url, connectionTimeoutMillis: connectTimeoutMs };
    this.#canceller = new Canceller(async (sessions) => {
      const client = await connectClient(this.#settings);
      const text = 'SELECT pg_cancel_backend(session) FROM unnest($1::int[]) session';
      try {
        await client.query({ text, values: [sessions], queryMode: 'extended' });
      } finally {
        await client.end();
      }
    });
  }

  async connect(): Promise<Connection> {
    return new PostgresConnection(await connectClient(this.#settings), this.#canceller);
  }

  settled(): Promise<void> {
    return this.#canceller.settled();
  }
}
