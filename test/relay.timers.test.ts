import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { finalsOf, statusesOf, useRelay, withReference } from './support/relay-scene.ts';
import { parameter } from './support/sip-message.ts';
import type { SipMessage } from './support/sip-message.ts';
import type { Transaction } from './support/udp-client.ts';

const t1Ms = 100;
const t2Ms = 600;
/** Long enough for INVITE at 0, 100, 300 and 700 ms and for other requests at 0, 100, 300, 700 and 1300 ms. */
const frTimerMs = 1450;
const frInvTimerMs = 700;
/** Kamailio counts in sixteenths of a second. */
const toleranceMs = withReference ? 63 : 0;

/** Every message came no earlier than its place in the list of times allows; `atMs` counts from the caller's sending. */
function expectNotEarlier(call: Transaction, messages: readonly SipMessage[], timesMs: readonly number[]): void {
  expect(messages.length).toBeLessThanOrEqual(timesMs.length);
  for (const [i, message] of messages.entries()) {
    expect(message.atMs - call.sentAtMs).toBeGreaterThanOrEqual(timesMs[i]! - toleranceMs * i);
  }
}

const branchOf = (message: SipMessage) => parameter(message.header('via'), 'branch');

describe('the client transaction of a relayed request', () => {
  const scene = useRelay({ retr_timer1: t1Ms, retr_timer2: t2Ms, fr_timer: frTimerMs, fr_inv_timer: frInvTimerMs });

  it('repeats INVITE after T1, twice T1 and so on, and answers 408 when nothing comes', async () => {
    const call = scene.call();
    const final = await call.final();
    expect(statusesOf(call)).toEqual([100, 408]);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(frTimerMs - toleranceMs);
    const invites = scene.callee.of('INVITE');
    expectNotEarlier(call, invites, [0, t1Ms, 3 * t1Ms, 7 * t1Ms, ...(withReference ? [1300] : [])]);
    expect(invites.length).toBeGreaterThanOrEqual(3);
    expect(new Set(invites.map(({ raw }) => raw)).size).toBe(1);
    expect(scene.callee.of('CANCEL')).toEqual([]);
    await scene.proxy.callsEnd();
  });

  it('repeats other requests with intervals up to T2, and answers 408 when nothing comes', async () => {
    const call = scene.call('relay', { method: 'OPTIONS' });
    const final = await call.final();
    expect(statusesOf(call)).toEqual([408]);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(frTimerMs - toleranceMs);
    const sent = scene.callee.of('OPTIONS');
    expectNotEarlier(call, sent, [0, t1Ms, 3 * t1Ms, 7 * t1Ms, 7 * t1Ms + t2Ms]);
    expect(sent.length).toBeGreaterThanOrEqual(4);
    expect(new Set(sent.map(({ raw }) => raw)).size).toBe(1);
    await scene.proxy.callsEnd();
  });

  it.each([100, 180])('repeats INVITE no more after a %i', async (status) => {
    scene.callee.on('INVITE', [status]);
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    // Longer than all repetitions that would come without it.
    await new Promise((done) => setTimeout(done, 4 * t1Ms));
    expect(scene.callee.of('INVITE')).toHaveLength(1);
    scene.callee.answer(invite, 404);
    expect((await call.final()).status).toBe(404);
    // A proxy keeps 100 to itself: the one that the caller got is the proxy's own.
    expect(statusesOf(call)).toEqual(status === 100 ? [100, 404] : [100, 180, 404]);
    await scene.proxy.callsEnd();
  });

  it('repeats other requests every T2 after a provisional reply', async () => {
    scene.callee.on('OPTIONS', [100]);
    const call = scene.call('relay', { method: 'OPTIONS' });
    expect((await call.final()).status).toBe(408);
    const sent = scene.callee.of('OPTIONS');
    // Timer E was set to T1 already when the provisional reply came; RFC 3261 section 17.1.2.2 lets it run out.
    expectNotEarlier(call, sent, [0, t1Ms, t1Ms + t2Ms, t1Ms + 2 * t2Ms]);
    expect(sent.length).toBeGreaterThanOrEqual(2);
    await scene.proxy.callsEnd();
  });

  it('cancels a call that rings longer than fr_inv_timer, and answers 408', async () => {
    scene.callee.on('INVITE', [180]).on('CANCEL', [200]);
    const call = scene.call();
    const final = await call.final();
    expect(statusesOf(call)).toEqual([100, 180, 408]);
    expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(frInvTimerMs - toleranceMs);
    const invite = scene.callee.of('INVITE')[0]!;
    const cancel = await scene.callee.request('CANCEL');
    expect(cancel.header('via')).toBe(invite.header('via'));
    scene.callee.answer(invite, 487);
    const ack = await scene.callee.request('ACK');
    expect(branchOf(ack)).toBe(branchOf(invite));
    await scene.settle();
    expect(statusesOf(call)).toEqual([100, 180, 408]);
    await scene.proxy.callsEnd();
  });

  it('gives every new provisional reply its fr_inv_timer anew', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    scene.callee.answer(invite, 180);
    await new Promise((done) => setTimeout(done, frInvTimerMs / 2));
    scene.callee.answer(invite, 183);
    const second = await call.response(({ status }) => status === 183, 5000);
    const cancel = await scene.callee.request('CANCEL');
    // RFC 3261 section 16.7 step 2: timer C is reset by every provisional reply but 100.
    const sinceMs = cancel.atMs - call.sentAtMs;
    expect(sinceMs).toBeGreaterThanOrEqual(frInvTimerMs * 1.5 - toleranceMs);
    expect(second.status).toBe(183);
    scene.callee.answer(cancel, 200);
    scene.callee.answer(invite, 487);
    await call.final();
    await scene.proxy.callsEnd();
  });

  it('acknowledges a refusal itself: same branch, URI and Call-ID, the tag of the reply', async () => {
    scene.callee.on('INVITE', [486]);
    const call = scene.call();
    expect((await call.final()).status).toBe(486);
    const ack = await scene.callee.request('ACK');
    const invite = scene.callee.of('INVITE')[0]!;
    expect(ack.startLine).toBe(invite.startLine.replace('INVITE', 'ACK'));
    expect(ack.headers.get('via')).toEqual([invite.header('via')]);
    expect(ack.header('from')).toBe(invite.header('from'));
    expect(ack.header('to')).toBe(`${invite.header('to')};tag=${scene.callee.tag}`);
    expect(ack.header('call-id')).toBe(invite.header('call-id'));
    expect(ack.header('cseq')).toBe('1 ACK');
    expect(ack.body).toBe('');
    await scene.proxy.callsEnd();
    // The caller's own ACK ends at the proxy.
    expect(scene.callee.of('ACK')).toHaveLength(1);
  });

  it('acknowledges a repeated refusal again and tells nobody upstream', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const busy = scene.callee.answer(invite, 486);
    await scene.callee.request('ACK');
    scene.callee.send(busy, invite);
    scene.callee.send(busy, invite);
    await scene.callee.request('ACK', 3);
    expect(new Set(scene.callee.of('ACK').map(({ raw }) => raw)).size).toBe(1);
    await scene.settle();
    expect(statusesOf(call)).toEqual([100, 486]);
    await scene.proxy.callsEnd();
  });

  it('passes every 200 of INVITE on, and never acknowledges one', async () => {
    const call = scene.call('relay', { autoAck: false });
    const invite = await scene.callee.request('INVITE');
    const ok = scene.callee.answer(invite, 200);
    await call.final();
    scene.callee.send(ok, invite);
    scene.callee.send(ok, invite);
    await eventually(() => call.finals.length === 3);
    await scene.settle();
    expect(statusesOf(call)).toEqual([100, 200, 200, 200]);
    expect(new Set(call.finals.map(({ raw }) => raw)).size).toBe(1);
    expect(scene.callee.of('ACK')).toEqual([]);

    const sent = call.ack();
    const ack = await scene.callee.request('ACK');
    expect(ack.startLine).toBe(`ACK ${scene.callee.uri} SIP/2.0`);
    expect(ack.headers.get('via')).toHaveLength(2);
    expect(parameter(ack.headers.get('via')![1]!, 'branch')).toBe(sent.branch);
    expect(branchOf(ack)).not.toBe(branchOf(invite));
    await scene.proxy.callsEnd();
  });

  it('passes a 200 on that comes when the transaction is long over', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const ok = scene.callee.answer(invite, 200);
    await call.final();
    // Longer than the proxy keeps anything of the call.
    await scene.proxy.becomesIdle();
    if (withReference) await new Promise((done) => setTimeout(done, 600));
    scene.callee.send(ok, invite);
    await eventually(() => call.finals.length === 2);
    expect(call.finals[1]!.headers.get('via')).toEqual(call.finals[0]!.headers.get('via'));
  });

  it.each([
    ['OPTIONS', 200],
    ['OPTIONS', 404],
    ['INVITE', 486],
  ])('takes the first final reply of %s and drops what comes behind it: %i', async (method, status) => {
    const call = scene.call('relay', { method });
    const request = await scene.callee.request(method);
    scene.callee.answer(request, status);
    await call.final();
    scene.callee.answer(request, 603);
    scene.callee.answer(request, 180);
    await scene.settle();
    expect(finalsOf(call).map((final) => final.status)).toEqual([status]);
    expect(statusesOf(call).at(-1)).toBe(status);
    await scene.proxy.callsEnd();
  });

  it('absorbs repeated requests: the callee sees one', async () => {
    for (const method of ['INVITE', 'OPTIONS']) {
      const call = scene.call('relay', { method });
      const request = await scene.callee.request(method);
      scene.callee.answer(request, 180);
      await call.response(({ status }) => status === 180, 5000);
      const before = call.responses.length;
      call.resend();
      await eventually(() => call.responses.length > before);
      // The last provisional reply comes again.
      expect(statusesOf(call).at(-1)).toBe(180);
      expect(new Set(scene.callee.of(method).map(branchOf)).size).toBe(1);
      scene.callee.answer(request, 404);
      expect((await call.final()).status).toBe(404);
    }
    expect(scene.callee.distinct('INVITE')).toHaveLength(1);
    await scene.proxy.callsEnd();
  });
});
