import { afterEach, describe, expect, it } from 'vitest';
import { Board, boardPrelude } from './support/board.ts';
import { eventually } from './support/eventually.ts';
import { Notes, notePrelude } from './support/notes.ts';
import { becomesIdle, callsEnd, RunningProxy } from './support/running-proxy.ts';
import { sequence } from './support/random.ts';
import { formatRequest } from './support/sip-request.ts';
import { StreamClient } from './support/stream-client.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

const notes = Notes.forThisFile();
const board = Board.forThisFile();
const isLong = process.env['SIP_ASYNC_LONG'] === '1';

const prelude = `${notePrelude}${boardPrelude}
  import { shv } from 'sip-async';
  void shv;`;
const handOver = `eventRoute: { 'core:pre-routing'(msg) { if (msg.sworkerTask('default')) msg.drop(); } },`;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(definition: string, overrides = {}): Promise<RunningProxy> {
  const running = new RunningProxy(`${definition}\n${handOver}`, { prelude, overrides });
  await running.start();
  ends.push(() => running.stop());
  return running;
}

describe('the order of one Call-ID', () => {
  /** Sends requests of many calls, so many of a call at once, and sees to it that each ran once and in the order of its call. */
  async function underLoad(running: RunningProxy, calls: number, perCall: number, open: number): Promise<void> {
    board.entries.clear();
    const random = sequence();
    const clients = await Promise.all(Array.from({ length: 4 }, () => SipClient.open(running.proxy.addresses[0]!)));
    ends.push(() => Promise.all(clients.map((client) => client.close())));
    let next = 0;
    const one = async (client: SipClient) => {
      for (let call = next++; call < calls; call = next++) {
        const method = random.next(3) === 0 ? 'INVITE' : 'MESSAGE';
        const requests = Array.from({ length: perCall }, (_, i) =>
          client.request({ method, callId: `call-${call}`, cseq: i + 1, autoAck: true, retransmit: true }));
        for (const request of requests) expect((await request.final(30_000)).status).toBe(404);
      }
    };
    await Promise.all(clients.flatMap((client) => Array.from({ length: open }, () => one(client))));
    await eventually(() => [...board.entries.values()].reduce((sum, { length }) => sum + length, 0) >= calls * perCall, { timeoutMs: 30_000 });
    expect(board.entries.size).toBe(calls);
    const workers = new Set<number>();
    for (const [callId, entries] of board.entries) {
      const runs = (entries as [cseq: number, begins: number, ends: number, thread: number][]).sort((a, b) => a[1] - b[1]);
      expect([callId, runs.map(([cseq]) => cseq)]).toEqual([callId, Array.from({ length: perCall }, (_, i) => i + 1)]);
      // One at a time: each begins when the one before it has returned.
      for (const [i, [, begins]] of runs.slice(1).entries()) expect(begins).toBeGreaterThan(runs[i]![2]);
      for (const [, , , thread] of runs) workers.add(thread);
    }
    expect(workers.size).toBeGreaterThan(1);
    await callsEnd(running.proxy, 30_000);
  }
  const definition = (asyncWorkers: number) => `
    asyncWorkers: ${asyncWorkers},
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      const begins = shv.inc('turn');
      msg.sendReply(404);
      post(msg.callId, [msg.cseq, begins, shv.inc('turn'), threadId]);
    },`;

  it('is kept by four workers under load, and each message is processed once', async () => {
    const running = await start(definition(4));
    await underLoad(running, 300, 5, 8);
  });

  it.runIf(isLong)('is kept over 50,000 calls through a group of four', { timeout: 600_000 }, async () => {
    const running = await start(definition(4));
    await underLoad(running, 50_000, 2, 50);
    expect(running.stats.transport.refused).toBe(0);
  });

  it('is kept over TCP, with several receivers', async () => {
    const running = await start(definition(3), { listen: ['tcp:127.0.0.1:0'], children: 3 });
    board.entries.clear();
    const client = await StreamClient.open(running.proxy.addresses[0]!);
    ends.push(() => client.close());
    const requests = Array.from({ length: 200 }, (_, i) =>
      client.settle({ method: 'MESSAGE', callId: `stream-${i % 4}`, cseq: i + 1 }));
    client.send(requests.map((request) => formatRequest(request)).join(''));
    await eventually(() => [...board.entries.values()].reduce((sum, { length }) => sum + length, 0) === 200);
    for (let call = 0; call < 4; call += 1) {
      const runs = (board.of(`stream-${call}`) as [number, number][]).sort((a, b) => a[1] - b[1]).map(([cseq]) => cseq);
      expect(runs).toEqual(Array.from({ length: 50 }, (_, i) => 4 * i + call + 1));
    }
    await callsEnd(running.proxy);
  });
});

