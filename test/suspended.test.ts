import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';

const book = Notes.forThisFile();

const definition = `
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=busy;workers=1'],
  asyncTkvGname: 'busy',
  asyncTkvEvcb: 'core:tkv',
  async requestRoute(msg) {
    if (msg.toUser === 'route') msg.asyncRoute('RESUME', 60);
    if (msg.toUser === 'ms') msg.asyncMsRoute('RESUME', 20_000);
    if (msg.toUser === 'queue') msg.asyncTaskGroupRoute('RESUME', 'busy');
    if (msg.toUser === 'hold') { await released(); return msg.sendReply(200); }
    if (msg.toUser === 'sleep') {
      msg.signal.addEventListener('abort', () => note(['aborted', msg.signal.reason.code]));
      note(['slept', await msg.asyncSleep(60), msg.asyncError?.code]);
      return;
    }
    msg.sendReply(404);
  },
  route: {
    RESUME(msg) { msg.sendReply(404); },
    SPIN() { note('spins'); spinUntilReleased(); },
    NOTE(msg) { note(msg.asyncData); },
  },
  eventRoute: { 'core:tkv'(msg) { note(msg.atkv.key); } },`;

describe('proxy.suspended and proxy.cancel', () => {
  const running = useProxy(definition, { prelude: notePrelude });

  it('list nothing when nothing waits', () => {
    expect(running.proxy.suspended()).toEqual([]);
  });

  it('list what waits, and end it', async () => {
    running.proxy.asyncTaskGroupData('SPIN', 'busy', '');
    await book.atLeast(1);
    running.proxy.asyncTaskGroupData('NOTE', 'busy', 'never');
    running.proxy.asyncTkvEmit(1, 'never', '');
    const calls = ['route', 'ms', 'queue', 'sleep'].map((user) => running.client.request({ user, autoAck: true }));
    await eventually(() => running.proxy.suspended().length === 6);
    const entries = running.proxy.suspended();
    const of = (user: string) =>
      entries.find((entry) => entry.callId === calls[['route', 'ms', 'queue', 'sleep'].indexOf(user)]!.request.callId)!;

    expect(of('route')).toMatchObject({
      kind: 'transaction', state: 'suspended', route: 'RESUME', group: 'async:workers', suspensions: 1, method: 'INVITE',
      ruri: calls[0]!.request.ruri,
    });
    expect(of('route').dueInMs).toBeGreaterThan(50_000);
    expect(of('route').dueInMs).toBeLessThanOrEqual(60_000);
    expect(of('ms')).toMatchObject({ kind: 'transaction', state: 'suspended', route: 'RESUME', group: 'default' });
    expect(of('queue')).toMatchObject({ kind: 'transaction', state: 'queued', route: 'RESUME', group: 'busy', dueInMs: 0 });
    expect(of('sleep')).toMatchObject({ kind: 'sleep', state: 'suspended', route: null, group: null });
    const tasks = entries.filter((entry) => entry.callId === null);
    expect(tasks).toHaveLength(2);
    expect(tasks).toContainEqual(expect.objectContaining({ kind: 'task', state: 'queued', route: 'NOTE', group: 'busy', method: null }));
    expect(tasks).toContainEqual(expect.objectContaining({ kind: 'event', state: 'queued', route: 'core:tkv', group: 'busy' }));

    expect(running.proxy.suspended({ limit: 2 })).toHaveLength(2);
    for (const { handle } of entries) {
      expect(running.proxy.cancel(handle)).toBe(true);
      expect(running.proxy.asyncError).toBeNull();
      expect(running.proxy.cancel(handle)).toBe(false);
      expect(running.proxy.asyncError?.code).toMatch(/_STALE_HANDLE$|_NOT_SUSPENDED$/);
    }
    for (const call of calls) expect((await call.final()).status).toBe(487);
    await book.atLeast(3);
    expect(book.entries).toContainEqual(['slept', false, 'SIPASYNC_ERR_CANCELLED']);
    expect(book.entries).toContainEqual(['aborted', 'SIPASYNC_ERR_CANCELLED']);
    expect(running.proxy.suspended()).toEqual([]);
    book.release();
    await becomesIdle(running.proxy);
    expect(book.entries).not.toContainEqual('never');
    expect(running.stats).toMatchObject({ tasks: { dropped: 2 }, transactions: { cancelled: 4 } });
  });

  it('a handle of an ended call is stale, however often its slot is used again', async () => {
    running.client.request({ user: 'ms', autoAck: true });
    await eventually(() => running.proxy.suspended().length === 1);
    const { handle } = running.proxy.suspended()[0]!;
    expect(running.proxy.cancel(handle)).toBe(true);
    await becomesIdle(running.proxy);
    const again = running.client.request({ user: 'ms', autoAck: true });
    await eventually(() => running.proxy.suspended().length === 1);
    expect(running.proxy.suspended()[0]!.handle).toEqual({ index: handle.index, label: handle.label + 1 });
    expect(running.proxy.cancel(handle)).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
    running.proxy.cancel(running.proxy.suspended()[0]!.handle);
    expect((await again.final()).status).toBe(487);
    await becomesIdle(running.proxy);
  });

  it('a call that runs is not suspended', async () => {
    const call = running.client.request({ user: 'hold', autoAck: true });
    const sleeper = running.client.request({ user: 'sleep', autoAck: true });
    await eventually(() => running.proxy.suspended().length === 1);
    const { handle } = running.proxy.suspended()[0]!;
    for (const index of [0, 1, 2, 3]) {
      for (let label = handle.label - 8; label < handle.label + 8; label += 1) {
        if (index === handle.index && label === handle.label) continue;
        expect(running.proxy.cancel({ index, label: Math.max(0, label) })).toBe(false);
        expect(running.proxy.asyncError?.code).toMatch(/_STALE_HANDLE$|_NOT_SUSPENDED$/);
      }
    }
    book.release();
    expect((await call.final()).status).toBe(200);
    expect(running.proxy.cancel(handle)).toBe(true);
    expect((await sleeper.final()).status).toBe(487);
    await becomesIdle(running.proxy);
  });

  it.each([
    { index: -1, label: 0 }, { index: 0.5, label: 0 }, { index: NaN, label: 1 }, { index: 1e10, label: 1 },
    { index: 0, label: 2 ** 32 }, { index: 4_294_967_295, label: 4_294_967_295 }, { index: 0, label: 0 },
  ])('%j is a stale handle', (handle) => {
    expect(running.proxy.cancel(handle)).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
  });

  it.each([undefined, null, 1, '0:1', {}, { index: 1 }, { label: 1 }, { index: '1', label: 1 }, []])(
    '%j is no handle',
    (handle) => {
      expect(() => running.proxy.cancel(handle as never)).toThrow(TypeError);
    },
  );

  it.each([0, -1, 0.5, NaN, Infinity, 1_000_001])('a limit of %d is a RangeError', (limit) => {
    expect(() => running.proxy.suspended({ limit })).toThrow(RangeError);
  });
  it.each(['1', null, {}, true])('a limit of %j is a TypeError', (limit) => {
    expect(() => running.proxy.suspended({ limit: limit as never })).toThrow(TypeError);
  });
});

