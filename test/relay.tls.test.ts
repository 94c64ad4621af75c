import type { BoundAddress } from 'sip-async';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificate } from './support/certificates.ts';
import { within } from './support/dialog.ts';
import { DnsServer } from './support/dns-server.ts';
import { eventually } from './support/eventually.ts';
import { becomesIdle, callsEnd, RunningProxy } from './support/running-proxy.ts';
import type { RequestOptions } from './support/sip-request.ts';
import { StreamCallee } from './support/stream-callee.ts';
import { StreamClient } from './support/stream-client.ts';

const authority = makeCertificate('Test Authority');
const proxyOwn = makeCertificate('proxy.example.test', ['proxy.example.test', '127.0.0.1'], authority);
const names = ['right.example.test', 'room.example.test', 'contact-ends.example.test', 'contact-throws.example.test'];
const right = makeCertificate(names[0]!, names, authority);
const wrong = makeCertificate('wrong.example.test', ['wrong.example.test'], authority);

const definition = `
  requestRoute(msg) {
    if (msg.toTag !== null) {
      if (!msg.tRelay()) msg.slReplyError();
      if (msg.header('X-Throw') !== null) throw new Error('behind the relay');
      return;
    }
    msg.recordRoute();
    if (msg.header('X-Then') !== null) msg.tOnFailure('THEN');
    if (!msg.tRelay(msg.header('X-To'))) msg.slReplyError();
  },
  failureRoute: {
    THEN(msg) { msg.tRelay(msg.header('X-Then')); },
  },`;

const clients: StreamClient[] = [];
let dns: DnsServer;
let running: RunningProxy;
let callee: StreamCallee;
let stranger: StreamCallee;
let plain: StreamCallee;

beforeAll(async () => {
  dns = await DnsServer.open();
  running = new RunningProxy(definition, {
    overrides: {
      listen: ['tcp:127.0.0.1:0', 'tls:127.0.0.1:0'],
      tls: { key: proxyOwn.key, cert: proxyOwn.cert, ca: authority.cert },
      dns: { servers: [dns.address] },
      connectionSendBuffer: 65_536,
      modparam: { tm: { retr_timer1: 50, retr_timer2: 100, fr_timer: 3000 } },
    },
  });
  await running.start();
});
afterAll(async () => {
  try {
    await becomesIdle(running.proxy, 20_000);
    await eventually(() => running.stats.transport.connections === 0);
  } finally {
    await running.stop();
    await dns.close();
  }
});
beforeEach(async () => {
  callee = await StreamCallee.open(right);
  stranger = await StreamCallee.open(wrong);
  plain = await StreamCallee.open();
  for (const name of ['right.example.test', 'other.example.test']) dns.a(name, ['127.0.0.1']);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all([callee.close(), stranger.close(), plain.close()]);
});

const tcp = (): BoundAddress => running.proxy.addresses[0]!;
const tls = (): BoundAddress => running.proxy.addresses[1]!;

async function open(address = tcp()): Promise<StreamClient> {
  const client = await StreamClient.open(address, { ca: authority.cert, servername: 'proxy.example.test' });
  client.autoAck = false;
  clients.push(client);
  return client;
}

const message = (target: string, ...headers: string[]): RequestOptions => ({
  method: 'MESSAGE', headers: [`X-To: ${target}`, ...headers],
});

