import { afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import type { Proxy, ProxyStats } from 'sip-async';
import { eventually } from './support/eventually.ts';
import { runSipp } from './support/sipp.ts';

const module = new URL('fixtures/delay.proxy.mjs', import.meta.url);
const seconds = process.env.SIP_ASYNC_LONG === '1' ? 60 : 5;

let proxy: Proxy | undefined;
afterEach(async () => {
  await proxy?.close({ timeoutMs: 0 });
  proxy = undefined;
});

async function start(overrides = {}): Promise<{ proxy: Proxy; port: number }> {
  proxy = await startProxy(module, overrides);
  return { proxy, port: proxy.addresses[0]!.port };
}

/** Everything that counts live things. */
function live({ transactions, timers, groups, memory }: ProxyStats): Record<string, number> {
  const { active, suspended, inScript } = transactions;
  const queued = Object.values(groups).reduce((sum, group) => sum + group.queued, 0);
  return { active, suspended, inScript, pending: timers.pending, queued, ...pick(memory) };
}

const pick = ({ slotsInUse, payloadBlocks }: ProxyStats['memory']) => ({ slotsInUse, payloadBlocks });

async function expectNothingLeft(of: Proxy): Promise<void> {
  await eventually(() => Object.values(live(of.stats())).every((count) => count === 0), { timeoutMs: 8000 }).catch(() => undefined);
  expect(live(of.stats())).toEqual({
    active: 0, suspended: 0, inScript: 0, pending: 0, queued: 0, slotsInUse: 0, payloadBlocks: 0,
  });
}

/** The same delays in every run: a multiplicative walk over 1 to 2000. */
const delaysMs = Array.from({ length: 2000 }, (_, i) => 1 + ((i * 1237) % 2000));

describe('SIPp', () => {
  it('gets 100 and, after asyncRoute of one second, 404', async () => {
    const { proxy, port } = await start();
    const calls = 50;
    const result = await runSipp({ scenario: 'uac-invite-404', port, calls, rate: 50, timeoutMs: 15_000 });
    expect(result).toMatchObject({ exitCode: 0, successful: calls, failed: 0, unexpected: 0, timedOut: false });
    expect(result.responseTimeMs).toBeGreaterThanOrEqual(995);
    expect(proxy.stats().transactions.completed).toBe(calls);
    await expectNothingLeft(proxy);
  });

  it('gets 404 and no provisional reply for OPTIONS', async () => {
    const { proxy, port } = await start();
    const result = await runSipp({ scenario: 'uac-options-404', port, calls: 50, rate: 50, timeoutMs: 15_000 });
    expect(result).toMatchObject({ exitCode: 0, successful: 50, failed: 0, unexpected: 0 });
    await expectNothingLeft(proxy);
  });

  it.each([1, 2])(`has 1,000 calls a second for ${seconds} s with delays of 1 to 2000 ms answered once (children: %i)`, async (children) => {
    expect(new Set(delaysMs).size).toBe(2000);
    const { proxy, port } = await start({ children });
    const calls = 1000 * seconds;
    const result = await runSipp({
      scenario: 'uac-invite-404-no100', port, calls, rate: 1000, limit: 4000, delaysMs, timeoutMs: (seconds + 20) * 1000,
    });
    expect(result).toMatchObject({ exitCode: 0, successful: calls, failed: 0, unexpected: 0, timedOut: false });

    await expectNothingLeft(proxy);
    const { transactions, timers, groups } = proxy.stats();
    expect(transactions).toMatchObject({ completed: calls, cancelled: 0, timedOut: 0, suspended: 0, inScript: 0 });
    expect(timers).toMatchObject({ fired: calls, cancelled: 0 });
    expect(groups.default).toMatchObject({ done: calls, failed: 0, refused: 0, queued: 0 });
  }, (seconds + 40) * 1000);
});
