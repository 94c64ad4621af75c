import type { ProxySettings } from 'sip-async';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';

const book = Notes.forThisFile();

describe('what one run leaves in its thread', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    asyncTkvGname: 'work', asyncTkvEvcb: 'core:tkv',
    requestRoute(msg) { msg.asyncTaskGroupRoute(msg.toUser, 'work'); },
    route: {
      TASK(msg) { look('task', msg); leave(msg); },
      THROW(msg) { look('task', msg); leave(msg); throw new Error('thrown'); },
      async LATER(msg) { look('task', msg); leave(msg); await null; },
      CALL(msg) { look('call', msg); leave(msg); msg.sendReply(404); },
      SUSPENDS(msg) { look('call', msg); leave(msg); msg.asyncMsRoute('SEES', 1); },
      SEES(msg) { note(['after', msg.avp.getAll('a').length, msg.flags.value, msg.var.a ?? null]); msg.sendReply(404); },
    },
    eventRoute: { 'core:tkv'(msg) { look('event', msg); leave(msg); } },`,
    {
      prelude: `${notePrelude}
      const leave = (msg) => {
        msg.avp.add('a', 1); msg.xavp.add('a', { b: 1 }); msg.flags.set(2); msg.var.a = 1; msg.du = 'sip:x@y';
        msg.ruri = 'sip:left@example.com'; msg.appendToReply('X-Left: ' + msg.callId); msg.asyncMsRoute('NOPE', 1);
      };
      const look = (who, msg) => note([who, msg.avp.names().length, msg.xavp.names().length, msg.flags.value,
        Object.keys(msg.var).length, msg.du, msg.ruri.includes('left'), msg.asyncError, who !== 'task' && msg.asyncData]);`,
    },
  );

  it('12.23: is not there for the next, whatever ran before it: tasks, calls, events, those that throw', async () => {
    const nothing = (who: string) => [who, 0, 0, 0, 0, null, false, null, who === 'task' ? false : null];
    for (let round = 0; round < 5; round += 1) {
      for (const route of ['TASK', 'THROW', 'LATER']) running.proxy.asyncTaskGroupData(route, 'work', 'data');
      running.proxy.asyncTkvEmit(1, 'key', 'value');
      for (const user of ['CALL', 'SUSPENDS']) {
        const final = await running.ask({ user });
        expect(final.headers.get('x-left')).toEqual([final.header('call-id')]);
      }
    }
    const seen = await book.atLeast(5 * 7);
    const of = (who: string) => seen.filter((entry) => (entry as string[])[0] === who);
    expect(of('task')).toEqual(Array.from({ length: 15 }, () => nothing('task')));
    expect(of('event')).toEqual(Array.from({ length: 5 }, () => nothing('event')));
    expect(of('call')).toEqual(Array.from({ length: 10 }, () => nothing('call')));
    // What is meant to stay does.
    expect(of('after')).toEqual(Array.from({ length: 5 }, () => ['after', 1, 4, null]));
    await becomesIdle(running.proxy);
  });
});

describe('every kind of thread', () => {
  const running = useProxy(
    `
    children: 2,
    asyncWorkersGroup: ['name=work;workers=1', 'name=events;workers=1'],
    asyncTkvGname: 'events', asyncTkvEvcb: 'core:tkv',
    requestRoute(msg) {
      if (msg.toUser === 'group') msg.asyncTaskGroupRoute('GROUP', 'work');
      if (msg.toUser === 'module') msg.asyncMsRoute('MODULE', 1);
      answer(msg, threadId === 0 ? 'first receiver' : 'other receiver');
    },
    route: {
      GROUP(msg) { answer(msg, 'group'); },
      MODULE(msg) { answer(msg, 'module'); },
      TASK(msg) { push(msg, 'task'); },
      NOTE(msg) { note(['data', msg.asyncData, msg.asyncGname]); },
    },
    eventRoute: {
      'core:tkv'(msg) {
        if (msg.atkv.key === 'push') push(msg, 'event');
        else note(['event', msg.atkv.val, msg.atkv.gname]);
      },
    },`,
    {
      prelude: `${notePrelude}
      function push(msg, from) {
        const tasks = [msg.asyncTaskData('NOTE', from), msg.asyncTaskGroupData('NOTE', 'events', from)];
        const pushed = [...tasks, msg.asyncTkvEmit(1, 'pushed', from)];
        note(['pushed', from, pushed.join(), threadId]);
      }
      function answer(msg, from) { push(msg, from); msg.appendToReply('X-From: ' + from); msg.sendReply(200); }`,
    },
  );

  it('12.24: pushes to every group', async () => {
    // The kernel gives each client to one of the two receivers.
    const receivers = new Set<string>();
    for (let i = 0; i < 64 && receivers.size < 2; i += 1) {
      const client = await SipClient.open(running.proxy.addresses[0]!);
      receivers.add((await client.request({ user: 'receiver', method: 'OPTIONS' }).final()).header('x-from'));
      await client.close();
    }
    expect([...receivers].sort()).toEqual(['first receiver', 'other receiver']);
    expect((await running.ask({ user: 'group' })).header('x-from')).toBe('group');
    expect((await running.ask({ user: 'module' })).header('x-from')).toBe('module');
    running.proxy.asyncTaskGroupData('TASK', 'work', '');
    running.proxy.asyncTkvEmit(1, 'push', '');
    const fromTimer = await new Promise<boolean[]>((done) => setTimeout(() => done([
      running.proxy.asyncTaskData('NOTE', 'timer'),
      running.proxy.asyncTaskGroupData('NOTE', 'events', 'timer'),
      running.proxy.asyncTkvEmit(1, 'pushed', 'timer'),
    ]), 1));
    expect(fromTimer).toEqual([true, true, true]);
    await eventually(() => running.stats.tasks.active === 0 && running.proxy.suspended().length === 0);
    const seen = book.entries as string[][];
    const threads = new Map<string, string>();
    for (const [, from, pushed, thread] of seen.filter(([kind]) => kind === 'pushed')) {
      expect(`${from} ${pushed}`).toBe(`${from} true,true,true`);
      threads.set(from!, thread!);
    }
    const kinds = ['event', 'first receiver', 'group', 'module', 'other receiver', 'task'];
    expect([...threads.keys()].sort()).toEqual(kinds);
    expect(threads.get('first receiver')).toBe(0);
    expect(threads.get('group')).toBe(threads.get('task'));
    // Of six kinds of code only two share a thread.
    expect(new Set(threads.values()).size).toBe(5);
    for (const from of [...kinds, 'timer']) {
      const pushes = from === 'timer' ? 1 : seen.filter(([kind, by]) => kind === 'pushed' && by === from).length;
      for (const [kind, group] of [['data', 'work'], ['data', 'events'], ['event', 'events']]) {
        const ran = seen.filter((entry) => entry.join() === [kind, from, group].join());
        expect(`${from} ${kind} ${group}: ${ran.length}`).toBe(`${from} ${kind} ${group}: ${pushes}`);
      }
    }
    await becomesIdle(running.proxy);
  });
});

describe('the configuration that a worker sees', () => {
  const definition = `
    asyncWorkersGroup: ['name=work;workers=1'],
    eventRoute: { 'core:tkv'() {} },
    requestRoute(msg) { msg.asyncTaskGroupRoute('CHECK', 'work'); },
    route: {
      CHECK(msg) {
        const out = [msg.asyncTkvEmit(1, '', ''), msg.asyncError?.code, msg.asyncMsRoute('END', 40_000), msg.asyncError?.code,
          msg.asyncTaskGroupRoute('END', 'second'), msg.asyncError?.code];
        msg.sendReply(200, out.map((one) => String(one).replace('SIPASYNC_ERR_', '')).join());
      },
      END(msg) { msg.sendReply(404); },
    },`;
  const tkv = { asyncTkvGname: 'work', asyncTkvEvcb: 'core:tkv' };
  const settings: [ProxySettings, string][] = [
    [{}, 'false,TKV_DISABLED,false,DELAY_OUT_OF_RANGE,false,UNKNOWN_GROUP'],
    [{ ...tkv, modparam: { async: { ms_timer: 0 } } }, 'true,undefined,false,MS_TIMER_DISABLED,false,UNKNOWN_GROUP'],
    [
      { asyncWorkersGroup: ['name=work;workers=1', 'name=second;workers=1'], modparam: { async: { return: -1 } } },
      // It goes on in the group that only this proxy has; what the first route would have told is not heard.
      '404',
    ],
  ];
  const proxies = settings.map(([overrides]) => useProxy(definition, { overrides }));

  it('12.26: is that of its own proxy, overrides included, also beside other proxies (there is no reload yet)', async () => {
    for (let round = 0; round < 3; round += 1) {
      for (const [i, [, expected]] of settings.entries()) {
        const { status, reason } = await proxies[i]!.ask({});
        expect(status === 200 ? reason : String(status)).toBe(expected);
      }
    }
    for (const running of proxies) await becomesIdle(running.proxy);
  });
});

describe('a request that waits in a queue', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    requestRoute(msg) { note('request'); msg.asyncTaskGroupRoute('WORK', 'work'); },
    route: {
      SPIN() { note('spins'); spinUntilReleased(); },
      WORK(msg) { note('work'); msg.sendReply(404); },
    },`,
    { prelude: notePrelude },
  );

  it('12.28: is processed once, however often it is repeated (by sworkerTask: test/sworker.order.test.ts)', async () => {
    running.proxy.asyncTaskData('SPIN', '');
    await book.atLeast(1);
    const calls = ['INVITE', 'OPTIONS'].map((method) => running.client.request({ method, autoAck: true }));
    await eventually(() => running.stats.groups['work']!.queued === 2);
    const { retransmissionsAbsorbed } = running.stats.transport;
    for (let i = 0; i < 5; i += 1) for (const call of calls) call.resend();
    await eventually(() => running.stats.transport.retransmissionsAbsorbed === retransmissionsAbsorbed + 10);
    book.release();
    for (const call of calls) expect((await call.final()).status).toBe(404);
    for (const call of calls) call.resend();
    await eventually(() => calls.every((call) => call.finals.length >= 2));
    await becomesIdle(running.proxy);
    expect(book.entries).toEqual(['spins', 'request', 'request', 'work', 'work']);
  });
});

