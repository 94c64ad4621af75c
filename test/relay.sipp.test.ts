import { afterEach, describe, expect, it } from 'vitest';
import type { TmParams } from 'sip-async';
import { eventually } from './support/eventually.ts';
import { LossyRelay } from './support/lossy-relay.ts';
import type { Badness } from './support/lossy-relay.ts';
import { PatientCallee } from './support/patient-callee.ts';
import { RelayProxy, withReference } from './support/relay-scene.ts';
import { runSipp } from './support/sipp.ts';
import type { SippOptions, SippResult } from './support/sipp.ts';
import { SippUas } from './support/sipp-uas.ts';
import { SipClient } from './support/udp-client.ts';

const long = process.env.SIP_ASYNC_LONG === '1';
const quick: TmParams = { retr_timer1: 50, fr_timer: 4000, fr_inv_timer: 8000 };

const open: { close?: () => Promise<unknown>; stop?: () => Promise<unknown> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await (thing.close?.() ?? thing.stop?.());
});
function kept<T extends (typeof open)[number]>(thing: T): T {
  open.push(thing);
  return thing;
}
const forgotten = (thing: (typeof open)[number]): void => void open.splice(open.indexOf(thing), 1);

/** Stops a callee and reads its totals. */
async function totalsOf(uas: SippUas): ReturnType<SippUas['stop']> {
  forgotten(uas);
  return uas.stop();
}

const startProxy = async (tm: TmParams = quick) => kept(await RelayProxy.start(tm));
const startUas = async (scenario: string) => kept(await SippUas.start({ scenario }));

function call(scenario: string, user: string, to: { port: number }, calls: Partial<SippOptions> & { to: number; then?: number }): Promise<SippResult> {
  const { to: toPort, then = toPort, ...rest } = calls;
  return runSipp({
    scenario, user, port: to.port, calls: 200, rate: 100, timeoutMs: 20_000, keys: { to_port: toPort, then_port: then }, ...rest,
  });
}

const allGood = (calls: number) => ({ exitCode: 0, successful: calls, failed: 0, unexpected: 0, timedOut: false });

