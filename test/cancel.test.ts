import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { parameter } from './support/sip-message.ts';
import { cancelFor, newBranch } from './support/sip-request.ts';
import type { Transaction } from './support/udp-client.ts';

const prelude = `
  const gate = new URL('./gate', import.meta.url);
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const notes = [];
  const code = (msg) => msg.asyncError?.code ?? null;
  function tell(msg) {
    msg.appendToReply('X-Notes: ' + JSON.stringify(notes.splice(0)));
    msg.sendReply(200);
  }
  const told = (error) => [error.name, error.code];`;

const definition = `
  asyncWorkersGroup: ['name=abc;workers=1'],
  async requestRoute(msg) {
    const scripts = {
      settle() { msg.sendReply(200); },
      notes() { tell(msg); },
      'worker-notes'() { msg.asyncTaskGroupRoute('NOTES', 'abc'); },
      answered() { msg.sendReply(404); },
      route() { msg.asyncMsRoute('RESUME', 400); },
      twice() { msg.asyncTaskGroupRoute('AGAIN', 'abc'); },
      queued() { msg.asyncTaskGroupRoute('RESUME', 'abc'); },
      busy() { msg.asyncTaskGroupRoute('BUSY', 'abc'); },
      async sleep() {
        const { signal } = msg;
        signal.addEventListener('abort', () => notes.push('abort', ...told(signal.reason)));
        notes.push(signal.aborted, await msg.asyncMsSleep(400), code(msg), signal.aborted, msg.signal.aborted);
        notes.push(msg.sendReply(404), code(msg), msg.asyncMsRoute('RESUME', 1), code(msg), msg.tNewtran(), code(msg));
        notes.push('done');
      },
      async 'late-signal'() {
        notes.push(await msg.asyncSleep(1), msg.signal.aborted, ...told(msg.signal.reason), 'done');
      },
      async throws() {
        if (!await msg.asyncMsSleep(400)) throw new Error('it is over');
      },
      async handler() {
        msg.tNewtran();
        await new Promise((resolve) => msg.signal.addEventListener('abort', resolve));
        notes.push(msg.signal.aborted, ...told(msg.signal.reason), msg.sendReply(404), code(msg));
        notes.push(await msg.asyncMsSleep(5), code(msg), msg.asyncMsRoute('RESUME', 5), code(msg), 'done');
      },
    };
    return scripts[msg.toUser]();
  },
  route: {
    RESUME(msg) {
      notes.push('resumed');
      msg.sendReply(404);
    },
    AGAIN(msg) { msg.asyncMsRoute('RESUME', 400); },
    NOTES: tell,
    BUSY(msg) {
      msg.sendReply(183);
      while (!existsSync(gate)) Atomics.wait(nap, 0, 0, 5);
      notes.push(msg.sendReply(404), code(msg), msg.asyncMsRoute('RESUME', 1), code(msg), msg.signal.aborted, 'done');
    },
  },`;

async function notesOf(running: RunningProxy, user = 'notes'): Promise<unknown[]> {
  const notes: unknown[] = [];
  await eventually(async () => {
    const answer = await running.ask({ method: 'OPTIONS', user });
    notes.push(...(JSON.parse(answer.header('x-notes')) as unknown[]));
    return notes.at(-1) === 'done';
  });
  return notes.slice(0, -1);
}

const statuses = (call: Transaction) => call.responses.map((response) => response.status);
const cancelled = 'SIPASYNC_ERR_CANCELLED';

