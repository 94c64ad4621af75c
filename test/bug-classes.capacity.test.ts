import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { pipeline } from './support/pipeline.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

const book = Notes.forThisFile();

describe('a thread that is kept busy beyond due times', () => {
  const running = useProxy(
    `
    async requestRoute(msg) {
      const delay = msg.cseq;
      if (msg.toUser === 'busy') msg.asyncMsRoute('BUSY', 1);
      if (msg.toUser === 'route') msg.asyncMsRoute('RESUME', delay);
      if (msg.toUser === 'stall') { spin(150); return msg.sendReply(404); }
      const slept = await msg.asyncMsSleep(delay);
      msg.sendReply(slept ? 404 : 500);
    },
    route: {
      BUSY(msg) { note('busy'); spinUntilReleased(); msg.sendReply(404); },
      RESUME(msg) { note(msg.cseq); msg.sendReply(404); },
    },`,
    {
      prelude: `${notePrelude}
      const spin = (ms) => { const endMs = performance.now() + ms; while (performance.now() < endMs); };`,
    },
  );

  it('12.16: what was due while the only worker was blocked runs then, in the order of its due times', async () => {
    const busy = running.client.request({ user: 'busy', autoAck: true });
    await book.atLeast(1);
    const delays = [320, 20, 300, 40, 280, 60, 260, 80, 240, 100];
    const calls = delays.map((cseq) => running.client.request({ user: 'route', cseq, autoAck: true }));
    await eventually(() => running.stats.groups['async:workers']!.queued === delays.length);
    expect(running.stats.timers.pending).toBe(0);
    book.release();
    await busy.final();
    for (const [i, call] of calls.entries()) {
      expect(call.elapsedMs(await call.final())).toBeGreaterThanOrEqual(delays[i]!);
    }
    expect(book.entries.slice(1)).toEqual([...delays].sort((one, other) => one - other));
    await becomesIdle(running.proxy);
  });

  it('12.16: sleepers whose own event loop was blocked all wake, none early', async () => {
    const delays = Array.from({ length: 40 }, (_, i) => 1 + i * 9);
    const calls = delays.map((cseq) => running.client.request({ user: 'sleep', cseq, autoAck: true }));
    for (let i = 0; i < 3; i += 1) await running.ask({ user: 'stall', method: 'OPTIONS' });
    for (const [i, call] of calls.entries()) {
      const final = await call.final();
      expect(final.status).toBe(404);
      expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(delays[i]!);
    }
    await becomesIdle(running.proxy);
  });

  it('12.16: nothing is early or left out where a wheel of timers begins anew (clock jumps: the C++ tests)', async () => {
    const edges = [63, 64, 65, 127, 128, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025];
    const delays = edges.flatMap((edge) => Array.from({ length: 8 }, () => edge));
    const calls = await pipeline(delays.length, delays.length, async (i) => {
      // Begun at different phases of the wheel.
      await new Promise((done) => setTimeout(done, i * 3));
      const user = i % 2 === 0 ? 'route' : 'sleep';
      const call = running.client.request({ user, cseq: delays[i]!, method: 'OPTIONS' });
      await call.final();
      return call;
    });
    for (const [i, call] of calls.entries()) {
      expect(call.elapsedMs(call.finals[0]!)).toBeGreaterThanOrEqual(delays[i]!);
      expect(call.finals.map(({ status }) => status)).toEqual([404]);
    }
    await becomesIdle(running.proxy);
    expect(running.stats.timers.cancelled).toBe(0);
  });
});

