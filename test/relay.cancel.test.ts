import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { finalsOf, statusesOf, useRelay, withReference } from './support/relay-scene.ts';
import type { RelayScene } from './support/relay-scene.ts';
import { parameter } from './support/sip-message.ts';
import type { SipMessage } from './support/sip-message.ts';
import type { Transaction } from './support/udp-client.ts';

const branchOf = (message: SipMessage) => parameter(message.header('via'), 'branch');
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A call that rings at the first callee. */
async function ringing(scene: RelayScene, user?: string, headers: readonly string[] = []): Promise<{ call: Transaction; invite: SipMessage }> {
  const call = scene.call(user, { headers });
  const invite = await scene.callee.request('INVITE');
  scene.callee.answer(invite, 180);
  await call.response(({ status }) => status === 180, 5000);
  return { call, invite };
}

async function expect487(call: Transaction): Promise<void> {
  const final = await call.final();
  expect(`${final.status} ${final.reason} ${final.header('cseq')}`).toMatch(withReference ? /^487 .* 1 INVITE$/ : /^487 Request Terminated 1 INVITE$/);
}

describe('CANCEL of a relayed call', () => {
  const scene = useRelay({ fr_timer: 1500, fr_inv_timer: 3000 });

  it('is answered at once, goes to the callee, and the 487 of the callee goes upstream', async () => {
    const { call, invite } = await ringing(scene);
    const cancelling = call.cancel();
    expect((await cancelling.final()).status).toBe(200);
    const cancel = await scene.callee.request('CANCEL');
    expect(finalsOf(call)).toEqual([]);
    scene.callee.answer(cancel, 200);
    scene.callee.answer(invite, 487, { headers: ['X-From-Callee: 1'] });
    await expect487(call);
    expect(call.finals[0]!.header('x-from-callee')).toBe('1');
    expect(parameter(call.finals[0]!.header('to'), 'tag')).toBe(scene.callee.tag);
    const ack = await scene.callee.request('ACK');
    expect(branchOf(ack)).toBe(branchOf(invite));
    await scene.settle();
    expect(statusesOf(call)).toEqual([100, 180, 487]);
    expect(statusesOf(cancelling)).toEqual([200]);
    await scene.proxy.callsEnd();
  });

  it('is a request of its own hop: Via, URI, Call-ID, From, To and CSeq of the INVITE that the callee got', async () => {
    const { call, invite } = await ringing(scene, 'changed');
    call.cancel();
    const cancel = await scene.callee.request('CANCEL');
    expect(cancel.startLine).toBe(invite.startLine.replace('INVITE', 'CANCEL'));
    expect(cancel.headers.get('via')).toEqual([invite.header('via')]);
    for (const name of ['from', 'to', 'call-id']) expect(cancel.header(name)).toBe(invite.header(name));
    expect(cancel.header('cseq')).toBe('1 CANCEL');
    expect(cancel.header('require')).toBe('');
    expect(cancel.body).toBe('');
    scene.callee.answer(cancel, 200);
    scene.callee.answer(invite, 487);
    await expect487(call);
    await scene.proxy.callsEnd();
  });

  it('waits for a provisional reply before it goes on', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    expect((await call.cancel().final()).status).toBe(200);
    await pause(150);
    expect(scene.callee.of('CANCEL')).toEqual([]);
    scene.callee.answer(invite, 100);
    const cancel = await scene.callee.request('CANCEL');
    expect(branchOf(cancel)).toBe(branchOf(invite));
    scene.callee.answer(cancel, 200);
    scene.callee.answer(invite, 487);
    await expect487(call);
    await scene.proxy.callsEnd();
  });

  it('that crosses a 200 changes nothing: the caller gets the 200', async () => {
    const { call, invite } = await ringing(scene);
    const cancelling = call.cancel();
    const cancel = await scene.callee.request('CANCEL');
    scene.callee.answer(invite, 200);
    scene.callee.answer(cancel, 200);
    expect((await call.final()).status).toBe(200);
    expect((await cancelling.final()).status).toBe(200);
    await scene.settle();
    expect(finalsOf(call).map(({ status }) => status)).toEqual([200]);
    const ack = await scene.callee.request('ACK');
    expect(ack.startLine).toBe(`ACK ${scene.callee.uri} SIP/2.0`);
    await scene.proxy.callsEnd();
  });

  it('that comes behind the final reply is answered 200 and not passed on', async () => {
    scene.callee.on('INVITE', [486]);
    const call = scene.call();
    expect((await call.final()).status).toBe(486);
    expect((await call.cancel().final()).status).toBe(200);
    await scene.settle();
    expect(scene.callee.of('CANCEL')).toEqual([]);
    expect(statusesOf(call)).toEqual([100, 486]);
    await scene.proxy.callsEnd();
  });

  it('goes to every branch that has had a provisional reply', async () => {
    const [first, second] = [scene.callees[0]!, scene.callees[1]!];
    const call = scene.call('fork');
    const invites = [await first.request('INVITE'), await second.request('INVITE')] as const;
    first.answer(invites[0], 180);
    second.answer(invites[1], 183);
    await eventually(() => call.provisionals.length === 3);
    call.cancel();
    first.answer(await first.request('CANCEL'), 200);
    second.answer(await second.request('CANCEL'), 200);
    first.answer(invites[0], 487);
    await first.request('ACK');
    second.answer(invites[1], 487);
    await second.request('ACK');
    await expect487(call);
    expect(finalsOf(call)).toHaveLength(1);
    expect(first.distinct('CANCEL').map(branchOf)).toEqual([branchOf(invites[0])]);
    expect(second.distinct('CANCEL').map(branchOf)).toEqual([branchOf(invites[1])]);
    await scene.proxy.callsEnd();
  });

  it('is repeated like any request, and the call is over when neither it nor the INVITE is ever answered', async () => {
    const { call } = await ringing(scene);
    call.cancel();
    await scene.callee.request('CANCEL', 3);
    expect(new Set(scene.callee.of('CANCEL').map(({ raw }) => raw)).size).toBe(1);
    // RFC 3261 section 9.1: after 64 times T1 the call counts as cancelled.
    await call.final(15_000);
    await expect487(call);
    expect(finalsOf(call)).toHaveLength(1);
    await scene.proxy.callsEnd();
  });

  it('that is repeated by the caller gets its 200 again, and the callee sees one', async () => {
    const { call, invite } = await ringing(scene);
    const cancelling = call.cancel();
    await cancelling.final();
    const cancel = await scene.callee.request('CANCEL');
    scene.callee.answer(cancel, 200);
    cancelling.resend();
    await eventually(() => cancelling.finals.length === 2);
    expect(new Set(scene.callee.of('CANCEL').map(branchOf)).size).toBe(1);
    scene.callee.answer(invite, 487);
    await expect487(call);
    await scene.proxy.callsEnd();
  });

  it('of a call that is suspended before it was relayed is answered 487, and no callee hears of it', async () => {
    const call = scene.call('later', { headers: ['X-Wait: 400'] });
    await call.provisional();
    expect((await call.cancel().final()).status).toBe(200);
    await expect487(call);
    await pause(500);
    expect(scene.callee.requests).toEqual([]);
    expect(finalsOf(call)).toHaveLength(1);
    await scene.proxy.callsEnd();
  });

  it('while the failure route is suspended is answered 487, and no second callee is tried', async () => {
    const call = scene.call('serial-later', { headers: ['X-Wait: 400'] });
    scene.callee.answer(await scene.callee.request('INVITE'), 486);
    await scene.callee.request('ACK');
    await scene.settle();
    expect((await call.cancel().final()).status).toBe(200);
    await expect487(call);
    await pause(500);
    expect(scene.callees[1]!.requests).toEqual([]);
    expect(finalsOf(call)).toHaveLength(1);
    await scene.proxy.callsEnd();
  });

  it('during the second attempt goes to the second callee only', async () => {
    const [first, second] = [scene.callees[0]!, scene.callees[1]!];
    const call = scene.call('serial-later');
    first.answer(await first.request('INVITE'), 486);
    const invite = await second.request('INVITE');
    second.answer(invite, 180);
    await call.response(({ status }) => status === 180, 5000);
    expect((await call.cancel().final()).status).toBe(200);
    second.answer(await second.request('CANCEL'), 200);
    second.answer(invite, 487);
    await expect487(call);
    expect(first.of('CANCEL')).toEqual([]);
    await scene.proxy.callsEnd();
  });

  it('keeps the failure route from trying again', async () => {
    const { call, invite } = await ringing(scene, 'serial');
    call.cancel();
    scene.callee.answer(await scene.callee.request('CANCEL'), 200);
    // A callee that answers busy in this moment must not start a new attempt.
    scene.callee.answer(invite, 486);
    const final = await call.final();
    expect([486, 487]).toContain(final.status);
    await scene.settle();
    expect(scene.callees[1]!.requests).toEqual([]);
    await scene.proxy.callsEnd();
  });

  it.skipIf(withReference)('counts the calls that ended so', async () => {
    const before = scene.proxy.stats!.transactions.cancelled;
    const { call, invite } = await ringing(scene);
    call.cancel();
    scene.callee.answer(await scene.callee.request('CANCEL'), 200);
    scene.callee.answer(invite, 487);
    await expect487(call);
    expect(scene.proxy.stats!.transactions.cancelled).toBe(before + 1);
    await scene.proxy.callsEnd();
  });
});
