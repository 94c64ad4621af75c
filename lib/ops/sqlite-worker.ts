import { parentPort, workerData } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import type { Database, Statement } from 'better-sqlite3';
import type { Row } from './connection.ts';
import { SQLITE_CLOSE } from './sqlite-protocol.ts';
import type { SqliteFault, SqliteInput, SqliteReply, SqliteStatement } from './sqlite-protocol.ts';

// The thread of one SQLite connection: the library works in the thread that calls it, and a disk can take its time.
const port = parentPort!;
const { path, busyTimeoutMs, readonly, abandoned } = workerData as SqliteInput;

const say = (reply: SqliteReply) => port.postMessage(reply);

function faultOf(error: unknown): SqliteFault {
  const { message, code } = error as { message?: unknown; code?: unknown };
  return { message: String(message ?? error), ...(typeof code === 'string' ? { code } : {}) };
}

async function open(): Promise<Database | null> {
  let library;
  try {
    ({ default: library } = await import('better-sqlite3'));
  } catch (error) {
    say({ kind: 'missing', fault: faultOf(error) });
    return null;
  }
  try {
    const database = new library(path, { readonly, timeout: busyTimeoutMs });
    // The file itself is read with the first statement; one that is no database should be known now.
    database.pragma('schema_version');
    return database;
  } catch (error) {
    // A library without its binary fails here, too.
    const fault = faultOf(error);
    say({ kind: fault.code?.startsWith('SQLITE_') || !/bindings|\.node/.test(fault.message) ? 'unopened' : 'missing', fault });
    return null;
  }
}

/** SQLite has no booleans and no `undefined`. */
function bindable(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value);
  return value ?? null;
}

const database = await open();
if (database !== null) {
  const prepared = new LRUCache<string, Statement>({ max: 256 });
  const run = ({ number, sql, params }: SqliteStatement): SqliteReply => {
    const isAbandoned = () => Atomics.load(abandoned, 0) === number; // pairs with the store in SqliteConnection.abandon()
    const nothing: SqliteReply = { kind: 'done', rows: [], rowCount: 0 };
    if (isAbandoned()) return nothing;
    let statement = prepared.get(sql);
    if (statement === undefined) prepared.set(sql, (statement = database.prepare(sql)));
    const values = params.map(bindable);
    if (!statement.reader) return { kind: 'done', rows: [], rowCount: statement.run(...values).changes };
    const rows: Row[] = [];
    for (const row of statement.iterate(...values)) {
      // The library cannot be interrupted from another thread, but between two rows it comes by here.
      if (isAbandoned()) return nothing;
      rows.push(row as Row);
    }
    return { kind: 'done', rows, rowCount: rows.length };
  };
  port.on('message', (statement: SqliteStatement | typeof SQLITE_CLOSE) => {
    if (statement === SQLITE_CLOSE) {
      database.close();
      port.close();
      return;
    }
    let reply: SqliteReply;
    try {
      reply = run(statement);
    } catch (error) {
      reply = { kind: 'failed', fault: faultOf(error) };
    }
    if (database.inTransaction) {
      database.exec('ROLLBACK');
      if (reply.kind === 'done') reply = { kind: 'inTransaction' };
    }
    say(reply);
  });
  say({ kind: 'ready' });
}
