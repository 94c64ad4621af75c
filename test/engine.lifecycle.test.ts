import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import { createEngine } from 'sip-async/engine';
import type { EngineCloseReport, EngineStats } from 'sip-async/engine';
import { runNode } from './support/child.ts';
import { NotingEngine, nothingLive, workerModule } from './fixtures/engine-runs.ts';
import { SipClient } from './support/udp-client.ts';

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

interface StepsReport {
  ran: string[];
  closes: EngineCloseReport[];
  events: unknown[];
  stats: EngineStats;
}

async function steps(words: string) {
  const ended = await runNode([fixture('engine-steps.mjs'), ...words.split(' ')]);
  const line = ended.stdout.split('\n')[0] ?? '';
  return { ...ended, report: JSON.parse(line || '{}') as StepsReport };
}

const clean = { code: 0, signal: null, stderr: '', timedOut: false };

describe('close', () => {
  // What is there ends by itself within the time.
  it.each([
    ['start close', 0, []],
    ['startFar close', 0, []],
    ['start wait close', 1, ['waited delay']],
    ['start open close', 1, ['open timeout']],
    ['start queue close', 1, ['queued delay']],
    ['start continued close', 1, ['continued continue']],
    ['start cancelled close', 0, []],
    ['start throw close', 1, []],
    ['start sleep close', 1, ['slept 60']],
    ['start sleep wait open queue close', 4, ['queued delay', 'slept 60', 'waited delay', 'open timeout']],
    ['startFar farRun close', 1, []],
  ])('%s: waits for what there is', async (words, drained, ran) => {
    const ended = await steps(words);
    expect(ended).toMatchObject({ ...clean, report: { closes: [{ drained, dropped: 0, interrupted: 0 }] } });
    expect([...ended.report.ran].sort()).toEqual([...ran].sort());
    expect(ended.report.stats.tasks.active).toBe(0);
  });

  it.each([
    ['start waitLong closeNow', { drained: 0, dropped: 1, interrupted: 0 }],
    ['start waitLong open queue continued closeNow', { drained: 0, dropped: 4, interrupted: 0 }],
    ['start waitLong closeSoon', { drained: 0, dropped: 1, interrupted: 0 }],
    ['start run closeNow', { drained: 0, dropped: 0, interrupted: 1 }],
    ['start run waitLong closeSoon', { drained: 0, dropped: 1, interrupted: 1 }],
    ['start run closeNow release', { drained: 0, dropped: 0, interrupted: 1 }],
    ['startFar farLong closeNow', { drained: 0, dropped: 1, interrupted: 0 }],
    ['startFar farRun waitLong closeNow', { drained: 0, dropped: 1, interrupted: 1 }],
    ['startFar farHang farHang closeSoon', { drained: 0, dropped: 0, interrupted: 2 }],
    ['start wait waitLong closeSoon', { drained: 0, dropped: 2, interrupted: 0 }],
  ])('%s: drops what is left at the deadline', async (words, report) => {
    const ended = await steps(words);
    expect(ended).toMatchObject(clean);
    // A wait of 60 ms may be over within 50 on a machine that stalls; then it was drained.
    const [closed] = ended.report.closes;
    if (closed!.drained === 0) expect(closed).toEqual(report);
  });

  it.each(['start load close', 'startFar load farQueue closeSoon', 'start load closeNow'])(
    '%s: tasks go on coming while it closes, and are refused',
    async (words) => expect(await steps(words)).toMatchObject(clean),
  );

  it('startFar farQueue closeNow: what the workers had not begun is dropped', async () => {
    const ended = await steps('startFar farQueue closeNow');
    expect(ended).toMatchObject(clean);
    const [{ drained, dropped, interrupted }] = ended.report.closes as [EngineCloseReport];
    expect(drained + dropped + interrupted).toBe(8);
  });

  it('twice is one, and the shorter deadline counts', async () => {
    const ended = await steps('start waitLong closeTwice');
    expect(ended).toMatchObject(clean);
    expect(ended.report.closes).toEqual(Array(2).fill({ drained: 0, dropped: 1, interrupted: 0 }));
  });

  it('in a route waits for that very route, until the deadline', async () => {
    const ended = await steps('start closeInRoute');
    expect(ended).toMatchObject({ ...clean, report: { closes: [{ drained: 0, dropped: 0, interrupted: 1 }] } });
  });

  it('leaves an engine that refuses everything, and a program that can make another', async () => {
    const ended = await steps('start wait close afterwards start wait close');
    expect(ended).toMatchObject(clean);
    expect(ended.report.events).toEqual([false, 'SIPASYNC_ERR_CLOSED', 0, 'last step done']);
    expect(ended.report.ran).toEqual(['waited delay', 'waited delay']);
  });

  it.each([1, 0])('may be called by a route, whatever runs behind it in the same batch (timeoutMs %i)', async (timeoutMs) => {
    for (let round = 0; round < 50; round += 1) {
      let closing: Promise<EngineCloseReport> | undefined;
      let ran = 0;
      const engine = await createEngine({
        routes: {
          CLOSE() {
            ran += 1;
            closing ??= engine.close({ timeoutMs });
          },
        },
      });
      for (let i = 0; i < 100; i += 1) engine.suspend(String(i), { route: 'CLOSE', delayMs: 0 });
      await new Promise((resolve) => setTimeout(resolve, 2));
      const report = await closing!;
      const { tasks, groups } = engine.stats();
      expect(report.interrupted).toBe(0);
      expect({ ran, active: tasks.active }).toEqual({ ran: 100 - report.dropped, active: 0 });
      expect(groups['local']!.failed).toBe(0);
    }
  });

  it('returns the same promise from every call, and is what await using calls', async () => {
    let engine;
    {
      await using mine = await createEngine({ routes: { A() {} } });
      engine = mine;
    }
    expect(engine.suspend('x', { route: 'A' })).toBe(false);
    const closing = engine.close();
    expect(engine.close({ timeoutMs: 0 })).toBe(closing);
    await expect(closing).resolves.toEqual({ drained: 0, dropped: 0, interrupted: 0 });
  });
});