describe('a TLS server that is named', () => {
  it('is called when its certificate has the name, by one connection', async () => {
    const client = await open(tls());
    callee.on('MESSAGE', [200]);
    for (let count = 0; count < 3; count += 1) {
      expect((await client.ask(message(`tls:right.example.test:${callee.port}`))).status).toBe(200);
    }
    expect(callee.connections).toHaveLength(1);
    const got = callee.of('MESSAGE')[0]!;
    expect(got.headers.get('via')!.map((via) => via.split(' ')[0])).toEqual(['SIP/2.0/TLS', 'SIP/2.0/TLS']);
    expect(got.headers.get('record-route')).toEqual([`<sip:127.0.0.1:${tls().port};transport=tls;lr>`]);
  });

  it('is called by sips as well, and both sides are in the route', async () => {
    const client = await open();
    callee.on('MESSAGE', [200]);
    expect((await client.ask(message(`sips:right.example.test:${callee.port}`))).status).toBe(200);
    const got = await callee.request('MESSAGE');
    expect(got.header('via')).toMatch(/^SIP\/2\.0\/TLS /);
    expect(got.headers.get('record-route')).toEqual([
      `<sip:127.0.0.1:${tls().port};transport=tls;lr>`,
      `<sip:127.0.0.1:${tcp().port};transport=tcp;lr>`,
    ]);
  });

  it('is not called when it has another name, or none', async () => {
    const client = await open();
    const { connectsFailed, undelivered } = running.stats.transport;
    expect((await client.ask(message(`tls:right.example.test:${stranger.port}`))).status).toBe(500);
    expect((await client.ask(message(stranger.target))).status).toBe(500);
    expect(stranger.messages).toEqual([]);
    expect(running.stats.transport).toMatchObject({ connectsFailed: connectsFailed + 2, undelivered: undelivered + 2 });
  });

  it('gives way to the next of its addresses when the certificate is not its own', async () => {
    const client = await open();
    const many = makeCertificate('many.example.test', ['many.example.test'], authority);
    await callee.close();
    callee = await StreamCallee.open(many);
    callee.on('MESSAGE', [200]);
    dns.srv('_sips._tcp.many.example.test', [
      `10 10 ${stranger.port} right.example.test`,
      `20 10 ${callee.port} right.example.test`,
    ]);
    // The name that was asked for counts, not the one that DNS made of it (RFC 5922 section 7.1).
    expect((await client.ask(message('sips:many.example.test'))).status).toBe(200);
    expect(stranger.messages).toEqual([]);
    expect(callee.of('MESSAGE')).toHaveLength(1);
  });

  it('gives way to the failure route', async () => {
    const client = await open();
    plain.on('MESSAGE', [200]);
    const then = `X-Then: ${plain.target}`;
    expect((await client.ask(message(`tls:right.example.test:${stranger.port}`, then))).status).toBe(200);
    expect(plain.of('MESSAGE')).toHaveLength(1);
  });

  it('is called although another name for the same place is none of its own', async () => {
    const client = await open();
    callee.on('MESSAGE', [200]);
    // Both connections are being opened at the same time; the one that fails is no reason to give the other up.
    const bad = Array.from({ length: 5 }, () => client.request(message(`tls:other.example.test:${callee.port}`)));
    const good = Array.from({ length: 5 }, () => client.request(message(`tls:right.example.test:${callee.port}`)));
    for (const request of bad) expect((await client.response(request)).status).toBe(500);
    for (const request of good) expect((await client.response(request)).status).toBe(200);
  });

  it('answers 500 at once for what no room is left for while it is being called', async () => {
    const client = await open();
    callee.on('MESSAGE', [200]);
    // All wait for the name, and then for the connection, which takes three of them.
    const { undelivered } = running.stats.transport;
    dns.a('room.example.test', ['127.0.0.1']).hold();
    const requests = Array.from({ length: 8 }, () =>
      client.request({ ...message(`tls:room.example.test:${callee.port}`), body: 'x'.repeat(20_000) }));
    await eventually(() => running.stats.branches.active === requests.length);
    dns.release();
    const statuses = [];
    for (const request of requests) statuses.push((await client.response(request, undefined, 2000)).status);
    expect(statuses.sort()).toEqual([200, 200, 200, 500, 500, 500, 500, 500]);
    expect(running.stats.transport.undelivered - undelivered).toBe(5);
  });

  it('that waits to answer is not given up for another name of the same place', async () => {
    const client = await open();
    const invite = client.request({ headers: [`X-To: tls:right.example.test:${callee.port}`] });
    const got = await callee.request('INVITE');
    callee.answer(got, 180);
    await client.response(invite, 180);
    expect((await client.ask(message(`tls:other.example.test:${callee.port}`))).status).toBe(500);
    callee.answer(got, 486);
    client.acknowledge(invite, await client.response(invite, 486));
    await callsEnd(running.proxy);
  });

  it.each(['ends', 'throws'])('gets the ACK and the BYE of a call whose Contact is a name, when the route %s', async (way) => {
    const client = await open();
    // Of a name that nobody has asked for before: there is something to wait for.
    const name = `contact-${way}.example.test`;
    dns.a(name, ['127.0.0.1']);
    callee.on('BYE', [200]);
    const invite = client.request({ headers: [`X-To: tls:right.example.test:${callee.port}`] });
    callee.answer(await callee.request('INVITE'), 200, { contact: `<sip:callee@${name}:${callee.port};transport=tls>` });
    const final = await client.response(invite, 200);
    const ack = within(invite, final, { method: 'ACK' });
    if (way === 'throws') ack.headers = [...ack.headers!, 'X-Throw: 1'];
    client.request(ack);
    expect((await callee.request('ACK')).startLine).toBe(`ACK sip:callee@${name}:${callee.port};transport=tls SIP/2.0`);
    expect((await client.ask(within(invite, final, { method: 'BYE', cseq: 2 }))).status).toBe(200);
    await callsEnd(running.proxy);
  });
});

describe('a target without a transport', () => {
  it('goes by TCP when the proxy has no UDP', async () => {
    const client = await open();
    plain.on('MESSAGE', [200]);
    expect((await client.ask(message(`sip:127.0.0.1:${plain.port}`))).status).toBe(200);
    expect((await client.ask(message(`sip:right.example.test:${plain.port}`))).status).toBe(200);
  });
});
