import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';
import type { Transaction } from './support/udp-client.ts';

const prelude = `
  const gate = new URL('./gate', import.meta.url);
  const nap = new Int32Array(new SharedArrayBuffer(4));
  function refused(msg, returned) {
    const code = msg.asyncError?.code;
    msg.appendToReply('X-Returned: ' + returned);
    msg.appendToReply('X-Code: ' + code);
  }`;

describe('maxTransactions', () => {
  const running = useProxy(
    `
    maxTransactions: 2,
    async requestRoute(msg) {
      if (msg.toUser === 'first') msg.asyncMsRoute('RESUME', 2000);
      if (msg.toUser === 'sleep') refused(msg, await msg.asyncMsSleep(10));
      else if (msg.toUser === 'newtran') refused(msg, msg.tNewtran());
      else if (msg.toUser === 'task') refused(msg, msg.asyncTaskRoute('RESUME'));
      else refused(msg, msg.asyncMsRoute('RESUME', 10));
      msg.sendReply(503, 'Own words');
    },
    asyncWorkers: 1,
    route: { RESUME(msg) { msg.sendReply(404); } },`,
    { prelude },
  );

  it('refuses the third call, answers the first two, and takes more when they are over', async () => {
    const first = [1, 2].map(() => running.client.request({ user: 'first', autoAck: true }));
    await Promise.all(first.map((call) => call.provisional()));
    expect(running.stats.transactions).toMatchObject({ active: 2, suspended: 2 });

    for (const user of ['route', 'sleep', 'newtran', 'task']) {
      for (const method of ['INVITE', 'OPTIONS']) {
        const { call: third } = await running.inviteWithoutTrying({ user, method });
        const final = await third.final();
        expect(final.reason).toBe('Own words');
        expect(final.header('x-returned')).toBe('false');
        expect(final.header('x-code')).toBe('SIPASYNC_ERR_SLOTS_EXHAUSTED');
        expect(third.responses.map((response) => response.status)).toEqual([503]);
      }
    }
    expect(running.stats.transactions).toMatchObject({ active: 2, suspended: 2 });

    const finals = await Promise.all(first.map((call) => call.final()));
    expect(finals.map((final) => final.status)).toEqual([404, 404]);
    first.forEach((call, i) => expect(call.elapsedMs(finals[i]!)).toBeGreaterThanOrEqual(2000));

    await becomesIdle(running.proxy);
    expect((await running.ask({})).status).toBe(404);
  });
});

/** Whose worker is busy until the test opens the gate. */
const groups = (group: string) => `
    asyncWorkersGroup: [${group}],
    requestRoute(msg) {
      refused(msg, msg.asyncTaskGroupRoute(msg.toUser === 'busy' ? 'BUSY' : 'RESUME', 'abc'));
      if (msg.toUser === 'stateless') msg.slSendReply(480);
      msg.sendReply(480);
    },
    route: {
      BUSY(msg) {
        msg.sendReply(183, 'Busy');
        while (!existsSync(gate)) Atomics.wait(nap, 0, 0, 5);
        msg.sendReply(404, 'Busy');
      },
      RESUME(msg) { msg.sendReply(404); },
    },`;

async function keepBusy({ client }: RunningProxy): Promise<Transaction> {
  const busy = client.request({ user: 'busy', method: 'OPTIONS' });
  await busy.provisional();
  return busy;
}

describe('a group that is full', () => {
  const running = new RunningProxy(groups("{ name: 'abc', workers: 1, nonblock: 1, maxQueue: 3 }"), { prelude });
  beforeAll(() => running.start());
  afterAll(() => running.stop());

  it('refuses with nonblock=1, and answers what it has taken', async () => {
    const busy = await keepBusy(running);
    const queued = [1, 2, 3].map(() => running.client.request({ autoAck: true }));
    await eventually(() => running.stats.groups['abc']!.queued === 3);

    const options = running.client.request({ method: 'OPTIONS' });
    const final = await options.final();
    expect(final.status).toBe(480);
    expect(final.header('x-returned')).toBe('false');
    expect(final.header('x-code')).toBe('SIPASYNC_ERR_GROUP_FULL');
    expect(running.stats.groups['abc']).toMatchObject({ queued: 3, highWater: 3, refused: 1 });
    expect(running.stats.transactions.suspended).toBe(4 - 1);

    writeFileSync(join(running.file.folder, 'gate'), '');
    const finals = await Promise.all([busy, ...queued].map((call) => call.final()));
    expect(finals.map((answer) => `${answer.status} ${answer.reason}`)).toEqual([
      '404 Busy', '404 Not Found', '404 Not Found', '404 Not Found',
    ]);
    expect((await running.ask({})).status).toBe(404);
    await becomesIdle(running.proxy);
  });
});

describe('what a full group refuses', () => {
  const running = new RunningProxy(groups("{ name: 'abc', workers: 1, nonblock: 1, maxQueue: 1 }"), { prelude });
  beforeAll(async () => {
    await running.start();
    await keepBusy(running);
    running.client.request({ method: 'OPTIONS' });
    await eventually(() => running.stats.groups['abc']!.queued === 1);
  });
  afterAll(async () => {
    writeFileSync(join(running.file.folder, 'gate'), '');
    await running.stop();
  });

  it('is not changed: an INVITE gets no 100', async () => {
    const { call } = await running.inviteWithoutTrying({});
    expect(call.responses.map((response) => response.status)).toEqual([480]);
  });

  it('is not changed: a stateless reply stays stateless', async () => {
    const call = running.client.request({ method: 'OPTIONS', user: 'stateless' });
    await call.final();
    const { refused } = running.stats.groups['abc']!;
    call.resend();
    await eventually(() => call.finals.length === 2);
    // A retransmission is a new message to a script that replies without a transaction.
    expect(running.stats.groups['abc']!.refused).toBe(refused + 1);
  });
});

describe('nonblock=0', () => {
  const running = new RunningProxy(groups("'name=abc;workers=1;nonblock=0'"), { prelude });
  const small = new RunningProxy(groups("{ name: 'abc', workers: 1, nonblock: 0, maxQueue: 1 }"), { prelude });
  beforeAll(() => Promise.all([running.start(), small.start()]));
  afterAll(() => Promise.all([running.stop(), small.stop()]));

  it.each([
    ['with the usual queue', running],
    ['beyond maxQueue', small],
  ])('takes every task: %s', async (_name, proxy) => {
    const busy = await keepBusy(proxy);
    const calls = Array.from({ length: 40 }, () => proxy.client.request({ autoAck: true }));
    await eventually(() => proxy.stats.groups['abc']!.queued >= 40);
    writeFileSync(join(proxy.file.folder, 'gate'), '');
    const finals = await Promise.all([busy, ...calls].map((call) => call.final()));
    expect(finals.map((final) => final.status)).toEqual(finals.map(() => 404));
    await becomesIdle(proxy.proxy);
    expect(proxy.stats.groups['abc']).toMatchObject({ refused: 0, done: 41 });
  });
});
