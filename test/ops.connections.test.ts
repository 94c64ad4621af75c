import { describe, expect, it } from 'vitest';
import { Connections } from '../dist/ops/connections.js';
import type { Connection, Driver, QueryResult } from '../lib/ops/connection.ts';

/** A connection whose statements end when the test says so. */
class HeldConnection implements Connection {
  isUsable = true;
  abandoned = 0;
  readonly held: ((result: QueryResult) => void)[] = [];

  query(): Promise<QueryResult> {
    return new Promise((resolve) => this.held.push(resolve));
  }

  abandon(): void {
    this.abandoned += 1;
  }

  hold(): void {}

  async end(): Promise<void> {}
}

const ticks = async (count: number) => {
  for (let i = 0; i < count; i += 1) await null;
};

describe('Connections', () => {
  // The moments between the end of one statement and the beginning of the next on its connection are no events that a real
  // server could be made to hit.
  const moments = Array.from({ length: 20 }, (_, i) => i);
  it.each(moments)('keep a signal that aborts %i steps after the end from the next statement', async (steps) => {
    const connection = new HeldConnection();
    const driver: Driver = { connect: () => Promise.resolve(connection), settled: () => Promise.resolve() };
    const connections = new Connections(driver, 1, 10, null);
    const [first, second] = [new AbortController(), new AbortController()];
    const results = [first, second].map(({ signal }) => connections.run('x', [], signal));
    results[0]!.catch(() => undefined);
    await ticks(20);
    expect(connection.held).toHaveLength(1);

    connection.held[0]!({ rows: [], rowCount: 1 });
    await ticks(steps);
    const isNextBusy = connection.held.length === 2;
    first.abort();
    if (isNextBusy) expect(connection.abandoned).toBe(0);
    await ticks(20);
    expect(connection.held).toHaveLength(2);
    const abandoned = connection.abandoned;
    second.abort();
    expect(connection.abandoned).toBe(abandoned + 1);
    await expect(results[1]).rejects.toMatchObject({ code: 'SIPASYNC_ERR_ABORTED' });
  });
});
