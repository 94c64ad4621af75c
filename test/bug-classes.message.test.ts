import { startProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { becomesIdle, proxySource, useProxy } from './support/running-proxy.ts';
import type { Transaction } from './support/udp-client.ts';

const book = Notes.forThisFile();
const statuses = (call: Transaction) => call.responses.map(({ status }) => status);

describe('several calls and tasks in one thread', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=work;workers=1'],
    requestRoute(msg) {
      if (msg.toUser === 'worker') msg.asyncTaskGroupRoute('BESIDE', 'work');
      return beside(msg);
    },
    route: {
      BESIDE: beside,
      async TASK(msg) {
        const before = [msg.asyncData, msg.callId];
        msg.avp.set('own', msg.asyncData);
        await released();
        note([msg.asyncData === before[0] && msg.callId === before[1] && msg.avp.get('own') === before[0], msg.asyncData]);
      },
    },`,
    {
      prelude: `${notePrelude}
      async function beside(msg) {
        const own = msg.callId;
        msg.avp.set('own', own);
        msg.var.own = own;
        msg.appendToReply('X-Own: ' + own);
        note('began');
        await released();
        await msg.asyncMsSleep(1 + own.charCodeAt(0) % 5);
        const same = [msg.callId, msg.avp.get('own'), msg.var.own].every((id) => id === own);
        msg.sendReply(200, [same, msg.asyncData, msg.atkv.key].join(' '));
      }`,
    },
  );

  it.each(['receiver', 'worker'])('12.10: handlers that go on beside one another keep to their own call: %s', async (user) => {
    const calls = Array.from({ length: 60 }, (_, i) => {
      running.proxy.asyncTaskGroupData('TASK', 'work', String(i));
      return running.client.request({ user, autoAck: true });
    });
    await book.atLeast(60);
    book.release();
    for (const call of calls) {
      const final = await call.final();
      expect(`${final.status} ${final.reason}`).toBe('200 true  ');
      expect(final.header('x-own')).toBe(call.request.callId);
    }
    await becomesIdle(running.proxy);
    const tasks = book.entries.filter((entry) => entry !== 'began') as [boolean, string][];
    expect(tasks.map(([same]) => same)).toEqual(tasks.map(() => true));
    expect(new Set(tasks.map(([, data]) => data)).size).toBe(60);
  });
});

const hundred = `
  asyncWorkers: 1,
  async requestRoute(msg) {
    if (msg.toUser === 'ringing') msg.sendReply(183);
    if (msg.toUser === 'newtran') { msg.tNewtran(); msg.tNewtran(); }
    await msg.asyncMsSleep(5);
    msg.asyncTaskRoute('AGAIN');
  },
  route: {
    AGAIN(msg) { msg.asyncMsRoute('END', 5); },
    END(msg) { msg.sendReply(404); },
  },`;

describe('100 Trying', () => {
  const running = useProxy(hundred);
  const silent = useProxy(hundred, { overrides: { modparam: { tm: { auto_inv_100: 0 } } } });

  it.each(['suspended', 'newtran'])('12.11: comes once, however often the call is suspended: %s', async (user) => {
    const call = running.client.request({ user, autoAck: true });
    await call.final();
    await becomesIdle(running.proxy);
    expect(call.responses.map(({ status, reason }) => `${status} ${reason}`)).toEqual(['100 Trying', '404 Not Found']);
    expect(call.responses[0]!.header('to')).not.toMatch(/;tag=/);
  });

  it('12.11: never comes behind an 18x', async () => {
    const { call } = await running.inviteWithoutTrying({ user: 'ringing' });
    expect(statuses(call)).toEqual([183, 404]);
  });

  it('12.11: comes for no other method, and not where auto_inv_100 is 0', async () => {
    const options = running.client.request({ method: 'OPTIONS', user: 'newtran' });
    await options.final();
    expect(statuses(options)).toEqual([404]);
    const { call } = await silent.inviteWithoutTrying({});
    expect(statuses(call)).toEqual([404]);
  });
});

describe('names of blocks of another kind', () => {
  const block = "{ OTHER(msg) { note('ran'); msg.sendReply(599); } }";
  const running = useProxy(
    `
    asyncWorkers: 1,
    failureRoute: ${block}, onreplyRoute: ${block}, branchRoute: ${block},
    eventRoute: { 'tm:local-request'() { note('ran'); } },
    requestRoute(msg) {
      const names = ['OTHER', 'tm:local-request', 'requestRoute', 'failureRoute', 'toString'];
      const out = names.flatMap((name) => [
        () => msg.asyncRoute(name, 1), () => msg.asyncMsRoute(name, 1), () => msg.asyncTaskRoute(name),
        () => msg.asyncTaskGroupRoute(name, 'default'), () => msg.asyncTaskData(name, ''),
      ]).map((call) => [call(), msg.asyncError?.code].join(' '));
      msg.sendReply(200, [...new Set(out)].join(', '));
    },
    route: {},`,
    { prelude: notePrelude },
  );

  it('12.12: are no routes to go on in (every function in every kind of route: the matrix)', async () => {
    expect((await running.ask({})).reason).toBe('false SIPASYNC_ERR_UNKNOWN_ROUTE');
    await becomesIdle(running.proxy);
    expect(book.entries).toEqual([]);
  });

  const noFunctions = ["'RESUME'", 'null', '1', '{}', '[]'];
  it.each(noFunctions)('12.12: a route that is no function is refused at the start: %s', async (handler) => {
    const file = new ProxyFile(proxySource(`requestRoute() {}, route: { RESUME: ${handler} },`));
    await expect(startProxy(file.url)).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_CONFIG',
      message: expect.stringContaining('route.RESUME') as string,
    });
    file.remove();
  });
});

describe('a call that was answered before it is suspended', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    async requestRoute(msg) {
      const code = msg.cseq;
      msg.sendReply(code, 'First');
      const refused = [msg.asyncTaskRoute('LATE'), await msg.asyncMsSleep(1)];
      if (code >= 200) return note([refused.join(), msg.asyncError.code, msg.sendReply(200, 'Second'), msg.asyncError.code]);
    },
    route: { LATE(msg) { msg.sendReply(200, 'Late'); } },`,
    { prelude: notePrelude },
  );

  it.each(['INVITE', 'OPTIONS'])(
    '12.13: keeps its final reply, which repeated requests get again (suspended replies: test/relay.suspend.test.ts): %s',
    async (method) => {
      for (const cseq of [200, 302, 404, 603]) {
        const call = running.client.request({ method, cseq, autoAck: true });
        await call.final();
        await book.atLeast(1);
        call.resend();
        call.resend();
        await eventually(() => call.finals.length >= 3);
        expect(new Set(call.finals.map(({ raw }) => raw)).size).toBe(1);
        expect(call.finals[0]).toMatchObject({ status: cseq, reason: 'First' });
      }
      const already = 'SIPASYNC_ERR_ALREADY_ANSWERED';
      expect(book.entries).toEqual(Array.from({ length: 4 }, () => ['false,false', already, false, already]));
    },
  );

  it('12.13: goes on behind a provisional reply, which repeated requests get meanwhile', async () => {
    const call = running.client.request({ method: 'OPTIONS', cseq: 183 });
    const final = await call.final();
    expect(call.responses.map(({ reason }) => reason)).toEqual(['First', 'Late']);
    expect(final.status).toBe(200);
  });
});

