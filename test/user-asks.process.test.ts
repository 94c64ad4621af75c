import { fileURLToPath } from 'node:url';
import { startProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { pipeline } from './support/pipeline.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { becomesIdle, proxySource, RunningProxy, useProxy } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';
import { userDefinition, userPrelude } from './support/user-scripts.ts';

const book = Notes.forThisFile();

describe('with modparam async return=1', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    modparam: { async: { return: 1 } },
    requestRoute(msg) {
      if (msg.toUser === 'first') {
        const returned = msg.asyncTaskRoute('GO');
        while (!isReleased());
        return note([returned, attempt(() => msg.sendReply(500))]);
      }
      msg.asyncMsRoute('GO', 60);
      note([attempt(() => msg.sendReply(486)), attempt(() => msg.tReply(200)), attempt(() => msg.slReplyError())]);
    },
    route: { GO(msg) { note('resumed'); msg.sendReply(404); writeFileSync(process.env.NOTES + '.go', ''); } },`,
    {
      prelude: `${notePrelude}
      import { writeFileSync } from 'node:fs';
      const attempt = (action) => { try { return action(); } catch (error) { return error.code.slice(13); } };`,
    },
  );

  it('15.2.4: a call that is resumed before its script has gone on: answered once, and the script is told', async () => {
    const call = running.client.request({ user: 'first', autoAck: true });
    expect((await call.final()).status).toBe(404);
    expect(await book.atLeast(2)).toEqual(['resumed', [true, 'SUSPENDED']]);
    await becomesIdle(running.proxy);
    expect(call.finals).toHaveLength(1);
  });

  it('15.2.16: a reply while the call is suspended is refused (suspended replies: test/relay.suspend.test.ts)', async () => {
    const call = running.client.request({ user: 'alice', autoAck: true });
    expect((await call.final()).status).toBe(404);
    expect(await book.atLeast(2)).toEqual([['SUSPENDED', 'SUSPENDED', 'SUSPENDED'], 'resumed']);
    await becomesIdle(running.proxy);
    expect(call.responses.map(({ status }) => status)).toEqual([100, 404]);
  });
});

describe('stopping and starting', () => {
  it.each([0, 60])('15.2.20: stopping with work pending is bounded, and all of it is reported: %i ms', async (timeoutMs) => {
    const running = new RunningProxy(userDefinition, { prelude: userPrelude });
    await running.start();
    running.proxy.asyncTaskGroupData('SPIN', 'work', '');
    await book.atLeast(1);
    for (let i = 0; i < 5; i += 1) running.proxy.asyncTaskGroupData('SPIN', 'work', '');
    const kinds = [['long', ''], ['route', ';d=20000'], ['never', ''], ['worker', '']];
    const calls = kinds.flatMap(([user, params]) =>
      [1, 2, 3].map(() => running.client.request({ user: user!, params: params!, autoAck: true })));
    for (const call of calls) await call.provisional();
    const closing = running.proxy.close({ timeoutMs });
    if (timeoutMs === 0) setTimeout(() => book.release(), 50);
    const report = await closing;
    book.release();
    expect(report).toMatchObject({ answered: 12, dropped: 5 });
    for (const call of calls) {
      expect((await call.final()).status).toBe(503);
      expect(call.finals).toHaveLength(1);
    }
    await running.client.close();
    running.file.remove();
  });

  it('15.2.22: a handle whose index is 0 is as good as any other', async () => {
    const running = new RunningProxy(userDefinition, { prelude: userPrelude, overrides: { maxTransactions: 4 } });
    await running.start();
    const calls = Array.from({ length: 4 }, () => running.client.request({ user: 'long', autoAck: true }));
    await eventually(() => running.proxy.suspended().length === 4);
    const entry = running.proxy.suspended().find(({ handle }) => handle.index === 0);
    expect(entry).toBeDefined();
    expect(running.proxy.cancel(entry!.handle)).toBe(true);
    const call = calls.find(({ request }) => request.callId === entry!.callId)!;
    expect((await call.final()).status).toBe(487);
    expect(running.stats.transactions.suspended).toBe(3);
    await running.stop();
  });

  it.each([
    ["asyncTkvGname: 'g', asyncTkvEvcb: 'core:none', eventRoute: { 'core:tkv'() {} },", /asyncTkvEvcb.*core:none/],
    ["eventRoute: { 'core:tvk'() {} },", /eventRoute.*core:tvk/],
    ["route: { RESUME: 'RESUME' },", /route\.RESUME/],
    ["routes: { RESUME() {} },", /routes/],
  ])('15.2.23: names that lead nowhere are refused at the start: %s', async (fault, message) => {
    const file = new ProxyFile(proxySource(`asyncWorkers: 1, requestRoute() {}, ${fault}`));
    const refused = { code: 'SIPASYNC_ERR_CONFIG', message: expect.stringMatching(message) as string };
    await expect(startProxy(file.url, { listen: 'udp:127.0.0.1:0' })).rejects.toMatchObject(refused);
    file.remove();
  });

  it('15.2.24: a process ends when only suspended calls are left of its closed proxy', async () => {
    const steps = fileURLToPath(new URL('fixtures/steps.mjs', import.meta.url));
    const ended = await runNode([steps, 'start', 'suspendLong', 'runLong', 'sleep', 'closeNow']);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
  });
});

describe('all cores at once', () => {
  const running = useProxy(
    `
    children: 3,
    asyncWorkers: 3,
    asyncWorkersGroup: ['name=work;workers=3'],
    asyncTkvGname: 'work', asyncTkvEvcb: 'core:tkv',
    modparam: { async: { workers: 3 } },
    requestRoute(msg) {
      if (!msg.asyncTaskData('TASK', 'x')) throw msg.asyncError;
      if (msg.cseq % 2 === 0) msg.asyncMsRoute('MORE', 1 + msg.cseq % 7);
      msg.asyncTaskGroupRoute('MORE', 'work');
    },
    route: {
      TASK() {},
      MORE(msg) { msg.asyncTkvEmit(1, '', ''); if (msg.cseq % 10 === 0) throw new Error('thrown'); msg.asyncTaskRoute('END'); },
      END(msg) { msg.sendReply(404); },
    },
    eventRoute: { 'core:tkv'() {} },`,
  );

  it('15.2.21: the counters add up', async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => SipClient.open(running.proxy.addresses[0]!)));
    const count = 2400;
    const finals = await pipeline(count, 120, (cseq) =>
      clients[cseq % clients.length]!.request({ cseq, method: 'OPTIONS' }).final());
    await becomesIdle(running.proxy);
    const thrown = count / 10;
    expect(finals.filter(({ status }) => status === 500)).toHaveLength(thrown);
    expect(finals.filter(({ status }) => status === 404)).toHaveLength(count - thrown);
    const { transactions, timers, tasks, groups, transport } = running.stats;
    expect(transactions).toMatchObject({ completed: count, cancelled: 0, timedOut: 0 });
    expect(timers).toMatchObject({ fired: count / 2, cancelled: 0 });
    expect(tasks).toMatchObject({ done: 2 * count, dropped: 0 });
    const sum = (name: 'done' | 'failed' | 'refused') => Object.values(groups).reduce((total, group) => total + group[name], 0);
    // Each call: a data task, an event, MORE, and END unless MORE threw.
    expect([sum('done'), sum('failed'), sum('refused')]).toEqual([4 * count - 2 * thrown, thrown, 0]);
    expect(transport).toMatchObject({ received: count, sent: count, sendFailed: 0, refused: 0, malformed: {} });
    for (const group of Object.values(groups)) expect(group.idle).toBe(group.workers);
    await Promise.all(clients.map((client) => client.close()));
  });
});
