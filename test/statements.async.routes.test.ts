import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { heldOf, heldOne, heldPrelude } from './support/held-operations.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { callsEnd, finalsOf, statusesOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  ${heldPrelude}
  const later = (ms, value) => new Promise((done) => setTimeout(done, ms, value));
  const speeds = { fast: () => 1, turn: () => new Promise((done) => setImmediate(done)), slow: () => later(8) };
  const relay = (msg) => { msg.du = msg.header('X-To'); msg.tRelay(); };
  const seen = (msg) => [msg.rc, msg.result ?? null, msg.isRequest, msg.status, msg.method];
  /** Another change on each of four runs. */
  function edit(msg) {
    const left = msg.avp.get('left') ?? 4;
    if (left === 0) return void msg.tRelay(msg.header('X-To'));
    msg.avp.set('left', left - 1);
    if (left === 4) msg.ruri = 'sip:four@four.example.com';
    if (left === 3) msg.removeHf('X-Removed');
    if (left === 2) msg.ruri = msg.ruri.replace('four.', 'two.');
    if (left === 1) msg.body = 'edited body';
    msg.appendHf('X-Left: ' + left + ' ' + msg.ruri);
    msg.async(speeds[msg.header('X-Speed')], 'EDIT');
  }`;

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    const scripts = {
      edit() { edit(msg); },
      failure() { msg.tOnFailure('WAIT'); relay(msg); },
      reply() { msg.avp.set('before', 1); msg.tOnReply('WAIT'); relay(msg); },
      every() { msg.avp.set('every', true); relay(msg); },
      branch() { msg.tOnBranch('WAIT'); msg.ruri = msg.header('X-To'); msg.appendBranch(msg.header('X-Then')); msg.tRelay(); },
      relayed() { relay(msg); msg.async(held(msg.callId), 'NOTHING', { timeout: 60 }); },
      ack() { note([msg.async(speeds.fast, 'RELAY'), msg.asyncError.code.slice(13)]); },
      bye() { msg.async(speeds.slow, 'RELAY'); },
    };
    return scripts[msg.method === 'ACK' ? 'ack' : msg.toUser]();
  },
  route: {
    EDIT: edit,
    RELAY: relay,
    NOTHING(msg) { note(seen(msg)); },
    NEXT(msg) {
      msg.appendHf('X-Outcome: ' + JSON.stringify([msg.rc, msg.result, msg.tCheckStatus('486')]));
      msg.tRelay(msg.header('X-Then'));
    },
    REPLY(msg) {
      note(seen(msg));
      msg.appendHf('X-Outcome: ' + JSON.stringify([msg.rc, msg.result, msg.avp.get('before')]));
    },
    EVERY(msg) { note(seen(msg)); },
    BRANCH(msg) { msg.appendHf('X-Branch: ' + msg.ruri + ' ' + msg.rc); },
  },
  failureRoute: { WAIT(msg) { msg.async(held(msg.callId), 'NEXT', { timeout: 60 }); } },
  replyRoute(msg) { if (msg.avp.has('every')) msg.async(speeds.slow, 'EVERY'); },
  onreplyRoute: { WAIT(msg) { msg.async(held(msg.callId), 'REPLY', { timeout: 60 }); } },
  branchRoute: { WAIT(msg) { msg.async(speeds.slow, 'BRANCH'); } },`;