describe('CANCEL', () => {
  const running = useProxy(definition, { prelude });

  /** Cancels a call and sees to it that it ends as RFC 3261 section 9.2 wants it. */
  async function cancel(call: Transaction): Promise<void> {
    const before = running.stats;
    const cancelling = call.cancel();
    const ok = await cancelling.final();
    const final = await call.final();
    expect(`${ok.status} ${ok.header('cseq')}`).toBe('200 1 CANCEL');
    expect(`${final.status} ${final.reason} ${final.header('cseq')}`).toBe('487 Request Terminated 1 INVITE');
    expect(parameter(ok.header('to'), 'tag')).toBe(parameter(final.header('to'), 'tag'));
    expect(running.stats.transactions.cancelled).toBe(before.transactions.cancelled + 1);
    // The answer does not wait for what was suspended.
    expect(running.stats.transactions.suspended).toBe(0);
    expect(running.stats.timers.pending).toBe(0);
  }

  async function expectNothingMore(call: Transaction, seen: readonly number[], forMs = 500): Promise<void> {
    await new Promise((done) => setTimeout(done, forMs));
    await becomesIdle(running.proxy);
    expect(statuses(call)).toEqual(seen);
    expect((await running.ask({ user: 'answered' })).status).toBe(404);
  }

  it.each(['route', 'twice'])('ends a call that waits for its time at once: %s', async (user) => {
    const { timers } = running.stats;
    const call = running.client.request({ user, autoAck: true });
    await eventually(() => running.stats.timers.pending === 1);
    await cancel(call);
    expect(running.stats.timers.cancelled).toBe(timers.cancelled + 1);
    await expectNothingMore(call, [100, 487]);
    expect(running.stats.timers.fired).toBe(timers.fired);
  });

  it('wakes a sleeper with false, and aborts its signal', async () => {
    const { timers } = running.stats;
    const call = running.client.request({ user: 'sleep', autoAck: true });
    await call.provisional();
    await cancel(call);
    expect(running.stats.timers.cancelled).toBe(timers.cancelled + 1);
    const refused = [false, cancelled, false, cancelled, false, cancelled];
    // The listener notes at once, the sleeper when everything else has been refused.
    expect(await notesOf(running)).toEqual([
      'abort', 'SipAsyncError', cancelled, false, false, cancelled, true, true, ...refused,
    ]);
    await expectNothingMore(call, [100, 487]);
  });

  it('shows an aborted signal to who asks for it only afterwards', async () => {
    const call = running.client.request({ user: 'late-signal', autoAck: true });
    await call.provisional();
    await cancel(call);
    expect(await notesOf(running)).toEqual([false, true, 'SipAsyncError', cancelled]);
    await expectNothingMore(call, [100, 487]);
  });

  it('is not followed by a 500 when the sleeper throws then', async () => {
    const call = running.client.request({ user: 'throws', autoAck: true });
    await call.provisional();
    await cancel(call);
    await expectNothingMore(call, [100, 487]);
  });

  it('ends a call whose asynchronous handler runs, and tells the handler', async () => {
    const call = running.client.request({ user: 'handler', autoAck: true });
    await call.provisional();
    await cancel(call);
    expect(await notesOf(running)).toEqual([
      true, 'SipAsyncError', cancelled, false, cancelled, false, cancelled, false, cancelled,
    ]);
    await expectNothingMore(call, [100, 487]);
  });

  it('ends a call that a worker is busy with, and one that waits for that worker', async () => {
    const busy = running.client.request({ user: 'busy', autoAck: true });
    await busy.response((response) => response.status === 183, 5000);
    const queued = running.client.request({ user: 'queued', autoAck: true });
    await eventually(() => running.stats.groups['abc']!.queued === 1);

    expect((await queued.cancel().final()).status).toBe(200);
    expect((await queued.final()).status).toBe(487);
    await cancel(busy);

    writeFileSync(join(running.file.folder, 'gate'), '');
    // The worker is told by the reply it cannot make; while it was busy nothing could tell its signal. The call that
    // waited for it would have noted 'resumed' behind this.
    expect(await notesOf(running, 'worker-notes')).toEqual([false, cancelled, false, cancelled, false]);
    await expectNothingMore(busy, [100, 183, 487]);
    expect(statuses(queued)).toEqual([100, 487]);
  });

  it('that is repeated gets its 200 again, and the call no second 487', async () => {
    const call = running.client.request({ user: 'route', autoAck: true });
    await call.provisional();
    const cancelling = call.cancel();
    await call.final();
    cancelling.resend();
    cancelling.resend();
    await eventually(() => cancelling.finals.length === 3);
    expect(new Set(cancelling.finals.map(({ raw }) => raw)).size).toBe(1);
    expect(cancelling.finals[0]?.status).toBe(200);
    await expectNothingMore(call, [100, 487]);
  });

  it('changes nothing about a call that has its final reply', async () => {
    const before = running.stats.transactions.cancelled;
    const call = running.client.request({ user: 'answered', autoAck: true });
    await call.final();
    expect((await call.cancel().final()).status).toBe(200);
    await running.settle();
    const seen = statuses(call);
    expect(seen.at(-1)).toBe(404);
    expect(running.stats.transactions.cancelled).toBe(before);
    await expectNothingMore(call, seen, 0);
    expect(call.finals).toHaveLength(1);
  });

  it.each(['INVITE', 'OPTIONS'])('that matches nothing gets 481, and the call goes on: %s', async (method) => {
    const call = running.client.request({ user: 'route', method, autoAck: true });
    const other = { ...cancelFor(call.request) };
    if (method === 'INVITE') {
      other.branch = newBranch();
      other.via = call.request.via.replace(call.request.branch, other.branch);
    }
    const cancelling = running.client.start(other, {});
    const refused = await cancelling.final();
    expect(`${refused.status} ${refused.reason}`).toBe('481 Call/Transaction Does Not Exist');
    expect((await call.final()).status).toBe(404);
    expect(call.elapsedMs(call.finals[0]!)).toBeGreaterThanOrEqual(400);
  });
});
