import { describe, expect, it } from 'vitest';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';

/** What every resumed route answers with, so that the caller sees where it ran. */
const resume = `
  RESUME(msg) {
    msg.appendToReply('X-Thread: ' + threadId);
    msg.sendReply(404, 'Not found');
  },`;

/** The receiver is the thread that the test itself runs in. */
const receiverThread = '0';

describe('a call that a route suspends', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    asyncWorkersGroup: ['name=abc;workers=1'],
    requestRoute(msg) {
      if (msg.toUser === 'seconds') msg.asyncRoute('RESUME', 1);
      if (msg.toUser === 'seconds-text') msg.asyncRoute('RESUME', ' 1 ');
      if (msg.toUser === 'ms') msg.asyncMsRoute('RESUME', 70);
      if (msg.toUser === 'ms-text') msg.asyncMsRoute('RESUME', '70');
      if (msg.toUser === 'task') msg.asyncTaskRoute('RESUME');
      if (msg.toUser === 'task-abc') msg.asyncTaskGroupRoute('RESUME', 'abc');
      if (msg.toUser === 'task-default') msg.asyncTaskGroupRoute('RESUME', 'default');
      if (msg.toUser === 'ringing') {
        msg.sendReply(180);
        msg.asyncMsRoute('RESUME', 50);
      }
      if (msg.toUser === 'newtran') {
        msg.tNewtran();
        msg.asyncMsRoute('RESUME', 50);
      }
      if (msg.toUser === 'direct') {
        msg.sendReply(486);
        return;
      }
      msg.sendReply(599, 'Behind the suspension');
    },
    route: {${resume}
    },`,
  );

  const threadOf = async (user: string) => (await running.ask({ user })).header('x-thread');

  it('gets 100 at once and its 404 not before the seconds are over, from another thread', async () => {
    const call = running.client.request({ user: 'seconds', autoAck: true });
    const final = await call.final();
    expect(call.responses.map((response) => response.status)).toEqual([100, 404]);
    expect(final.reason).toBe('Not found');
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(1000);
    expect(final.header('x-thread')).toMatch(/^\d+$/);
    expect(final.header('x-thread')).not.toBe(receiverThread);
  });

  it.each([
    ['ms', 70],
    ['ms-text', 70],
    ['seconds-text', 1000],
  ])('is answered after its delay: %s', async (user, delayMs) => {
    const call = running.client.request({ user, autoAck: true });
    const final = await call.final();
    expect(final.status).toBe(404);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(delayMs);
    expect(final.header('x-thread')).not.toBe(receiverThread);
  });

  it('goes on in the group that the function names', async () => {
    const [module, first, abc, ms] = await Promise.all(['seconds', 'task-default', 'task-abc', 'ms'].map(threadOf));
    expect(new Set([receiverThread, module, first, abc]).size).toBe(4);
    // Milliseconds resume in "default" where there is one, seconds in the module's own workers.
    expect(ms).toBe(first);
    expect(await threadOf('task')).toBe(first);
    expect(await threadOf('task-abc')).toBe(abc);
  });

  it('gets no 100 when it is no INVITE', async () => {
    for (const method of ['OPTIONS', 'MESSAGE', 'REGISTER', 'SUBSCRIBE']) {
      const call = running.client.request({ user: 'ms', method });
      await call.final();
      expect([method, ...call.responses.map((response) => response.status)]).toEqual([method, 404]);
    }
  });

  it('gets no 100 when it is answered at once', async () => {
    const { call } = await running.inviteWithoutTrying({ user: 'direct' });
    await running.ask({ user: 'ms' });
    expect(call.responses.map((response) => response.status)).toEqual([486]);
  });

  it('gets no 100 behind a provisional reply of the script', async () => {
    const { call } = await running.inviteWithoutTrying({ user: 'ringing' });
    expect(call.responses.map((response) => response.status)).toEqual([180, 404]);
  });

  it('gets one 100 when it was made a transaction before', async () => {
    const call = running.client.request({ user: 'newtran', autoAck: true });
    await call.final();
    expect(call.responses.map((response) => response.status)).toEqual([100, 404]);
  });

  it('leaves nothing behind', () => becomesIdle(running.proxy));
});

describe('a group of several workers', () => {
  const running = useProxy(`
    asyncWorkersGroup: [{ name: 'abc', workers: 3 }],
    requestRoute(msg) { msg.asyncTaskRoute('SLOW'); },
    route: {
      SLOW(msg) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
        msg.appendToReply('X-Thread: ' + threadId);
        msg.sendReply(200);
      },
    },`);

  it('works with all of them', async () => {
    const finals = await Promise.all(Array.from({ length: 12 }, () => running.ask({ method: 'OPTIONS' })));
    expect(new Set(finals.map((final) => final.header('x-thread'))).size).toBe(3);
    // A run is counted behind its reply.
    await becomesIdle(running.proxy);
    expect(running.stats.groups['abc']).toMatchObject({ workers: 3, done: 12, failed: 0, refused: 0 });
  });
});

describe('without a group "default"', () => {
  const running = useProxy(`
    asyncWorkersGroup: ['name=abc;workers=1'],
    requestRoute(msg) {
      if (msg.toUser === 'seconds') msg.asyncRoute('RESUME', 1);
      if (msg.toUser === 'ms') msg.asyncMsRoute('RESUME', 20);
      msg.asyncTaskRoute('RESUME');
    },
    route: {${resume}
    },`);

  it('milliseconds resume in the workers of the module, tasks in the first group', async () => {
    const [seconds, ms, task] = await Promise.all(['seconds', 'ms', 'task'].map((user) => running.ask({ user })));
    expect(ms?.header('x-thread')).toBe(seconds?.header('x-thread'));
    expect(task?.header('x-thread')).not.toBe(seconds?.header('x-thread'));
  });
});

describe('modparam async ms_timer', () => {
  const running = useProxy(
    `
    modparam: { async: { ms_timer: 20 } },
    requestRoute(msg) { msg.asyncMsRoute('RESUME', Number(/;d=(\\d+)/.exec(msg.ruri)[1])); },
    route: {${resume}
    },`,
  );

  it('is the grain of milliseconds, and makes nothing early', async () => {
    const delaysMs = [1, 19, 20, 21, 40, 55, 99, 100];
    const calls = delaysMs.map((delayMs) => running.client.request({ method: 'OPTIONS', params: `;d=${delayMs}` }));
    const finals = await Promise.all(calls.map((call) => call.final()));
    for (const [i, delayMs] of delaysMs.entries()) {
      expect(calls[i]!.elapsedMs(finals[i]!)).toBeGreaterThanOrEqual(delayMs);
    }
  });
});

describe('modparam tm auto_inv_100=0', () => {
  const running = useProxy(`
    modparam: { tm: { auto_inv_100: 0 } },
    requestRoute(msg) { msg.asyncMsRoute('RESUME', 100); },
    route: {${resume}
    },`);

  it('suspends an INVITE in silence, repeated or not', async () => {
    const call = running.client.request({ autoAck: true });
    call.resend();
    await call.final();
    expect(call.responses.map((response) => response.status)).toEqual([404]);
  });
});

describe('the longest delays', () => {
  const source = (async: string) => `
    modparam: { async: ${async} },
    async requestRoute(msg) {
      const [, what, delay] = /^(.*)-(\\d+)$/.exec(msg.toUser);
      if (what === 'route') msg.asyncRoute('RESUME', Number(delay));
      if (what === 'ms-route') msg.asyncMsRoute('RESUME', Number(delay));
      if (what === 'sleep') await msg.asyncSleep(Number(delay));
      if (what === 'ms-sleep') await msg.asyncMsSleep(Number(delay));
      msg.appendToReply('X-Code: ' + msg.asyncError?.code);
      msg.sendReply(480);
    },
    route: {${resume}
    },`;

  it.each([
    ['by default', '{}', ['route-100', 'ms-route-30000', 'sleep-100', 'ms-sleep-30000'], 'route-101'],
    [
      'with max_sleep',
      '{ max_sleep: 172800 }',
      ['route-172800', 'ms-route-172800000', 'sleep-172800', 'ms-sleep-172800000'],
      'ms-sleep-172800001',
    ],
  ])('are taken, and answered 503 when the proxy is closed: %s', async (_name, async, users, tooLong) => {
    const running = new RunningProxy(source(async));
    await running.start();
    try {
      const calls = users.map((user) => running.client.request({ user, autoAck: true }));
      await Promise.all(calls.map((call) => call.provisional()));
      expect(running.stats.transactions.suspended).toBe(4);
      expect(running.stats.timers.pending).toBe(4);
      const refused = await running.ask({ user: tooLong });
      expect(refused.header('x-code')).toBe('SIPASYNC_ERR_DELAY_OUT_OF_RANGE');

      expect(await running.proxy.close({ timeoutMs: 0 })).toEqual({ drained: 0, answered: 4, dropped: 0 });
      const finals = await Promise.all(calls.map((call) => call.final()));
      expect(finals.map((final) => final.status)).toEqual([503, 503, 503, 503]);
    } finally {
      await running.stop();
    }
  });
});
