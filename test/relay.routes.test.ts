import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { useRelay } from './support/relay-scene.ts';
import type { RelayScene } from './support/relay-scene.ts';
import { parameter } from './support/sip-message.ts';
import type { SipMessage } from './support/sip-message.ts';
import { formatRequest, newBranch, settleRequest } from './support/sip-request.ts';
import { responseTo } from './support/udp-callee.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

interface Dialog {
  readonly call: Transaction;
  readonly invite: SipMessage;
  /** The Record-Route of the proxy. */
  readonly recordRoute: string;
}

/** A call that was answered 200; its ACK is left to the test. */
async function answered(scene: RelayScene, user: string): Promise<Dialog> {
  const call = scene.call(user, { autoAck: false });
  const invite = await scene.callee.request('INVITE');
  scene.callee.answer(invite, 200);
  await call.final();
  return { call, invite, recordRoute: invite.header('record-route') };
}

/** What a request within the dialog has of the call. */
function within({ call }: Dialog, scene: RelayScene, options: TransactionOptions): TransactionOptions {
  const { callId, fromTag, fromUser, toUser } = call.request;
  return { callId, fromTag, fromUser, toUser, toTag: scene.callee.tag, cseq: 2, ruri: scene.callee.uri, ...options };
}

describe('Record-Route and Route', () => {
  const scene = useRelay({ fr_timer: 1500 });
  const own = () => `<sip:127.0.0.1:${scene.proxy.port};lr>`;

  it.each(['rr', 'rr-later'])('puts the proxy on top of the route set: %s', async (user) => {
    const call = scene.call(user, { headers: ['Record-Route: <sip:before.invalid;lr>'] });
    const invite = await scene.callee.request('INVITE');
    const [first, second, ...more] = invite.headers.get('record-route')!;
    expect(first).toMatch(new RegExp(`^<sip:127\\.0\\.0\\.1:${scene.proxy.port};lr(;[^>]*)?>$`));
    expect(second).toBe('<sip:before.invalid;lr>');
    expect(more).toEqual([]);
    scene.callee.answer(invite, 200);
    // The reply has it as the callee copied it.
    expect((await call.final()).headers.get('record-route')).toEqual([first, second]);
    await scene.proxy.callsEnd();
  });

  it('adds no Record-Route when the script does not ask for it', async () => {
    scene.callee.on('INVITE', [404]);
    await scene.call().final();
    expect(scene.callee.of('INVITE')[0]!.header('record-route')).toBe('');
    await scene.proxy.callsEnd();
  });

  it.each(['rr', 'rr-later'])('relays the ACK to a 200 and BYE by the route set, without its own Route: %s', async (user) => {
    const dialog = await answered(scene, user);
    const headers = [`Route: ${dialog.recordRoute}`, 'Route: <sip:last.invalid;lr>'];
    // The Route that remains would decide; so it is left out where the callee is to be reached.
    const ackBranch = newBranch();
    const ackOptions = within(dialog, scene, { method: 'ACK', cseq: 1, headers: headers.slice(0, 1), branch: ackBranch });
    scene.client.send(scene.client.build(ackOptions));
    const ack = await scene.callee.request('ACK');
    expect(ack.startLine).toBe(`ACK ${scene.callee.uri} SIP/2.0`);
    expect(ack.header('route')).toBe('');
    expect(ack.headers.get('via')).toHaveLength(2);
    expect(parameter(ack.headers.get('via')![1]!, 'branch')).toBe(ackBranch);
    expect(ack.header('max-forwards')).toBe('69');

    scene.callee.on('BYE', [200]);
    const bye = scene.client.request(within(dialog, scene, { method: 'BYE', headers: headers.slice(0, 1) }));
    expect((await bye.final()).status).toBe(200);
    const got = scene.callee.of('BYE')[0]!;
    expect(got.startLine).toBe(`BYE ${scene.callee.uri} SIP/2.0`);
    expect(got.header('route')).toBe('');
    expect(got.header('record-route')).toBe('');
    await scene.proxy.callsEnd();
  });

  it('relays BYE of the callee to the caller', async () => {
    const dialog = await answered(scene, 'rr');
    scene.client.send(scene.client.build(within(dialog, scene, { method: 'ACK', cseq: 1, headers: [`Route: ${dialog.recordRoute}`] })));
    await scene.callee.request('ACK');
    const { request } = dialog.call;
    const bye = settleRequest(
      {
        method: 'BYE', ruri: `sip:caller@${scene.client.address}`, callId: request.callId, cseq: 1, fromUser: 'callee',
        fromTag: scene.callee.tag, toUser: 'caller', toTag: request.fromTag, headers: [`Route: ${dialog.recordRoute}`],
      },
      scene.callee.address,
      'unused',
    );
    scene.callee.send(formatRequest(bye), scene.proxy.port);
    await eventually(() => scene.client.strays.length === 1);
    const got = scene.client.strays.splice(0)[0]!;
    expect(got.startLine).toBe(`BYE sip:caller@${scene.client.address} SIP/2.0`);
    expect(got.header('route')).toBe('');
    scene.client.send(responseTo(got, 200));
    await eventually(() => scene.callee.responses.length === 1);
    expect(scene.callee.responses[0]!.status).toBe(200);
    expect(parameter(scene.callee.responses[0]!.header('via'), 'branch')).toBe(bye.branch);
    await scene.proxy.callsEnd();
  });

  it('goes to the Route below its own, and leaves that one in', async () => {
    const next = scene.callees[1]!.on('BYE', [200]);
    const dialog = await answered(scene, 'rr');
    const below = `<sip:${next.address};lr>`;
    const bye = scene.client.request(within(dialog, scene, { method: 'BYE', headers: [`Route: ${dialog.recordRoute}, ${below}`] }));
    expect((await bye.final()).status).toBe(200);
    const got = next.of('BYE')[0]!;
    expect(got.startLine).toBe(`BYE ${scene.callee.uri} SIP/2.0`);
    expect(got.headers.get('route')).toEqual([below]);
    expect(scene.callee.of('BYE')).toEqual([]);
    await scene.proxy.callsEnd();
  });

  it('removes a Route of its own that a caller has preloaded, for its outbound proxy', async () => {
    scene.callee.on('INVITE', [404]);
    const call = scene.call('relay', { headers: [`Route: ${own()}`] });
    expect((await call.final()).status).toBe(404);
    const invite = scene.callee.of('INVITE')[0]!;
    expect(invite.header('route')).toBe('');
    // The Request-URI names the proxy, too, and yet this is no strict router's request.
    expect(invite.startLine).toBe(`INVITE sip:relay@127.0.0.1:${scene.proxy.port} SIP/2.0`);
    await scene.proxy.callsEnd();
  });

  it('follows a preloaded Route', async () => {
    const next = scene.callees[1]!.on('INVITE', [404]);
    const call = scene.client.request({ user: 'relay', autoAck: true, headers: [`Route: ${own()}`, `Route: <sip:${next.address};lr>`] });
    expect((await call.final()).status).toBe(404);
    const invite = next.of('INVITE')[0]!;
    expect(invite.headers.get('route')).toEqual([`<sip:${next.address};lr>`]);
    await scene.proxy.callsEnd();
  });

  it('repairs what a strict router before it did: Request-URI and last Route change places', async () => {
    scene.callee.on('BYE', [200]);
    const dialog = await answered(scene, 'rr');
    const ruri = /<([^>]+)>/.exec(dialog.recordRoute)![1]!;
    const bye = scene.client.request(within(dialog, scene, { method: 'BYE', ruri, headers: [`Route: <${scene.callee.uri}>`] }));
    expect((await bye.final()).status).toBe(200);
    const got = scene.callee.of('BYE')[0]!;
    expect(got.startLine).toBe(`BYE ${scene.callee.uri} SIP/2.0`);
    expect(got.header('route')).toBe('');
    await scene.proxy.callsEnd();
  });

  it('does as a strict router behind it wants: its URI in the Request-URI, the target in the last Route', async () => {
    const strict = scene.callees[1]!.on('BYE', [200]);
    const dialog = await answered(scene, 'rr');
    const bye = scene.client.request(
      within(dialog, scene, { method: 'BYE', headers: [`Route: ${dialog.recordRoute}`, `Route: <sip:${strict.address}>`] }),
    );
    expect((await bye.final()).status).toBe(200);
    const got = strict.of('BYE')[0]!;
    expect(got.startLine).toBe(`BYE sip:${strict.address} SIP/2.0`);
    expect(got.headers.get('route')).toEqual([`<${scene.callee.uri}>`]);
    await scene.proxy.callsEnd();
  });

  it('acknowledges and cancels with the Route that the INVITE went out with', async () => {
    const next = scene.callees[1]!;
    const below = `<sip:${next.address};lr>`;
    const call = scene.client.request({ user: 'relay', autoAck: true, headers: [`Route: ${own()}, ${below}`] });
    const invite = await next.request('INVITE');
    next.answer(invite, 180);
    await call.response(({ status }) => status === 180, 5000);
    call.cancel();
    const cancel = await next.request('CANCEL');
    next.answer(cancel, 200);
    next.answer(invite, 487);
    const ack = await next.request('ACK');
    // RFC 3261 sections 9.1 and 17.1.1.3.
    expect(cancel.headers.get('route')).toEqual([below]);
    expect(ack.headers.get('route')).toEqual([below]);
    await call.final();
    await scene.proxy.callsEnd();
  });

  it('answers the caller when the host of the URI does not exist', async () => {
    const call = scene.client.request({ ruri: 'sip:x@no-such-host.invalid', method: 'OPTIONS' });
    expect((await call.final(15_000)).status).toBeGreaterThanOrEqual(400);
    await scene.proxy.callsEnd();
  });
});
