import { afterAll, describe, expect, it } from 'vitest';
import { Board, boardPrelude } from './support/board.ts';
import { eventually } from './support/eventually.ts';
import { heldOf, heldPrelude } from './support/held-operations.ts';
import { sequence } from './support/random.ts';
import { finalsOf } from './support/relay-scene.ts';
import { becomesIdle, liveCounters, RunningProxy, useProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';
import type { Transaction } from './support/udp-client.ts';

const board = Board.forThisFile();

const prelude = `
  ${boardPrelude}
  ${heldPrelude}
  const later = (ms, value) => new Promise((done) => setTimeout(done, ms, value));
  const told = (msg) => { post(msg.callId, msg.rc); msg.sendReply(404); };`;

const definition = `
  children: 2,
  asyncWorkers: 2,
  requestRoute(msg) {
    switch (msg.toUser) {
      case 'one-of-many':
        msg.async(msg.header('X-Silent') ? () => new Promise(() => {}) : held('many'), 'TOLD',
          { timeout: msg.header('X-Silent') ? 0.1 : 60 });
        break;
      case 'tie': msg.async(() => later(Number(msg.header('X-Ms')), 'value'), 'TOLD', { timeout: Number(msg.header('X-Ms')) / 1000 }); break;
      case 'race': msg.async(() => later(Number(msg.header('X-Ms')), 'value'), 'TOLD'); break;
      case 'worker': msg.asyncTaskRoute('WORKER'); break;
      case 'cycle': msg.async(msg.cseq % 3 === 0 ? () => 1 : () => new Promise((done) => setImmediate(done)), 'TOLD'); break;
      default: msg.sendReply(200);
    }
  },
  route: {
    TOLD: told,
    WORKER(msg) { msg.async(() => later(msg.cseq % 7), 'TOLD', { timeout: 0.004 }); },
  },`;

function startMany(running: RunningProxy, user: string, count: number, headersOf: (i: number) => string[] = () => []): Transaction[] {
  return Array.from({ length: count }, (_, i) =>
    running.client.request({ user, callId: token(), headers: headersOf(i), cseq: i + 1, autoAck: true, retransmit: true }));
}

async function answered(calls: readonly Transaction[]): Promise<void> {
  await Promise.all(calls.map((call) => call.final(60_000)));
}

describe('many calls that wait in async()', () => {
  const running = useProxy(definition, { prelude, overrides: { children: 1 } });
  afterAll(() => becomesIdle(running.proxy, 30_000));

  it('7: one of 1,000 operations runs into its deadline, and the other 999 are not touched', async () => {
    const before = running.stats.operations;
    const calls: Transaction[] = [];
    for (let i = 0; i < 1000; i += 1) {
      calls.push(...startMany(running, 'one-of-many', 1, () => (i === 500 ? ['X-Silent: yes'] : [])));
      if (i % 50 === 49) await running.settle();
    }
    await eventually(() => heldOf('many').length === 999, { timeoutMs: 20_000 });
    await calls[500]!.final(20_000);
    expect(running.stats.operations).toMatchObject({ pending: 999, timedOut: before.timedOut + 1 });
    expect(heldOf('many').filter(({ signal }) => signal.aborted)).toEqual([]);
    expect(calls.filter((call) => finalsOf(call).length > 0)).toHaveLength(1);
    for (const [i, { resolve }] of heldOf('many').entries()) {
      resolve(i);
      // Not more answers at a time than a socket can hold.
      if (i % 50 === 49) await running.settle();
    }
    await answered(calls);
    expect(running.stats.operations).toMatchObject({ pending: 0, done: before.done + 999, timedOut: before.timedOut + 1 });
    await eventually(() => calls.every((call) => board.of(call.request.callId).length === 1));
    expect(calls.map((call) => board.of(call.request.callId)[0])).toEqual(calls.map((_, i) => (i === 500 ? -2 : 1)));
  }, 90_000);

  it('5: result and deadline at the same time: one of the two counts, once', async () => {
    const before = running.stats.operations;
    const calls = startMany(running, 'tie', 200, (i) => [`X-Ms: ${5 + (i % 20)}`]);
    await answered(calls);
    await eventually(() => calls.every((call) => board.of(call.request.callId).length > 0));
    const outcomes = calls.map((call) => board.of(call.request.callId));
    expect(outcomes.filter(([rc, ...more]) => (rc !== 1 && rc !== -2) || more.length > 0)).toEqual([]);
    const timedOut = outcomes.filter(([rc]) => rc === -2).length;
    // Each that was too late still has its value, sooner or later.
    await eventually(() => running.stats.operations.late === before.late + timedOut);
    expect(running.stats.operations).toMatchObject({
      pending: 0, done: before.done + 200 - timedOut, timedOut: before.timedOut + timedOut,
    });
  }, 60_000);

  it('14: CANCEL and result at the same time: 487 without the route, or the route', async () => {
    const random = sequence();
    const before = running.stats.operations;
    const calls = startMany(running, 'race', 200, () => [`X-Ms: ${random.next(12)}`]);
    await Promise.all(calls.map(async (call) => {
      await call.provisional(20_000);
      call.cancel();
    }));
    await answered(calls);
    await eventually(() => running.stats.operations.pending === 0);
    for (const call of calls) {
      const [final] = finalsOf(call);
      await eventually(() => board.of(call.request.callId).length >= (final!.status === 404 ? 1 : 0));
      expect([final!.status, board.of(call.request.callId)]).toEqual(
        board.of(call.request.callId).length === 1 ? [final!.status, [1]] : [487, []],
      );
    }
    const { done, cancelled } = running.stats.operations;
    expect(done + cancelled, `seed ${random.seed}`).toBe(before.done + before.cancelled + 200);
  }, 60_000);

  it('in workers, with deadlines that race with the results', async () => {
    const calls = startMany(running, 'worker', 300);
    await answered(calls);
    await eventually(() => calls.every((call) => board.of(call.request.callId).length === 1));
    await becomesIdle(running.proxy, 30_000);
  }, 60_000);

  it('19: 10,000 cycles leave every counter of live things at zero', async () => {
    const before = running.stats.operations;
    for (let round = 0; round < 100; round += 1) await answered(startMany(running, 'cycle', 100));
    expect(running.stats.operations.done).toBe(before.done + 10_000);
    await becomesIdle(running.proxy, 30_000);
    expect(Object.values(liveCounters(running.stats)).filter((count) => count !== 0)).toEqual([]);
  }, 180_000);
});

describe('a proxy that closes while calls wait in async()', () => {
  it.each([1, 2])('20: is done at its deadline, with every call answered and every signal aborted; children %i', async (children) => {
    const running = new RunningProxy(definition, { prelude, overrides: { children } });
    await running.start();
    const known = heldOf('many').length;
    const calls = startMany(running, 'one-of-many', 50);
    await eventually(() => running.stats.operations.pending === 50);
    const report = await running.proxy.close({ timeoutMs: 0 });
    expect(report).toEqual({ drained: 0, answered: 50, dropped: 0 });
    await answered(calls);
    expect(new Set(calls.map((call) => finalsOf(call)[0]!.status))).toEqual(new Set([503]));
    for (const { signal } of heldOf('many').slice(known)) {
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CLOSED' });
    }
    expect(calls.flatMap((call) => board.of(call.request.callId))).toEqual([]);
    expect(running.stats.operations).toMatchObject({ pending: 0, cancelled: 50 });
    expect(liveCounters(running.stats)).toMatchObject({ suspended: 0, inScript: 0, operations: 0, tasks: 0 });
    await running.stop();
  }, 30_000);
});
