import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import type { Proxy } from 'sip-async';
import { ProxyProcess, runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(target: { port: number }): Promise<SipClient> {
  const client = await SipClient.open({ port: target.port });
  ends.push(() => client.close());
  return client;
}

/** A proxy of this process, from the text between the braces of a definition. */
async function start(definition: string): Promise<{ proxy: Proxy; port: number }> {
  const file = new ProxyFile(`import { isMainThread, threadId } from 'node:worker_threads';
import { defineProxy } from 'sip-async';
const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const answer = (msg) => {
  msg.appendToReply(\`X-Thread: \${threadId}\`);
  msg.sendReply(404, 'Not Found');
};
export default defineProxy({ listen: 'udp:127.0.0.1:0', ${definition} });
`);
  ends.push(() => file.remove());
  const proxy = await startProxy(file.url);
  ends.push(() => proxy.close({ timeoutMs: 0 }));
  return { proxy, port: proxy.addresses[0]!.port };
}

const threadsOf = (calls: readonly Transaction[]) => new Set(calls.map((call) => call.finals[0]!.header('x-thread')));

interface LogLine {
  worker?: string;
  code?: number;
  answered?: number;
  msg: string;
  err?: { message: string };
}

function logLines(stderr: string): LogLine[] {
  return stderr.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as LogLine);
}

describe('a worker thread that dies', () => {
  it.each([
    ['EXIT', 'process.exit() in a route', { code: 3 }],
    ['EXIT_LATER', 'process.exit() while an async handler waits', { code: 3 }],
    ['THROW_LATER', 'an error outside of the handler', { code: 1, err: { message: 'thrown outside of any route' } }],
  ])('%s: %s', async (user, _, logged) => {
    const proxy = await ProxyProcess.start(fixture('dying.proxy.mjs'));
    const client = await open(proxy);
    const others = [300, 600, 1500].map((ms) => client.request({ user: 'RESUME', params: `;d=${ms}`, autoAck: true }));
    const killer = client.request({ user, autoAck: true });
    expect((await killer.final()).status).toBe(500);

    // The same worker would have run these; whatever was due meanwhile waits for the one that takes its place.
    for (const call of others) expect((await call.final()).status).toBe(404);
    for (const [i, ms] of [300, 600, 1500].entries()) {
      expect(others[i]!.elapsedMs(others[i]!.finals[0]!)).toBeGreaterThanOrEqual(ms);
    }
    const next = client.request({ user: 'RESUME', autoAck: true });
    const reply = await next.final();
    expect(reply.status).toBe(404);
    expect(Number(reply.header('x-thread'))).toBeGreaterThan(1);

    const ended = await proxy.stop();
    expect(ended).toMatchObject({ code: 0, signal: null, timedOut: false });
    const lines = logLines(ended.stderr);
    expect(lines.filter((line) => /worker thread ended/.test(line.msg))).toMatchObject([
      { worker: 'async:workers 0', ...logged },
    ]);
    expect(killer.finals).toHaveLength(1);
  });

  it('is replaced as often as it dies, and every call gets one answer', async () => {
    const proxy = await ProxyProcess.start(fixture('dying.proxy.mjs'));
    const client = await open(proxy);
    const threads = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const killer = client.request({ user: 'EXIT', params: ';d=1', autoAck: true });
      expect((await killer.final()).status).toBe(500);
      const calls = Array.from({ length: 10 }, () => client.request({ user: 'RESUME', params: ';d=1', autoAck: true }));
      for (const call of calls) expect((await call.final()).status).toBe(404);
      for (const thread of threadsOf(calls)) threads.add(thread);
    }
    expect(threads.size).toBe(3);
    expect(logLines((await proxy.stop()).stderr).filter((line) => line.code === 3)).toHaveLength(3);
  });

  it('is replaced while the proxy drains, too', async () => {
    const proxy = await ProxyProcess.start(fixture('dying.proxy.mjs'));
    const client = await open(proxy);
    const call = client.request({ user: 'RESUME', params: ';d=400', autoAck: true });
    const killer = client.request({ user: 'EXIT', params: ';d=100', autoAck: true });
    await Promise.all([call.provisional(), killer.provisional()]);
    expect(await proxy.stop()).toMatchObject({ code: 0, signal: null, timedOut: false });
    expect([(await killer.final()).status, (await call.final()).status]).toEqual([500, 404]);
  });

  it('takes its sleepers with it, and only its own', async () => {
    const proxy = await ProxyProcess.start(fixture('dying.proxy.mjs'), { args: ['--children', '2'] });
    const clients = await Promise.all(Array.from({ length: 16 }, () => open(proxy)));
    const sleepers = clients.map((client) => client.request({ user: 'sleep', params: ';d=2500', autoAck: true }));
    for (const sleeper of sleepers) await sleeper.provisional();

    // The kernel gives all datagrams of one client to the same receiver, so one that kills it was sleeping there, too.
    let killed = -1;
    for (let i = 0; i < clients.length && killed < 0; i += 1) {
      const status = (await clients[i]!.request({ user: 'exitHere', method: 'OPTIONS' }).final()).status;
      if (status === 500) killed = i;
    }
    expect(killed).toBeGreaterThanOrEqual(0);
    expect((await sleepers[killed]!.final(1000)).status).toBe(500);
    const finals = await Promise.all(sleepers.map((sleeper) => sleeper.final()));
    for (const [i, reply] of finals.entries()) {
      if (reply.status === 500) continue;
      expect([reply.status, reply.header('x-thread')]).toEqual([404, '0']);
      expect(sleepers[i]!.elapsedMs(reply)).toBeGreaterThanOrEqual(2500);
    }
    // The receiver that takes its place reads the same socket.
    const again = clients.map((client) => client.request({ user: 'answer', method: 'OPTIONS' }));
    for (const call of again) expect((await call.final()).status).toBe(404);
    expect(threadsOf(again).size).toBe(2);
    expect(await proxy.stop()).toMatchObject({ code: 0, signal: null });
  });
});

