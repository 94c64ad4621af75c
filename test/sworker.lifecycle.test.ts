import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { Notes, notePrelude } from './support/notes.ts';
import { becomesIdle, callsEnd, liveCounters, RunningProxy } from './support/running-proxy.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const ends: (() => unknown)[] = [];
afterEach(async () => {
  notes.release();
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(definition: string, overrides = {}): Promise<RunningProxy> {
  const running = new RunningProxy(definition, { prelude: notePrelude, overrides });
  await running.start();
  ends.push(() => running.stop());
  return running;
}

const handOver = `
  eventRoute: {
    'core:pre-routing'(msg) {
      if (msg.toUser === 'held') return new Promise(() => undefined);
      if (msg.sworkerTask('default')) msg.drop();
    },
  },`;

describe('a worker that dies', () => {
  it.each([1, 2])('leaves its lanes to the one that takes its place (of %d)', async (asyncWorkers) => {
    const running = await start(`
      asyncWorkers: ${asyncWorkers},
      requestRoute(msg) {
        if (msg.method === 'ACK') return;
        note(msg.toUser);
        if (msg.toUser === 'exit') { spinUntilReleased(); process.exit(3); }
        if (msg.toUser === 'exit-later') { setTimeout(() => process.exit(3), 5); return new Promise(() => undefined); }
        msg.sendReply(404);
      },
      ${handOver}`);
    const killer = running.client.request({ user: 'exit', callId: 'same', autoAck: true });
    await notes.atLeast(1);
    const behind = Array.from({ length: 5 }, (_, i) => running.client.request({ user: `n${i}`, callId: 'same', cseq: i + 2, autoAck: true }));
    await eventually(() => running.stats.groups['default']!.queued === 5);
    notes.release();
    expect((await killer.final(20_000)).status).toBe(500);
    for (const call of behind) expect((await call.final(20_000)).status).toBe(404);
    expect(notes.entries).toEqual(['exit', 'n0', 'n1', 'n2', 'n3', 'n4']);
    expect((await running.client.request({ user: 'exit-later', autoAck: true }).final(20_000)).status).toBe(500);
    expect((await running.client.request({ user: 'next', autoAck: true }).final(20_000)).status).toBe(404);
    await callsEnd(running.proxy, 20_000);
  });
});

describe('close', () => {
  const definition = `
    asyncWorkers: 1,
    requestRoute(msg) {
      note(msg.toUser);
      if (msg.toUser === 'slow') spinUntilReleased();
      if (msg.method !== 'ACK') msg.sendReply(404);
    },
    ${handOver}`;
  const nothing = (running: RunningProxy) =>
    Object.fromEntries(Object.keys(liveCounters(running.stats)).map((name) => [name, 0]));

  async function hold(running: RunningProxy): Promise<SipClient> {
    // Of its own, because the proxy's is closed with it.
    const client = await SipClient.open(running.proxy.addresses[0]!);
    ends.push(() => client.close());
    client.request({ method: 'OPTIONS', user: 'slow', callId: 'one' });
    await notes.atLeast(1);
    return client;
  }

  it('waits for what is with a group', async () => {
    const running = await start(definition);
    const client = await hold(running);
    const calls = ['one', 'one', 'two'].map((callId) => client.request({ method: 'OPTIONS', callId }));
    await eventually(() => running.stats.groups['default']!.queued === 3);
    const closed = running.proxy.close();
    const late = client.request({ method: 'OPTIONS', callId: 'three' });
    await eventually(() => running.stats.groups['default']!.queued === 4);
    notes.release();
    for (const call of calls) expect((await call.final()).status).toBe(404);
    // Nothing that comes now is begun.
    expect((await late.final()).status).toBe(503);
    expect(await closed).toMatchObject({ answered: 0, dropped: 0 });
    expect(liveCounters(running.stats)).toMatchObject({ inScript: 0, queued: 0, suspended: 0 });
    expect(running.stats.transactions.preRouting).toBe(0);
  });

  it('answers what still waits at the deadline, and keeps nothing', async () => {
    const running = await start(definition);
    const client = await hold(running);
    const calls = ['one', 'one', 'two'].map((callId) => client.request({ method: 'OPTIONS', callId }));
    const held = client.request({ method: 'OPTIONS', user: 'held' });
    client.request({ method: 'ACK', callId: 'two' });
    await eventually(() => running.stats.transactions.preRouting === 6 && running.stats.groups['default']!.queued === 4);
    const report = await running.proxy.close({ timeoutMs: 0 });
    for (const call of calls) expect((await call.final()).status).toBe(503);
    expect((await held.final()).status).toBe(503);
    // The slow one, and three that waited.
    expect(report).toEqual({ drained: expect.any(Number) as number, answered: 4, dropped: 0 });
    expect({ ...liveCounters(running.stats), active: 0, slotsInUse: 0, payloadBlocks: 0 }).toEqual(nothing(running));
    expect(running.stats.transactions.preRouting).toBe(0);
  });
});

describe('more messages than there is room for', () => {
  it('are refused and counted, and none goes past the event route', async () => {
    const callee = await SipCallee.open();
    ends.push(() => callee.close());
    process.env['CALLEE'] = callee.uri;
    const running = await start(`
      maxTransactions: 8,
      requestRoute(msg) { note(['routed', msg.toUser]); msg.tRelay(process.env.CALLEE); },
      eventRoute: {
        'core:pre-routing'(msg) {
          note([msg.status, msg.toUser]);
          return msg.toUser === 'held' ? released() : undefined;
        },
      },`);
    const relayed = running.client.request({ method: 'OPTIONS', user: 'relayed' });
    const request = await callee.request('OPTIONS');
    const held = Array.from({ length: 8 }, () => running.client.request({ method: 'OPTIONS', user: 'held' }));
    await eventually(() => running.stats.transactions.preRouting === 8);
    const refused = running.client.request({ method: 'OPTIONS', user: 'refused' });
    const reply = await refused.final();
    expect([reply.status, reply.header('retry-after')]).toEqual([503, '5']);
    running.client.request({ method: 'ACK', user: 'refused' });
    callee.answer(request, 200);
    await eventually(() => running.stats.transport.repliesRefused === 1 && running.stats.transport.refused === 2);
    expect(relayed.finals).toEqual([]);
    notes.release();
    callee.on('OPTIONS', [200]);
    await eventually(() => running.stats.transactions.preRouting === 0);
    callee.answer(request, 200);
    expect((await relayed.final()).status).toBe(200);
    expect(notes.entries.some((entry) => (entry as unknown[])[1] === 'refused')).toBe(false);
    void held;
    await becomesIdle(running.proxy, 60_000);
  });
});
