import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { callsEnd, finalsOf, statusesOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { parameter } from './support/sip-message.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  const to = (msg, name = 'X-To') => msg.header(name);
  const relay = (msg) => { msg.du = to(msg); if (!msg.tRelay()) note(['refused', msg.asyncError.code]); };
  function fork(msg) {
    msg.ruri = to(msg);
    msg.appendBranch(to(msg, 'X-Then'));
    msg.tRelay();
  }
  const wait = (msg) => Number(msg.header('X-Wait') ?? 50);
  const seen = (msg) => [msg.route, msg.isRequest, msg.status, msg.reason, msg.method];`;

const definition = `
  asyncWorkers: 2,
  requestRoute(msg) {
    if (msg.toTag) return void msg.tRelay();
    const scripts = {
      settle() { msg.slSendReply(200); },
      'reply-sees'() { msg.tOnReply('SEES'); relay(msg); },
      'reply-later'() { msg.avp.set('before', 1); msg.tOnReply('LATER'); relay(msg); },
      'reply-sleep'() { msg.tOnReply('SLEEP'); relay(msg); },
      'reply-held'() { msg.tOnReply('HELD'); fork(msg); },
      'reply-throws'() { msg.tOnReply('THROWS'); relay(msg); },
      'failure-twice'() { msg.avp.set('tries', 1); msg.tOnFailure('TWICE'); relay(msg); },
      'failure-sleep'() { msg.tOnFailure('SLEEP'); relay(msg); },
      'failure-task'() { msg.tOnFailure('TASK'); relay(msg); },
      'failure-throws'() { msg.tOnFailure('THROWS'); relay(msg); },
      'failure-rearmed'() { msg.avp.set('tries', 1); msg.tOnFailure('REARMED'); relay(msg); },
      'branch-sleep'() { msg.tOnBranch('SLEEP'); fork(msg); },
      'branch-later'() { msg.tOnBranch('LATER'); fork(msg); },
    };
    return (scripts[msg.toUser] ?? (() => relay(msg)))();
  },
  route: {
    REPLY(msg) {
      note(seen(msg));
      msg.appendHf('X-Resumed: ' + msg.status + ' ' + msg.avp.get('before') + ' ' + msg.avp.get('during'));
    },
    HELD(msg) { msg.appendHf('X-Resumed: held'); },
    SECOND(msg) {
      msg.avp.set('tries', msg.avp.get('tries') + 1);
      msg.appendHf('X-Tries: ' + msg.avp.get('tries'));
      msg.asyncMsRoute('THIRD', wait(msg));
    },
    THIRD(msg) {
      msg.avp.set('tries', msg.avp.get('tries') + 1);
      msg.appendHf('X-Tries: ' + msg.avp.get('tries'));
      msg.tRelay(to(msg, 'X-Then'));
    },
    NEXT(msg) {
      msg.appendHf('X-Status: ' + msg.tCheckStatus('486') + ' ' + msg.tCheckStatus('4[0-9][0-9]') + ' ' + msg.tCheckStatus('5[0-9][0-9]'));
      msg.tRelay(to(msg, 'X-Then'));
    },
    AGAIN(msg) {
      if (msg.avp.get('tries') >= 3) return msg.sendReply(480);
      msg.avp.set('tries', msg.avp.get('tries') + 1);
      msg.tOnFailure('REARMED');
      msg.tRelay(to(msg, 'X-Then'));
    },
    BRANCH(msg) { msg.appendHf('X-Branch: ' + msg.ruri); },
  },
  onreplyRoute: {
    SEES(msg) { note(seen(msg)); },
    LATER(msg) {
      msg.avp.set('during', 2);
      msg.asyncMsRoute('REPLY', wait(msg));
      note(['refused', msg.asyncError.code]);
    },
    async SLEEP(msg) {
      const woken = await msg.asyncMsSleep(wait(msg));
      msg.appendHf('X-Slept: ' + woken);
    },
    async HELD(msg) {
      if (msg.header('X-Hold') !== null) msg.asyncMsRoute('HELD', wait(msg));
    },
    THROWS(msg) { if (msg.status === 180) throw new Error('in the reply route'); },
  },
  failureRoute: {
    TWICE(msg) { msg.asyncMsRoute('SECOND', wait(msg)); },
    async SLEEP(msg) {
      note([msg.route, await msg.asyncMsSleep(wait(msg)), msg.tIsCanceled()]);
      if (!msg.tIsCanceled()) msg.tRelay(to(msg, 'X-Then'));
    },
    TASK(msg) { msg.asyncTaskRoute('NEXT'); },
    THROWS() { throw new Error('in the failure route'); },
    REARMED(msg) { msg.asyncMsRoute('AGAIN', wait(msg)); },
  },
  branchRoute: {
    async SLEEP(msg) {
      if (msg.ruri === to(msg)) await msg.asyncMsSleep(wait(msg));
      msg.appendHf('X-Branch: ' + msg.ruri);
    },
    LATER(msg) { msg.asyncMsRoute('BRANCH', wait(msg)); },
  },
  eventRoute: {
    'tm:canceled'(msg) { note(['tm:canceled', msg.method, msg.callId]); },
  },`;

describe('suspending in the routes of a relayed call', () => {
  const running = useProxy(definition, {
    prelude,
    overrides: { modparam: { tm: { retr_timer1: 100, retr_timer2: 400, fr_timer: 2000 } } },
  });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 15_000));
  const first = () => callees[0]!;
  const second = () => callees[1]!;
  const call = (user: string, { headers = [], ...options }: TransactionOptions = {}): Transaction =>
    running.client.request({ user, autoAck: true, ...options, headers: [...targetHeaders(callees), ...headers] });

  it('shows the reply to the reply route', async () => {
    first().on('INVITE', [183, 404]);
    await call('reply-sees').final();
    expect(await notes.atLeast(2)).toEqual([
      ['SEES', false, 183, 'Session Progress', 'INVITE'],
      ['SEES', false, 404, 'Not Found', 'INVITE'],
    ]);
    await callsEnd(running.proxy);
  });

  it('passes a reply on when its route has been resumed, with all variables', async () => {
    const one = call('reply-later');
    const invite = await first().request('INVITE');
    first().answer(invite, 200, { headers: ['X-Kept: 1'], body: 'answer' });
    const final = await one.final();
    expect(one.elapsedMs(final)).toBeGreaterThanOrEqual(50);
    expect(final.header('x-resumed')).toBe('200 1 2');
    expect(final.header('x-kept')).toBe('1');
    expect(final.body).toBe('answer');
    expect(parameter(final.header('to'), 'tag')).toBe(first().tag);
    expect(await notes.atLeast(1)).toEqual([['REPLY', false, 200, 'OK', 'INVITE']]);
    await callsEnd(running.proxy);
  });

  it('passes a refusal on, which was acknowledged at once', async () => {
    const one = call('reply-later', { headers: ['X-Wait: 1000'] });
    first().answer(await first().request('INVITE'), 486);
    const ack = await first().request('ACK');
    expect(finalsOf(one)).toEqual([]);
    const final = await one.final();
    expect(final.header('x-resumed')).toBe('486 1 2');
    expect(ack.atMs).toBeLessThan(final.atMs);
    await callsEnd(running.proxy);
  });

  it('absorbs a reply that is repeated while it is suspended', async () => {
    const one = call('reply-later', { headers: ['X-Wait: 1000'] });
    const invite = await first().request('INVITE');
    const busy = first().answer(invite, 486);
    await first().request('ACK');
    first().send(busy, invite);
    await first().request('ACK', 2);
    await one.final();
    await running.settle();
    expect(await notes.atLeast(1)).toHaveLength(1);
    expect(finalsOf(one)).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it('keeps the order of what is passed on: 180 before the 200 behind it', async () => {
    first().on('INVITE', [180, 200]);
    const one = call('reply-later');
    await one.final();
    await running.settle();
    expect(statusesOf(one)).toEqual([100, 180, 200]);
    await callsEnd(running.proxy);
  });

  it('lets a reply route sleep', async () => {
    first().on('INVITE', [404]);
    const one = call('reply-sleep');
    const final = await one.final();
    expect(final.header('x-slept')).toBe('true');
    expect(one.elapsedMs(final)).toBeGreaterThanOrEqual(50);
    await callsEnd(running.proxy);
  });

  it('delivers replies of other branches while one is suspended', async () => {
    const one = call('reply-held', { headers: ['X-Wait: 1000'] });
    const invites = [await first().request('INVITE'), await second().request('INVITE')] as const;
    first().answer(invites[0], 180, { headers: ['X-Hold: 1'] });
    second().answer(invites[1], 183);
    const progress = await one.response(({ status }) => status === 183, 5000);
    const ringing = await one.response(({ status }) => status === 180, 5000);
    expect(progress.atMs).toBeLessThan(ringing.atMs);
    expect(ringing.header('x-resumed')).toBe('held');
    first().answer(invites[0], 404, { headers: ['X-Hold: 1'] });
    second().answer(invites[1], 200);
    expect((await one.final()).status).toBe(200);
    await running.settle();
    expect(finalsOf(one)).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it('cancels a call whose refusal is suspended in the reply route', async () => {
    const one = call('reply-later', { headers: ['X-Wait: 400'] });
    first().answer(await first().request('INVITE'), 486);
    await first().request('ACK');
    expect((await one.cancel().final()).status).toBe(200);
    expect([486, 487]).toContain((await one.final()).status);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
  });

  it('passes a reply on whose route threw', async () => {
    first().on('INVITE', [180, 404]);
    const one = call('reply-throws');
    expect((await one.final()).status).toBe(404);
    expect(finalsOf(one)).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it('suspends twice in a failure route and goes on with the second callee, keeping variables and changes', async () => {
    first().on('INVITE', [486]);
    second().on('INVITE', [180, 200]);
    const one = call('failure-twice');
    expect((await one.final()).status).toBe(200);
    expect(one.elapsedMs(one.finals[0]!)).toBeGreaterThanOrEqual(100);
    expect(second().of('INVITE')[0]!.headers.get('x-tries')).toEqual(['2', '3']);
    await running.settle();
    expect(statusesOf(one)).toEqual([100, 180, 200]);
    await callsEnd(running.proxy);
  });

  it('hands a failure route over to a worker, which sees the status', async () => {
    first().on('INVITE', [486]);
    second().on('INVITE', [404]);
    expect((await call('failure-task').final()).status).toBe(404);
    expect(second().of('INVITE')[0]!.header('x-status')).toBe('true true false');
    await callsEnd(running.proxy);
  });

  it('lets a failure route sleep', async () => {
    first().on('INVITE', [486]);
    second().on('INVITE', [200]);
    expect((await call('failure-sleep').final()).status).toBe(200);
    expect(await notes.atLeast(1)).toEqual([['SLEEP', true, false]]);
    await callsEnd(running.proxy);
  });

  it('wakes a failure route that sleeps when the call is cancelled', async () => {
    first().on('INVITE', [486]);
    const one = call('failure-sleep', { headers: ['X-Wait: 5000'] });
    await first().request('ACK');
    await eventually(() => running.stats.timers.pending === 1);
    expect((await one.cancel().final()).status).toBe(200);
    expect((await one.final()).status).toBe(487);
    expect(await notes.atLeast(2)).toEqual(
      expect.arrayContaining([
        ['SLEEP', false, true],
        ['tm:canceled', 'CANCEL', one.request.callId],
      ]),
    );
    expect(second().requests).toEqual([]);
    await callsEnd(running.proxy);
  });

  it('tells the event route of every CANCEL of a relayed call', async () => {
    first().on('INVITE', [180]).on('CANCEL', [200]);
    const one = call('plain');
    await one.response(({ status }) => status === 180, 5000);
    one.cancel();
    first().answer(first().of('INVITE')[0]!, 487);
    expect((await one.final()).status).toBe(487);
    expect(await notes.atLeast(1)).toEqual([['tm:canceled', 'CANCEL', one.request.callId]]);
    await callsEnd(running.proxy);
  });

  it('runs the failure route again when it was armed again', async () => {
    first().on('INVITE', [486]);
    second().on('INVITE', [486]);
    const one = call('failure-rearmed');
    const final = await one.final();
    expect(final.status).toBe(480);
    expect(second().distinct('INVITE')).toHaveLength(2);
    expect(new Set(second().of('INVITE').map((invite) => invite.header('via'))).size).toBe(2);
    await callsEnd(running.proxy);
  });

  it('ends a call whose failure route threw with one final reply', async () => {
    first().on('INVITE', [486]);
    const one = call('failure-throws');
    expect([486, 500]).toContain((await one.final()).status);
    await running.settle();
    expect(finalsOf(one)).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it.each(['branch-sleep', 'branch-later'])('holds one branch while its branch route waits: %s', async (user) => {
    const one = call(user, { headers: ['X-Wait: 1000'] });
    const slow = await first().request('INVITE');
    const quick = await second().request('INVITE');
    expect(slow.atMs - one.sentAtMs).toBeGreaterThanOrEqual(1000);
    if (user === 'branch-sleep') expect(quick.atMs).toBeLessThan(slow.atMs);
    expect(slow.header('x-branch')).toBe(first().uri);
    expect(quick.header('x-branch')).toBe(second().uri);
    first().answer(slow, 404);
    second().answer(quick, 404);
    expect((await one.final()).status).toBe(404);
    await callsEnd(running.proxy);
  });

  it('does not send a branch whose call was cancelled while the branch route waited', async () => {
    const one = call('branch-sleep', { headers: ['X-Wait: 400'] });
    const invite = await second().request('INVITE');
    second().answer(invite, 180);
    await one.response(({ status }) => status === 180, 5000);
    expect((await one.cancel().final()).status).toBe(200);
    second().answer(await second().request('CANCEL'), 200);
    second().answer(invite, 487);
    expect((await one.final()).status).toBe(487);
    await new Promise((done) => setTimeout(done, 500));
    expect(first().requests).toEqual([]);
    await callsEnd(running.proxy);
  });

  it('does all this for a hundred calls at once', async () => {
    first().on('INVITE', [486]);
    second().on('INVITE', [180, 200]);
    const users = ['failure-twice', 'failure-sleep', 'failure-task', 'reply-later', 'reply-sleep'];
    const all = Array.from({ length: 100 }, (_, i) => call(users[i % users.length]!));
    const finals = await Promise.all(all.map((one) => one.final(10_000)));
    expect(finals.map(({ status }, i) => [users[i % users.length], status])).toEqual(
      all.map((_, i) => [users[i % users.length], i % users.length < 3 ? 200 : 486]),
    );
    await callsEnd(running.proxy);
    for (const one of all) expect(new Set(one.finals.map(({ raw }) => raw)).size).toBe(1);
  });
});