describe('behind a slow worker', () => {
  const definition = `
    asyncWorkers: 2,
    requestRoute(msg) {
      note([msg.method, msg.cseq, msg.toUser]);
      if (msg.method === 'ACK') return;
      if (msg.toUser === 'slow') spinUntilReleased();
      if (msg.toUser === 'pending') {
        msg.tNewtran();
        msg.signal.addEventListener('abort', () => note(['aborted', msg.callId]));
        return released().then(() => { try { msg.sendReply(404); } catch {} });
      }
      msg.sendReply(404);
    },`;

  it('a retransmission is absorbed while the first waits, and the caller of an INVITE is told 100', async () => {
    const running = await start(definition);
    const slow = running.client.request({ method: 'MESSAGE', user: 'slow', callId: 'one' });
    await notes.atLeast(1);
    const waiting = running.client.request({ user: 'bob', callId: 'one', cseq: 2, autoAck: true });
    await eventually(() => running.stats.groups['default']!.queued === 1);
    for (let i = 0; i < 3; i += 1) waiting.resend();
    await eventually(() => running.stats.transport.retransmissionsAbsorbed === 3);
    expect(running.stats.groups['default']!.queued).toBe(1);
    expect((await waiting.provisional()).status).toBe(100);
    // One of the slow one's, which has begun: it waits its turn, and is answered from the cache then.
    slow.resend();
    await eventually(() => running.stats.groups['default']!.queued === 2);
    expect(waiting.finals).toEqual([]);
    notes.release();
    expect((await waiting.final()).status).toBe(404);
    await eventually(() => slow.finals.length === 2);
    expect(waiting.finals).toHaveLength(1);
    await eventually(() => running.stats.transport.retransmissionsAbsorbed === 4);
    expect(notes.entries.filter((entry) => (entry as string[])[0] !== 'ACK')).toEqual([['MESSAGE', 1, 'slow'], ['INVITE', 2, 'bob']]);
    await becomesIdle(running.proxy);
  });

  it('a CANCEL comes behind its INVITE that waits, and the INVITE is still run once', async () => {
    const running = await start(definition);
    running.client.request({ method: 'MESSAGE', user: 'slow', callId: 'one' });
    await notes.atLeast(1);
    const call = running.client.request({ user: 'pending', callId: 'one', cseq: 2, autoAck: true });
    const cancel = call.cancel();
    await eventually(() => running.stats.groups['default']!.queued === 2);
    expect(running.stats.transport.retransmissionsAbsorbed).toBe(0);
    expect([call.finals, cancel.finals]).toEqual([[], []]);
    notes.release();
    expect((await cancel.final()).status).toBe(200);
    expect((await call.final()).status).toBe(487);
    await callsEnd(running.proxy);
    expect(call.finals).toHaveLength(1);
  });

  it('a handler that waits does not hold its lane: the CANCEL of its INVITE comes through', async () => {
    const running = await start(definition);
    const call = running.client.request({ user: 'pending', callId: 'waits', autoAck: true });
    await notes.atLeast(1);
    const cancel = call.cancel();
    expect((await cancel.final()).status).toBe(200);
    expect((await call.final()).status).toBe(487);
    await eventually(() => notes.entries.some((entry) => (entry as string[])[0] === 'aborted'));
    notes.release();
    await callsEnd(running.proxy);
  });

  it('other calls are not held up', async () => {
    const running = await start(definition);
    const slow = running.client.request({ method: 'MESSAGE', user: 'slow', callId: 'one' });
    await notes.atLeast(1);
    for (let i = 0; i < 20; i += 1) await running.ask({ method: 'MESSAGE', callId: `other-${i}` });
    notes.release();
    expect((await slow.final()).status).toBe(404);
  });
});

describe('replies', () => {
  it('keep their order, too', async () => {
    const callee = await SipCallee.open();
    ends.push(() => callee.close());
    process.env['CALLEE'] = callee.uri;
    const running = await start(`
      asyncWorkers: 4,
      requestRoute(msg) { if (msg.method !== 'ACK') msg.tOnReply('REPLY'); msg.tRelay(process.env.CALLEE); },
      onreplyRoute: { REPLY(msg) { post(msg.callId, [msg.status, shv.inc('reply'), msg.sworkerActive()]); } },`);
    const statuses = [180, 181, 182, 183, 199, 486];
    callee.on('INVITE', statuses);
    // Often: a worker leaves the lane of a call while other replies still gather in its batch, which is over soon.
    for (let round = 0; round < 25; round += 1) {
      const calls = Array.from({ length: 40 }, (_, i) =>
        running.client.request({ callId: `replied-${round}-${i}`, autoAck: true }),
      );
      for (const call of calls) {
        expect((await call.final()).status).toBe(486);
        expect(call.responses.map(({ status }) => status).filter((status) => status !== 100)).toEqual(statuses);
      }
      await eventually(() => calls.every(({ request }) => board.of(request.callId).length === statuses.length));
      for (const { request } of calls) {
        const seen = (board.of(request.callId) as [number, number, boolean][]).sort((a, b) => a[1] - b[1]);
        expect(seen.map(([status, , inTask]) => [status, inTask])).toEqual(statuses.map((status) => [status, true]));
      }
    }
    await callsEnd(running.proxy);
  });
});
