import { setTimeout as wait } from 'node:timers/promises';
import type { Handle } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { Notes } from './support/notes.ts';
import { pipeline } from './support/pipeline.ts';
import { sequence } from './support/random.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';
import type { SipMessage } from './support/sip-message.ts';
import type { Transaction } from './support/udp-client.ts';
import { userDefinition, userPrelude } from './support/user-scripts.ts';

// What users of asynchronous SIP processing have reported and asked for, by number of the list of cases made from it.
const book = Notes.forThisFile();
const statuses = (call: Transaction) => call.responses.map(({ status }) => status);
const distinctFinals = (call: Transaction) => [...new Set(call.finals.map(({ status }) => status))];

async function handleOf({ proxy }: RunningProxy, call: Transaction): Promise<Handle> {
  const entry = await eventually(() => proxy.suspended().find(({ callId }) => callId === call.request.callId));
  return entry!.handle;
}

describe('what users asked for', () => {
  const running = useProxy(userDefinition, { prelude: userPrelude });
  const request = (user: string, params = '', headers: string[] = []) =>
    running.client.request({ user, params, headers, autoAck: true });
  const inWorker = (then: string) => request('worker', '', [`X-Then: ${then}`]);

  it('15.2.1: a resumption after the deadline: a handle whose time is over does nothing', async () => {
    const call = request('route', ';d=30');
    const handle = await handleOf(running, call);
    await call.final();
    expect(running.proxy.cancel(handle)).toBe(false);
    expect(running.proxy.asyncError?.code).toMatch(/_STALE_HANDLE$|_NOT_SUSPENDED$/);
    await becomesIdle(running.proxy);
    expect(statuses(call)).toEqual([100, 404]);
  });

  it('15.2.2: two that resume or end the same call: one wins', async () => {
    const call = request('long');
    const handle = await handleOf(running, call);
    const cancelling = call.cancel();
    const ended = [running.proxy.cancel(handle), running.proxy.cancel(handle)];
    expect((await cancelling.final()).status).toBe(200);
    expect(ended).toEqual([true, false]);
    await becomesIdle(running.proxy);
    expect(statuses(call)).toEqual([100, 487]);
  });

  it('15.2.3: handles that are unknown, and those of an earlier use of the slot', async () => {
    const earlier: Handle[] = [];
    for (let i = 0; i < 5; i += 1) {
      const call = request('long');
      const handle = await handleOf(running, call);
      for (const other of [...earlier, { index: 200_000, label: 1 }, { index: handle.index, label: 0 }]) {
        expect(running.proxy.cancel(other)).toBe(false);
        expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
      }
      expect(running.proxy.cancel(handle)).toBe(true);
      await call.final();
      earlier.push(handle);
      await becomesIdle(running.proxy);
    }
    expect(new Set(earlier.map(({ index, label }) => `${index} ${label}`)).size).toBe(5);
  });

  it('15.2.5: the time comes at the moment in which it is ended: one of the two, whole', async () => {
    const { seed, next } = sequence();
    const calls = await pipeline(300, 30, async (i) => {
      const call = request(i % 2 === 0 ? 'route' : 'sleep', ';d=20');
      await call.provisional();
      const entry = running.proxy.suspended().find(({ callId }) => callId === call.request.callId);
      await wait(13 + next(10));
      const ended = entry !== undefined && running.proxy.cancel(entry.handle);
      await call.final();
      return { call, ended };
    });
    await becomesIdle(running.proxy);
    for (const { call, ended } of calls) {
      expect(distinctFinals(call), `seed ${seed}`).toEqual([ended ? 487 : 404]);
      expect(book.entries.includes(call.request.callId), `seed ${seed}`).toBe(!ended);
    }
  });

  it('15.2.6: work that never ends: its caller is free to leave (deadlines: test/statements.async.test.ts)', async () => {
    const other = new RunningProxy(userDefinition, { prelude: userPrelude });
    await other.start();
    const calls = ['never', 'never', 'long'].map((user) => other.client.request({ user, autoAck: true }));
    for (const call of calls) await call.provisional();
    calls[0]!.cancel();
    expect((await calls[0]!.final()).status).toBe(487);
    // And the proxy to stop: what is open is answered, and counted.
    const report = await other.proxy.close({ timeoutMs: 30 });
    expect(report.answered).toBe(2);
    for (const call of calls.slice(1)) expect((await call.final()).status).toBe(503);
    await other.client.close();
    other.file.remove();
  });

  it('15.2.7: one that is ended among a thousand others', async () => {
    const calls = Array.from({ length: 1000 }, (_, i) => request(i % 2 === 0 ? 'route' : 'sleep', `;d=${400 + i % 100}`));
    const one = calls[500]!;
    const entry = await eventually(() =>
      running.proxy.suspended({ limit: 2000 }).find(({ callId }) => callId === one.request.callId));
    expect(running.proxy.cancel(entry!.handle)).toBe(true);
    for (const [i, call] of calls.entries()) {
      const final = await call.final();
      expect(`${i} ${final.status}`).toBe(`${i} ${call === one ? 487 : 404}`);
    }
    await becomesIdle(running.proxy);
    expect(new Set(book.entries).size).toBe(999);
    expect(book.entries).toHaveLength(999);
  });

  it('15.2.8: a sleep of 0 is refused, and the script goes on', async () => {
    const out = 'DELAY_OUT_OF_RANGE';
    expect((await running.ask({ user: 'zero' })).reason).toBe(`false,${out},false,${out},false,false,${out}`);
  });

  it('15.2.9: a sleep of more than 2^31 ms lasts', async () => {
    const { fired } = running.stats.timers;
    const call = request('days');
    const handle = await handleOf(running, call);
    const [entry] = running.proxy.suspended();
    expect(entry!.dueInMs).toBeGreaterThan(2 ** 31);
    expect(entry!.dueInMs).toBeLessThanOrEqual(30 * 24 * 3600 * 1000);
    for (let i = 0; i < 5; i += 1) await running.ask({ user: 'route', params: ';d=5' });
    expect(running.stats.timers.fired).toBe(fired + 5);
    expect(running.proxy.cancel(handle)).toBe(true);
    expect((await call.final()).status).toBe(487);
    await eventually(() => book.entries.some((entry) => Array.isArray(entry)));
    expect(book.entries).toContainEqual([false, 'CANCELLED']);
    await becomesIdle(running.proxy);
  });

  it('15.2.10: edits between suspensions in a row are all there, on fast and slow ways alike', async () => {
    const answers: SipMessage[] = [];
    for (const way of ['fast', 'slow', 'mixed']) {
      answers.push(await running.ask({ user: 'edits', headers: [`X-Way: ${way}`], body: 'old body' }));
    }
    const state = [[1, 2, 3, 4, 5], { left: 1 }, 62, 'sip:1@1.example.com', 'sip:10.0.0.4', 'body 3', [], 'INVITE'];
    expect(answers.map(({ reason }) => JSON.parse(reason) as unknown)).toEqual([state, state, state]);
  });

  it('15.2.11: a loop that sleeps runs to its end', async () => {
    expect(await running.ask({ user: 'loop' })).toMatchObject({ status: 200, reason: '100' });
    expect(await inWorker('loop').final()).toMatchObject({ status: 200, reason: '100' });
  });

  it('15.2.12: a CANCEL before anybody listens is heard by whoever listens later', async () => {
    const call = inWorker('late');
    await call.response(({ status }) => status === 183, 5000);
    expect((await call.cancel().final()).status).toBe(200);
    expect((await call.final()).status).toBe(487);
    book.release();
    expect(await book.atLeast(1)).toEqual([[true, 'CANCELLED', false, 'CANCELLED']]);
    await becomesIdle(running.proxy);
    expect(call.finals).toHaveLength(1);
  });

  it('15.2.13: a CANCEL right behind its INVITE, before any route has run', async () => {
    for (const [user, allowed] of [['route', [487]], ['sleep', [487]], ['long', [487]], ['task', [404, 487]]] as const) {
      for (let i = 0; i < 10; i += 1) {
        const call = request(user, ';d=300');
        const cancelling = call.cancel();
        expect((await cancelling.final()).status).toBe(200);
        expect(allowed).toContain((await call.final()).status);
      }
    }
    expect(running.stats).toMatchObject({ transactions: { suspended: 0 }, timers: { pending: 0 } });
    await becomesIdle(running.proxy);
  });

  it('15.2.14: a CANCEL and the result at the same time', async () => {
    const { seed, next } = sequence();
    const calls = await pipeline(300, 30, async (i) => {
      const call = request(['route', 'sleep', 'task'][i % 3]!, ';d=8');
      await call.provisional();
      await wait(next(14));
      const cancelling = call.cancel();
      expect((await cancelling.final()).status, `seed ${seed}`).toBe(200);
      await call.final();
      return call;
    });
    await eventually(() => running.stats.transactions.suspended === 0);
    for (const call of calls) expect([[404], [487]], `seed ${seed}`).toContainEqual(distinctFinals(call));
  });

  it('15.2.15: requests and CANCELs that are repeated while the call waits (replies: test/relay.suspend.test.ts)', async () => {
    const call = request('long');
    await call.provisional();
    for (let i = 0; i < 3; i += 1) call.resend();
    await eventually(() => call.responses.length === 4);
    expect(statuses(call)).toEqual([100, 100, 100, 100]);
    const cancelling = call.cancel();
    for (let i = 0; i < 3; i += 1) cancelling.resend();
    await eventually(() => cancelling.finals.length === 4);
    expect(new Set(cancelling.finals.map(({ raw }) => raw)).size).toBe(1);
    await call.final();
    await becomesIdle(running.proxy);
    expect(statuses(call)).toEqual([100, 100, 100, 100, 487]);
  });

  it('15.2.17: a full queue refuses at once, and says so', async () => {
    running.proxy.asyncTaskGroupData('SPIN', 'full', '');
    await book.atLeast(1);
    running.proxy.asyncTaskGroupData('SPIN', 'full', '');
    for (let i = 0; i < 5; i += 1) {
      expect((await running.ask({ user: 'full' })).reason).toBe('false,GROUP_FULL,false,GROUP_FULL');
    }
    expect(running.stats.groups['full']!.refused).toBe(10);
    book.release();
    await becomesIdle(running.proxy);
  });

  it.each(['throws', 'rejects', 'nothing'])('15.2.18: a handler that %s ends in one 500, wherever it runs', async (user) => {
    for (const call of [request(user), inWorker(user)]) {
      expect((await call.final()).status).toBe(500);
      await becomesIdle(running.proxy);
      expect(call.finals).toHaveLength(1);
    }
  });

  it('15.2.19: thousands of calls, and every counter is back at zero (100,000 and the memory: the soak)', async () => {
    const ways = ['route', 'sleep', 'task', 'edits', 'throws', 'zero', 'worker'];
    const answers = await pipeline(3000, 60, (i) =>
      running.ask({ user: ways[i % ways.length]!, params: `;d=${1 + i % 20}`, headers: ['X-Then: route'], method: 'OPTIONS' }));
    const expected = [404, 404, 404, 200, 500, 200, 404];
    answers.forEach(({ status }, i) => expect(`${i} ${status}`).toBe(`${i} ${expected[i % ways.length]!}`));
    await becomesIdle(running.proxy);
  });
});
