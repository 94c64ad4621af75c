import { makeError } from '../errors.ts';
import type { Connection, Driver, QueryResult } from './connection.ts';
import { onAbort, stoppedBy } from './operation.ts';
import { Turns } from './turns.ts';

interface Idle {
  readonly connection: Connection;
  readonly timer: NodeJS.Timeout | undefined;
}

/** A bounded number of connections to one database, made when they are needed and ended when they are not. */
export class Connections {
  readonly #driver: Driver;
  readonly #turns: Turns;
  readonly #idleMs: number | null;
  /** The one used last is taken first, so that the others can be ended. */
  readonly #idle: Idle[] = [];
  readonly #ending = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  /** @param idleMs how long a connection is kept unused; `null`: until the end */
  constructor(driver: Driver, max: number, maxQueue: number, idleMs: number | null) {
    this.#driver = driver;
    this.#turns = new Turns(max, maxQueue);
    this.#idleMs = idleMs;
  }

  get running(): number {
    return this.#turns.running;
  }

  get queued(): number {
    return this.#turns.queued;
  }

  get idle(): number {
    return this.#idle.filter(({ connection }) => connection.isUsable).length;
  }

  /** Runs a statement on a connection of its own. Rejects at once when the signal aborts, wherever it is. */
  run(sql: string, params: readonly unknown[], signal: AbortSignal): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      let busy: Connection | undefined;
      const stopListening = onAbort(signal, () => {
        reject(stoppedBy(signal));
        busy?.abandon();
      });
      const onBusy = (connection: Connection) => (busy = connection);
      // It keeps its turn until its connection is free or gone; a result that comes after the rejection is nobody's.
      this.#serve(sql, params, signal, onBusy, stopListening).then(resolve, reject);
    });
  }

  async #serve(
    sql: string,
    params: readonly unknown[],
    signal: AbortSignal,
    onBusy: (connection: Connection) => void,
    stopListening: () => void,
  ): Promise<QueryResult> {
    let isTurn = false;
    let connection: Connection | undefined;
    try {
      await this.#turns.take(signal);
      isTurn = true;
      if (signal.aborted) throw stoppedBy(signal);
      connection = this.#takeIdle() ?? (await this.#driver.connect());
      // A connection that came too late serves the next.
      if (signal.aborted) throw stoppedBy(signal);
      onBusy(connection);
      return await connection.query(sql, params);
    } finally {
      // From here on the connection may be another's: a signal that aborts now must not reach it.
      stopListening();
      if (connection !== undefined) this.#putBack(connection);
      if (isTurn) this.#turns.give();
    }
  }

  #takeIdle(): Connection | undefined {
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) return undefined;
      clearTimeout(idle.timer);
      // The server may have closed it meanwhile.
      if (!idle.connection.isUsable) continue;
      idle.connection.hold(true);
      return idle.connection;
    }
  }

  #putBack(connection: Connection): void {
    if (!connection.isUsable || this.#closing !== undefined) {
      this.#end(connection);
      return;
    }
    connection.hold(false);
    const timer = this.#idleMs === null ? undefined : setTimeout(() => this.#endIdle(connection), this.#idleMs).unref();
    this.#idle.push({ connection, timer });
  }

  #endIdle(connection: Connection): void {
    this.#idle.splice(this.#idle.findIndex((idle) => idle.connection === connection), 1);
    this.#end(connection);
  }

  #end(connection: Connection): void {
    const ending = connection.end().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Refuses what waits and what comes, lets what runs end, and ends all connections. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const ended = this.#turns.close();
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      connection.hold(true);
      this.#end(connection);
    }
    await ended;
    while (this.#ending.size > 0) await Promise.all(this.#ending);
    await this.#driver.settled();
  }

  /** Throws once it is closed. */
  check(): void {
    if (this.#closing !== undefined) throw makeError('CLOSED');
  }
}
