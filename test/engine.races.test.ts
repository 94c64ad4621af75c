import { afterEach, describe, expect, it } from 'vitest';
import type { Handle } from 'sip-async/engine';
import { NotingEngine, nothingLive, workerModule } from './fixtures/engine-runs.ts';
import { sequence } from './support/random.ts';

let noting: NotingEngine;
afterEach(() => noting.stop());

const TASKS = 6000;

interface Fate {
  readonly handle: Handle;
  readonly beforeMs: number;
  readonly delayMs: number | undefined;
  continued: boolean;
  cancelled: boolean;
  ran: number;
}

describe.each([
  ['local', 1],
  ['far', 1],
  ['wide', 3],
] as const)('in the group %s', (group, workers) => {
  it('every task has one outcome, however its time, continue and cancel meet', async () => {
    const random = sequence();
    console.log(`SIP_ASYNC_SEED=${random.seed}`);
    const groups = group === 'local' ? [] : [{ name: group, workers, module: workerModule }];
    noting = await new NotingEngine().start({ groups, maxSuspendMs: 150 });
    const { engine } = noting;
    const route = group === 'local' ? 'NOTE' : 'ECHO';
    const fates: Fate[] = [];
    let wrong = 0;

    while (fates.length < TASKS) {
      for (let i = 0; i < 40; i += 1) {
        const delayMs = random.next(5) === 0 ? undefined : random.next(random.next(10) === 0 ? 80 : 6);
        const beforeMs = performance.now();
        const handle = noting.suspend(String(fates.length), route, delayMs, group);
        fates.push({ handle, beforeMs, delayMs, continued: false, cancelled: false, ran: 0 });
      }
      for (let i = 0; i < 60; i += 1) {
        // One of the last, most often: those that wait, are due, run or end just now.
        const fate = fates[Math.max(0, fates.length - 1 - random.next(random.next(2) === 0 ? 50 : 500))]!;
        const [done, name] = random.next(2) === 0
          ? [engine.continue(fate.handle), 'continued' as const]
          : [engine.cancel(fate.handle), 'cancelled' as const];
        // Twice the same succeeds never; continue after cancel neither.
        if (done && (fate[name] || fate.cancelled)) wrong += 1;
        if (done) fate[name] = true;
        else if (!/STALE_HANDLE|NOT_SUSPENDED/.test(engine.asyncError!.code)) wrong += 1;
      }
      if (random.next(3) === 0) await new Promise((done) => setTimeout(done, random.next(4)));
      else await new Promise((done) => setImmediate(done));
    }
    await noting.idle();

    // The clock of a worker is not ours; that nothing is early there, too, is for the native tests to show.
    const runs = group === 'local'
      ? noting.runs.map(({ payload, task, atMs }) => ({ number: Number(payload), resumedBy: task.resumedBy, atMs }))
      : noting.told.map(({ payload, resumedBy }) => ({ number: Number(payload), resumedBy, atMs: Infinity }));
    for (const { number, resumedBy, atMs } of runs) {
      const fate = fates[number]!;
      fate.ran += 1;
      const expected = fate.continued ? 'continue' : fate.delayMs === undefined ? 'timeout' : 'delay';
      if (resumedBy !== expected) wrong += 1;
      if (!fate.continued && atMs < fate.beforeMs + (fate.delayMs ?? 150)) wrong += 1;
    }
    expect(wrong).toBe(0);
    expect(fates.filter((fate) => fate.ran + Number(fate.cancelled) !== 1)).toEqual([]);
    expect(fates.some((fate) => fate.cancelled)).toBe(true);
    expect(fates.some((fate) => fate.continued && fate.ran === 1)).toBe(true);
    expect(noting.live()).toEqual(nothingLive);
    const { tasks } = engine.stats();
    const cancelled = fates.filter((fate) => fate.cancelled).length;
    expect(tasks.dropped).toBe(cancelled);
    expect(tasks.done).toBe(TASKS - cancelled + noting.told.length);
  });

  it('continue before, at and after the due time ends one wait', async () => {
    const groups = group === 'local' ? [] : [{ name: group, workers, module: workerModule }];
    noting = await new NotingEngine().start({ groups });
    const route = group === 'local' ? 'NOTE' : 'ECHO';
    for (let lap = 0; lap < 60; lap += 1) {
      const handle = noting.suspend(String(lap), route, 4, group);
      const endMs = performance.now() + 3 + (lap % 20) / 8;
      while (performance.now() < endMs); // busy, so that the ticker and this thread meet
      noting.engine.continue(handle);
      await noting.idle();
      expect(noting.runs.length + noting.told.length).toBe(lap + 1);
    }
    expect(noting.live()).toEqual(nothingLive);
  });
});