describe('the targets of a suspended call', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    async requestRoute(msg) {
      msg.du = 'sip:127.0.0.1:' + msg.header('X-Port');
      if (msg.toUser === 'throw') msg.asyncTaskRoute('THROW');
      if (msg.toUser === 'sleep') await msg.asyncMsSleep(20);
      else msg.asyncMsRoute('EMPTY', msg.toUser === 'end' ? 20 : 20_000);
    },
    route: { EMPTY() {}, THROW() { throw new Error('thrown'); } },`,
  );
  let target: SipClient | undefined;
  afterEach(() => target?.close());

  it('12.30: hear nothing of it, however it ends (of branches: test/relay.timers.test.ts)', async () => {
    target = await SipClient.open({ port: running.proxy.addresses[0]!.port });
    const ruri = `sip:target@127.0.0.1:${target.port}`;
    const call = (user: string) =>
      running.client.request({ ruri, toUser: user, headers: [`X-Port: ${target!.port}`], autoAck: true });
    const ended = await Promise.all(['end', 'sleep', 'throw'].map((user) => call(user).final()));
    expect(ended.map(({ status }) => status)).toEqual([500, 500, 500]);
    const cancelled = call('cancel');
    await cancelled.provisional();
    cancelled.cancel();
    const byHandle = call('handle');
    await byHandle.provisional();
    await cancelled.final();
    const entry = await eventually(() => running.proxy.suspended()[0]);
    running.proxy.cancel(entry!.handle);
    for (const one of [cancelled, byHandle]) expect((await one.final()).status).toBe(487);
    await becomesIdle(running.proxy);
    expect([target.strays, target.garbage]).toEqual([[], []]);
  });
});
