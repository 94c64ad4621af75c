import { setTimeout as wait } from 'node:timers/promises';
import type { Handle } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { pipeline } from './support/pipeline.ts';
import { sequence } from './support/random.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import type { Transaction } from './support/udp-client.ts';

// The numbers are those of the classes of faults that Kamailio has had and mended in asynchronous processing.
const book = Notes.forThisFile();
const statuses = (call: Transaction) => call.responses.map(({ status }) => status);
const distinctFinals = (call: Transaction) => [...new Set(call.finals.map(({ status }) => status))];
const notWaiting = /^SIPASYNC_ERR_(STALE_HANDLE|NOT_SUSPENDED)$/;

async function handleOf({ proxy }: RunningProxy, call: Transaction): Promise<Handle> {
  const entry = await eventually(() => proxy.suspended().find(({ callId }) => callId === call.request.callId));
  return entry!.handle;
}

describe('a call that is over, or was never suspended', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    async requestRoute(msg) {
      if (msg.toUser === 'long') msg.asyncRoute('RESUME', 60);
      if (msg.toUser === 'short') msg.asyncMsRoute('RESUME', 60);
      if (msg.toUser === 'runs') {
        msg.tNewtran();
        note([msg.index, msg.generation]);
        await released();
      }
      msg.sendReply(404);
    },
    route: { RESUME(msg) { note('resumed'); msg.sendReply(404); } },`,
    { prelude: notePrelude },
  );
  const refuses = (handle: Handle) => {
    expect(running.proxy.cancel(handle)).toBe(false);
    expect(running.proxy.asyncError?.code).toMatch(notWaiting);
  };

  it('12.1: a handle at every state of its call: answered, cancelled, in the wait time, gone (t_continue waits)', async () => {
    const answered = running.client.request({ user: 'short', autoAck: true });
    const handles = [await handleOf(running, answered)];
    await answered.final();
    refuses(handles[0]!);

    const cancelled = running.client.request({ user: 'long', autoAck: true });
    handles.push(await handleOf(running, cancelled));
    cancelled.cancel();
    await cancelled.final();
    refuses(handles[1]!);

    const ended = running.client.request({ user: 'long', autoAck: true });
    handles.push(await handleOf(running, ended));
    expect(running.proxy.cancel(handles[2]!)).toBe(true);
    handles.forEach(refuses);

    await becomesIdle(running.proxy);
    for (const handle of handles) {
      expect(running.proxy.cancel(handle)).toBe(false);
      expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
    }
    expect([answered, cancelled, ended].map(statuses)).toEqual([[100, 404], [100, 487], [100, 487]]);
    expect(book.entries).toEqual(['resumed']);
  });

  it('12.2: a handle that is used twice, and one of a call that was never suspended (t_continue waits)', async () => {
    const call = running.client.request({ user: 'long', autoAck: true });
    const handle = await handleOf(running, call);
    expect([1, 2, 3].map(() => running.proxy.cancel(handle))).toEqual([true, false, false]);
    expect(running.proxy.asyncError?.code).toMatch(notWaiting);

    const runs = running.client.request({ user: 'runs', autoAck: true });
    const [[index, label]] = (await book.atLeast(1)) as [[number, number]];
    expect(running.proxy.cancel({ index, label })).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_NOT_SUSPENDED');
    book.release();
    await runs.final();
    await becomesIdle(running.proxy);
    expect([call, runs].map(statuses)).toEqual([[100, 487], [100, 404]]);
  });
});

describe('suspending beside CANCEL', () => {
  const running = useProxy(
    `
    async requestRoute(msg) {
      msg.tNewtran();
      await new Promise((done) => setTimeout(done, msg.cseq % 4));
      msg.asyncMsRoute('RESUME', 1 + msg.cseq % 3);
      if (msg.asyncError.code !== 'SIPASYNC_ERR_CANCELLED') note(msg.asyncError.code);
    },
    route: { RESUME(msg) { const { callId } = msg; note([callId, msg.sendReply(404), msg.asyncError?.code]); } },`,
    { prelude: notePrelude },
  );

  it('12.3: a suspension and a CANCEL race: one of them wins, whole (after a final reply: the matrix)', async () => {
    const { seed, next } = sequence();
    const calls = await pipeline(400, 40, async (i) => {
      const call = running.client.request({ cseq: i, autoAck: true });
      await call.provisional();
      await wait(next(8));
      const cancelling = call.cancel();
      await call.final();
      expect((await cancelling.final()).status, `seed ${seed}`).toBe(200);
      return call;
    });
    await becomesIdle(running.proxy);
    const resumed = new Map(book.entries.map((entry) => [(entry as string[])[0], (entry as unknown[]).slice(1)]));
    expect(resumed.size, `seed ${seed}`).toBe(book.entries.length);
    for (const call of calls) {
      const expected = distinctFinals(call)[0] === 404 ? [[true, null]] : [undefined, [false, 'SIPASYNC_ERR_CANCELLED']];
      expect(expected, `seed ${seed}`).toContainEqual(resumed.get(call.request.callId));
      expect([[404], [487]], `seed ${seed}`).toContainEqual(call.finals.map(({ status }) => status));
    }
    const won = calls.filter((call) => distinctFinals(call)[0] === 487).length;
    expect(running.stats.transactions.cancelled, `seed ${seed}`).toBe(won);
  });
});

describe('suspending again and again', () => {
  const hops = 40;
  const running = useProxy(
    `
    asyncWorkers: 1,
    asyncWorkersGroup: ['name=work;workers=1', 'name=full;workers=1;nonblock=1;maxQueue=1'],
    async requestRoute(msg) {
      if (msg.toUser === 'hops') msg.asyncTaskRoute('HOP');
      if (msg.toUser === 'nothing') msg.asyncTaskGroupRoute(msg.header('X-Route'), 'work');
      if (msg.toUser === 'kept') {
        msg.avp.set('a', 'x').add('a', 'y');
        msg.xavp.set('x', { y: 1 });
        msg.flags.set(3);
        msg.asyncMsRoute('KEPT', 5);
      }
      if (msg.toUser === 'woken') {
        msg.avp.set('a', 'of the sleeper');
        note([await msg.asyncSleep(60), msg.asyncError.code, msg.avp.get('a'), msg.flags.value]);
        return;
      }
      const refused = [msg.asyncTaskGroupRoute('RESUME', 'full'), msg.asyncMsRoute('NOPE', 1), await msg.asyncMsSleep(0)];
      msg.sendReply(183, refused.join(' '));
      if (msg.toUser === 'sleep') await msg.asyncMsSleep(20);
      else msg.asyncMsRoute('RESUME', 20);
      msg.sendReply(183, 'woken');
      msg.sendReply(404);
    },
    route: {
      SPIN() { note('spins'); spinUntilReleased(); },
      RESUME(msg) { msg.sendReply(183, 'resumed'); msg.sendReply(404); },
      HOP(msg) {
        const hop = msg.avp.get('hop') ?? 0;
        msg.avp.set('hop', hop + 1);
        if (hop === ${hops}) msg.asyncRoute('RESUME', 60);
        if (hop % 3 === 0) msg.asyncMsRoute('HOP', 1);
        if (hop % 3 === 1) msg.asyncTaskGroupRoute('HOP', 'work');
        msg.asyncTaskRoute('HOP');
      },
      KEPT(msg) {
        const seen = [msg.avp.getAll('a').join(), msg.xavp.get('x').y, msg.flags.value];
        if (seen.join() !== 'y,x,1,8') msg.sendReply(500, seen.join());
        msg.flags.set(3).set(0, msg.flags.get(0));
        if (msg.avp.get('again')) msg.sendReply(200);
        msg.avp.set('again', true);
        msg.asyncTaskRoute('KEPT');
      },
      EMPTY() {},
      async ASYNC() { await null; },
      async SLEPT(msg) { await msg.asyncMsSleep(5); },
      PROVISIONAL(msg) { msg.sendReply(183); },
      APPENDED(msg) { msg.appendToReply('X-Never: 1'); msg.appendHf('X-Never: 1'); },
      VARIABLES(msg) { msg.avp.set('a', 1); msg.var.a = 1; },
      EXIT(msg) { msg.exit(); },
      REFUSED(msg) { msg.asyncMsRoute('NOPE', 1); },
    },`,
    { prelude: notePrelude },
  );

  it.each(['route', 'sleep'])(
    '12.4: what was suspended, or refused, has replies flow as before (relayed ones: test/suspend.open.test.ts): %s',
    async (user) => {
      running.proxy.asyncTaskGroupData('SPIN', 'full', '');
      await book.atLeast(1);
      running.proxy.asyncTaskGroupData('SPIN', 'full', '');
      const call = running.client.request({ user, method: 'OPTIONS' });
      await call.final();
      const told = () => call.responses.map(({ status, reason }) => `${status} ${reason}`);
      expect(told()).toEqual(['183 false false false', `183 ${user === 'sleep' ? 'woken' : 'resumed'}`, '404 Not Found']);
      call.resend();
      await eventually(() => call.finals.length === 2);
      expect(call.finals[1]!.raw).toBe(call.finals[0]!.raw);
      book.release();
      await becomesIdle(running.proxy);
    },
  );

  it('12.5: more suspensions of one call than there ever were branches (in failure routes: test/relay.suspend.test.ts)', async () => {
    const call = running.client.request({ user: 'hops', autoAck: true });
    const entry = await eventually(() => running.proxy.suspended().find(({ route }) => route === 'RESUME'), {
      timeoutMs: 10_000,
    });
    expect(entry).toMatchObject({ callId: call.request.callId, suspensions: hops + 2 });
    call.cancel();
    expect((await call.final()).status).toBe(487);
    await becomesIdle(running.proxy);
    expect(statuses(call)).toEqual([100, 487]);
  });

  it.each(['EMPTY', 'ASYNC', 'SLEPT', 'PROVISIONAL', 'APPENDED', 'VARIABLES', 'EXIT', 'REFUSED'])(
    '12.7: a resumed route that leaves nothing ends in one 500: %s',
    async (route) => {
      for (const method of ['INVITE', 'OPTIONS']) {
        const call = running.client.request({ user: 'nothing', method, headers: [`X-Route: ${route}`], autoAck: true });
        const final = await call.final();
        expect(final.status).toBe(500);
        await becomesIdle(running.proxy);
        expect(call.finals).toHaveLength(1);
      }
    },
  );

  it('12.8: what a call has set is there when it goes on, and when it is ended (failure routes: test/suspend.open.test.ts)', async () => {
    expect(await running.ask({ user: 'kept' })).toMatchObject({ status: 200 });
    const call = running.client.request({ user: 'woken', autoAck: true });
    await call.provisional();
    call.cancel();
    expect(await book.atLeast(1)).toEqual([[false, 'SIPASYNC_ERR_CANCELLED', 'of the sleeper', 0]]);
    await becomesIdle(running.proxy);
  });
});