describe('an engine that nobody closes', () => {
  it.each([
    ['start', []],
    ['startFar', []],
    ['start cancelled', []],
    ['startFar cancelled', []],
  ])('%s: does not keep the process there', async (words, ran) => {
    const ended = await steps(`${words} closeLater`);
    expect(ended).toMatchObject({ ...clean, report: { ran, events: ['last step done'] } });
  });

  it.each([
    ['start wait', ['waited delay']],
    ['start open', ['open timeout']],
    ['start continued queue', ['continued continue', 'queued delay']],
    ['start sleep', ['slept 60']],
    ['start throw wait', ['waited delay']],
    ['startFar far', ['told far']],
    ['startFar wait', ['waited delay']],
    ['startFar farRun', ['told 150']],
  ])('%s: keeps the process there while it has tasks, and no longer', async (words, ran) => {
    const ended = await steps(words);
    expect(ended).toMatchObject(clean);
    expect(ended.report.ran.sort()).toEqual(ran.sort());
    expect(ended.report.stats.tasks.active).toBe(0);
  });

  it.each([
    'start waitLong exit',
    'start run queue exit',
    'startFar farHang farLong farQueue waitLong exit',
  ])('%s: process.exit() ends the process with its code', async (words) => {
    const ended = await steps(words);
    expect(ended).toMatchObject({ ...clean, code: 7 });
  });

  it('startFar farHang waitLong uncaught: the process ends with 1 and the error alone on standard error', async () => {
    const ended = await steps('startFar farHang waitLong uncaught');
    expect(ended).toMatchObject({ code: 1, signal: null, timedOut: false });
    expect(ended.stderr).toMatch(/^file:\S+\n[^\n]*\n *\^\n\nError: thrown outside of any route\n( +at [^\n]*\n)+\nNode\.js [^\n]*\n$/);
  });
});

describe('an engine in a worker thread', () => {
  it('is taken down with it, in the middle of its work or closed', async () => {
    const ended = await runNode([fixture('engine-in-worker.mjs')], { timeoutMs: 30_000 });
    expect(ended).toMatchObject(clean);
    const report = JSON.parse(ended.stdout) as {
      held: { threads: number; files: number; mapped: number }[];
      closed: { report: EngineCloseReport; told: number; active: number };
      exitCode: number;
    };
    expect(report.exitCode).toBe(0);
    expect(report.closed.active).toBe(0);
    const { drained, dropped, interrupted } = report.closed.report;
    expect(dropped).toBe(200); // the open ones
    expect(interrupted).toBe(0);
    expect(drained).toBeGreaterThanOrEqual(0);
    const [first] = report.held;
    for (const { threads, files, mapped } of report.held) {
      expect(threads).toBeLessThanOrEqual(first!.threads);
      expect(files).toBeLessThanOrEqual(first!.files);
      expect(mapped).toBeLessThan(first!.mapped + 700); // the heaps of a few threads; one engine more is 1.7 GiB
    }
  });
});

describe('beside a proxy', () => {
  it('both do their work, and each can be closed first', async () => {
    const module = new URL('fixtures/kinds.proxy.mjs', import.meta.url);
    for (const isProxyFirst of [true, false]) {
      const proxy = await startProxy(module);
      const notings = await Promise.all([1, 2].map(() => new NotingEngine().start({
        groups: [{ name: 'far', workers: 1, module: workerModule }],
      })));
      const client = await SipClient.open(proxy.addresses[0]!);
      const call = client.request({ user: 'suspend', params: ';d=30', autoAck: true });
      for (const noting of notings) {
        noting.suspend('x', 'NOTE', 20);
        noting.suspend('x', 'ECHO', 20, 'far');
      }
      expect((await call.final()).status).toBe(404);
      for (const noting of notings) {
        await noting.idle();
        expect([noting.runs.length, noting.told.length]).toEqual([1, 1]);
        expect(noting.live()).toEqual(nothingLive);
      }
      if (isProxyFirst) await proxy.close();
      await notings[0]!.stop();
      notings[1]!.suspend('x', 'NOTE', 1);
      await notings[1]!.idle();
      expect(notings[1]!.runs).toHaveLength(2);
      await notings[1]!.stop();
      if (!isProxyFirst) {
        const last = client.request({ user: 'suspend', params: ';d=5', autoAck: true });
        expect((await last.final()).status).toBe(404);
        await proxy.close();
      }
      await client.close();
    }
  });
});
