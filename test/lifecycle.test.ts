import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import type { CloseReport } from 'sip-async';
import { runNode } from './support/child.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { SipClient } from './support/udp-client.ts';

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const kinds = fixture('kinds.proxy.mjs');

interface StepsReport {
  answers: Record<string, number[]>;
  closes: CloseReport[];
  closeMs: number[];
  events: string[];
}

async function steps(words: string, env: NodeJS.ProcessEnv = {}) {
  const ended = await runNode([fixture('steps.mjs'), ...words.split(' ')], { env });
  const line = ended.stdout.split('\n')[0] ?? '';
  return { ...ended, report: JSON.parse(line || '{}') as StepsReport };
}

const clean = { code: 0, signal: null, stderr: '', timedOut: false };

describe('close', () => {
  // What is open ends by itself within the time, and the caller gets the reply of its own route.
  it.each([
    ['start suspend close', 'suspend'],
    ['start queue close', 'queue'],
    ['start run close', 'run'],
    ['start sleep close', 'sleep'],
  ])('%s: the calls are answered by their own routes', async (words, kind) => {
    const ended = await steps(words);
    expect(ended).toMatchObject({ ...clean, report: { closes: [{ drained: 3, answered: 0, dropped: 0 }] } });
    expect(ended.report.answers[kind]).toEqual([404, 404, 404]);
  });

  it.each([
    ['start suspendLong closeNow', 'suspend'],
    ['start queue closeNow', 'queue'],
    ['start runLong closeNow', 'run'],
    ['start sleep closeNow', 'sleep'],
    ['start suspendLong closeSoon', 'suspend'],
    ['start runLong closeSoon', 'run'],
  ])('%s: the calls get 503 at the deadline', async (words, kind) => {
    const ended = await steps(words);
    expect(ended).toMatchObject({ ...clean, report: { closes: [{ drained: 0, answered: 3, dropped: 0 }] } });
    expect(ended.report.answers[kind]).toEqual([503, 503, 503]);
    expect(ended.report.closeMs[0]).toBeLessThan(20_000);
  });

  it('counts what was answered and what ended by itself apart', async () => {
    const ended = await steps('start suspend runLong closeLong');
    expect(ended).toMatchObject({ ...clean, report: { closes: [{ drained: 3, answered: 3, dropped: 0 }] } });
    expect(ended.report.answers).toEqual({ suspend: [404, 404, 404], run: [503, 503, 503] });
  });

  it.each(['start', 'start call'])('%s, and main ends: the proxy stays until it is closed, then nothing is left', async (words) => {
    const ended = await steps(`${words} closeLater`);
    expect(ended).toMatchObject(clean);
    expect(ended.report.events).toEqual(['last step done', 'closed later']);
  });

  it.each(['start load close', 'start suspendLong load closeNow'])('%s: requests go on coming in while it closes', async (words) => {
    const ended = await steps(words);
    expect(ended).toMatchObject(clean);
    const [closed] = ended.report.closes;
    expect(words.includes('Long') ? closed!.answered : closed!.drained).toBeGreaterThan(0);
  });

  it('leaves the program free to start again', async () => {
    const ended = await steps('start suspend close start call suspend close');
    expect(ended).toMatchObject(clean);
    expect(ended.report.answers).toEqual({ suspend: Array(6).fill(404), call: [404] });
  });

  it.each([
    ['start suspendLong exit', 7],
    ['start runLong queue exit', 7],
    ['start suspendLong queue runLong sleep load exit', 7],
  ])('%s: process.exit() ends the process with its code', async (words, code) => {
    const ended = await steps(words);
    expect(ended).toMatchObject({ ...clean, code });
    expect(ended.report.events).toEqual([]);
  });

  it('start suspendLong load uncaught: the process ends with 1 and the error alone on standard error', async () => {
    const ended = await steps('start suspendLong load uncaught');
    expect(ended).toMatchObject({ code: 1, signal: null, timedOut: false });
    expect(ended.stderr).toMatch(/^file:\S+\n[^\n]*\n *\^\n\nError: thrown outside of any route\n( +at [^\n]*\n)+\nNode\.js [^\n]*\n$/);
  });

  it.each(['start call suspend queue run sleep close', 'start suspendLong runLong closeNow'])(
    '%s: the same where the event loop cannot poll the socket itself',
    async (words) => {
      const ended = await steps(words, { SIP_ASYNC_NO_UV: '1' });
      expect(ended).toMatchObject(clean);
      const wanted = words.includes('closeNow') ? 503 : 404;
      const answers = Object.values(ended.report.answers).flat();
      expect(answers).toEqual(Array(wanted === 503 ? 6 : 13).fill(wanted));
    },
  );
});

