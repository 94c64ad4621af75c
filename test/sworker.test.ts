import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { Notes, notePrelude } from './support/notes.ts';
import { becomesIdle, callsEnd, proxySource, RunningProxy, useProxy } from './support/running-proxy.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { StreamClient } from './support/stream-client.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

const notes = Notes.forThisFile();

/** What every route here has: where it runs, and what it was given. */
const prelude = `${notePrelude}
  const place = (msg) => (msg.sworkerActive() ? 'task' : 'receiver') + (msg.asyncGname === null ? '' : ' in ' + msg.asyncGname);
  const codeOf = (msg) => msg.asyncError?.code.replace('SIPASYNC_ERR_', '') ?? null;
  const answer = (msg, code = 404) => {
    if (msg.method === 'ACK') return;
    msg.appendToReply('X-Place: ' + place(msg));
    msg.sendReply(code);
  };
  void codeOf, answer;`;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(definition: string, overrides = {}): Promise<RunningProxy> {
  const running = new RunningProxy(definition, { prelude, overrides });
  await running.start();
  ends.push(() => running.stop());
  return running;
}

describe("eventRoute['core:pre-routing']", () => {
  const proxy = useProxy(
    `
    asyncWorkers: 2,
    asyncWorkersGroup: ['name=tight;workers=1;nonblock=1;maxQueue=1'],
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      if (msg.toUser === 'resume' && msg.route === 'requestRoute') msg.asyncTaskRoute('RESUME');
      if (msg.toUser === 'silent') { note(['requestRoute', place(msg)]); msg.drop(); }
      answer(msg);
    },
    route: { RESUME: (msg) => answer(msg), TASK: (msg) => note(['task', String(msg.asyncData)]) },
    eventRoute: {
      'core:pre-routing'(msg) {
        switch (msg.toUser) {
          case 'here': case 'bob': return;
          case 'throws': throw new Error('thrown on purpose');
          case 'exit': return msg.exit();
          case 'drop': return msg.drop();
          case 'sl': msg.appendToReply('X-From: event'); note([msg.slSendReply(486), msg.slSendReply(487), codeOf(msg)]); return;
          case 'sl-task': msg.slSendReply(488); note([msg.sworkerTask('default'), codeOf(msg)]); return;
          case 'unknown': note([msg.sworkerTask('nope'), codeOf(msg)]); return;
          case 'module': note([msg.sworkerTask('async:workers'), codeOf(msg)]); return;
          case 'twice': note([msg.sworkerTask('default'), msg.sworkerTask('default'), codeOf(msg)]); return;
          case 'inert': {
            msg.sworkerTask('default');
            const tried = [];
            for (const action of [() => msg.appendHf('X-A: 1'), () => msg.slSendReply(500), () => msg.sworkerActive()]) {
              try { tried.push(action()); } catch (error) { tried.push(error.code); }
            }
            note(tried);
            return;
          }
          case 'data': note([msg.asyncTaskData('TASK', 'carried'), codeOf(msg)]); return;
          case 'later': return new Promise((done) => setImmediate(done)).then(() => { if (msg.sworkerTask('default')) msg.drop(); });
          case 'later-here': return new Promise((done) => setImmediate(done));
          case 'later-throws': return Promise.reject(new Error('thrown on purpose'));
          case 'lost': {
            msg.appendHf('X-Lost: 1'); msg.avp.set('lost', 1); msg.flags.set(3); msg.var.lost = 1; msg.ruri = 'sip:lost@127.0.0.1';
            break;
          }
          case 'read':
            note([msg.isRequest, msg.method, msg.ruri, msg.callId, msg.header('X-Own'), msg.srcIp, msg.proto, msg.status,
              msg.tCheckTrans(), msg.sworkerActive(), msg.asyncGname, msg.parsed.method]);
            break;
        }
        if (msg.sworkerTask('default')) msg.drop();
      },
    },`,
    { prelude },
  );

  it('hands every request to a group, where it is processed as fresh from the network', async () => {
    for (const method of ['INVITE', 'OPTIONS', 'MESSAGE']) {
      const reply = await proxy.ask({ method, user: 'task' });
      expect([reply.status, reply.header('x-place')]).toEqual([404, 'task in default']);
    }
    await callsEnd(proxy.proxy);
  });

  it('lets through what it does not hand over: by its end, by exit() and by an error', async () => {
    for (const user of ['here', 'exit', 'throws', 'later-here', 'later-throws', 'unknown', 'module', 'data']) {
      const reply = await proxy.ask({ user, method: 'OPTIONS' });
      expect([user, reply.status, reply.header('x-place')]).toEqual([user, 404, 'receiver']);
    }
    const seen = await notes.atLeast(4);
    expect(seen.map((entry) => JSON.stringify(entry)).sort()).toEqual([
      '["task","carried"]', '[false,"UNKNOWN_GROUP"]', '[false,"UNKNOWN_GROUP"]', '[true,null]',
    ]);
  });

  it('logs the error of an event route that throws', async () => {
    const file = new ProxyFile(proxySource(`
      log: 'error',
      requestRoute: (msg) => msg.sendReply(404),
      eventRoute: { 'core:pre-routing'() { throw new Error('thrown on purpose'); } },`));
    ends.push(() => file.remove());
    const child = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0'] });
    const client = await SipClient.open(child);
    ends.push(() => client.close());
    expect((await client.request({ method: 'OPTIONS', callId: 'thrower' }).final()).status).toBe(404);
    const { stderr, code } = await child.stop();
    expect(code).toBe(0);
    expect(JSON.parse(stderr.split('\n')[0]!)).toMatchObject({
      msg: 'the route threw', route: 'core:pre-routing', callId: 'thrower', err: { message: 'thrown on purpose' },
    });
  });

  it('drops: no reply, no route, and a retransmission runs it again', async () => {
    const call = proxy.client.request({ user: 'drop', method: 'OPTIONS' });
    call.resend();
    await proxy.settle();
    expect(call.responses).toEqual([]);
    await becomesIdle(proxy.proxy);
  });

  it('may answer without a transaction, and then the message is not routed', async () => {
    const reply = await proxy.ask({ user: 'sl', method: 'OPTIONS' });
    expect([reply.status, reply.header('x-from'), reply.header('x-place')]).toEqual([486, 'event', '']);
    expect((await proxy.ask({ user: 'sl-task', method: 'OPTIONS' })).status).toBe(488);
    expect(notes.entries).toEqual([[true, false, 'ALREADY_ANSWERED'], [false, 'ALREADY_ANSWERED']]);
    await callsEnd(proxy.proxy);
  });

  it('hands over once, and the message is inert behind it', async () => {
    expect((await proxy.ask({ user: 'twice', method: 'OPTIONS' })).header('x-place')).toBe('task in default');
    expect((await proxy.ask({ user: 'inert', method: 'OPTIONS' })).header('x-place')).toBe('task in default');
    expect(notes.entries).toEqual([
      [true, false, 'ALREADY_SUSPENDED'], ['SIPASYNC_ERR_SUSPENDED', 'SIPASYNC_ERR_SUSPENDED', false],
    ]);
  });

  it('may decide later', async () => {
    expect((await proxy.ask({ user: 'later' })).header('x-place')).toBe('task in default');
  });

  it('reads the message, and nothing that it sets goes along', async () => {
    const call = proxy.client.request({ user: 'read', method: 'OPTIONS', headers: ['X-Own: 7'], callId: 'read-me' });
    expect((await call.final()).status).toBe(404);
    expect(notes.entries).toEqual([
      [true, 'OPTIONS', call.request.ruri, 'read-me', '7', '127.0.0.1', 'udp', null, false, false, null, 'OPTIONS'],
    ]);
  });

  it('is not part of a route that the call is resumed in', async () => {
    expect((await proxy.ask({ user: 'resume' })).header('x-place')).toBe('receiver in default');
  });

  it('counts what was handed over among the tasks of the group', async () => {
    // Behind the ACKs of the tests before.
    await proxy.settle();
    await callsEnd(proxy.proxy);
    const before = proxy.stats.groups['default']!;
    for (let i = 0; i < 5; i += 1) await proxy.ask({ user: 'task', method: 'OPTIONS' });
    await eventually(() => proxy.stats.groups['default']!.done === before.done + 5);
    await becomesIdle(proxy.proxy);
    expect(proxy.stats.transactions.preRouting).toBe(0);
  });
});

