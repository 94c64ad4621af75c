import type { Row } from './connection.ts';

/** What a thread of an SQLite connection is started with. */
export interface SqliteInput {
  readonly path: string;
  /** How long a statement waits for another process's lock, in ms. */
  readonly busyTimeoutMs: number;
  readonly readonly: boolean;
  /** Where the number of the statement stands that nobody wants any more. Written by the connection, read by the thread. */
  readonly abandoned: Int32Array;
}

/** A statement on its way to the thread. */
export interface SqliteStatement {
  readonly number: number;
  readonly sql: string;
  readonly params: readonly unknown[];
}

/** An error on its way back: what a copy of it would lose. */
export interface SqliteFault {
  readonly message: string;
  readonly code?: string;
}

/** What the thread says: first once that it is ready or why not, then once for each statement. */
export type SqliteReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'missing' | 'unopened'; readonly fault: SqliteFault }
  | { readonly kind: 'done'; readonly rows: Row[]; readonly rowCount: number }
  | { readonly kind: 'failed'; readonly fault: SqliteFault }
  | { readonly kind: 'inTransaction' };

/** What tells the thread to close the file and end. */
export const SQLITE_CLOSE = 'close';
