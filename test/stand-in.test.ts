import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

const blockMs = 1500;

const source = proxySource(
  `
  asyncWorkers: 2,
  async requestRoute(msg) {
    runs.set(msg.callId, (runs.get(msg.callId) ?? 0) + 1);
    if (msg.toUser === 'route') msg.asyncMsRoute('RESUME', 300);
    if (msg.toUser === 'late') msg.asyncMsRoute('RESUME', 30_000);
    if (msg.toUser === 'sleep') await msg.asyncMsSleep(300);
    if (msg.toUser === 'block') {
      const sinceMs = performance.now();
      writeFileSync(new URL('./blocks', import.meta.url), '');
      while (performance.now() - sinceMs < ${blockMs} || !existsSync(gate));
    }
    if (msg.toUser === 'runs') msg.appendToReply('X-Runs: ' + [...runs.values()].join(' '));
    msg.appendToReply('X-Thread: ' + threadId);
    msg.sendReply(404);
  },
  route: {
    RESUME(msg) {
      msg.appendToReply('X-Thread: ' + threadId);
      msg.sendReply(404);
    },
  },`,
  `
  import { writeFileSync } from 'node:fs';
  const gate = new URL('./gate', import.meta.url);
  const runs = new Map();`,
);

const statuses = (call: Transaction) => call.responses.map((response) => response.status);

// The proxy is a process of its own: in this one it would block the client, too. It stays blocked until the test opens
// the gate, so that whatever is answered before that was answered past the blocked thread.
describe('a requestRoute that blocks its thread', () => {
  let file: ProxyFile;
  let running: ProxyProcess;
  let client: SipClient;
  let blocked: Transaction;
  let suspended: Transaction;
  let asleep: Transaction;
  let sleepers: Transaction[];

  beforeAll(async () => {
    file = new ProxyFile(source);
    running = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0'] });
    client = await SipClient.open({ port: running.port });
    suspended = client.request({ user: 'late' });
    await suspended.provisional();
    sleepers = Array.from({ length: 20 }, () => client.request({ user: 'route', autoAck: true }));
    asleep = client.request({ user: 'sleep', autoAck: true });
    await Promise.all([asleep, ...sleepers].map((call) => call.provisional()));
    blocked = client.request({ user: 'block', autoAck: true });
    await eventually(() => existsSync(join(file.folder, 'blocks')));
  });
  afterAll(async () => {
    writeFileSync(join(file.folder, 'gate'), '');
    await client.close();
    await running.stop();
    file.remove();
  });

  it('does not keep repeated INVITEs from their 100', async () => {
    for (let i = 2; i <= 5; i += 1) {
      suspended.resend();
      await eventually(() => suspended.responses.length === i);
    }
    expect(statuses(suspended)).toEqual([100, 100, 100, 100, 100]);
    blocked.resend();
    expect((await blocked.provisional()).status).toBe(100);
  });

  it('does not keep sleepers on other threads waiting', async () => {
    for (const call of sleepers) {
      const final = await call.final();
      expect(final.status).toBe(404);
      expect(final.header('x-thread')).not.toBe('0');
      expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(300);
    }
    expect(blocked.finals).toEqual([]);
    // One that sleeps in the blocked thread itself cannot go on.
    expect(asleep.finals).toEqual([]);
  });

  it('does not keep a suspended call from being cancelled', async () => {
    const cancelling = suspended.cancel();
    expect((await cancelling.final()).status).toBe(200);
    expect((await suspended.final()).status).toBe(487);
    suspended.ack();
    expect(blocked.finals).toEqual([]);
  });

  it('does not keep new INVITEs from their 100; they are served when the thread is back', async () => {
    const invites = Array.from({ length: 150 }, () => client.request({ user: 'direct', autoAck: true }));
    const others = Array.from({ length: 150 }, () => client.request({ user: 'direct', method: 'OPTIONS' }));
    for (const call of [...invites, ...others]) call.resend();
    await Promise.all(invites.map((call) => call.provisional()));
    expect([...invites, ...others, blocked].flatMap((call) => call.finals)).toEqual([]);

    writeFileSync(join(file.folder, 'gate'), '');
    const final = await blocked.final();
    expect(blocked.elapsedMs(final)).toBeGreaterThanOrEqual(blockMs);
    for (const call of [...invites, ...others, asleep]) {
      const answer = await call.final();
      expect(answer.status).toBe(404);
      expect(answer.header('x-thread')).toBe('0');
    }
    for (const call of others) expect(statuses(call)).toEqual([404]);
    for (const call of invites) expect(statuses(call).filter((status) => status >= 200)).toEqual([404]);
  });

  it('leaves no call that ran twice', async () => {
    const answer = await client.request({ user: 'runs', method: 'OPTIONS' }).final();
    const runs = answer.header('x-runs').split(' ');
    expect(runs).toHaveLength(1 + sleepers.length + 1 + 1 + 300 + 1);
    expect(new Set(runs)).toEqual(new Set(['1']));
  });
});