describe('nothing but xdata goes along', () => {
  let callee: SipCallee;
  beforeAll(async () => {
    callee = await SipCallee.open();
    process.env['CALLEE'] = callee.uri;
    callee.on('INVITE', [180, 486]).on('OPTIONS', [200]);
    return () => callee.close();
  });

  const definition = (group: string) => `
    asyncWorkers: 2,
    requestRoute(msg) {
      note(['request', place(msg), msg.var.x, msg.var.lost, msg.avp.get('lost'), msg.flags.get(3)]);
      if (msg.method === 'ACK') return;
      msg.tOnFailure('FAILED');
      msg.tOnReply('REPLY');
      msg.tRelay(process.env.CALLEE);
    },
    failureRoute: { FAILED(msg) { note(['failure', place(msg), msg.var.x]); } },
    onreplyRoute: { REPLY(msg) { if (msg.status >= 300) msg.appendHf('X-Own: 1'); note(['reply', msg.status, place(msg), msg.var.x]); } },
    eventRoute: {
      'core:pre-routing'(msg) {
        if (msg.method === 'ACK') return;
        msg.appendHf('X-Lost: 1'); msg.avp.set('lost', 1); msg.flags.set(3); msg.var.lost = 1;
        msg.var.x = msg.isRequest ? 'ruri ' + msg.method : [msg.isRequest, msg.status, msg.reason, msg.method].join(' ');
        if (msg.sworkerTask(${group})) msg.drop();
        note(['here', codeOf(msg)]);
      },
    },`;
  const xdata = { modparam: { sworker: { xdata: '$var(x)' } } };

  it('runs reply and failure routes of a reply in the worker it was handed to', async () => {
    const running = await start(definition("'default'"), xdata);
    expect((await running.ask({})).status).toBe(486);
    const seen = await notes.atLeast(4);
    expect(seen.sort()).toEqual([
      ['failure', 'task in default', 'false 486 Busy Here INVITE'],
      ['reply', 180, 'task in default', 'false 180 Ringing INVITE'],
      ['reply', 486, 'task in default', 'false 486 Busy Here INVITE'],
      ['request', 'task in default', 'ruri INVITE', null, null, false].map((value) => value ?? null),
    ].map((entry) => JSON.parse(JSON.stringify(entry)) as unknown).sort());
    expect(callee.of('INVITE').at(-1)!.headers.get('x-lost')).toBeUndefined();
    await callsEnd(running.proxy);
  });

  it('lets replies go on in the receiver when the group is unknown', async () => {
    const running = await start(definition("msg.isRequest ? 'default' : 'nope'"), xdata);
    expect((await running.ask({ method: 'OPTIONS' })).status).toBe(200);
    expect(await notes.atLeast(3)).toEqual([
      ['request', 'task in default', 'ruri OPTIONS', null, null, false],
      ['here', 'UNKNOWN_GROUP'],
      ['reply', 200, 'receiver', null],
    ]);
    await callsEnd(running.proxy);
  });

  it('drops a reply', async () => {
    const running = await start(`
      asyncWorkers: 1,
      requestRoute: (msg) => msg.tRelay(process.env.CALLEE),
      eventRoute: {
        'core:pre-routing'(msg) {
          if (msg.isRequest) return;
          note(msg.status);
          msg.drop();
        },
      },`);
    const call = running.client.request({ method: 'OPTIONS' });
    await notes.atLeast(1);
    await running.client.request({ method: 'OPTIONS', branch: 'z9hG4bKother' });
    await notes.atLeast(2);
    expect(call.responses).toEqual([]);
  });
});

