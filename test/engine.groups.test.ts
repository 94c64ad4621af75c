import { afterEach, describe, expect, it } from 'vitest';
import { createEngine } from 'sip-async/engine';
import type { EngineGroupDefinition } from 'sip-async/engine';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { NotingEngine, nothingLive, workerModule } from './fixtures/engine-runs.ts';

let noting: NotingEngine;
const files: ProxyFile[] = [];
afterEach(async () => {
  await noting.stop();
  for (const file of files.splice(0)) file.remove();
});

async function start(...groups: Partial<EngineGroupDefinition>[]): Promise<NotingEngine> {
  const defaults = { name: 'far', workers: 1, module: workerModule };
  noting = await new NotingEngine().start({ groups: groups.map((group) => ({ ...defaults, ...group })) });
  return noting;
}

const toldCount = (count: number) => eventually(() => noting.told.length >= count, { timeoutMs: 15_000 });

describe('a worker group', () => {
  it('runs its routes in threads of its own', async () => {
    await start({ name: 'one' }, { name: 'two' });
    for (const group of ['one', 'two']) {
      for (const delayMs of [0, 1, 20]) noting.suspend(`${group} ${delayMs}`, 'ECHO', delayMs, group);
    }
    await toldCount(6);
    expect(noting.told.map(({ payload }) => payload).sort()).toEqual(['one 0', 'one 1', 'one 20', 'two 0', 'two 1', 'two 20']);
    for (const { payload, group, route, isText, thread } of noting.told) {
      expect(payload.startsWith(group)).toBe(true);
      expect([route, isText]).toEqual(['ECHO', true]);
      expect(thread).toBeGreaterThan(0);
    }
    expect(new Set(noting.told.map(({ thread }) => thread)).size).toBe(2);
    // A run is counted behind what it has told.
    await eventually(() => noting.engine.stats().tasks.done === 6);
    const { groups } = noting.engine.stats();
    expect(Object.keys(groups)).toEqual(['local', 'one', 'two']);
    expect(groups['one']).toMatchObject({ workers: 1, done: 3, failed: 0, queued: 0 });
    expect(noting.live()).toEqual(nothingLive);
  });

  it('takes strings and bytes', async () => {
    await start({});
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    noting.suspend(bytes, 'ECHO', 0, 'far');
    noting.suspend('grüße\0', 'ECHO', 1, 'far');
    await toldCount(2);
    expect(noting.told).toMatchObject([
      { isText: false, payload: Buffer.from(bytes).toString('base64') },
      { isText: true, payload: 'grüße\0' },
    ]);
  });

  it('of one worker keeps the order of equal times', async () => {
    await start({});
    for (let i = 0; i < 400; i += 1) noting.suspend(String(i), 'ECHO', i % 2 === 0 ? 7 : 25, 'far');
    await toldCount(400);
    const order = noting.told.map(({ payload }) => Number(payload));
    for (const parity of [0, 1]) {
      const numbers = order.filter((number) => number % 2 === parity);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
  });

  it('of several workers shares the work', async () => {
    await start({ workers: 3 });
    for (let i = 0; i < 60; i += 1) noting.suspend('5', 'BLOCK', 0, 'far');
    await toldCount(60);
    expect(new Set(noting.told.map(({ thread }) => thread)).size).toBe(3);
  });

  it('can suspend again, continue and cancel from a worker', async () => {
    await start({});
    const { engine } = noting;
    const [open, timed] = [noting.suspend('open', 'NOTE'), noting.suspend('timed', 'NOTE', 20_000)];
    noting.suspend(JSON.stringify(open), 'CONTINUE', 0, 'far');
    noting.suspend(JSON.stringify(open), 'CONTINUE', 0, 'far');
    noting.suspend(JSON.stringify(timed), 'CANCEL', 0, 'far');
    noting.suspend(JSON.stringify(timed), 'CONTINUE', 0, 'far');
    noting.suspend('40', 'CHAIN', 0, 'far');
    await toldCount(5);
    await noting.idle();
    expect(noting.told.map(({ route, done, code }) => [route, done, code])).toEqual([
      ['CONTINUE', true, null],
      // It is due, runs or has ended: the other thread is quick or slow.
      ['CONTINUE', false, expect.stringMatching(/NOT_SUSPENDED|STALE_HANDLE/)],
      ['CANCEL', true, null],
      ['CONTINUE', false, 'SIPASYNC_ERR_STALE_HANDLE'],
      ['CHAIN', undefined, undefined],
    ]);
    expect(noting.runs.map(({ payload, task }) => [payload, task.resumedBy])).toEqual([['open', 'continue']]);
    expect(engine.stats().tasks.dropped).toBe(1);
    expect(noting.live()).toEqual(nothingLive);
  });

  it('says in a worker, too, what ended the wait', async () => {
    noting = await new NotingEngine().start({
      maxSuspendMs: 30,
      groups: [{ name: 'far', workers: 1, module: workerModule }],
    });
    noting.suspend('delay', 'ECHO', 5, 'far');
    noting.suspend('timeout', 'ECHO', undefined, 'far');
    noting.engine.continue(noting.suspend('continue', 'ECHO', 5000, 'far'));
    await toldCount(3);
    for (const { payload, resumedBy } of noting.told) expect(resumedBy).toBe(payload);
  });

  it('counts a route that throws, and goes on', async () => {
    await start({});
    const before = noting.suspend('x', 'THROW', 0, 'far');
    noting.suspend('after', 'ECHO', 1, 'far');
    await eventually(() => noting.engine.stats().tasks.done === 2);
    expect(noting.engine.stats().groups['far']).toMatchObject({ done: 1, failed: 1 });
    expect(noting.engine.cancel(before)).toBe(false);
  });

  it('with concurrency keeps so many asynchronous handlers going, from the first task on', async () => {
    await start({ concurrency: 2 });
    for (let i = 0; i < 20; i += 1) noting.suspend('3', 'WAIT', 0, 'far');
    await toldCount(20);
    expect(Math.max(...noting.told.map(({ most }) => most!))).toBe(2);
  });

  it('with usleep does all its work in the end', async () => {
    await start({ usleep: 2000 });
    for (let i = 0; i < 30; i += 1) noting.suspend(String(i), 'ECHO', i % 3, 'far');
    await toldCount(30);
    expect(noting.live()).toEqual(nothingLive);
  });

  it.each([
    [{ nonblock: 1, maxQueue: 3 } as const, true],
    [{ nonblock: 0, maxQueue: 3 } as const, false],
  ])('%o: a full queue refuses: %s', async (more, refuses) => {
    await start(more);
    const { engine } = noting;
    noting.suspend('200', 'BLOCK', 0, 'far');
    await eventually(() => engine.stats().groups['far']!.queued === 0);
    const results = Array.from({ length: 10 }, () => engine.suspend('x', { route: 'ECHO', delayMs: 0, group: 'far' }));
    const taken = results.filter((result) => result !== false);
    expect(taken).toHaveLength(refuses ? 3 : 10);
    if (refuses) expect(engine.asyncError!.code).toBe('SIPASYNC_ERR_GROUP_FULL');
    await toldCount(1 + taken.length);
    expect(engine.stats().groups['far']!.refused).toBe(10 - taken.length);
    expect(noting.live()).toEqual(nothingLive);
  });

  it('takes a module by path, relative to the working directory, and routes that are frozen', async () => {
    const file = new ProxyFile(
      `import { defineEngineRoutes } from 'sip-async/engine';\n` +
        `const tell = (payload, task) => task.engine.suspend('{}', { route: 'TOLD', delayMs: 0 });\n` +
        `export default defineEngineRoutes(Object.freeze({ tell }));\n`,
    );
    files.push(file);
    await start({ module: file.path.slice(process.cwd().length + 1) });
    noting.suspend('x', 'tell', 0, 'far');
    await toldCount(1);
  });
});

describe('a worker thread that ends', () => {
  it.each([
    ['EXIT', { failed: 1, dropped: 0 }],
    ['EXIT_LATER', { failed: 0, dropped: 1 }],
  ])('in %s takes down what it ran, and is replaced; what waits is run by its successor', async (route, ended) => {
    await start({ concurrency: 1 });
    const { engine } = noting;
    noting.suspend('before', 'ECHO', 0, 'far');
    await toldCount(1);
    const dying = noting.suspend('x', route, 0, 'far');
    for (let i = 0; i < 5; i += 1) noting.suspend(String(i), 'ECHO', 1 + i, 'far');
    const open = noting.suspend('open', 'ECHO', undefined, 'far');
    await toldCount(6);
    expect(noting.told.slice(1).map(({ payload }) => payload)).toEqual(['0', '1', '2', '3', '4']);
    expect(noting.told[1]!.thread).not.toBe(noting.told[0]!.thread);
    expect(engine.stats().tasks.dropped).toBe(ended.dropped);
    expect(engine.stats().groups['far']!.failed).toBe(ended.failed);
    expect(engine.cancel(dying)).toBe(false);
    expect(engine.asyncError!.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
    expect(engine.continue(open)).toBe(true);
    await toldCount(7);
    await noting.idle();
    expect(noting.live()).toEqual(nothingLive);
  });

  it('again and again, under load, leaves each task with one outcome', async () => {
    await start({ workers: 2 });
    const { engine } = noting;
    const tasks = 400;
    const routes = { 50: 'EXIT', 150: 'EXIT_LATER' } as Record<number, string>;
    for (let i = 0; i < tasks; i += 1) noting.suspend(String(i), routes[i % 200] ?? 'ECHO', i % 4, 'far');
    await noting.idle(20_000);
    const { done, dropped } = engine.stats().tasks;
    // Each that was told of ended, and so did the telling itself.
    expect(done + dropped).toBe(tasks + noting.told.length);
    expect(engine.stats().groups['far']!.failed + dropped).toBeGreaterThanOrEqual(4);
    const payloads = noting.told.map(({ payload }) => payload);
    expect(new Set(payloads).size).toBe(payloads.length);
    expect(noting.live()).toEqual(nothingLive);
  });
});

describe('close()', () => {
  it('waits for the workers, too, and ends them', async () => {
    await start({});
    noting.suspend('30', 'WAIT', 0, 'far');
    const { engine } = noting;
    const report = await engine.close();
    // What the worker would have told came too late to be taken.
    expect(report).toEqual({ drained: 1, dropped: 0, interrupted: 0 });
    expect(engine.stats().tasks.active).toBe(0);
  });

  it('interrupts a worker that hangs', async () => {
    await start({});
    noting.suspend('x', 'HANG', 0, 'far');
    await toldCount(1);
    await expect(noting.engine.close({ timeoutMs: 20 })).resolves.toEqual({ drained: 0, dropped: 0, interrupted: 1 });
  });
});

describe('a module that', () => {
  const head = `import { isMainThread } from 'node:worker_threads';\nimport { defineEngineRoutes } from 'sip-async/engine';\n`;
  const good = `defineEngineRoutes({ A() {} })`;
  const attempt = (source: string) => {
    noting = new NotingEngine();
    const file = new ProxyFile(source);
    files.push(file);
    return createEngine({ groups: [{ name: 'far', workers: 2, module: file.url }] });
  };

  it.each([
    ['throws', `throw new Error('not today');`, /cannot be loaded.*not today/],
    ['does not parse', 'export default {', /cannot be loaded/],
    ['exports nothing', 'export {};', /default export defineEngineRoutes has made/],
    ['exports a plain object', 'export default { A() {} };', /default export defineEngineRoutes has made/],
    ['has a route that is none', `${head}export default defineEngineRoutes({ A: 5 });`, /groups\[0\]\.module\.default\.A: expected a function/],
    ['has no routes', `${head}export default defineEngineRoutes({});`, /expected at least one route/],
  ])('%s: CONFIG', async (_, source, fault) => {
    const failed = await attempt(source).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'SIPASYNC_ERR_CONFIG', message: expect.stringMatching(fault) });
  });

  // In a worker only: the test's own thread is none of the main kind, so it is told by what only a worker is given.
  const inWorker = `import { workerData } from 'node:worker_threads';\nconst isWorker = workerData?.place !== undefined;\n`;
  it.each([
    ['throws', `${inWorker}${head}if (isWorker) throw new Error('not here');\nexport default ${good};`, /not here/],
    ['ends the thread', `${inWorker}${head}if (isWorker) process.exit(9);\nexport default ${good};`, /ended with code 9/],
    ['exports nothing', `${inWorker}${head}export default isWorker ? 1 : ${good};`, /defineEngineRoutes/],
  ])('%s in worker threads only: WORKER_FAILED', async (_, source, fault) => {
    const failed = await attempt(source).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'SIPASYNC_ERR_WORKER_FAILED', message: expect.stringMatching(fault) });
  });

  it('has a route in some threads only: running it elsewhere fails that task', async () => {
    noting = new NotingEngine();
    const file = new ProxyFile(`${inWorker}${head}export default defineEngineRoutes(isWorker ? { A() {} } : { A() {}, B() {} });`);
    files.push(file);
    const engine = await createEngine({ groups: [{ name: 'far', workers: 1, module: file.url }] });
    engine.suspend('x', { route: 'B', group: 'far', delayMs: 0 });
    engine.suspend('x', { route: 'A', group: 'far', delayMs: 0 });
    await eventually(() => engine.stats().tasks.done === 2);
    expect(engine.stats().groups['far']).toMatchObject({ done: 1, failed: 1 });
    await engine.close();
  });
});