const failing = `
  asyncWorkersGroup: ['name=work;workers=1'],
  requestRoute(msg) {
    msg.avp.set('seen', 0);
    msg.asyncTaskGroupRoute(msg.toUser, 'work');
  },
  route: {
    THROW(msg) { spoil(msg); throw new Error('thrown'); },
    async REJECT(msg) { spoil(msg); await msg.asyncMsSleep(2); throw new Error('thrown'); },
    TYPE(msg) { spoil(msg); msg.asyncMsRoute('LOOK'); },
    HALF(msg) { spoil(msg); msg.sendReply(183); msg.sendReply('404'); },
    LOOK(msg) {
      msg.sendReply(200, [threadId > 0, msg.avp.get('seen'), msg.flags.value, msg.var.seen, msg.du, msg.asyncError].join());
    },
  },`;

describe('a resumed route that throws', () => {
  const running = useProxy(failing, {
    prelude: `const spoil = (msg) => {
      msg.avp.set('seen', 1); msg.flags.set(1); msg.var.seen = 1; msg.du = 'sip:x@y'; msg.appendToReply('X-Spoilt: 1');
    };`,
  });

  const ways = ['THROW', 'REJECT', 'TYPE', 'HALF'];
  it.each(ways)('12.14: ends its call with one 500, and nothing of it stays: %s', async (user) => {
    const { failed, done } = running.stats.groups['work']!;
    const call = running.client.request({ user, autoAck: true });
    expect((await call.final()).status).toBe(500);
    const look = await running.ask({ user: 'LOOK' });
    expect(look.reason).toBe('true,0,0,,,');
    expect(look.header('x-spoilt')).toBe('');
    expect(running.proxy.suspended()).toEqual([]);
    await becomesIdle(running.proxy);
    expect(call.finals).toHaveLength(1);
    expect(running.stats.groups['work']).toMatchObject({ failed: failed + 1, done: done + 1 });
  });
});