describe('a worker thread that does not end', () => {
  it('by its own timers is ended after its grace', async () => {
    const env = { STEPS_PROXY: './restless.proxy.mjs' };
    const ended = await runNode([fixture('steps.mjs'), 'start', 'call', 'suspend', 'close'], { env });
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
    const { closeMs, answers } = JSON.parse(ended.stdout) as { closeMs: number[]; answers: unknown };
    expect(answers).toEqual({ call: [404], suspend: [404, 404, 404] });
    expect(closeMs[0]).toBeLessThan(20_000);
  });

  it('because a route blocks it is ended, too, and its call gets 503', async () => {
    const { proxy, port } = await start(`
      requestRoute(msg) { msg.asyncMsRoute('BLOCK', 1); },
      route: { BLOCK: () => block(60_000) },`);
    const client = await open({ port });
    const call = client.request({ autoAck: true });
    await call.provisional();
    await eventually(() => proxy.stats().transactions.suspended === 0);
    const beganMs = performance.now();
    expect(await proxy.close({ timeoutMs: 50 })).toEqual({ drained: 0, answered: 1, dropped: 0 });
    expect(performance.now() - beganMs).toBeLessThan(20_000);
    expect((await call.final()).status).toBe(503);
  });
});

describe('children', () => {
  it('share the calls of many clients', async () => {
    const { proxy, port } = await start(`children: 3, requestRoute: answer`);
    const clients = await Promise.all(Array.from({ length: 30 }, () => open({ port })));
    const calls = Array.from({ length: 10 }, () =>
      clients.map((client) => client.request({ method: 'OPTIONS', retransmit: true })),
    ).flat();
    for (const call of calls) expect((await call.final()).status).toBe(404);
    const perThread = [...threadsOf(calls)];
    expect(perThread).toContain('0');
    expect(perThread).toHaveLength(3);
    await wait(20);
    expect(calls.filter((call) => call.finals.length !== call.sentCount)).toEqual([]);
    expect(proxy.stats().transactions.completed).toBe(calls.length);
  });

  it('resume what another thread received', async () => {
    const { port } = await start(`
      children: 3, asyncWorkers: 1,
      requestRoute(msg) { msg.asyncTaskRoute('RESUME'); },
      route: { RESUME: answer },`);
    const clients = await Promise.all(Array.from({ length: 20 }, () => open({ port })));
    const calls = clients.map((client) => client.request({ autoAck: true }));
    for (const call of calls) expect((await call.final()).status).toBe(404);
    expect(threadsOf(calls).size).toBe(1);
  });
});

describe('the workers of a group', () => {
  it('never read a socket, however many there are', async () => {
    const args = ['--listen', 'udp:127.0.0.1:0', '--listen', 'udp:127.0.0.1:0', '--listen', 'udp:127.0.0.1:0'];
    const proxy = await ProxyProcess.start(fixture('dying.proxy.mjs'), { args, sockets: 3 });
    const clients = await Promise.all(proxy.addresses.map((address) => open(address)));
    for (let round = 0; round < 20; round += 1) {
      const calls = clients.map((client) => client.request({ user: 'answer', method: 'OPTIONS' }));
      for (const call of calls) expect((await call.final(2000)).header('x-thread')).toBe('0');
    }
    expect(await proxy.stop()).toMatchObject({ code: 0, signal: null, stderr: '' });
  });

  it('share its queue, and each task runs once', async () => {
    const tasks = 60;
    const { proxy, port } = await start(`
      asyncWorkers: 4,
      requestRoute(msg) { msg.asyncTaskRoute('WORK'); },
      route: { WORK(msg) { block(20); answer(msg); } },`);
    const client = await open({ port });
    const calls = Array.from({ length: tasks }, () => client.request({ autoAck: true }));
    for (const call of calls) expect((await call.final()).status).toBe(404);
    expect(threadsOf(calls).size).toBe(4);
    const shares = [...threadsOf(calls)].map(
      (thread) => calls.filter((call) => call.finals[0]!.header('x-thread') === thread).length,
    );
    // None of them took more than its due and a batch.
    expect(Math.max(...shares)).toBeLessThan(tasks / 2);
    await eventually(() => proxy.stats().groups.default!.idle === 4);
    expect(proxy.stats().groups.default).toMatchObject({ workers: 4, queued: 0, done: tasks, failed: 0, refused: 0 });
    expect(calls.filter((call) => call.finals.length !== 1)).toEqual([]);
  });
});