describe('xdata', () => {
  const definition = `
    asyncWorkers: 1,
    requestRoute(msg) {
      const value = variable(msg);
      msg.appendToReply('X-Value: ' + JSON.stringify(value ?? null));
      msg.sendReply(404);
    },
    route: {},
    eventRoute: {
      'core:pre-routing'(msg) {
        set(msg, new Function('return ' + (msg.header('X-Set') ?? 'undefined'))());
        try { if (msg.sworkerTask('default')) msg.drop(); } catch (error) { if (!(error instanceof TypeError)) throw error; }
      },
    },`;
  const kinds = [
    ['$var(x)', "const set = (msg, value) => { msg.var.x = value; }; const variable = (msg) => msg.var.x;"],
    ['$avp(caller.id)', "const set = (msg, value) => { if (value !== undefined && value !== null) msg.avp.set('caller.id', value); }; const variable = (msg) => msg.avp.get('caller.id');"],
  ] as const;

  it.each(kinds)('%s: text, a number, nothing, and never what an earlier message had', async (name, accessors) => {
    const running = new RunningProxy(definition, {
      prelude: `${prelude}\n${accessors}`,
      overrides: { modparam: { sworker: { xdata: name } } },
    });
    await running.start();
    ends.push(() => running.stop());
    const given: [string, unknown][] = [
      ["'first'", 'first'], ['undefined', null], ["'grün ☎'", 'grün ☎'], ["''", null], ['42', '42'], ['-0.5', '-0.5'],
      ['null', null], ["'x'.repeat(2000)", 'x'.repeat(2000)], ['0', '0'], ['undefined', null],
    ];
    for (const [value, wanted] of given) {
      const reply = await running.ask({ method: 'OPTIONS', headers: [`X-Set: ${value}`] });
      expect([value, JSON.parse(Buffer.from(reply.header('x-value'), 'latin1').toString())]).toEqual([value, wanted]);
    }
    await becomesIdle(running.proxy);
  });

  it('throws a TypeError for what is neither text nor a number, and the message goes on', async () => {
    const running = new RunningProxy(definition, {
      prelude: `${prelude}\n${kinds[0][1]}`,
      overrides: { modparam: { sworker: { xdata: '$var(x)' } } },
    });
    await running.start();
    ends.push(() => running.stop());
    for (const value of ['{}', 'true', '[1]', 'new Uint8Array(2)']) {
      expect((await running.ask({ method: 'OPTIONS', headers: [`X-Set: ${value}`] })).header('x-value')).toBe('null');
    }
  });
});