describe('a proxy object', () => {
  const url = new URL('fixtures/kinds.proxy.mjs', import.meta.url);

  it('returns the same promise from every close()', async () => {
    const proxy = await startProxy(url);
    const first = proxy.close();
    expect(proxy.close({ timeoutMs: 5 })).toBe(first);
    await expect(first).resolves.toEqual({ drained: 0, answered: 0, dropped: 0 });
    expect(proxy.close()).toBe(first);
  });

  it('lets a shorter deadline of a second close() count', async () => {
    const proxy = await startProxy(url);
    const client = await SipClient.open(proxy.addresses[0]!);
    const call = client.request({ user: 'suspend', params: ';d=20000', autoAck: true });
    await call.provisional();
    const closed = proxy.close();
    void proxy.close({ timeoutMs: 0 });
    await expect(closed).resolves.toEqual({ drained: 0, answered: 1, dropped: 0 });
    expect((await call.final()).status).toBe(503);
    await client.close();
  });

  it.each([-1, NaN, '5', null])('refuses %o as a deadline, and stays open', async (timeoutMs) => {
    const proxy = await startProxy(url);
    expect(() => proxy.close({ timeoutMs: timeoutMs as number })).toThrow(TypeError);
    const client = await SipClient.open(proxy.addresses[0]!);
    expect((await client.request({ method: 'OPTIONS' }).final()).status).toBe(404);
    await client.close();
    await proxy.close();
  });

  it('keeps the statistics of its end', async () => {
    const proxy = await startProxy(url);
    const client = await SipClient.open(proxy.addresses[0]!);
    await client.request({ user: 'suspend', params: ';d=20' }).final();
    await client.close();
    await proxy.close();
    const { transactions, transport, groups } = proxy.stats();
    expect(transactions).toMatchObject({ completed: 1, suspended: 0, inScript: 0 });
    expect(transport).toMatchObject({ received: 1, sent: 2 });
    expect(groups['async:workers']).toMatchObject({ done: 1, failed: 0, queued: 0 });
    expect(proxy.stats()).toEqual(proxy.stats());
  });

  it('is closed by await using, and gives its address free', async () => {
    let address: string;
    {
      await using proxy = await startProxy(url);
      address = String(proxy.addresses[0]);
      await expect(startProxy(url, { listen: address })).rejects.toMatchObject({ code: 'SIPASYNC_ERR_LISTEN' });
    }
    await using again = await startProxy(url, { listen: address });
    expect(String(again.addresses[0])).toBe(address);
  });

  it('leaves no socket behind when the second address is taken', async () => {
    const taken = createSocket('udp4').bind(0, '127.0.0.1');
    await once(taken, 'listening');
    const free = createSocket('udp4').bind(0, '127.0.0.1');
    await once(free, 'listening');
    const [port, takenPort] = [free.address().port, taken.address().port];
    await new Promise<void>((closed) => free.close(() => closed()));
    const listen = [`udp:127.0.0.1:${port}`, `udp:127.0.0.1:${takenPort}`];
    await expect(startProxy(url, { listen })).rejects.toThrow(/EADDRINUSE/);
    const again = createSocket('udp4').bind(port, '127.0.0.1');
    await once(again, 'listening');
    again.close();
    taken.close();
  });
});

describe('starting that fails half way', () => {
  const files: ProxyFile[] = [];
  const run = (source: string, args: string[] = []) => {
    const file = new ProxyFile(source);
    files.push(file);
    return runNode([cli, 'run', file.path, ...args]);
  };
  afterEach(() => {
    for (const file of files.splice(0)) file.remove();
  });

  it('on a port in use: LISTEN, exit code 1', async () => {
    const taken = createSocket('udp4').bind(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = `udp:127.0.0.1:${taken.address().port}`;
    const ended = await runNode([cli, 'run', kinds, '--listen', address]);
    taken.close();
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: '', timedOut: false });
    expect(ended.stderr).toBe(
      `sip-async: SIPASYNC_ERR_LISTEN: the address cannot be bound: ${address}: EADDRINUSE, address already in use\n`,
    );
  });

  it.each([
    ['throws', `throw new Error('not today');`, /not today/],
    ['does not parse', 'export default {', /SyntaxError/],
    ['imports what is not there', `import './missing.mjs';`, /missing\.mjs/],
  ])('on a module that %s: CONFIG, exit code 2', async (_, source, fault) => {
    const ended = await run(source);
    expect(ended).toMatchObject({ code: 2, signal: null, stdout: '', timedOut: false });
    expect(ended.stderr).toMatch(/^sip-async: SIPASYNC_ERR_CONFIG: [^\n]*\n$/);
    expect(ended.stderr).toMatch(fault);
  });

  const head = `import { isMainThread } from 'node:worker_threads';\nimport { defineProxy } from 'sip-async';\n`;
  const proxy = `defineProxy({ listen: 'udp:127.0.0.1:0', asyncWorkers: 3, requestRoute() {} })`;

  it.each([
    ['throws', `${head}if (!isMainThread) throw new Error('not here');\nexport default ${proxy};\n`, /not here/],
    ['ends the thread', `${head}if (!isMainThread) process.exit(9);\nexport default ${proxy};\n`, /ended with code 9/],
    ['exports nothing', `${head}export default isMainThread ? ${proxy} : 1;\n`, /does not export what defineProxy returns/],
  ])('on a module that %s in worker threads only: WORKER_FAILED, exit code 1', async (_, source, fault) => {
    const ended = await run(source);
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: '', timedOut: false });
    expect(ended.stderr).toMatch(/^sip-async: SIPASYNC_ERR_WORKER_FAILED: [^\n]*\n$/);
    expect(ended.stderr).toMatch(fault);
  });
});