describe('what a script holds of a message', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    asyncWorkersGroup: ['name=work;workers=1'],
    requestRoute(msg) {
      const bytes = Buffer.from('bytes');
      const nested = { inner: 'nested' };
      msg.avp.set('bytes', bytes);
      msg.xavp.set('nested', nested);
      msg.asyncTaskData('TASK', bytes);
      msg.raw.fill(0);
      bytes.fill(0);
      nested.inner = 'changed';
      msg.headers('Via').length = 0;
      msg.parsed.method = 'CHANGED';
      msg.asyncTaskGroupRoute('LOOK', 'work');
    },
    route: {
      TASK(msg) {
        const seen = String(msg.asyncData);
        msg.asyncData.fill(0);
        note([seen, String(msg.asyncData)]);
        msg.ruri = 'sip:changed@example.com';
        msg.body = 'changed';
        msg.appendHf('X-New: 1');
      },
      CLEAN(msg) { note([msg.ruri.includes('changed'), msg.body, msg.avp.names().length]); },
      LOOK(msg) {
        msg.avp.get('bytes').fill(0);
        const seen = [msg.raw.toString('latin1', 0, 6), msg.method, msg.parsed.method, msg.headers('Via').length];
        msg.sendReply(200, [...seen, String(msg.avp.get('bytes')), msg.xavp.get('nested').inner].join());
      },
    },`,
    { prelude: notePrelude },
  );

  it('12.15: is its own: whatever it changes in it, the next route sees the message as it came', async () => {
    for (let i = 0; i < 3; i += 1) {
      expect((await running.ask({})).reason).toBe('INVITE,INVITE,INVITE,1,bytes,nested');
    }
    const tasks = await book.atLeast(3);
    expect(tasks).toEqual([1, 2, 3].map(() => ['bytes', 'bytes']));
  });

  it('12.20: a made-up message is made anew for each task (what acts on it is refused: the matrix)', async () => {
    for (let i = 0; i < 3; i += 1) {
      running.proxy.asyncTaskData('TASK', Buffer.from('bytes'));
      running.proxy.asyncTaskData('CLEAN', '');
    }
    const seen = await book.atLeast(6);
    expect(seen.filter((entry) => typeof (entry as unknown[])[0] === 'boolean')).toEqual([1, 2, 3].map(() => [false, '', 0]));
    await becomesIdle(running.proxy);
    expect(running.client.strays).toEqual([]);
  });
});