describe('groups that do not take it', () => {
  it('NO_WORKERS: there is no group at all', async () => {
    const running = await start(`
      asyncWorkers: 0,
      requestRoute: (msg) => answer(msg),
      eventRoute: { 'core:pre-routing'(msg) { note([msg.sworkerTask('default'), codeOf(msg)]); } },`);
    expect((await running.ask({ method: 'OPTIONS' })).header('x-place')).toBe('receiver');
    expect(notes.entries).toEqual([[false, 'NO_WORKERS']]);
  });

  it('GROUP_FULL: what waits in a lane counts, and the message goes on in the receiver', async () => {
    const running = await start(`
      asyncWorkers: 0,
      asyncWorkersGroup: ['name=tight;workers=1;nonblock=1;maxQueue=3'],
      requestRoute(msg) {
        note(['begins', msg.callId, place(msg)]);
        if (msg.sworkerActive()) spinUntilReleased();
        answer(msg);
      },
      eventRoute: {
        'core:pre-routing'(msg) {
          if (msg.sworkerTask('tight')) msg.drop();
          note([codeOf(msg), msg.callId]);
        },
      },`);
    const ask = (callId: string) => running.client.request({ method: 'OPTIONS', callId });
    const first = ask('one');
    await notes.atLeast(1);
    // Two behind it in its lane, one of another: three wait, and the next is refused.
    const waiting = [ask('one'), ask('one'), ask('two')];
    await eventually(() => running.stats.groups['tight']!.queued === 3);
    const refused = ask('one');
    expect((await refused.final()).header('x-place')).toBe('receiver');
    expect(notes.entries).toContainEqual(['GROUP_FULL', 'one']);
    expect(running.proxy.suspended().map(({ kind, state, group, callId, method, route }) => [kind, state, group, callId, method, route]))
      .toEqual(Array.from({ length: 3 }, (_, i) => ['message', 'queued', 'tight', i === 2 ? 'two' : 'one', 'OPTIONS', null]));
    const [entry] = running.proxy.suspended();
    expect([running.proxy.cancel(entry!.handle), running.proxy.asyncError?.code]).toEqual([false, 'SIPASYNC_ERR_NO_TRANSACTION']);
    notes.release();
    for (const call of [first, ...waiting]) expect((await call.final()).header('x-place')).toBe('task in tight');
    await becomesIdle(running.proxy);
    expect(running.stats.groups['tight']).toMatchObject({ queued: 0, highWater: 3, refused: 1, done: 4 });
  });

  it('WRONG_ROUTE: outside of the event route', async () => {
    const running = await start(`
      asyncWorkers: 1,
      requestRoute(msg) { note([msg.sworkerTask('default'), codeOf(msg), msg.sworkerActive()]); answer(msg); },`);
    await running.ask({ method: 'OPTIONS' });
    expect(notes.entries).toEqual([[false, 'WRONG_ROUTE', false]]);
  });
});

