import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import type { Proxy } from 'sip-async';
import { runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { SipClient } from './support/udp-client.ts';

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const kinds = new URL('fixtures/kinds.proxy.mjs', import.meta.url);
const delays = new URL('fixtures/delay.proxy.mjs', import.meta.url);

const proxies: Proxy[] = [];
const clients: SipClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  for (const proxy of proxies.splice(0)) await proxy.close({ timeoutMs: 0 });
});

async function start(url: URL): Promise<{ proxy: Proxy; client: SipClient }> {
  const proxy = await startProxy(url);
  proxies.push(proxy);
  const client = await SipClient.open(proxy.addresses[0]!);
  clients.push(client);
  return { proxy, client };
}

describe('two proxies in one process', () => {
  it.each(['first', 'second'] as const)('the %s is closed while the other goes on', async (which) => {
    const one = await start(kinds);
    const two = await start(delays);
    expect(one.proxy.addresses[0]!.port).not.toBe(two.proxy.addresses[0]!.port);
    const [closed, open] = which === 'first' ? [one, two] : [two, one];
    const user = 'suspend';

    const short = closed.client.request({ user, params: ';d=150', autoAck: true });
    const long = open.client.request({ user, params: ';d=600', autoAck: true });
    await Promise.all([short.provisional(), long.provisional()]);
    expect(await closed.proxy.close()).toEqual({ drained: 1, answered: 0, dropped: 0 });
    expect((await short.final()).status).toBe(404);
    expect(long.finals).toEqual([]);
    expect((await long.final()).status).toBe(404);
    const next = open.client.request({ user, params: ';d=10', autoAck: true });
    expect((await next.final()).status).toBe(404);
  });

  it('count their own calls only', async () => {
    const one = await start(kinds);
    const two = await start(kinds);
    for (let i = 0; i < 3; i += 1) await one.client.request({ user: 'suspend', params: ';d=1' }).final();
    await two.client.request({ user: 'queue', params: ';d=1' }).final();
    await eventually(() => two.proxy.stats().groups.one!.done === 1);
    await eventually(() => one.proxy.stats().groups['async:workers']!.done === 3);
    expect(one.proxy.stats()).toMatchObject({ transactions: { completed: 3 }, groups: { one: { done: 0 } } });
    expect(two.proxy.stats()).toMatchObject({ transactions: { completed: 1 }, groups: { 'async:workers': { done: 0 } } });
  });

  it('may run the same module, and be started and closed at the same time', async () => {
    const many = await Promise.all(Array.from({ length: 4 }, () => start(kinds)));
    const calls = many.map(({ client }) => client.request({ user: 'suspend', params: ';d=100', autoAck: true }));
    await Promise.all(calls.map((call) => call.provisional()));
    const reports = await Promise.all(many.map(({ proxy }) => proxy.close()));
    expect(reports).toEqual(Array(4).fill({ drained: 1, answered: 0, dropped: 0 }));
    for (const call of calls) expect((await call.final()).status).toBe(404);
  });
});

interface Held {
  threads: number;
  files: number;
  mapped: number;
}

/** Address space that allocators take and keep; an engine of these fixtures maps some 900 MiB. */
const SLACK_MIB = 300;

describe('one proxy after another', () => {
  it('leaves no thread, no file and no memory behind in 20 rounds', async () => {
    const ended = await runNode([fixture('cycles.mjs'), '20'], { timeoutMs: 40_000 });
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
    const { statuses, first, last } = JSON.parse(ended.stdout) as { statuses: number[][]; first: Held; last: Held };
    expect(statuses).toEqual(Array(20).fill([404, 404]));
    expect({ ...last, mapped: 0 }).toEqual({ ...first, mapped: 0 });
    expect(last.mapped).toBeLessThan(first.mapped + SLACK_MIB);
  }, 60_000);
});

describe('a proxy that only a worker thread loads', () => {
  const run = async () => {
    const ended = await runNode([fixture('only-in-worker.mjs')], { timeoutMs: 40_000 });
    return { ended, report: JSON.parse(ended.stdout || '{}') as { answers: number[]; held: Held[]; exitCode: number } };
  };

  it('survives terminate() with calls suspended and packets coming in, and closes properly', async () => {
    const { ended, report } = await run();
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
    expect(report.answers).toEqual(Array(6).fill(404));
    expect(report.exitCode).toBe(0);
  }, 60_000);

  it('leaves no thread, no file and no memory behind when it is terminated', async () => {
    const { report } = await run();
    expect(report.held).toHaveLength(5);
    const [first, last] = [report.held[0]!, report.held.at(-1)!];
    expect({ ...last, mapped: 0 }).toEqual({ ...first, mapped: 0 });
    expect(last.mapped).toBeLessThan(first.mapped + SLACK_MIB);
  }, 60_000);
});
