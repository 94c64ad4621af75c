// What reading OpenSIPS' source shows to go wrong with async() and launch(), by the number of the defect; those that are not here
// carry their number in statements.async.*.test.ts and statements.launch.test.ts.
import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { heldOf, heldOne, heldPrelude } from './support/held-operations.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { callsEnd, finalsOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  ${heldPrelude}
  const code = (msg) => msg.asyncError?.code.slice(13) ?? null;`;

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    const started = () => note('started');
    switch (msg.toUser) {
      case 'launched': msg.launch(held(msg.callId), 'REPORT', { timeout: 0.02 }); break;
      case 'waits': msg.async(held(msg.callId), 'RESUMED', { timeout: 60 }); break;
      case 'zero': msg.async(() => new Promise((done) => setTimeout(done, 0)), 'RESUMED', { timeout: 60 }); break;
      case 'failure': msg.tOnFailure('WAIT'); msg.tRelay(msg.header('X-To')); return;
      case 'branch': msg.tOnBranch('WAIT'); msg.tRelay(msg.header('X-To')); return;
      case 'reply': msg.tOnReply('WAIT'); msg.tRelay(msg.header('X-To')); return;
      case 'misspelt': note([msg.async(started, 'RESUMD'), code(msg)]); break;
      case 'elsewhere': msg.asyncTaskRoute('WORKER'); break;
      case 'too-large':
        msg.avp.set('a', 'x'.repeat((1 << 20) + 1));
        note([msg.async(started, 'RESUMED'), code(msg)]);
        break;
      case 'wrong': msg.async(started, 'RESUMED', { timeout: 'soon' }); note('went on'); break;
      case 'stateless': note([msg.async(started, 'RESUMED'), code(msg)]); break;
    }
    msg.sendReply(200);
  },
  route: {
    RESUMED(msg) { msg.sendReply(404); },
    REPORT(msg) { note([msg.rc, msg.result?.code?.slice(13) ?? msg.result ?? null]); },
    // A module that decides by thread what it has: the main thread's names are the ones that count.
    get MAIN_ONLY() { return threadId === 0 ? () => {} : undefined; },
    WORKER(msg) { msg.async(() => 'value', 'MAIN_ONLY'); },
    RELAYED() {},
  },
  failureRoute: { WAIT(msg) { msg.async(held(msg.callId), 'RELAYED', { timeout: 60 }); } },
  onreplyRoute: { WAIT(msg) { msg.async(held(msg.callId), 'RELAYED', { timeout: 60 }); } },
  branchRoute: { WAIT(msg) { msg.async(held(msg.callId), 'RELAYED', { timeout: 60 }); } },`;

describe('a defect of OpenSIPS that is not here', () => {
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { retr_timer1: 50, retr_timer2: 200 } } } });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 20_000));
  const call = (user: string, options: TransactionOptions = {}): Transaction =>
    running.client.request({ user, callId: token(), autoAck: true, headers: targetHeaders(callees), ...options });

  it('1: a launch without a deadline', async () => {
    const one = call('launched');
    await one.final();
    expect(await notes.atLeast(1)).toEqual([[-2, 'TIMEOUT']]);
    expect(heldOf(one.request.callId)[0]!.signal.aborted).toBe(true);
  });

  it('4: a launch that is ended by another part of the program', async () => {
    const one = call('launched');
    (await heldOne(one.request.callId)).resolve('from outside');
    await one.final();
    expect(await notes.atLeast(1)).toEqual([[1, 'from outside']]);
  });

  it('5: a reply route that fails to go on, and a transaction that is locked for good', async () => {
    callees[0]!.on('INVITE', [180, 486]);
    const one = call('reply');
    (await heldOne(one.request.callId)).reject(new Error('failed'));
    await eventually(() => heldOf(one.request.callId).length === 2);
    one.resend();
    heldOf(one.request.callId)[1]!.reject(new Error('failed again'));
    expect((await one.final()).status).toBe(486);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
  });

  it('8: a sleep of 0 that never ends', async () => {
    expect((await call('zero').final()).status).toBe(404);
  });

  it.each(['failure', 'branch', 'reply', 'waits'])('9: a route that blocks its thread while it waits: %s', async (user) => {
    callees[0]!.on('INVITE', [486]);
    const one = call(user);
    const { resolve } = await heldOne(one.request.callId);
    for (let i = 0; i < 10; i += 1) expect((await call('other').final()).status).toBe(200);
    expect(finalsOf(one)).toEqual([]);
    resolve();
    expect((await one.final()).status).toBe(user === 'waits' ? 404 : 486);
  });

  it('11, 23: a resume route that is not there: refused before anything has begun', async () => {
    expect((await call('misspelt').final()).status).toBe(200);
    expect(notes.entries).toEqual([[false, 'UNKNOWN_ROUTE']]);
  });

  it('11: a resume route that the thread has not: the call is answered', async () => {
    expect((await call('elsewhere').final()).status).toBe(500);
    await callsEnd(running.proxy);
  });

  it('12: an operation that was started for a call that cannot wait', async () => {
    expect((await call('too-large').final()).status).toBe(200);
    expect(notes.entries).toEqual([[false, 'PAYLOAD_TOO_LARGE']]);
  });

  it('13: a script that runs on behind arguments that are wrong', async () => {
    expect((await call('wrong').final()).status).toBe(500);
    expect(notes.entries).toEqual([]);
  });
});

describe('a defect of OpenSIPS that is not here', () => {
  it('10: work that blocks when there is no room: it is refused, and not begun', async () => {
    const running = new RunningProxy(definition, { prelude, overrides: { maxTransactions: 1 } });
    await running.start();
    const first = running.client.request({ user: 'waits', callId: token(), autoAck: true });
    const { resolve } = await heldOne(first.request.callId);
    expect((await running.ask({ user: 'stateless' })).status).toBe(200);
    expect(notes.entries).toEqual([[false, 'SLOTS_EXHAUSTED']]);
    resolve();
    expect((await first.final()).status).toBe(404);
    await running.stop();
  });
});
