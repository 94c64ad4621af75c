import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { streamCalls } from './support/call-stream.ts';
import { Child } from './support/child.ts';
import { eventually } from './support/eventually.ts';

/** SIP_ASYNC_LONG=1 runs all of it, which takes minutes; a hundredth shows that it can run. */
const isLong = process.env['SIP_ASYNC_LONG'] === '1';
const share = isLong ? 1 : 1 / 100;
const tasks = 10_000_000 * share;
const suspensionsPerCall = 5;
const calls = (1_000_000 * share) / suspensionsPerCall;
const timeoutMs = isLong ? 3_600_000 : 60_000;
/** How much more may be resident in the last quarter than in the second; heaps are still settling in a short run. */
const growthKiB = isLong ? 8 * 1024 : 96 * 1024;
/** Heaps and malloc that take what they need and not what would be comfortable: what grows then is kept by somebody. */
const nodeArgs = ['--max-semi-space-size=2', '--max-old-space-size=64'];
const env = { MALLOC_ARENA_MAX: '1' };

interface SoakReport {
  readonly live: Readonly<Record<string, number>>;
  readonly resident: readonly [number[], number[], number[], number[]];
  readonly failed: number;
  readonly tasks: { readonly active: number; readonly done: number; readonly dropped: number };
  readonly completed: number;
  readonly fired: number;
}

const script = fileURLToPath(new URL('fixtures/soak.mjs', import.meta.url));

const soak = (what: 'tasks' | 'calls', count: number) =>
  new Child(process.execPath, [...nodeArgs, script, what, String(count)], { env });

async function reportOf(child: Child): Promise<SoakReport> {
  const ended = await child.ended(timeoutMs);
  expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
  return JSON.parse(ended.stdout.trimEnd().split('\n').at(-1)!) as SoakReport;
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)]!;
}

function expectFlat({ live, resident, failed }: SoakReport): void {
  expect(failed).toBe(0);
  expect(live).toEqual(Object.fromEntries(Object.keys(live).map((name) => [name, 0])));
  for (const quarter of resident) expect(quarter.length).toBeGreaterThan(2);
  const [, second, , fourth] = resident.map(median);
  expect(fourth! - second!, JSON.stringify(resident.map(median))).toBeLessThan(growthKiB);
}

describe('a proxy that works for long keeps nothing', () => {
  it(`${tasks} data tasks`, { timeout: timeoutMs }, async () => {
    const report = await reportOf(soak('tasks', tasks));
    expect(report.tasks).toEqual({ active: 0, done: tasks, dropped: 0 });
    expectFlat(report);
  });

  it(`${calls * suspensionsPerCall} suspensions with variables, of ${calls} calls`, { timeout: timeoutMs }, async () => {
    const child = soak('calls', calls);
    const [, port] = await eventually(() => /^(\d+)\n/.exec(child.stdout), { timeoutMs: 10_000 }) as RegExpExecArray;
    const answered = await streamCalls({ port: Number(port), calls, sockets: 4, outstanding: 100 });
    expect(answered).toEqual({ 404: calls });
    const report = await reportOf(child);
    expect(report).toMatchObject({ completed: calls, tasks: { done: 0 } });
    // Of five suspensions two are by time.
    expect(report.fired).toBe(2 * calls);
    expectFlat(report);
  });
});
