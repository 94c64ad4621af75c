import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

describe('asyncSleep and asyncMsSleep', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=abc;workers=2'],
    async requestRoute(msg) {
      if (msg.toUser === 'worker') msg.asyncTaskRoute('SLEEPER');
      await sleeper(msg);
    },
    route: { SLEEPER: sleeper },`,
    {
      prelude: `
      async function sleeper(msg) {
        const before = { thread: threadId, callId: msg.callId };
        msg.var.kept = 'of the run';
        const results = [];
        if (msg.cseq === 1) results.push(await msg.asyncMsSleep(40));
        if (msg.cseq === 2) results.push(await msg.asyncSleep('1'));
        if (msg.cseq === 3) for (let i = 0; i < 20; i += 1) results.push(await msg.asyncMsSleep(String(3 + i % 3)));
        const same = threadId === before.thread && msg.callId === before.callId && msg.var.kept === 'of the run';
        msg.appendToReply('X-Thread: ' + before.thread);
        msg.appendToReply('X-Same: ' + same);
        msg.appendToReply('X-Results: ' + results.join(' '));
        msg.sendReply(404);
      }`,
    },
  );

  it.each([
    ['milliseconds, in the receiver', 'receiver', 1, 40, 'true'],
    ['milliseconds, in a worker', 'worker', 1, 40, 'true'],
    ['seconds, in the receiver', 'receiver', 2, 1000, 'true'],
    ['seconds, in a worker', 'worker', 2, 1000, 'true'],
    ['twenty times, in the receiver', 'receiver', 3, 79, Array(20).fill('true').join(' ')],
    ['twenty times, in a worker', 'worker', 3, 79, Array(20).fill('true').join(' ')],
  ])('keep thread and variables: %s', async (_name, user, cseq, delayMs, results) => {
    const call = running.client.request({ user, cseq, autoAck: true });
    const final = await call.final();
    expect(call.responses.map((response) => response.status)).toEqual([100, 404]);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(delayMs);
    expect(final.header('x-same')).toBe('true');
    expect(final.header('x-results')).toBe(results);
    expect(final.header('x-thread') === '0').toBe(user === 'receiver');
  });

  it('do so for many calls at once, each in its own thread', async () => {
    const calls = Array.from({ length: 100 }, (_, i) =>
      running.client.request({ method: 'OPTIONS', user: i % 2 ? 'worker' : 'receiver', cseq: i % 4 === 3 ? 3 : 1 }),
    );
    const finals = await Promise.all(calls.map((call) => call.final()));
    expect(finals.map((final) => final.header('x-same'))).toEqual(finals.map(() => 'true'));
    expect(calls.every((call, i) => call.elapsedMs(finals[i]!) >= 40)).toBe(true);
  });

  it('leave nothing behind', () => becomesIdle(running.proxy));
});

describe('a call that suspends again and again', () => {
  const hops = 30;
  const running = useProxy(
    `
    modparam: { async: { workers: 1 } },
    asyncWorkers: 1,
    asyncWorkersGroup: ['name=abc;workers=1'],
    requestRoute: (msg) => next(msg, 0),
    route: Object.fromEntries(Array.from({ length: ${hops} }, (_, i) => ['HOP' + (i + 1), (msg) => hop(msg, i + 1)])),`,
    {
      prelude: `
      function next(msg, at) {
        const name = 'HOP' + (at + 1);
        if (at % 3 === 0) msg.asyncMsRoute(name, 5);
        if (at % 3 === 1) msg.asyncTaskGroupRoute(name, 'abc');
        msg.asyncTaskGroupRoute(name, 'default');
      }
      function hop(msg, at) {
        if (msg.var.seen !== undefined) throw new Error('a variable of another run');
        msg.var.seen = at;
        msg.sendReply(183, 'hop ' + at + ' ' + msg.route + ' ' + threadId);
        if (at < ${hops}) return msg.toUser === 'sleepy' ? sleepAndGo(msg, at) : next(msg, at);
        msg.sendReply(404);
      }
      async function sleepAndGo(msg, at) {
        await msg.asyncMsSleep(2);
        next(msg, at);
      }`,
    },
  );

  it.each([
    ['routes and groups in turn', 'alice', 50],
    ['with a sleep before each', 'sleepy', 50 + 2 * (hops - 1)],
  ])('runs each route once and in order: %s', async (_name, user, delayMs) => {
    const call = running.client.request({ user, autoAck: true });
    const final = await call.final(15_000);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(delayMs);
    const told = call.responses.map((response) => `${response.status} ${response.reason}`);
    expect(told[0]).toBe('100 Trying');
    expect(told.at(-1)).toBe('404 Not Found');
    const seen = told.slice(1, -1).map((line) => /^183 hop (\d+) (\w+) (\d+)$/.exec(line)?.slice(1) ?? [line]);
    expect(seen.map(([at]) => Number(at))).toEqual(Array.from({ length: hops }, (_, i) => i + 1));
    expect(seen.map(([, route]) => route)).toEqual(seen.map(([at]) => `HOP${at}`));
    // Milliseconds and "default" are one group of one worker, "abc" is another.
    const threads = seen.map(([, , thread]) => thread);
    const inAbc = threads.filter((_, i) => i % 3 === 1);
    const inDefault = threads.filter((_, i) => i % 3 !== 1);
    expect(new Set(inAbc).size).toBe(1);
    expect(new Set(inDefault).size).toBe(1);
    expect(inAbc[0]).not.toBe(inDefault[0]);
  });

  it('leaves nothing behind', () => becomesIdle(running.proxy));
});

describe('a script behind a suspension', () => {
  const running = useProxy(`
    requestRoute(msg) {
      if (msg.toUser === 'after') msg.sendReply(200, msg.method === 'OPTIONS' ? 'went on ' + went : '');
      const ends = {
        sync() { msg.asyncMsRoute('RESUME', 5); went += 1; },
        async async() { msg.asyncMsRoute('RESUME', 5); went += 1; },
        async later() { await Promise.resolve(); msg.asyncMsRoute('RESUME', 5); went += 1; },
        async slept() { await msg.asyncMsSleep(5); msg.asyncMsRoute('RESUME', 5); went += 1; },
        task() { msg.asyncTaskRoute('RESUME'); went += 1; },
        exit() { msg.sendReply(486); msg.exit(); went += 1; },
      };
      return ends[msg.toUser]?.();
    },
    asyncWorkers: 1,
    route: { RESUME(msg) { msg.sendReply(404); } },`, { prelude: 'let went = 0;' });

  it.each(['sync', 'async', 'later', 'slept', 'task', 'exit'])('does not run: %s', async (user) => {
    const final = await running.ask({ user });
    expect(final.status).toBe(user === 'exit' ? 486 : 404);
    expect((await running.ask({ user: 'after', method: 'OPTIONS' })).reason).toBe('went on 0');
  });
});