describe('a group whose queue is full', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=full;workers=1;nonblock=1;maxQueue=2'],
    asyncTkvGname: 'full', asyncTkvEvcb: 'core:tkv',
    requestRoute(msg) {
      if (msg.toUser === 'other') return msg.sendReply(200);
      msg.avp.set('filler', new Uint8Array(msg.cseq * 17));
      const suspended = msg.asyncTaskGroupRoute('RESUME', 'full');
      const code = msg.asyncError.code;
      msg.sendReply(503, [suspended, code, msg.asyncTaskGroupData('NEVER', 'full', msg.raw), msg.asyncError.code].join());
    },
    route: {
      SPIN() { note('spins'); spinUntilReleased(); },
      RESUME(msg) { msg.sendReply(404); },
      NEVER() { note('never'); },
    },
    eventRoute: { 'core:tkv'() { note('never'); } },`,
    { prelude: notePrelude },
  );
  const fill = async () => {
    book.hold();
    running.proxy.asyncTaskGroupData('SPIN', 'full', '');
    await book.atLeast(1);
    const calls = [1, 2].map((cseq) => running.client.request({ user: 'first', cseq, autoAck: true }));
    await eventually(() => running.stats.groups['full']!.queued === 2);
    return calls;
  };
  const full = 'SIPASYNC_ERR_GROUP_FULL';

  it('12.17: thousands of refusals keep nothing', async () => {
    const first = await fill();
    const before = running.stats;
    await pipeline(2000, 50, async (cseq) => {
      expect(running.proxy.asyncTkvEmit(cseq, 'key', 'v'.repeat(cseq * 7))).toBe(false);
      expect(running.proxy.asyncTaskGroupData('NEVER', 'full', new Uint8Array(cseq * 31))).toBe(false);
      expect(running.proxy.asyncError?.code).toBe(full);
      expect((await running.ask({ cseq })).reason).toBe(`false,${full},false,${full}`);
    });
    await eventually(() => running.stats.transactions.active === before.transactions.active);
    expect(running.stats.memory.payloadBlocks).toBe(before.memory.payloadBlocks);
    expect(running.stats.memory.slotsInUse).toBe(before.memory.slotsInUse);
    expect(running.stats.groups['full']!.refused).toBe(before.groups['full']!.refused + 8000);
    book.release();
    for (const call of first) expect((await call.final()).status).toBe(404);
    await becomesIdle(running.proxy);
    expect(book.entries).toEqual(['spins']);
  });

  it('12.25: other requests are served at once, and those that are refused are, too', async () => {
    const first = await fill();
    for (let i = 0; i < 20; i += 1) {
      expect((await running.ask({ user: 'other', method: 'OPTIONS' })).status).toBe(200);
      expect((await running.ask({ user: 'refused' })).reason).toContain(full);
    }
    // Whoever is full is so still: nothing has waited for it.
    expect(running.stats.groups['full']).toMatchObject({ queued: 2 });
    expect(first.map((call) => call.finals)).toEqual([[], []]);
    book.release();
    for (const call of first) expect((await call.final()).status).toBe(404);
    await becomesIdle(running.proxy);
  });
});

describe('12.25: a program that pushes to a full group', () => {
  const running = useProxy(
    `asyncWorkersGroup: [{ name: 'full', workers: 1, nonblock: 0, maxQueue: 1 }],
     maxTransactions: 50,
     requestRoute(msg) { msg.sendReply(404); },
     route: { SPIN() { note('spins'); spinUntilReleased(); }, NOTE() { note('done'); } },`,
    { prelude: notePrelude },
  );
  it('never waits with nonblock=0 either: it is refused when there are no slots', async () => {
    running.proxy.asyncTaskData('SPIN', '');
    await book.atLeast(1);
    const taken = Array.from({ length: 200 }, () => running.proxy.asyncTaskData('NOTE', 'x'));
    expect(taken.filter(Boolean)).toHaveLength(49);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_SLOTS_EXHAUSTED');
    // The worker is blocked until the test comes here: a push that waited would have waited for ever.
    expect((await running.ask({})).status).toBe(404);
    book.release();
    await becomesIdle(running.proxy);
    expect(book.entries.filter((entry) => entry === 'done')).toHaveLength(49);
  });
});
