import type { ProxySettings } from 'sip-async';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';

const book = Notes.forThisFile();

describe('units and limits of time', () => {
  const running = useProxy(
    `
    async requestRoute(msg) {
      const [what, delay] = msg.toUser.split('-');
      if (what === 'asyncSleep' || what === 'asyncMsSleep') await msg[what](delay);
      else msg[what]('RESUME', delay);
      msg.sendReply(480, msg.asyncError?.code);
    },
    route: { RESUME(msg) { msg.sendReply(404); } },`,
  );

  it.each([
    ['asyncRoute', 20, 10_000, 20_000],
    ['asyncSleep', 20, 10_000, 20_000],
    ['asyncMsRoute', 20_000, 10_000, 20_000],
    ['asyncMsSleep', 20_000, 10_000, 20_000],
    // The limits that Kamailio documents and does not reach.
    ['asyncRoute', 100, 50_000, 100_000],
    ['asyncSleep', 100, 50_000, 100_000],
    ['asyncMsRoute', 30_000, 15_000, 30_000],
    ['asyncMsSleep', 30_000, 15_000, 30_000],
  ])('12.18: %s of %i suspends for %i to %i ms', async (what, delay, fromMs, toMs) => {
    const call = running.client.request({ user: `${what}-${delay}`, autoAck: true });
    const entry = (await eventually(() => running.proxy.suspended()[0]))!;
    expect(entry.dueInMs).toBeGreaterThan(fromMs);
    expect(entry.dueInMs).toBeLessThanOrEqual(toMs);
    running.proxy.cancel(entry.handle);
    expect((await call.final()).status).toBe(487);
    await becomesIdle(running.proxy);
  });

  it.each([['asyncRoute', 101], ['asyncSleep', 101], ['asyncMsRoute', 30_001], ['asyncMsSleep', 30_001], ['asyncRoute', 0]])(
    '12.21: one beyond the limit is refused: %s of %i',
    async (what, delay) => {
      expect((await running.ask({ user: `${what}-${delay}` })).reason).toBe('SIPASYNC_ERR_DELAY_OUT_OF_RANGE');
    },
  );
});

