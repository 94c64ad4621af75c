import type { BoundAddress, Transport } from 'sip-async';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backward, within } from './support/dialog.ts';
import { eventually } from './support/eventually.ts';
import { becomesIdle, callsEnd, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { parameter } from './support/sip-message.ts';
import { cancelFor, formatRequest } from './support/sip-request.ts';
import type { Request } from './support/sip-request.ts';
import { StreamCallee } from './support/stream-callee.ts';
import { StreamClient } from './support/stream-client.ts';
import { responseTo, SipCallee } from './support/udp-callee.ts';

/**
 * X-To says where a call goes, the user what is done with it. Requests within the dialog go by their Route; those to the caller
 * go to where its INVITE came from when that was a WebSocket, which has no other address.
 */
const definition = `
  asyncWorkers: 2,
  requestRoute(msg) {
    if (msg.toTag !== null) {
      const caller = htable('callers').get(msg.callId) ?? null;
      if (caller !== null && !msg.proto.startsWith('ws')) msg.du = caller;
      if (!msg.tRelay()) msg.slReplyError();
      return;
    }
    const user = /^sip:([^@]*)@/.exec(msg.ruri)[1];
    if (user === 'settle') return void msg.slSendReply(200);
    msg.recordRoute();
    if (msg.proto.startsWith('ws')) {
      htable('callers').set(msg.callId, 'sip:' + msg.srcIp + ':' + msg.srcPort + ';transport=' + msg.proto);
    }
    if (user === 'then') msg.tOnFailure('THEN');
    if (user === 'later') msg.asyncMsRoute('RELAY', 20);
    if (!msg.tRelay(msg.header('X-To'))) msg.slReplyError();
  },
  route: {
    RELAY(msg) { if (!msg.tRelay(msg.header('X-To'))) msg.slReplyError(); },
  },
  failureRoute: {
    THEN(msg) {
      globalThis.failures.push(msg.tCheckStatus('503') ? 503 : 0);
      msg.tRelay(msg.header('X-Then'));
    },
  },`;
const prelude = "import { htable } from 'sip-async';\nglobalThis.failures ??= [];";
const failures: number[] = ((globalThis as { failures?: number[] }).failures = []);
const listen = ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0', 'ws:127.0.0.1:0'];
const tm = { retr_timer1: 50, retr_timer2: 100, fr_timer: 1000, fr_inv_timer: 2000 };

const clients: StreamClient[] = [];
let callee: StreamCallee;
let other: StreamCallee;
let udp: SipCallee;
beforeEach(async () => {
  failures.length = 0;
  callee = await StreamCallee.open();
  other = await StreamCallee.open();
  udp = await SipCallee.open();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all([callee.close(), other.close(), udp.close()]);
});

function addressOf(running: RunningProxy, transport: Transport): BoundAddress {
  return running.proxy.addresses.find((address) => address.transport === transport)!;
}

async function open(running: RunningProxy, transport: Transport = 'tcp'): Promise<StreamClient> {
  const client = await StreamClient.open(addressOf(running, transport));
  client.autoAck = false;
  clients.push(client);
  return client;
}

/** The Record-Route that the proxy writes for one of its addresses. */
function routeOf(running: RunningProxy, transport: Transport): string {
  const { port } = addressOf(running, transport);
  return `<sip:127.0.0.1:${port}${transport === 'udp' ? '' : `;transport=${transport}`};lr>`;
}

const viaOf = (running: RunningProxy, transport: Transport) =>
  new RegExp(`^SIP/2\\.0/${transport.toUpperCase()} 127\\.0\\.0\\.1:${addressOf(running, transport).port};branch=z9hG4bK`);

/** The statuses that came for a request, in the order of arrival. */
const statusesOf = (client: StreamClient, { method, callId }: Request) =>
  client.messages
    .filter((one) => one.status > 0 && one.method === method && one.header('call-id') === callId)
    .map(({ status }) => status);

/** Every connection of a proxy that is left has been opened by these tests. */
async function endsEmpty(running: RunningProxy): Promise<void> {
  await becomesIdle(running.proxy, 20_000);
  await eventually(() => running.stats.transport.connections === 0);
  const { branches, transport } = running.stats;
  expect(branches.active).toBe(0);
  expect(transport).toMatchObject({ malformed: {}, framingErrors: 0, sendFailed: 0 });
}

describe.each([1, 2])('a relay between transports, with %d receivers', (children) => {
  const running = useProxy(definition, { prelude, overrides: { listen, children, modparam: { tm } } });
  afterAll(() => endsEmpty(running));
  const tcp = () => addressOf(running, 'tcp');

  it('takes a call from TCP to UDP, and its dialog through both', async () => {
    const client = await open(running);
    const contact = `sip:caller@127.0.0.1:${client.port};transport=tcp`;
    const invite = client.request({ headers: [`X-To: udp:${udp.address}`], contact });
    const got = await udp.request('INVITE');
    const [own, callers] = got.headers.get('via')!;
    expect(own).toMatch(viaOf(running, 'udp'));
    const { port } = client;
    expect(callers).toBe(`SIP/2.0/TCP 127.0.0.1:${port};branch=${invite.branch};rport=${port};received=127.0.0.1`);
    // The way out on top, so that each side finds the address it can reach.
    expect(got.headers.get('record-route')).toEqual([routeOf(running, 'udp'), routeOf(running, 'tcp')]);
    udp.answer(got, 180);
    await client.response(invite, 180);
    udp.answer(got, 200);
    const final = await client.response(invite, 200);
    expect(final.headers.get('via')).toHaveLength(1);
    expect(final.header('via')).toBe(callers);
    client.request(within(invite, final, { method: 'ACK' }));
    const ack = await udp.request('ACK');
    expect(ack.startLine).toBe(`ACK ${udp.uri} SIP/2.0`);
    expect(ack.header('via')).toMatch(viaOf(running, 'udp'));
    expect(ack.header('route')).toBe('');

    // From the callee: the same two the other way round, by the connection that the caller has made.
    udp.send(backward(got, udp.tag, 'INFO', `SIP/2.0/UDP ${udp.address}`), got);
    const info = (await eventually(() => client.messages.find(({ method, status }) => method === 'INFO' && status === 0)))!;
    expect(info.startLine).toBe(`INFO ${contact} SIP/2.0`);
    expect(info.header('via')).toMatch(viaOf(running, 'tcp'));
    expect(info.header('route')).toBe('');
    client.send(responseTo(info, 200));
    await eventually(() => udp.responses.length > 0);
    expect(udp.responses[0]!.startLine).toBe('SIP/2.0 200 OK');

    const bye = client.request(within(invite, final, { method: 'BYE', cseq: 2 }));
    udp.answer(await udp.request('BYE'), 200);
    await client.response(bye, 200);
    expect(statusesOf(client, invite)).toEqual([100, 180, 200]);
    await callsEnd(running.proxy);
    expect(udp.distinct('INVITE')).toHaveLength(1);
  });

  it('takes a call from UDP to TCP, and its dialog through both', async () => {
    const call = running.client.request({ headers: [`X-To: ${callee.target}`] });
    const got = await callee.request('INVITE');
    expect(got.header('via')).toMatch(viaOf(running, 'tcp'));
    expect(got.headers.get('via')![1]).toMatch(/^SIP\/2\.0\/UDP /);
    expect(got.headers.get('record-route')).toEqual([routeOf(running, 'tcp'), routeOf(running, 'udp')]);
    callee.answer(got, 180);
    await call.provisional();
    callee.answer(got, 200);
    const final = await call.final();
    const { client } = running;
    client.send(client.build(within(call.request, final, { method: 'ACK' })));
    expect((await callee.request('ACK')).startLine).toBe(`ACK ${callee.uri} SIP/2.0`);
    // The callee hangs up, by the connection that it got the call by.
    callee.lastConnection.write(backward(got, callee.tag, 'BYE', `SIP/2.0/TCP 127.0.0.1:${callee.port}`));
    const bye = (await eventually(() => client.strays.find(({ method, status }) => method === 'BYE' && status === 0)))!;
    expect(bye.header('route')).toBe('');
    expect(bye.header('via')).toMatch(viaOf(running, 'udp'));
    client.send(responseTo(bye, 200));
    expect((await callee.response(call.request.callId, 'BYE')).status).toBe(200);
    await callsEnd(running.proxy);
    expect(callee.connections).toHaveLength(1);
  });

  it('takes calls from TCP to TCP by one connection, and names itself once', async () => {
    const client = await open(running);
    callee.on('INVITE', [180, 200]).on('BYE', [200]);
    for (let count = 1; count <= 3; count += 1) {
      const invite = client.request({ headers: [`X-To: ${callee.target}`] });
      const final = await client.response(invite, 200);
      expect((await callee.request('INVITE', count)).headers.get('record-route')).toEqual([routeOf(running, 'tcp')]);
      client.request(within(invite, final, { method: 'ACK' }));
      await callee.request('ACK', count);
      await client.ask(within(invite, final, { method: 'BYE', cseq: 2 }));
    }
    expect(callee.connections).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it('opens a connection again when the callee has closed it', async () => {
    const client = await open(running);
    callee.on('MESSAGE', [200]);
    const message = () => client.ask({ method: 'MESSAGE', headers: [`X-To: ${callee.target}`] });
    expect((await message()).status).toBe(200);
    const before = running.stats.transport.connections;
    callee.lastConnection.end();
    await eventually(() => running.stats.transport.connections === before - 1);
    expect((await message()).status).toBe(200);
    expect(callee.connections).toHaveLength(2);
  });

  it('answers 500 for a connection that is refused', async () => {
    const client = await open(running);
    await other.close();
    other = await StreamCallee.open();
    const { port } = other;
    await other.close();
    const failed = running.stats.transport.connectsFailed;
    expect((await client.ask({ method: 'MESSAGE', headers: [`X-To: tcp:127.0.0.1:${port}`] })).status).toBe(500);
    const invite = client.request({ headers: [`X-To: tcp:127.0.0.1:${port}`] });
    const final = await client.response(invite, 500);
    client.acknowledge(invite, final);
    expect(running.stats.transport.connectsFailed - failed).toBe(2);
    other = await StreamCallee.open();
  });

  it.each(['udp', 'tcp'])('goes another way by the failure route when a connection is refused: %s', async (way) => {
    const client = await open(running);
    const { port } = other;
    await other.close();
    callee.on('INVITE', [486]);
    udp.on('INVITE', [486]);
    const then = way === 'udp' ? `udp:${udp.address}` : callee.target;
    const invite = client.request({ user: 'then', headers: [`X-To: tcp:127.0.0.1:${port}`, `X-Then: ${then}`] });
    client.acknowledge(invite, await client.response(invite, 486));
    if (children === 1) expect(failures).toEqual([503]);
    other = await StreamCallee.open();
    await callsEnd(running.proxy);
  });

  it('waits for a callee that closed its connection when it rang, and answers by another', async () => {
    const client = await open(running);
    const invite = client.request({ headers: [`X-To: ${callee.target}`] });
    const got = await callee.request('INVITE');
    callee.answer(got, 180);
    await client.response(invite, 180);
    const before = running.stats.transport.connections;
    callee.lastConnection.end();
    await eventually(() => running.stats.transport.connections === before - 1);
    const again = await callee.call(tcp().port);
    callee.answer(got, 200, {}, again);
    const final = await client.response(invite, 200);
    client.request(within(invite, final, { method: 'ACK' }));
    await callee.request('ACK');
    again.destroy();
    await callsEnd(running.proxy);
  });

  it('keeps a call that rings when another connection to its callee is refused', async () => {
    const client = await open(running);
    const invite = client.request({ headers: [`X-To: ${other.target}`] });
    const got = await other.request('INVITE');
    other.answer(got, 180);
    await client.response(invite, 180);
    const again = await other.call(tcp().port);
    const { target } = other;
    await other.close();
    expect((await client.ask({ method: 'MESSAGE', headers: [`X-To: ${target}`] })).status).toBe(500);
    other.answer(got, 486, {}, again);
    client.acknowledge(invite, await client.response(invite, 486));
    again.destroy();
    other = await StreamCallee.open();
    await callsEnd(running.proxy);
  });

  it('ends a call with 487 when its callee can be reached for the CANCEL no more', async () => {
    const client = await open(running);
    const invite = client.request({ headers: [`X-To: ${other.target}`] });
    other.answer(await other.request('INVITE'), 180);
    await client.response(invite, 180);
    const before = running.stats.transport.connections;
    await other.close();
    await eventually(() => running.stats.transport.connections === before - 1);
    client.send(formatRequest(cancelFor(invite)));
    client.acknowledge(invite, await client.response(invite, 487));
    other = await StreamCallee.open();
    await callsEnd(running.proxy);
  });

  it('repeats nothing over a connection, and gives up in time', async () => {
    const client = await open(running);
    const before = running.stats.branches;
    const invite = client.request({ headers: [`X-To: ${callee.target}`] });
    const message = client.request({ method: 'MESSAGE', headers: [`X-To: ${other.target}`] });
    expect((await client.response(message, 408)).status).toBe(408);
    client.acknowledge(invite, await client.response(invite, 408));
    // Timers A and E would have been here four times, and more.
    expect(callee.messages.map(({ method }) => method)).toEqual(['INVITE']);
    expect(other.messages.map(({ method }) => method)).toEqual(['MESSAGE']);
    const { sent, repeated } = running.stats.branches;
    expect([sent - before.sent, repeated - before.repeated]).toEqual([2, 0]);
    await callsEnd(running.proxy);
  });

  it('repeats what goes by UDP, whatever it came by', async () => {
    const client = await open(running);
    const before = running.stats.branches.repeated;
    const message = client.request({ method: 'MESSAGE', headers: [`X-To: udp:${udp.address}`] });
    const repetition = await udp.request('MESSAGE', 3);
    expect(repetition.raw).toBe(udp.requests[0]!.raw);
    udp.answer(repetition, 200);
    await client.response(message, 200);
    expect(running.stats.branches.repeated - before).toBeGreaterThanOrEqual(2);
    await callsEnd(running.proxy);
  });

  it.each(['tcp', 'udp'])('cancels a call that came over TCP: %s', async (way) => {
    const client = await open(running);
    const [peer, target] = way === 'tcp' ? [callee, callee.target] : [udp, `udp:${udp.address}`];
    const invite = client.request({ headers: [`X-To: ${target}`] });
    const got = await peer.request('INVITE');
    peer.answer(got, 180);
    await client.response(invite, 180);
    const cancel = cancelFor(invite);
    client.send(formatRequest(cancel));
    expect((await client.response(cancel)).status).toBe(200);
    const passed = await peer.request('CANCEL');
    expect(passed.headers.get('via')).toEqual([got.header('via')]);
    peer.answer(passed, 200);
    peer.answer(got, 487);
    client.acknowledge(invite, await client.response(invite, 487));
    const ack = await peer.request('ACK');
    expect(parameter(ack.header('via'), 'branch')).toBe(parameter(got.header('via'), 'branch'));
    expect(statusesOf(client, invite)).toEqual([100, 180, 487]);
    await callsEnd(running.proxy);
    expect(peer.of('CANCEL')).toHaveLength(1);
  });

  it('cancels at a callee that has closed its connection, by another', async () => {
    const client = await open(running);
    const invite = client.request({ headers: [`X-To: ${callee.target}`] });
    const got = await callee.request('INVITE');
    callee.answer(got, 180);
    await client.response(invite, 180);
    const before = running.stats.transport.connections;
    callee.lastConnection.end();
    await eventually(() => running.stats.transport.connections === before - 1);
    client.send(formatRequest(cancelFor(invite)));
    const cancel = await callee.request('CANCEL');
    expect(callee.connections).toHaveLength(2);
    callee.answer(cancel, 200);
    callee.answer(got, 487, {}, callee.lastConnection);
    client.acknowledge(invite, await client.response(invite, 487));
    await callsEnd(running.proxy);
  });

  it('calls back a caller whose connection is gone, at the port of its Via', async () => {
    const client = await open(running);
    const invite = client.request({ headers: [`X-To: ${callee.target}`], sentBy: `127.0.0.1:${other.port}` });
    const got = await callee.request('INVITE');
    await client.response(invite, 100);
    client.close();
    await eventually(() => running.stats.transport.connections === 1);
    callee.answer(got, 486);
    const final = (await eventually(() => other.messages.find(({ status }) => status === 486)))!;
    expect(final.header('call-id')).toBe(invite.callId);
    const ack = formatRequest({ ...invite, method: 'ACK', toTag: parameter(final.header('to'), 'tag') });
    other.lastConnection.write(ack);
    await callsEnd(running.proxy);
  });

  it('carries 60,000 bytes from one to the other', async () => {
    const client = await open(running);
    const body = 'x'.repeat(60_000);
    callee.on('MESSAGE', [202]);
    udp.on('MESSAGE', [202]);
    const inward = running.client.request({ method: 'MESSAGE', headers: [`X-To: ${callee.target}`], body });
    expect((await inward.final()).status).toBe(202);
    expect((await callee.request('MESSAGE')).body).toBe(body);
    expect((await client.ask({ method: 'MESSAGE', headers: [`X-To: udp:${udp.address}`], body })).status).toBe(202);
    expect((await udp.request('MESSAGE')).body).toBe(body);
    expect((await client.ask({ method: 'MESSAGE', headers: [`X-To: ${callee.target}`], body })).status).toBe(202);
    expect((await callee.request('MESSAGE', 2)).body).toBe(body);
  });

  it('goes on after a suspended route, with the connection that the call came by', async () => {
    const client = await open(running);
    callee.on('INVITE', [180, 200]).on('BYE', [200]);
    const invites = Array.from({ length: 20 }, () => client.request({ user: 'later', headers: [`X-To: ${callee.target}`] }));
    for (const invite of invites) {
      const final = await client.response(invite, 200);
      client.request(within(invite, final, { method: 'ACK' }));
      await client.ask(within(invite, final, { method: 'BYE', cseq: 2 }));
    }
    await callee.request('ACK', 20);
    expect(callee.connections).toHaveLength(1);
    await callsEnd(running.proxy);
  });

  it.each(['caller', 'callee'])('takes a call from a WebSocket to UDP, and the BYE of the %s', async (who) => {
    const client = await open(running, 'ws');
    const contact = 'sip:caller@df7jal23ls0d.invalid;transport=ws';
    const invite = client.request({ headers: [`X-To: udp:${udp.address}`], contact });
    const got = await udp.request('INVITE');
    const callers = /^SIP\/2\.0\/WS df7jal23ls0d\.invalid;branch=[^;]+;rport=\d+;received=127\.0\.0\.1$/;
    expect(got.headers.get('via')![1]).toMatch(callers);
    expect(got.headers.get('record-route')).toEqual([routeOf(running, 'udp'), routeOf(running, 'ws')]);
    udp.answer(got, 180);
    await client.response(invite, 180);
    udp.answer(got, 200);
    const final = await client.response(invite, 200);
    client.request(within(invite, final, { method: 'ACK' }));
    await udp.request('ACK');
    if (who === 'caller') {
      udp.on('BYE', [200]);
      expect((await client.ask(within(invite, final, { method: 'BYE', cseq: 2 }))).status).toBe(200);
    } else {
      udp.send(backward(got, udp.tag, 'BYE', `SIP/2.0/UDP ${udp.address}`), got);
      const bye = (await eventually(() => client.messages.find(({ method, status }) => method === 'BYE' && status === 0)))!;
      expect(bye.startLine).toBe(`BYE ${contact} SIP/2.0`);
      expect(bye.header('via')).toMatch(viaOf(running, 'ws'));
      client.send(responseTo(bye, 200));
      await eventually(() => udp.responses.length === 1);
    }
    await callsEnd(running.proxy);
    expect(client.isClosed).toBe(false);
  });

  it('answers 500 when a WebSocket that is to be reached is gone', async () => {
    const client = await open(running, 'ws');
    const invite = client.request({ headers: [`X-To: udp:${udp.address}`] });
    const got = await udp.request('INVITE');
    udp.answer(got, 200);
    const final = await client.response(invite, 200);
    client.request(within(invite, final, { method: 'ACK' }));
    await udp.request('ACK');
    client.close();
    await eventually(() => running.stats.transport.connections === 0);
    const { undelivered } = running.stats.transport;
    udp.send(backward(got, udp.tag, 'BYE', `SIP/2.0/UDP ${udp.address}`), got);
    await eventually(() => udp.responses.length === 1);
    expect(udp.responses[0]!.status).toBe(500);
    expect(running.stats.transport.undelivered - undelivered).toBe(1);
  });
});
