import { describe, expect, it } from 'vitest';
import { notePrelude, Notes } from './support/notes.ts';
import { callsEnd, finalsOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { useProxy } from './support/running-proxy.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  // What a function gave, and why; a TypeError by its name.
  function tried(msg, action) {
    try {
      return [action(), msg.asyncError?.code ?? null];
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return [error.name, error.code ?? null];
    }
  }`;

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    const to = msg.header('X-To');
    const scripts = {
      settle() { msg.slSendReply(200); },
      names() {
        note([tried(msg, () => msg.tOnFailure('NOWHERE')), tried(msg, () => msg.tOnReply('NOWHERE')), tried(msg, () => msg.tOnBranch('NOWHERE'))]);
        note([tried(msg, () => msg.tOnFailure(5)), tried(msg, () => msg.tRelay(5)), tried(msg, () => msg.tRelay('')), tried(msg, () => msg.appendBranch('no uri'))]);
        note([tried(msg, () => msg.tRelay('sip:x y@z')), tried(msg, () => msg.tCheckStatus('(')), tried(msg, () => msg.appendHf(5))]);
        msg.sendReply(480);
      },
      answered() {
        msg.sendReply(404);
        note([tried(msg, () => msg.tRelay(to))]);
      },
      task() {
        msg.asyncTaskData('TASK', to);
        msg.sendReply(200);
      },
      headers() {
        note([tried(msg, () => msg.appendHf('X-Two: 1\\r\\nX-Three: 2')), tried(msg, () => msg.appendHf('no header')), tried(msg, () => msg.appendHf('X-Good: 1'))]);
        msg.tRelay(to);
      },
      twice() {
        note([tried(msg, () => msg.tRelay(to)), tried(msg, () => msg.tRelay(msg.header('X-Then')))]);
      },
      'after-suspension'() {
        try {
          msg.asyncMsRoute('LATER', 50);
        } catch (end) {
          note([tried(msg, () => msg.tRelay(to))]);
          throw end;
        }
      },
      inside() {
        msg.tOnBranch('B');
        msg.tOnReply('R');
        msg.tRelay(to);
      },
      silent() { msg.tRelay(to); },
      'no-hops'() { note([tried(msg, () => msg.tRelay(to))]); },
      forgotten() { msg.tRelay('sip:127.0.0.1:0;transport=nonsense'); },
    };
    (scripts[msg.toUser] ?? (() => msg.sendReply(480)))();
  },
  route: {
    TASK(msg) { note([tried(msg, () => msg.tRelay(msg.asyncData)), tried(msg, () => msg.forward(msg.asyncData)), tried(msg, () => msg.tSuspend())]); },
    LATER(msg) { msg.sendReply(480); },
  },
  branchRoute: {
    B(msg) {
      note(['branch', tried(msg, () => msg.tRelay('sip:127.0.0.1')), tried(msg, () => msg.tOnFailure('F')), tried(msg, () => msg.sendReply(480))]);
    },
  },
  onreplyRoute: {
    R(msg) {
      note(['reply', tried(msg, () => msg.tRelay('sip:127.0.0.1')), tried(msg, () => msg.tOnReply('R')), tried(msg, () => msg.sendReply(480))]);
    },
  },
  failureRoute: { F() {} },`;

const error = (name: string) => `SIPASYNC_ERR_${name}`;

describe('relaying is refused', () => {
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { retr_timer1: 100, fr_timer: 1000 } } } });
  const callees = useCallees();
  const call = (user: string, options = {}) =>
    running.client.request({ user, autoAck: true, headers: targetHeaders(callees), ...options });

  it('for names and targets that are none', async () => {
    expect((await call('names').final()).status).toBe(480);
    expect(await notes.atLeast(3)).toEqual([
      [[false, error('UNKNOWN_ROUTE')], [false, error('UNKNOWN_ROUTE')], [false, error('UNKNOWN_ROUTE')]],
      [['TypeError', null], ['TypeError', null], ['TypeError', null], ['TypeError', null]],
      [['TypeError', null], ['TypeError', null], ['TypeError', null]],
    ]);
    await callsEnd(running.proxy);
  });

  it('for a call that was answered', async () => {
    expect((await call('answered').final()).status).toBe(404);
    expect(await notes.atLeast(1)).toEqual([[[false, error('ALREADY_ANSWERED')]]]);
    expect(callees[0]!.requests).toEqual([]);
    await callsEnd(running.proxy);
  });

  it('in a data task', async () => {
    await call('task').final();
    const refused = [false, error('NO_TRANSACTION')];
    expect(await notes.atLeast(1)).toEqual([[refused, refused, refused]]);
    await callsEnd(running.proxy);
  });

  it('for a message that was given up', async () => {
    expect((await call('after-suspension').final()).status).toBe(480);
    expect(await notes.atLeast(1)).toEqual([[['SipAsyncError', error('SUSPENDED')]]]);
    await callsEnd(running.proxy);
  });

  it('in branch and reply routes, and so is what else has no place there', async () => {
    callees[0]!.on('INVITE', [404]);
    expect((await call('inside').final()).status).toBe(404);
    const refused = [false, error('WRONG_ROUTE')];
    expect(await notes.atLeast(2)).toEqual([
      ['branch', refused, refused, refused],
      ['reply', refused, refused, refused],
    ]);
    await callsEnd(running.proxy);
  });

  it('for a request without hops, which then gets 483', async () => {
    expect((await call('no-hops', { maxForwards: 0 }).final()).status).toBe(483);
    expect(await notes.atLeast(1)).toEqual([[[false, error('TOO_MANY_HOPS')]]]);
    await callsEnd(running.proxy);
  });

  it('for lines that would be more than one header, and only those', async () => {
    callees[0]!.on('INVITE', [404]);
    expect((await call('headers').final()).status).toBe(404);
    const [[first, second, third]] = (await notes.atLeast(1)) as [[unknown[], unknown[], unknown[]]];
    expect([first![0], second![0], third![0]]).toEqual([false, false, true]);
    const invite = callees[0]!.of('INVITE')[0]!;
    expect(invite.header('x-good')).toBe('1');
    expect(invite.header('x-three')).toBe('');
    await callsEnd(running.proxy);
  });

  it('not for a second relay in the same route, which is another branch', async () => {
    callees[0]!.on('INVITE', [404]);
    callees[1]!.on('INVITE', [486]);
    expect([404, 486]).toContain((await call('twice').final()).status);
    expect(await notes.atLeast(1)).toEqual([[[true, null], [true, null]]]);
    expect(callees.map((callee) => callee.distinct('INVITE').length)).toEqual([1, 1]);
    await callsEnd(running.proxy);
  });

  it('and a script that does nothing about it does not leave the caller alone', async () => {
    expect((await call('forgotten').final()).status).toBeGreaterThanOrEqual(400);
    await callsEnd(running.proxy);
  });

  it('never by blocking: closing answers a call that rings', async () => {
    callees[0]!.on('INVITE', [180]);
    const one = call('silent');
    await one.response(({ status }) => status === 180, 5000);
    const closing = running.proxy.close({ timeoutMs: 0 });
    expect((await one.final()).status).toBeGreaterThanOrEqual(400);
    await closing;
    expect(finalsOf(one)).toHaveLength(1);
  });
});