describe('what stands last in a route', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    requestRoute(msg) {
      if (msg.header('X-In') === 'worker') msg.asyncTaskGroupRoute('LAST', 'work');
      return last(msg);
    },
    route: { LAST: last, RESUME(msg) { msg.sendReply(404); } },`,
    {
      prelude: `
      const lasts = {
        suspends: (msg) => msg.asyncMsRoute('RESUME', 2),
        returns: async (msg) => msg.asyncMsRoute('RESUME', 2),
        sleeps: (msg) => msg.asyncMsSleep(2),
        async awaits(msg) { await msg.asyncMsSleep(2); },
        async answered(msg) { msg.sendReply(180); await msg.asyncMsSleep(2); msg.sendReply(486); },
      };
      const last = (msg) => lasts[msg.toUser](msg);`,
    },
  );

  it.each([['suspends', 404], ['returns', 404], ['sleeps', 500], ['awaits', 500], ['answered', 486]])(
    '12.21: a suspension may be the last action, and a route that sleeps last ends as any other: %s',
    async (user, status) => {
      for (const where of ['receiver', 'worker']) {
        const call = running.client.request({ user, headers: [`X-In: ${where}`], autoAck: true });
        expect((await call.final()).status).toBe(status);
        await becomesIdle(running.proxy);
        expect(call.finals).toHaveLength(1);
      }
    },
  );
});

/** Calls everything that suspends, or starts other work, and tells what it came to. */
const everything = `
  async function everything(msg) {
    const calls = {
      asyncRoute: () => msg.asyncRoute('RESUME', 60),
      asyncMsRoute: () => msg.asyncMsRoute('RESUME', 60),
      asyncSleep: () => msg.asyncSleep(60),
      asyncMsSleep: () => msg.asyncMsSleep(60),
      asyncTaskRoute: () => msg.asyncTaskRoute('RESUME'),
      asyncTaskGroupRoute: () => msg.asyncTaskGroupRoute('RESUME', 'default'),
      asyncTaskData: () => msg.asyncTaskData('RESUME', 'x'),
      asyncTaskGroupData: () => msg.asyncTaskGroupData('RESUME', 'default', 'x'),
      asyncTkvEmit: () => msg.asyncTkvEmit(1, 'key', 'value'),
    };
    const out = {};
    const wanted = (msg.header('X-Functions') ?? Object.keys(calls).join()).split(',');
    for (const name of wanted) out[name] = [await calls[name](), msg.asyncError?.code.slice(13)].join(' ');
    return out;
  }`;

interface Disabled {
  readonly name: string;
  readonly settings: ProxySettings;
  readonly codes: Readonly<Record<string, string>>;
}
const disabled: Disabled[] = [
  {
    name: 'ms_timer is 0',
    settings: { modparam: { async: { ms_timer: 0 } }, asyncWorkers: 1 },
    codes: { asyncMsRoute: 'MS_TIMER_DISABLED', asyncMsSleep: 'MS_TIMER_DISABLED', asyncTkvEmit: 'TKV_DISABLED' },
  },
  {
    name: 'there are no workers at all',
    settings: { modparam: { async: { workers: 0 } } },
    codes: {
      asyncRoute: 'NO_WORKERS', asyncMsRoute: 'NO_WORKERS', asyncTaskRoute: 'NO_WORKERS', asyncTaskGroupRoute: 'UNKNOWN_GROUP',
      asyncTaskData: 'NO_WORKERS', asyncTaskGroupData: 'UNKNOWN_GROUP', asyncTkvEmit: 'TKV_DISABLED',
    },
  },
  {
    name: 'the module has no workers, but the group "default" has',
    settings: { modparam: { async: { workers: 0 } }, asyncWorkers: 1 },
    codes: { asyncRoute: 'NO_WORKERS', asyncTkvEmit: 'TKV_DISABLED' },
  },
  {
    name: 'there is no group',
    settings: {},
    codes: {
      asyncTaskRoute: 'NO_WORKERS', asyncTaskGroupRoute: 'UNKNOWN_GROUP', asyncTaskData: 'NO_WORKERS',
      asyncTaskGroupData: 'UNKNOWN_GROUP', asyncTkvEmit: 'TKV_DISABLED',
    },
  },
];

describe.each(disabled)('where $name', ({ settings, codes }) => {
  const running = useProxy(
    `async requestRoute(msg) {
       msg.appendToReply('X-Result: ' + JSON.stringify(await everything(msg)));
       msg.sendReply(480, 'Own words');
     },
     route: { RESUME(msg) { note('resumed'); msg.sendReply(599); } },`,
    { prelude: `${notePrelude}\n${everything}`, overrides: settings },
  );

  it('12.19: every function that needs it is refused with its code, and nothing has happened', async () => {
    const names = Object.keys(codes);
    const { call } = await running.inviteWithoutTrying({ headers: [`X-Functions: ${names.join()}`] });
    const final = await call.final();
    expect(JSON.parse(final.header('x-result'))).toEqual(
      Object.fromEntries(Object.entries(codes).map(([name, code]) => [name, `false ${code}`])),
    );
    expect(call.responses.map(({ status, reason }) => `${status} ${reason}`)).toEqual(['480 Own words']);
    await becomesIdle(running.proxy);
    expect(book.entries).toEqual([]);
  });

  it('12.27: the program is told, too: what nobody would run is no success', () => {
    for (const [name, args] of [
      ['asyncTaskData', ['RESUME', 'x']],
      ['asyncTaskGroupData', ['RESUME', 'default', 'x']],
      ['asyncTkvEmit', [1, 'key', 'value']],
    ] as const) {
      if (codes[name] === undefined) continue;
      const of = running.proxy as never as Record<string, (...args: unknown[]) => boolean>;
      expect(of[name]!(...args)).toBe(false);
      expect(running.proxy.asyncError?.code).toBe(`SIPASYNC_ERR_${codes[name]}`);
    }
    expect(running.stats.tasks.active).toBe(0);
  });
});

describe('where mode is 1', () => {
  const running = new RunningProxy(
    `asyncWorkers: 1,
     route: {
       async RUN(msg) { note(await everything(msg)); },
       async REPLY(msg) {
         note([['sendReply', 200], ['tReply', 200], ['slSendReply', 200], ['slReplyError'], ['tNewtran']]
           .map(([name, ...args]) => [msg[name](...args), msg.asyncError?.code.slice(13)].join(' ')));
       },
       RESUME(msg) { note(msg.asyncData); },
     },`,
    { prelude: `${notePrelude}\n${everything}`, overrides: { modparam: { async: { mode: 1 } } } },
  );
  beforeAll(() => running.start());
  afterAll(() => running.stop());

  it('12.19: nothing suspends, data tasks run', async () => {
    expect(running.proxy.asyncTaskData('RUN', '')).toBe(true);
    const [results] = (await book.atLeast(3)).filter((entry) => typeof entry === 'object');
    const refused = 'false MODE_NO_TM';
    expect(results).toEqual({
      asyncRoute: refused, asyncMsRoute: refused, asyncSleep: refused, asyncMsSleep: refused, asyncTaskRoute: refused,
      asyncTaskGroupRoute: refused, asyncTaskData: 'true ', asyncTaskGroupData: 'true ', asyncTkvEmit: 'false TKV_DISABLED',
    });
    expect(book.entries.filter((entry) => entry === 'x')).toHaveLength(2);
    await becomesIdle(running.proxy);
  });

  it('12.19: nothing is answered or made a transaction', async () => {
    expect(running.proxy.asyncTaskData('REPLY', '')).toBe(true);
    // Both are true of it: transactions are switched off, and a data task has none.
    const [results] = (await book.atLeast(1)) as [string[]];
    for (const result of results) expect(result).toMatch(/^false (MODE_NO_TM|NO_TRANSACTION)$/);
    expect(results).toHaveLength(5);
  });
});

describe('arguments that are left out', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    asyncTkvGname: 'default', asyncTkvEvcb: 'core:tkv',
    async requestRoute(msg) {
      const [name, count] = msg.toUser.split('-');
      const args = { asyncTaskGroupData: ['R', 'default', ''], asyncTkvEmit: [1, 'key', 'value'], sendReply: [200, 'OK'],
        asyncTaskGroupRoute: ['R', 'default'], asyncRoute: ['R', 1], asyncMsRoute: ['R', 1], asyncSleep: [1], asyncMsSleep: [1],
        asyncTaskRoute: ['R'], asyncTaskData: ['R', ''], tReply: [200, 'OK'], slSendReply: [200, 'OK'] }[name];
      let thrown = 'nothing';
      try { await msg[name](...args.slice(0, count)); } catch (error) { thrown = error.constructor.name + ' ' + error.message; }
      msg.sendReply(480, thrown.slice(0, 150));
    },
    route: { R() {} },
    eventRoute: { 'core:tkv'() {} },`,
  );

  it.each([
    ['asyncRoute', 0, 'routename'], ['asyncRoute', 1, 'seconds'],
    ['asyncMsRoute', 0, 'routename'], ['asyncMsRoute', 1, 'milliseconds'],
    ['asyncSleep', 0, 'seconds'], ['asyncMsSleep', 0, 'milliseconds'],
    ['asyncTaskRoute', 0, 'routename'],
    ['asyncTaskGroupRoute', 0, 'routename'], ['asyncTaskGroupRoute', 1, 'groupname'],
    ['asyncTaskData', 0, 'routename'], ['asyncTaskData', 1, 'data'],
    ['asyncTaskGroupData', 0, '(routename|groupname)'], ['asyncTaskGroupData', 1, 'groupname'],
    ['asyncTaskGroupData', 2, 'data'],
    ['asyncTkvEmit', 0, 'type'], ['asyncTkvEmit', 1, 'key'], ['asyncTkvEmit', 2, 'value'],
    ['sendReply', 0, 'code'], ['tReply', 0, 'code'], ['slSendReply', 0, 'code'],
  ])('12.22: %s with %i of its arguments names the next: %s', async (name, count, argument) => {
    const answer = await running.ask({ user: `${name}-${count}` });
    expect(answer.status).toBe(480);
    expect(answer.reason).toMatch(new RegExp(`^TypeError ${argument}: expected a `));
  });
  it('12.22: and nothing has happened', async () => {
    await becomesIdle(running.proxy);
    expect(running.stats.tasks.done).toBe(0);
  });
});
