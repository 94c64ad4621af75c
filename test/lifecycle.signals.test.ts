import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const clean = { code: 0, signal: null, timedOut: false };

const KINDS = ['suspend', 'queue', 'run', 'sleep'];
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const CASES = SIGNALS.flatMap((signal) => KINDS.map((kind) => [signal, kind] as const));

let client: SipClient | undefined;
afterEach(async () => {
  await client?.close();
  client = undefined;
});

/** A proxy with three calls open in it; all have got as far as they get. */
async function open(kind: string, delayMs: number, args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const proxy = await ProxyProcess.start(fixture('kinds.proxy.mjs'), { args, env });
  client = await SipClient.open(proxy);
  const calls = Array.from({ length: 3 }, () => client!.request({ user: kind, params: `;d=${delayMs}`, autoAck: true }));
  // A running handler has sent no 100; by the answer to the fourth call the first three have reached their routes.
  expect((await client.request({ method: 'OPTIONS' }).final()).status).toBe(404);
  expect(calls.map((call) => call.finals.length)).toEqual([0, 0, 0]);
  return { proxy, calls };
}

const statuses = (calls: Transaction[]) =>
  Promise.all(calls.map(async (call) => (await call.final()).status));

describe('a signal', () => {
  it.each(CASES)('%s lets calls of the kind "%s" end by themselves', async (signal, kind) => {
    const { proxy, calls } = await open(kind, 250);
    const ended = await proxy.stop(signal);
    expect(ended).toMatchObject({ ...clean, stderr: '' });
    expect(await statuses(calls)).toEqual([404, 404, 404]);
  });

  it.each(CASES)('%s with --timeout 0 answers calls of the kind "%s" at once with 503', async (signal, kind) => {
    const { proxy, calls } = await open(kind, kind === 'queue' ? 400 : 20_000, ['--timeout', '0']);
    const ended = await proxy.stop(signal);
    expect(ended).toMatchObject({ ...clean, stderr: 'sip-async: open calls answered 503: 3\n' });
    expect(await statuses(calls)).toEqual([503, 503, 503]);
  });

  it('waits as long as --timeout says, and no longer', async () => {
    const { proxy, calls } = await open('suspend', 20_000, ['--timeout', '400']);
    const short = client!.request({ user: 'suspend', params: ';d=150', autoAck: true });
    await short.provisional();
    const beganMs = performance.now();
    const ended = await proxy.stop();
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(400);
    expect(performance.now() - beganMs).toBeLessThan(20_000);
    expect(ended).toMatchObject({ ...clean, stderr: 'sip-async: open calls answered 503: 3\n' });
    expect(await statuses([...calls, short])).toEqual([503, 503, 503, 404]);
  });

  it('while draining refuses new requests and absorbs retransmissions', async () => {
    const { proxy, calls } = await open('suspend', 700);
    proxy.child.kill('SIGTERM');
    const refused = await eventually(async () => {
      const reply = await client!.request({ method: 'OPTIONS' }).final();
      return reply.status === 404 ? undefined : reply;
    });
    expect(refused?.status).toBe(503);
    expect(refused?.header('retry-after')).toBe('5');
    calls[0]!.resend();
    await eventually(() => calls[0]!.provisionals.length === 2);
    expect(await proxy.child.ended(5000)).toMatchObject({ ...clean, stderr: '' });
    expect(await statuses(calls)).toEqual([404, 404, 404]);
  });

  it.each(SIGNALS)('%s a second time ends the draining', async (signal) => {
    const { proxy, calls } = await open('suspend', 20_000);
    proxy.child.kill('SIGTERM');
    await wait(200);
    expect(calls.flatMap((call) => call.finals)).toEqual([]);
    const ended = await proxy.stop(signal, 5000);
    expect(ended).toMatchObject(clean);
    expect(await statuses(calls)).toEqual([503, 503, 503]);
    expect(ended.stderr).toBe('sip-async: open calls answered 503: 3\n');
  });

  it('drains where the event loop cannot poll the socket itself', async () => {
    const { proxy, calls } = await open('suspend', 250, [], { SIP_ASYNC_NO_UV: '1' });
    expect(await proxy.stop()).toMatchObject({ ...clean, stderr: '' });
    expect(await statuses(calls)).toEqual([404, 404, 404]);
  });

  it('ends a proxy whose module keeps a timer in every thread', async () => {
    const proxy = await ProxyProcess.start(fixture('reloading.proxy.mjs'));
    expect(await proxy.stop('SIGTERM', 6000)).toMatchObject({ ...clean, stderr: '' });
  });
});

describe('an error outside of any route', () => {
  it('in the main thread ends the process with 1', async () => {
    const { proxy } = await open('suspend', 20_000);
    client!.request({ user: 'uncaught' });
    const ended = await proxy.child.ended(5000);
    expect(ended).toMatchObject({ code: 1, signal: null, timedOut: false });
    expect(ended.stderr).toMatch(/\nError: thrown outside of any route\n( +at [^\n]*\n)+\nNode\.js [^\n]*\n$/);
  });

  it('and a process.exit() in a route of the main thread ends it with that code', async () => {
    const { proxy } = await open('suspend', 20_000);
    client!.request({ user: 'exit' });
    expect(await proxy.child.ended(5000)).toMatchObject({ code: 5, signal: null, stderr: '', timedOut: false });
  });
});
