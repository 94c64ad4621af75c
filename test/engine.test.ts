import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEngine, SipAsyncError } from 'sip-async/engine';
import type { Handle, ResumedBy } from 'sip-async/engine';
import { eventually } from './support/eventually.ts';
import { NotingEngine, nothingLive } from './fixtures/engine-runs.ts';

let noting: NotingEngine;
beforeEach(async () => {
  noting = await new NotingEngine().start({ maxSuspendMs: 60 });
});
afterEach(() => noting.stop());

describe('the bytes of tasks', () => {
  it('belong to their task alone, however many are kept and written to', async () => {
    const kept: { seed: number; payload: Buffer }[] = [];
    const sizes = [0, 1, 7, 8, 9, 100, 1000, 4095, 4096, 4097, 20_000];
    const count = 3000;
    const fill = (seed: number) => Buffer.alloc(sizes[seed % sizes.length]!, seed % 251);
    const engine = await createEngine({
      routes: {
        KEEP(payload, task) {
          const seed = kept.length;
          const bytes = payload as Buffer;
          expect(Buffer.isBuffer(bytes)).toBe(true);
          expect(bytes.equals(fill(seed))).toBe(true);
          // Every second one is written over; no other may change by it.
          if (seed % 2 === 0) bytes.fill(0xee);
          kept.push({ seed, payload: bytes });
          expect(task.resumedBy).toBe('delay');
        },
      },
    });
    for (let seed = 0; seed < count; seed += 1) {
      expect(engine.suspend(fill(seed), { route: 'KEEP', delayMs: 0 })).not.toBe(false);
      if (seed % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await engine.close();
    expect(kept).toHaveLength(count);
    const wrong = kept.filter(({ seed, payload }) => {
      const expected = seed % 2 === 0 ? Buffer.alloc(payload.length, 0xee) : fill(seed);
      return !payload.equals(expected);
    });
    expect(wrong).toEqual([]);
    expect(engine.stats().groups['local']!.failed).toBe(0);
  });
});

describe('suspend', () => {
  it.each([0, 1, 2, 20, 120])('runs the route %i ms later, and not before', async (delayMs) => {
    const beforeMs = performance.now();
    const handle = noting.suspend('a call', 'NOTE', delayMs);
    expect(noting.runs).toEqual([]); // never within suspend itself
    await noting.idle();
    expect(noting.runs).toHaveLength(1);
    const { payload, task, atMs } = noting.runs[0]!;
    expect(atMs).toBeGreaterThanOrEqual(beforeMs + delayMs);
    expect(payload).toBe('a call');
    expect(task).toMatchObject({ handle, route: 'NOTE', group: 'local', resumedBy: 'delay', engine: noting.engine });
    expect(noting.live()).toEqual(nothingLive);
  });

  it.each<[string, ResumedBy, (handle: Handle) => void]>([
    ['continue', 'continue', (handle) => expect(noting.engine.continue(handle)).toBe(true)],
    ['nobody within maxSuspendMs', 'timeout', () => undefined],
  ])('without delayMs waits for continue: %s', async (_, resumedBy, act) => {
    const beforeMs = performance.now();
    act(noting.suspend('open', 'NOTE'));
    await noting.idle();
    expect(noting.runs).toHaveLength(1);
    expect(noting.runs[0]!.task.resumedBy).toBe(resumedBy);
    if (resumedBy === 'timeout') expect(noting.runs[0]!.atMs).toBeGreaterThanOrEqual(beforeMs + 60);
  });

  it('tells a timed suspension that was continued from one whose time came', async () => {
    const [early, late] = [noting.suspend('early', 'NOTE', 40), noting.suspend('late', 'NOTE', 40)];
    expect(noting.engine.continue(early)).toBe(true);
    await noting.idle();
    expect(noting.runs.map(({ payload, task }) => [payload, task.resumedBy])).toEqual([
      ['early', 'continue'],
      ['late', 'delay'],
    ]);
    expect(noting.engine.continue(late)).toBe(false);
  });

  it('counts the first handle there is, index 0 and label 0, as any other', async () => {
    const handle = noting.suspend('first', 'NOTE');
    expect(handle).toEqual({ index: 0, label: 0 });
    expect(noting.engine.continue(handle)).toBe(true);
    await noting.idle();
    expect(noting.runs).toHaveLength(1);
  });

  it.each([
    ['', 'nothing'],
    ['x', 'a letter'],
    ['a\0b', 'a NUL'],
    ['grüße, \u{1f4de}', 'several planes'],
    ['\r\n\r\n', 'line ends'],
    ['x'.repeat(1024 * 1024), '1 MiB'],
  ])('hands a string on as it is: %#', async (payload) => {
    noting.suspend(payload, 'NOTE', 0);
    await noting.idle();
    expect(noting.runs[0]!.payload).toBe(payload);
  });

  it('turns half a surrogate pair into U+FFFD', async () => {
    noting.suspend('a\ud800b', 'NOTE', 0);
    await noting.idle();
    expect(noting.runs[0]!.payload).toBe('a\ufffdb');
  });

  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  it.each<[string, () => Uint8Array, Uint8Array]>([
    ['a Uint8Array', () => bytes.slice(), bytes],
    ['an empty one', () => new Uint8Array(), new Uint8Array()],
    ['a Buffer', () => Buffer.from(bytes), bytes],
    ['a part of a Buffer', () => Buffer.concat([Buffer.alloc(7), bytes, Buffer.alloc(9)]).subarray(7, 263), bytes],
    ['shared memory', () => {
      const shared = new Uint8Array(new SharedArrayBuffer(256));
      shared.set(bytes);
      return shared;
    }, bytes],
    ['a detached one, which has no bytes', () => {
      const gone = new Uint8Array(8);
      structuredClone(gone, { transfer: [gone.buffer] });
      return gone;
    }, new Uint8Array()],
    ['1 MiB', () => new Uint8Array(1024 * 1024).fill(7), new Uint8Array(1024 * 1024).fill(7)],
  ])('hands bytes on as a copy in a Buffer: %s', async (_, make, expected) => {
    const given = make();
    noting.suspend(given, 'NOTE', 1);
    if (given.length > 0) given.fill(0xee);
    await noting.idle();
    const { payload } = noting.runs[0]!;
    expect(Buffer.isBuffer(payload)).toBe(true);
    expect(Buffer.compare(payload as Buffer, expected)).toBe(0);
  });

  it('keeps the order of equal times, whatever else waits', async () => {
    const delays = Array.from({ length: 600 }, (_, i) => [5, 0, 30, 5, 17][(i * 7) % 5]!);
    delays.forEach((delayMs, number) => noting.suspend(String(number), 'NOTE', delayMs));
    await noting.idle();
    expect(noting.runs).toHaveLength(600);
    for (const delayMs of new Set(delays)) {
      const order = noting.runs.map(({ payload }) => Number(payload)).filter((number) => delays[number] === delayMs);
      expect(order).toEqual([...order].sort((a, b) => a - b));
    }
  });

  it('runs nothing within the call that makes it due', () => {
    noting.suspend('now', 'NOTE', 0);
    const open = noting.suspend('open', 'NOTE');
    noting.engine.continue(open);
    expect(noting.runs).toEqual([]);
  });

  it('may be called by a route, for itself again', async () => {
    const times: number[] = [];
    const engine = await createEngine({
      routes: {
        STEP(payload, task) {
          times.push(performance.now());
          if (Number(payload) > 0) task.engine.suspend(String(Number(payload) - 1), { route: task.route, delayMs: 3 });
        },
      },
    });
    engine.suspend('50', { route: 'STEP', delayMs: 0 });
    await eventually(() => times.length === 51);
    for (let i = 1; i < times.length; i += 1) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(3);
    await engine.close();
  });
});

describe('a handler', () => {
  it.each(['THROW', 'REJECT'])('that fails (%s) is counted, and the next one runs', async (route) => {
    noting.suspend('bad', route, 0);
    noting.suspend('good', 'NOTE', 0);
    await noting.idle();
    expect(noting.runs.map(({ payload }) => payload).sort()).toEqual(['bad', 'good']);
    expect(noting.engine.stats().groups['local']).toMatchObject({ done: 1, failed: 1 });
    expect(noting.engine.stats().tasks).toEqual({ active: 0, done: 2, dropped: 0 });
    expect(noting.live()).toEqual(nothingLive);
  });

  it.each([
    ['a number', () => 7],
    ['null', () => null],
    ['a thenable that calls back twice', () => ({
      then(resolve: () => void, reject: (error: Error) => void) {
        resolve();
        reject(new Error('second'));
        resolve();
      },
    })],
    ['a thenable that never does, and throws', () => ({
      then() {
        throw new Error('no then');
      },
    })],
    ['an object whose then throws when it is looked at', () => ({
      get then() {
        throw new Error('no look');
      },
    })],
  ])('may return %s', async (_, handler) => {
    const engine = await createEngine({ routes: { ODD: handler } });
    engine.suspend('x', { route: 'ODD', delayMs: 0 });
    await eventually(() => engine.stats().tasks.done === 1);
    const { done, failed } = engine.stats().groups['local']!;
    expect(done + failed).toBe(1);
    await engine.close();
  });

  it('keeps its task until its promise has settled', async () => {
    const handle = noting.suspend('gate', 'GATE', 0);
    await eventually(() => noting.runs.length === 1);
    expect(noting.engine.stats().tasks.active).toBe(1);
    expect(noting.engine.suspended()).toEqual([]);
    expect(noting.engine.cancel(handle)).toBe(false);
    expect(noting.engine.asyncError!.code).toBe('SIPASYNC_ERR_NOT_SUSPENDED');
    noting.open();
    await noting.idle();
    expect(noting.live()).toEqual(nothingLive);
  });

  it('has a signal that nothing aborts but close()', async () => {
    noting.suspend('gate', 'GATE', 0);
    await eventually(() => noting.runs.length === 1);
    const { task } = noting.runs[0]!;
    expect(task.signal.aborted).toBe(false);
    await expect(noting.engine.close({ timeoutMs: 0 })).resolves.toEqual({ drained: 0, dropped: 0, interrupted: 1 });
    expect(task.signal.aborted).toBe(true);
    expect(task.signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CLOSED' });
    noting.open(); // its end comes too late, and does nothing
  });
});

describe('local', () => {
  it('with concurrency runs so many asynchronous handlers at once, from the first task on', async () => {
    let running = 0;
    let most = 0;
    const engine = await createEngine({
      local: { concurrency: 3 },
      routes: {
        async SLOW() {
          most = Math.max(most, (running += 1));
          await new Promise((resolve) => setTimeout(resolve, 2));
          running -= 1;
        },
      },
    });
    for (let i = 0; i < 30; i += 1) engine.suspend('x', { route: 'SLOW', delayMs: i % 2 });
    await eventually(() => engine.stats().tasks.done === 30);
    expect(most).toBe(3);
    await engine.close();
  });

  it('with nonblock and maxQueue refuses with GROUP_FULL, and runs what it took', async () => {
    const engine = await createEngine({ local: { nonblock: 1, maxQueue: 2 }, routes: { A() {} } });
    const results = Array.from({ length: 5 }, () => engine.suspend('x', { route: 'A', delayMs: 0 }) !== false);
    expect(results).toEqual([true, true, false, false, false]);
    expect(engine.asyncError!.code).toBe('SIPASYNC_ERR_GROUP_FULL');
    await eventually(() => engine.stats().tasks.done === 2);
    expect(engine.stats().groups['local']).toMatchObject({ refused: 3, highWater: 2, done: 2 });
    await engine.close();
  });
});

describe('suspended()', () => {
  it('lists what waits, with its handle', async () => {
    const timed = noting.suspend('a', 'NOTE', 5000);
    const open = noting.suspend('b', 'OTHER');
    const continued = noting.suspend('c', 'OTHER', 5000);
    noting.engine.continue(continued);
    const entries = noting.engine.suspended();
    expect(entries).toEqual([
      { handle: timed, state: 'suspended', route: 'NOTE', group: 'local', dueInMs: expect.any(Number) },
      { handle: open, state: 'suspended', route: 'OTHER', group: 'local', dueInMs: expect.any(Number) },
      { handle: continued, state: 'queued', route: 'OTHER', group: 'local', dueInMs: 0 },
    ]);
    expect(entries[0]!.dueInMs).toBeGreaterThan(3000);
    expect(entries[0]!.dueInMs).toBeLessThanOrEqual(5001);
    expect(entries[1]!.dueInMs).toBeLessThanOrEqual(61);
    for (const { handle } of entries) expect(noting.engine.cancel(handle)).toBe(true);
    expect(noting.engine.suspended()).toEqual([]);
  });

  it('takes a limit', () => {
    for (let i = 0; i < 12; i += 1) noting.suspend('x', 'NOTE', 5000);
    expect(noting.engine.suspended({ limit: 5 })).toHaveLength(5);
    expect(noting.engine.suspended()).toHaveLength(12);
    for (const limit of [0, -1, 1.5, NaN, 1_000_001]) {
      expect(() => noting.engine.suspended({ limit })).toThrow(RangeError);
    }
    for (const limit of ['5', null, {}]) {
      expect(() => noting.engine.suspended({ limit: limit as number })).toThrow(TypeError);
    }
  });
});

describe('stats()', () => {
  it('follows a task from its suspension to its end', async () => {
    const at = () => {
      const { suspended, timers, tasks, groups } = noting.engine.stats();
      const { pending, fired, cancelled } = timers;
      return [suspended, pending, fired, cancelled, tasks.active, tasks.done, tasks.dropped, groups['local']!.queued];
    };
    expect(at()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    const [first, second] = [noting.suspend('a', 'NOTE', 5000), noting.suspend('b', 'NOTE', 5000)];
    expect(at()).toEqual([2, 2, 0, 0, 2, 0, 0, 0]);
    noting.engine.cancel(first);
    expect(at()).toEqual([1, 1, 0, 1, 1, 0, 1, 0]);
    noting.engine.continue(second);
    expect(at()).toEqual([1, 0, 0, 2, 1, 0, 1, 1]);
    await noting.idle();
    expect(at()).toEqual([0, 0, 0, 2, 0, 1, 1, 0]);
    noting.suspend('c', 'NOTE', 1);
    await noting.idle();
    expect(at()).toEqual([0, 0, 1, 2, 0, 2, 1, 0]);
  });

  it('is plain numbers, and keeps those of the end', async () => {
    noting.suspend('a', 'NOTE', 1);
    await noting.idle();
    const { engine } = noting;
    const leaves = (value: unknown): unknown[] =>
      typeof value === 'object' && value !== null ? Object.values(value).flatMap(leaves) : [value];
    for (const leaf of leaves(engine.stats())) expect(leaf).toBeTypeOf('number');
    await engine.close();
    const last = engine.stats();
    expect(last.tasks).toEqual({ active: 0, done: 1, dropped: 0 });
    expect(engine.stats()).toEqual(last);
  });
});

describe('100,000 tasks', () => {
  it('leave nothing behind, however they end', async () => {
    const { engine } = noting;
    const ways: ((handle: Handle) => unknown)[] = [
      () => undefined,
      (handle) => engine.continue(handle),
      (handle) => engine.cancel(handle),
    ];
    const cycles = 100_000;
    for (let done = 0; done < cycles; ) {
      for (let i = 0; i < 1000; i += 1, done += 1) {
        const delayMs = [0, 1, 2, undefined, 50][done % 5];
        ways[done % 3]!(noting.suspend('x'.repeat(done % 200), 'NOTE', delayMs));
      }
      await eventually(() => engine.stats().tasks.active < 100, { intervalMs: 1 });
      noting.runs.length = 0;
    }
    await noting.idle();
    expect(noting.live()).toEqual(nothingLive);
    const { tasks, timers, memory } = engine.stats();
    expect(tasks.done + tasks.dropped).toBe(cycles);
    expect(timers.pending).toBe(0);
    expect(memory.payloadHighWaterBytes).toBeLessThan(2 * 1024 * 1024);
  });
});

describe('waits that end long before their time', () => {
  it('never use up an engine, however small', async () => {
    const engine = await createEngine({ maxSuspended: 8, routes: { A() {} } });
    for (let cycle = 0; cycle < 20_000; cycle += 1) {
      const suspend = () => engine.suspend('x', { route: 'A', delayMs: 80_000_000 });
      const handle = (await eventually(suspend, { intervalMs: 1 })) as Handle;
      const end = () => (cycle % 2 === 0 ? engine.continue(handle) : engine.cancel(handle));
      if (!end()) await eventually(end, { intervalMs: 1 });
      if (cycle % 100 === 0) await new Promise((done) => setImmediate(done));
    }
    await eventually(() => engine.stats().tasks.active === 0);
    expect(engine.stats().tasks).toEqual({ active: 0, done: 10_000, dropped: 10_000 });
    expect(engine.stats().timers.pending).toBe(0);
    await engine.close();
  });
});

describe('several engines', () => {
  it('know nothing of each other', async () => {
    const other = await new NotingEngine().start();
    const mine = noting.suspend('mine', 'NOTE', 30);
    const theirs = other.suspend('theirs', 'NOTE', 30);
    expect(mine).toEqual(theirs); // the same numbers, of another engine
    expect(other.engine.cancel(theirs)).toBe(true);
    expect(other.engine.cancel(theirs)).toBe(false);
    expect(noting.engine.asyncError).toBe(null);
    await noting.idle();
    expect(noting.runs.map(({ payload }) => payload)).toEqual(['mine']);
    expect(other.runs).toEqual([]);
    await other.stop();
    noting.suspend('still there', 'NOTE', 1);
    await noting.idle();
    expect(noting.runs).toHaveLength(2);
  });
});

it('exports the class of its errors', async () => {
  await expect(createEngine({})).rejects.toBeInstanceOf(SipAsyncError);
});
