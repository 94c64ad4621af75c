import { startProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

describe('a process that is stopped under load', () => {
  const source = proxySource(
    `
    listen: 'udp:127.0.0.1:0',
    asyncWorkers: 2,
    asyncTkvGname: 'default', asyncTkvEvcb: 'core:tkv',
    modparam: { async: { workers: 2 }, tm: { wt_timer: 100 } },
    async requestRoute(msg) {
      msg.asyncTaskData('TASK', msg.raw);
      msg.asyncTkvEmit(1, msg.callId, 'value');
      msg.avp.set('filler', msg.raw);
      if (msg.cseq % 4 === 0) msg.asyncTaskRoute('WORK');
      if (msg.cseq % 4 === 1 && !await msg.asyncMsSleep(20 + msg.cseq % 300)) return;
      if (msg.cseq % 4 === 2) await new Promise((done) => setTimeout(done, msg.cseq % 100));
      if (msg.cseq % 16 === 3) msg.asyncRoute('END', 60);
      msg.asyncMsRoute('END', 1 + msg.cseq % 400);
    },
    route: { WORK(msg) { msg.asyncMsRoute('END', 5); }, END(msg) { msg.sendReply(404); }, TASK(msg) { void msg.asyncData; } },
    eventRoute: { 'core:tkv'(msg) { void msg.atkv.key; } },`,
  );

  it.each(['SIGTERM', 'SIGINT'] as const)('12.29: ends each call once and itself with 0: %s', async (signal) => {
    const file = new ProxyFile(source);
    const proxy = await ProxyProcess.start(file.path, { args: ['--timeout', '300'] });
    const client = await SipClient.open({ port: proxy.port });
    const calls: Transaction[] = [];
    const send = () => {
      for (let i = 0; i < 10; i += 1) calls.push(client.request({ cseq: calls.length, autoAck: true }));
    };
    const load = setInterval(send, 5);
    await eventually(() => calls.filter(({ finals }) => finals.length > 0).length > 200);
    const before = [...calls];
    const report = await proxy.stop(signal);
    clearInterval(load);
    expect(report).toMatchObject({ code: 0, signal: null, timedOut: false });
    const lines = report.stderr.split('\n').filter((line) => line !== '');
    expect(lines.filter((line) => !/^sip-async: (open calls answered 503|data tasks dropped): \d+$/.test(line))).toEqual([]);
    // Each call whose request the proxy has taken was ended, by its route or by the proxy.
    for (const call of before.filter(({ responses }) => responses.length > 0)) {
      await call.final();
      expect([[404], [503]]).toContainEqual([...new Set(call.finals.map(({ status }) => status))]);
    }
    expect(before.filter(({ finals }) => finals[0]?.status === 404).length).toBeGreaterThan(200);
    await client.close();
    file.remove();
  });

  it('12.29: frees what it holds and starts again in the same process, again and again', async () => {
    const file = new ProxyFile(source);
    for (let round = 0; round < 4; round += 1) {
      const proxy = await startProxy(file.url);
      const client = await SipClient.open(proxy.addresses[0]!);
      const calls = Array.from({ length: 200 }, (_, cseq) => client.request({ cseq, autoAck: true }));
      await eventually(() => proxy.stats().transactions.suspended > 50);
      const report = await proxy.close({ timeoutMs: round * 20 });
      expect(report.answered).toBeGreaterThan(0);
      for (const call of calls.filter(({ responses }) => responses.length > 0)) {
        await call.final();
        expect([[404], [503]]).toContainEqual([...new Set(call.finals.map(({ status }) => status))]);
      }
      expect(proxy.stats()).toMatchObject({
        transactions: { suspended: 0, inScript: 0 },
        timers: { pending: 0 },
        tasks: { active: 0 },
      });
      await client.close();
    }
    file.remove();
  });
});