describe('the ways that messages come by', () => {
  const definition = `
    asyncWorkers: 2,
    requestRoute: (msg) => answer(msg),
    eventRoute: { 'core:pre-routing'(msg) { if (msg.toUser !== 'here' && msg.sworkerTask('default')) msg.drop(); } },`;

  it('TCP: the worker answers by the connection', async () => {
    const running = await start(definition, { listen: ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0'], children: 2 });
    const client = await StreamClient.open(running.proxy.addresses[1]!);
    ends.push(() => client.close());
    for (const user of ['task', 'here', 'task']) {
      const request = client.request({ user });
      const reply = await client.response(request);
      expect([reply.status, reply.header('x-place')]).toEqual([404, user === 'here' ? 'receiver' : 'task in default']);
    }
    await callsEnd(running.proxy);
  });

  it('several receivers', async () => {
    const running = await start(definition, { children: 3 });
    const clients = await Promise.all(Array.from({ length: 6 }, () => SipClient.open(running.proxy.addresses[0]!)));
    ends.push(() => Promise.all(clients.map((client) => client.close())));
    for (const client of clients) {
      for (const user of ['task', 'here']) {
        const reply = await client.request({ user, autoAck: true }).final();
        expect(reply.header('x-place')).toBe(user === 'here' ? 'receiver' : 'task in default');
      }
    }
    await callsEnd(running.proxy);
  });

  it('the stand-in, while the receiver is stuck in a route', async () => {
    const running = await start(`
      asyncWorkers: 2,
      requestRoute(msg) { if (msg.toUser === 'stuck') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); answer(msg); },
      eventRoute: { 'core:pre-routing'(msg) { if (msg.toUser !== 'stuck' && msg.sworkerTask('default')) msg.drop(); } },`, { children: 2 });
    const clients = await Promise.all(Array.from({ length: 4 }, () => SipClient.open(running.proxy.addresses[0]!)));
    ends.push(() => Promise.all(clients.map((client) => client.close())));
    const stuck = clients.map((client) => client.request({ user: 'stuck', method: 'OPTIONS' }));
    const others = clients.flatMap((client) => Array.from({ length: 20 }, () => client.request({ user: 'task', method: 'OPTIONS' })));
    for (const call of stuck) expect((await call.final(10_000)).header('x-place')).toBe('receiver');
    for (const call of others) expect((await call.final(10_000)).header('x-place')).toBe('task in default');
    await becomesIdle(running.proxy);
  });
});