describe('SIPp through the proxy', () => {
  it.each(['rr-later', 'later'])('sets up and ends 200 calls at 100 a second that wait before they are relayed: %s', async (user) => {
    const proxy = await startProxy();
    const uas = await startUas('uas-180-200');
    const result = await call('uac-invite-180-200-bye', user, proxy, { to: uas.port });
    expect(result).toMatchObject(allGood(200));
    expect(result.responseTimeMs).toBeGreaterThanOrEqual(49);
    expect(await totalsOf(uas)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
  }, 40_000);

  it.skipIf(withReference).each([2, 3])('does the same with %i receivers, which share the calls', async (children) => {
    const proxy = kept(await RelayProxy.start(quick, false, { children }));
    const uas = await startUas('uas-180-200');
    const result = await call('uac-invite-180-200-bye', 'rr-later', proxy, { to: uas.port });
    expect(result, result.stderr).toMatchObject(allGood(200));
    expect(await totalsOf(uas)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
  }, 40_000);

  it('gets 487 for every call that it cancels while it rings', async () => {
    const proxy = await startProxy();
    const uas = await startUas('uas-180-487');
    const result = await call('uac-cancel', 'later', proxy, { to: uas.port });
    expect(result).toMatchObject(allGood(200));
    expect(await totalsOf(uas)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
    expect(proxy.stats?.transactions.cancelled ?? 200).toBe(200);
  }, 40_000);

  it('reaches the second callee when the first is busy, after another suspension in the failure route', async () => {
    const proxy = await startProxy();
    const busy = await startUas('uas-486');
    const uas = await startUas('uas-180-200');
    const result = await call('uac-invite-180-200-bye', 'serial-later', proxy, { to: busy.port, then: uas.port });
    expect(result).toMatchObject(allGood(200));
    expect(await totalsOf(busy)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    expect(await totalsOf(uas)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
  }, 40_000);

  it('reaches the second callee when the first never answers', async () => {
    const proxy = await startProxy({ ...quick, fr_timer: 500 });
    const silent = await startUas('uas-timeout');
    const uas = await startUas('uas-180-200');
    const result = await call('uac-invite-180-200-bye', 'serial-later', proxy, { to: silent.port, then: uas.port, calls: 50 });
    expect(result, result.stderr).toMatchObject(allGood(50));
    expect(await totalsOf(uas)).toMatchObject({ successful: 50, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
  }, 40_000);

  it('gets the refusal of the callee', async () => {
    const proxy = await startProxy();
    const busy = await startUas('uas-486');
    const result = await call('uac-invite-refused', 'later', proxy, { to: busy.port });
    expect(result).toMatchObject(allGood(200));
    expect(await totalsOf(busy)).toMatchObject({ successful: 200, failed: 0, unexpected: 0 });
    await proxy.becomesIdle();
  }, 40_000);
});

describe('a network that loses packets', () => {
  // A wait time shorter than the repetitions that it is there for would be a fault of the test.
  const patient: TmParams = { ...quick, retr_timer1: 100, fr_timer: 6400, wt_timer: 3000 };
  const bad: Badness = { dropPercent: 10 };
  const worse: Badness = { dropPercent: 10, duplicatePercent: 10, delayPercent: 10, delayMs: 60 };

  interface Network {
    readonly proxy: RelayProxy;
    readonly callee: PatientCallee;
    /** Between caller and proxy. */
    readonly near: LossyRelay;
    /** Between proxy and callee. */
    readonly far: LossyRelay;
  }

  /** The callee's Contact names the relay before it, so that ACK and BYE cross that, too. */
  async function network(badness: Badness, status = 200, tm: TmParams = {}): Promise<Network> {
    const proxy = await startProxy({ ...patient, ...tm });
    const near = kept(await LossyRelay.open({ target: proxy.port, ...badness }));
    const far = kept(await LossyRelay.open({ target: 0, ...badness }));
    const callee = kept(await PatientCallee.open({ status, contact: `<sip:callee@127.0.0.1:${far.port}>` }));
    far.target = callee.port;
    return { proxy, callee, near, far };
  }

  const say = ({ near, far }: Network): string => `near: ${near}; far: ${far}`;
  const countOf = (statuses: readonly number[]): Record<number, number> =>
    statuses.reduce<Record<number, number>>((sum, status) => ({ ...sum, [status]: (sum[status] ?? 0) + 1 }), {});

  it('keeps no call from its end', async () => {
    const calls = long ? 5000 : 100;
    // Nothing is late or doubled: a SIPp that has got its 200 takes a 180 behind it for a fault.
    const net = await network(bad);
    const result = await call('uac-invite-180-200-bye', 'rr-later', net.near, {
      to: net.far.port, calls, rate: long ? 200 : 100, timeoutMs: long ? 90_000 : 20_000,
    });
    expect(net.near.counts.dropped + net.far.counts.dropped, say(net)).toBeGreaterThan(calls / 4);
    expect(result, `${say(net)}\n${result.stderr}`).toMatchObject({ exitCode: 0, successful: calls, failed: 0, timedOut: false });
    await net.proxy.becomesIdle(15_000);
  }, long ? 150_000 : 60_000);

  it.each([
    ['INVITE', 200],
    ['INVITE', 486],
    ['OPTIONS', 200],
  ])('makes no two final replies of one, and loses none: %s %i', async (method, status) => {
    const calls = long ? 3000 : 100;
    // Nothing but timer J tells a late repetition of an OPTIONS from a new one: it must outlast those that are lost in a row.
    const net = await network(worse, status, method === 'OPTIONS' ? { wt_timer: 13_000 } : {});
    const client = kept(await SipClient.open({ port: net.near.port }));
    const all = Array.from({ length: calls }, () =>
      client.request({
        method, user: 'later', retransmit: true, autoAck: true,
        headers: [`X-To: sip:callee@127.0.0.1:${net.far.port}`],
      }),
    );
    const finals = await Promise.all(all.map((one) => one.final(20_000)));
    expect(countOf(finals.map((final) => final.status)), say(net)).toEqual({ [status]: calls });
    if (status === 200) await eventually(() => net.callee.waiting === 0, { timeoutMs: 10_000 });
    await net.proxy.becomesIdle(25_000);
    // A final reply may be repeated, for an ACK was lost; it is then the same, byte by byte.
    for (const one of all) expect(new Set(one.finals.map(({ raw }) => raw)).size, say(net)).toBe(1);
    expect(client.strays, say(net)).toEqual([]);
    // And one call is one call for the callee: all that it got of one has one branch. Two processes of Kamailio may take two
    // copies of a request that come at once for two requests.
    const branches = new Set(net.callee.callee.of(method).map((request) => request.header('via')));
    if (!withReference) expect(branches.size, say(net)).toBe(calls);
  }, long ? 120_000 : 60_000);
});