describe('async() in every kind of route', () => {
  const running = useProxy(definition, {
    prelude, overrides: { modparam: { tm: { retr_timer1: 100, retr_timer2: 400, fr_timer: 3000 } } },
  });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 20_000));
  const call = (user: string, options: TransactionOptions = {}): Transaction =>
    running.client.request({
      user, autoAck: true, ...options, headers: [...targetHeaders(callees), ...(options.headers ?? [])],
    });

  it('10: forwards the same message, however fast the operations of a chain are', async () => {
    const forwarded: string[] = [];
    for (const speed of ['fast', 'turn', 'slow']) {
      callees[0]!.on('INVITE', [404]);
      const one = call('edit', { headers: [`X-Speed: ${speed}`, 'X-Removed: yes'], body: 'a body' });
      expect((await one.final()).status).toBe(404);
      const { raw } = callees[0]!.of('INVITE', one.request.callId)[0]!;
      expect(raw).toContain('sip:four@two.example.com');
      expect(raw).toContain('edited body');
      expect(raw).not.toContain('X-Removed');
      const lines = raw.split('\r\n').filter((line) => !/^(Via|Call-ID|From|CSeq|X-Speed|To|Contact):/i.test(line));
      forwarded.push(lines.join('\n'));
    }
    expect(forwarded[0]!.match(/X-Left: \d/g)).toEqual(['X-Left: 4', 'X-Left: 3', 'X-Left: 2', 'X-Left: 1']);
    expect(forwarded[1]).toBe(forwarded[0]);
    expect(forwarded[2]).toBe(forwarded[0]);
  });

  it('a failure route: the call goes on as one that has failed', async () => {
    callees[0]!.on('INVITE', [486]);
    callees[1]!.on('INVITE', [404]);
    const one = call('failure', { callId: token() });
    const { resolve } = await heldOne(one.request.callId);
    expect(finalsOf(one)).toEqual([]);
    resolve('looked up');
    expect((await one.final()).status).toBe(404);
    const sent = await callees[1]!.request('INVITE');
    expect(JSON.parse(sent.header('x-outcome')!)).toEqual([1, 'looked up', true]);
  });

  it('a failure route: CANCEL ends it', async () => {
    callees[0]!.on('INVITE', [486]);
    const one = call('failure', { callId: token() });
    const { signal } = await heldOne(one.request.callId);
    one.cancel();
    expect((await one.final()).status).toBe(487);
    await eventually(() => signal.aborted);
    await callsEnd(running.proxy);
    expect(callees[1]!.requests).toEqual([]);
  });

  it('a reply route: the reply waits, is changed, and passed on once', async () => {
    callees[0]!.on('INVITE', [486]);
    const one = call('reply', { callId: token() });
    const { resolve } = await heldOne(one.request.callId);
    expect(statusesOf(one).filter((status) => status > 100)).toEqual([]);
    resolve('held');
    const final = await one.final();
    expect(JSON.parse(final.header('x-outcome')!)).toEqual([1, 'held', 1]);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
    expect(notes.entries).toEqual([[1, 'held', false, 486, 'INVITE']]);
  });

  it('6, 15: repetitions of a reply that waits start no other operation', async () => {
    const one = call('reply', { callId: token() });
    const sent = await callees[0]!.request('INVITE');
    const text = callees[0]!.answer(sent, 486);
    const { resolve } = await heldOne(one.request.callId);
    for (let i = 0; i < 3; i += 1) callees[0]!.send(text, sent);
    // The same answer by the same socket: what comes behind it was read behind the repetitions.
    await call('edit', { headers: ['X-Speed: fast'], callId: token() }).provisional();
    expect(heldOf(one.request.callId)).toHaveLength(1);
    resolve();
    expect((await one.final()).status).toBe(486);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
    expect(notes.entries).toHaveLength(1);
  });

  it('replies of one branch wait for each other, and keep their order', async () => {
    const one = call('reply', { callId: token() });
    const sent = await callees[0]!.request('INVITE');
    callees[0]!.answer(sent, 180);
    callees[0]!.answer(sent, 183);
    callees[0]!.answer(sent, 486);
    for (const number of [0, 1, 2]) {
      await eventually(() => heldOf(one.request.callId).length === number + 1);
      expect(finalsOf(one)).toEqual([]);
      heldOf(one.request.callId)[number]!.resolve(number);
    }
    expect((await one.final()).status).toBe(486);
    expect(statusesOf(one)).toEqual([100, 180, 183, 486]);
    expect(notes.entries.map((entry) => (entry as unknown[])[1])).toEqual([0, 1, 2]);
  });

  it('a reply route: a CANCEL meanwhile ends the call, and the route still runs', async () => {
    callees[0]!.on('CANCEL', [200]);
    const one = call('reply', { callId: token() });
    const sent = await callees[0]!.request('INVITE');
    callees[0]!.answer(sent, 180);
    const { resolve } = await heldOne(one.request.callId);
    one.cancel();
    await callees[0]!.request('CANCEL');
    resolve('ringing');
    await eventually(() => notes.entries.length === 1);
    callees[0]!.answer(sent, 487);
    await eventually(() => heldOf(one.request.callId).length === 2);
    heldOf(one.request.callId)[1]!.resolve('terminated');
    expect((await one.final()).status).toBe(487);
    await callsEnd(running.proxy);
  });

  it('the reply route for all replies', async () => {
    callees[0]!.on('INVITE', [180, 486]);
    const one = call('every');
    expect((await one.final()).status).toBe(486);
    expect(statusesOf(one)).toEqual([100, 180, 486]);
    expect(notes.entries).toEqual([[1, null, false, 180, 'INVITE'], [1, null, false, 486, 'INVITE']]);
  });

  it('a branch route: each branch goes out when its own operation has ended', async () => {
    for (const callee of callees) callee.on('INVITE', [486]);
    const one = call('branch');
    expect((await one.final()).status).toBe(486);
    for (const callee of callees) {
      expect((await callee.request('INVITE')).header('x-branch')).toBe(`${callee.uri} 1`);
    }
  });

  it('a call that rings: its answer goes through while the route waits', async () => {
    callees[0]!.on('INVITE', [180, 486]);
    const one = call('relayed', { callId: token() });
    const { resolve, signal } = await heldOne(one.request.callId);
    await eventually(() => callees[0]!.of('ACK').length === 1 || signal.aborted);
    resolve('over');
    expect((await one.final()).status).toBe(486);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
  });

  it('a request of another method', async () => {
    callees[0]!.on('BYE', [200]);
    const one = call('bye', { method: 'BYE' });
    expect((await one.final()).status).toBe(200);
    expect(statusesOf(one)).toEqual([200]);
  });

  it('an ACK has no transaction to wait with', async () => {
    const { client } = running;
    client.send(client.build({ method: 'ACK', toUser: 'ack', toTag: 'of-somebody-else' }));
    expect(await notes.atLeast(1)).toEqual([[false, 'NO_TRANSACTION']]);
  });
});