describe('once closed', () => {
  it('nothing is listed, and nothing can be cancelled', async () => {
    const running = new RunningProxy(definition, { prelude: notePrelude });
    await running.start();
    running.client.request({ user: 'ms', autoAck: true });
    await eventually(() => running.proxy.suspended().length === 1);
    const { handle } = running.proxy.suspended()[0]!;
    const { proxy } = running;
    await running.stop();
    expect(proxy.suspended()).toEqual([]);
    expect(proxy.cancel(handle)).toBe(false);
    expect(proxy.asyncError?.code).toBe('SIPASYNC_ERR_CLOSED');
  });
});

describe('the concurrency of a group', () => {
  const running = useProxy(
    `asyncWorkersGroup: [{ name: 'few', workers: 1, concurrency: 3 }, 'name=many;workers=1', 'name=one;workers=1;concurrency=1'],
     requestRoute(msg) { msg.asyncTaskGroupRoute('SLEEP', msg.toUser); },
     route: {
       async HOLD(msg) { note('begins'); await released(); note('ends'); },
       async SLEEP(msg) { await msg.asyncMsSleep(20); msg.sendReply(404); },
     },`,
    { prelude: notePrelude },
  );

  it.each([['few', 3], ['many', 20], ['one', 1]])('%s: %i handlers go on at once', async (group, most) => {
    for (let i = 0; i < 20; i += 1) running.proxy.asyncTaskGroupData('HOLD', group, '');
    await book.atLeast(most);
    // A task that came later would be begun by now, if it were to be.
    running.proxy.asyncTaskGroupData('HOLD', group === 'many' ? 'few' : 'many', '');
    await book.atLeast(most + 1);
    expect(book.entries).toEqual(Array.from({ length: most + 1 }, () => 'begins'));
    book.release();
    await book.atLeast(42);
    let going = 0;
    for (const entry of book.entries) {
      going += entry === 'begins' ? 1 : -1;
      expect(going).toBeLessThanOrEqual(most + 1);
    }
    await becomesIdle(running.proxy);
  });

  it.each(['few', 'one'])('%s: sleepers count, and all are served', async (group) => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => running.ask({ user: group })));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 404));
    await becomesIdle(running.proxy);
  });
});
