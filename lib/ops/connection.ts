import { makeError } from '../errors.ts';
import { wordsOf } from './operation.ts';

/** A row: values by the name of their column. What type a value has is the driver's business. */
export type Row = Record<string, unknown>;

/** What a statement gave. */
export interface QueryResult<R extends Row = Row> {
  /** Plain objects; empty for a statement that returns no rows. */
  readonly rows: R[];
  /** How many rows it returned, or changed if it returns none. */
  readonly rowCount: number;
}

/** One connection to a database, whatever its kind. It works on one statement at a time. */
export interface Connection {
  /** Whether it can take another statement. */
  readonly isUsable: boolean;
  /** Rejects with `QUERY`; after {@link abandon}, with anything. */
  query(sql: string, params: readonly unknown[]): Promise<QueryResult>;
  /** Nobody wants the result of the statement under way any more: `query` settles as soon as it can. */
  abandon(): void;
  /** Whether it keeps the process alive. */
  hold(isHeld: boolean): void;
  /** Ends it with the usual courtesies. Never rejects. */
  end(): Promise<void>;
}

/** What makes connections to one database. */
export interface Driver {
  /** Rejects with `DRIVER_MISSING` or `DATABASE_UNREACHABLE`. */
  connect(): Promise<Connection>;
  /** Resolves when it has no business left behind the connections. */
  settled(): Promise<void>;
}

/** Loads an optional package. */
export async function loadDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw makeError('DRIVER_MISSING', `npm install ${name}`, cause);
  }
}

export function unreachable(cause: unknown) {
  return makeError('DATABASE_UNREACHABLE', wordsOf(cause), cause);
}

export function queryFailed(cause: unknown) {
  return makeError('QUERY', wordsOf(cause), cause);
}

/** What ends a statement that is left in an open transaction: the next one on that connection would be part of it. */
export function openTransaction() {
  return makeError('QUERY', 'it left a transaction open, which was rolled back: the next statement may be of another call');
}

/**
 * Waits for what a lost connection may never settle: `lose()` rejects it. The work is not heard of again after that.
 */
export class Losable {
  #reject: ((error: unknown) => void) | undefined;

  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      work.then(resolve, reject);
    });
  }

  lose(error: unknown): void {
    this.#reject?.(error);
  }
}
