import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { BoundAddress } from 'sip-async';
import { startProxy } from 'sip-async';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { hasIpv6 } from './support/ipv6.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { cancelFor, formatRequest } from './support/sip-request.ts';
import { StreamClient } from './support/stream-client.ts';

const definition = `
  asyncWorkers: 2,
  requestRoute(msg) {
    if (msg.method === 'OPTIONS') msg.sendReply(200, [msg.proto, msg.srcIp, msg.srcPort, msg.body.length].join(' '));
    else if (msg.method === 'MESSAGE') msg.asyncMsRoute('LATER', 30);
    else if (msg.ruri.includes('never')) msg.asyncMsRoute('LATER', 30000);
    else if (msg.ruri.includes('refuse')) msg.sendReply(486, 'Busy Here');
    else if (msg.ruri.includes('accept')) msg.sendReply(200, 'OK');
    else msg.asyncMsRoute('LATER', 100);
  },
  route: {
    LATER(msg) { msg.sendReply(404, [msg.proto, threadId > 0 ? 'worker' : 'main', msg.srcPort].join(' ')); },
  },`;

const v6 = (await hasIpv6()) ? ['tcp:[::1]:0'] : [];

const clients: StreamClient[] = [];
async function open(address: BoundAddress): Promise<StreamClient> {
  const client = await StreamClient.open(address);
  clients.push(client);
  return client;
}
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

describe.each([1, 3])('a proxy that listens on UDP and TCP, with %d receivers', (children) => {
  const running = useProxy(definition, {
    overrides: {
      listen: ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0', ...v6],
      children,
      maxMessageBytes: 20_000,
      modparam: { tm: { retr_timer1: 100 } },
    },
  });
  const tcp = () => running.proxy.addresses[1]!;
  const transport = () => running.stats.transport;

  it('says where', () => {
    expect(running.proxy.addresses.map(({ transport, host }) => `${transport} ${host}`)).toEqual([
      'udp 127.0.0.1',
      'tcp 127.0.0.1',
      ...v6.map(() => 'tcp ::1'),
    ]);
    expect(String(tcp())).toMatch(/^tcp:127\.0\.0\.1:\d{2,5}$/);
  });

  it('answers by the connection that the request came by, and knows where that is', async () => {
    const client = await open(tcp());
    const reply = await client.ask({ method: 'OPTIONS', body: 'four' });
    expect(reply).toMatchObject({ status: 200, reason: `tcp 127.0.0.1 ${client.port} 4` });
    expect(reply.header('via')).toContain(`;rport=${client.port};received=127.0.0.1`);
    expect((await running.ask({ method: 'OPTIONS' })).reason).toMatch(/^udp /);
  });

  it.skipIf(v6.length === 0)('listens on IPv6', async () => {
    const client = await open(running.proxy.addresses[2]!);
    expect((await client.ask({ method: 'OPTIONS' })).reason).toBe(`tcp ::1 ${client.port} 0`);
  });

  it('takes many messages at once, and one in pieces', async () => {
    const client = await open(tcp());
    const requests = Array.from({ length: 200 }, () => client.settle({ method: 'OPTIONS' }));
    client.send(requests.map(formatRequest).join('\r\n'));
    for (const request of requests) expect((await client.response(request)).status).toBe(200);
    const last = client.settle({ method: 'OPTIONS', body: 'in pieces' });
    const text = formatRequest(last);
    client.socket!.setNoDelay(true);
    for (let at = 0; at < text.length; at += 50) {
      client.send(text.slice(at, at + 50));
      await new Promise((done) => setImmediate(done));
    }
    expect((await client.response(last)).status).toBe(200);
  });

  it('resumes on a worker, whose reply takes the same connection', async () => {
    const [one, two] = [await open(tcp()), await open(tcp())];
    const replies = await Promise.all([one, two].flatMap((client) => [
      client.ask({ method: 'MESSAGE' }).then((reply) => [reply.reason, client.port] as const),
      client.ask({ method: 'INVITE' }).then((reply) => [reply.reason, client.port] as const),
    ]));
    for (const [reason, port] of replies) expect(reason).toBe(`tcp worker ${port}`);
    expect(one.messages.filter(({ status }) => status === 100)).toHaveLength(1);
  });

  it('sends a refusal once, and ends the call with its ACK', async () => {
    const client = await open(tcp());
    const absorbed = transport().acksAbsorbed;
    client.autoAck = false;
    const invite = client.request({ user: 'refuse' });
    const refusal = await client.response(invite, 486);
    // Timer G would have been here twice.
    await new Promise((done) => setTimeout(done, 400));
    expect(client.messages.filter(({ status }) => status === 486)).toHaveLength(1);
    client.acknowledge(invite, refusal);
    await eventually(() => transport().acksAbsorbed === absorbed + 1);
    expect(running.stats.transactions.timedOut).toBe(0);
  });

  it('repeats a 2xx until its ACK comes', async () => {
    const client = await open(tcp());
    client.autoAck = false;
    const invite = client.request({ user: 'accept' });
    await eventually(() => client.messages.filter(({ status }) => status === 200).length >= 2);
    client.acknowledge(invite, await client.response(invite, 200));
    await eventually(() => running.stats.transactions.active === 0, { timeoutMs: 15_000 });
  }, 20_000);

  it('absorbs what is sent again, and cancels what waits', async () => {
    const client = await open(tcp());
    const absorbed = transport().retransmissionsAbsorbed;
    const invite = client.request({ user: 'never' });
    await client.response(invite, 100);
    client.send(formatRequest(invite));
    await eventually(() => transport().retransmissionsAbsorbed === absorbed + 1);
    const cancel = cancelFor(invite);
    client.send(formatRequest(cancel));
    expect((await client.response(cancel)).status).toBe(200);
    expect((await client.response(invite)).status).toBe(487);
  });

  it('answers keep-alives', async () => {
    const client = await open(tcp());
    const before = transport().keepAlives;
    client.send('\r\n\r\n');
    await eventually(() => client.lineEnds === '\r\n');
    client.send('\r\n');
    await client.ask({ method: 'OPTIONS' });
    expect(client.lineEnds).toBe('\r\n');
    expect(transport().keepAlives).toBe(before + 1);
  });

  it.each([
    ['no Content-Length', (text: string) => text.replace(/Content-Length: .*\r\n/, ''), 400, 'Missing Content-Length'],
    ['a word for a length', (text: string) => text.replace(/Content-Length: .*\r\n/, 'l: abc\r\n'), 400, 'Bad Content-Length'],
    ['a length beyond the limit', (text: string) => text.replace(/Content-Length: .*\r\n/, 'l: 50000\r\n'), 513, 'Message Too Large'],
  ])('answers a request with %s and closes', async (_what, spoil, status, reason) => {
    const before = transport().framingErrors;
    const client = await open(tcp());
    const request = client.settle({ method: 'OPTIONS' });
    client.send(spoil(formatRequest(request)) + 'x'.repeat(1000));
    expect(await client.response(request)).toMatchObject({ status, reason });
    await client.closed();
    expect(transport().framingErrors).toBe(before + 1);
  });

  it('closes at what is no SIP', async () => {
    const before = transport().framingErrors;
    const client = await open(tcp());
    client.send('GET / HTTP/1.1\r\n\r\n');
    await client.closed();
    expect(client.messages).toEqual([]);
    expect(transport().framingErrors).toBe(before + 1);
  });

  it('answers what is malformed but can be told apart, and goes on', async () => {
    const client = await open(tcp());
    const request = client.settle({ method: 'OPTIONS' });
    client.send(formatRequest(request).replace('CSeq: 1', 'CSeq: x'));
    await eventually(() => client.messages.some(({ status }) => status === 400));
    expect((await client.ask({ method: 'OPTIONS' })).status).toBe(200);
  });

  it('leaves nothing', async () => {
    await becomesIdle(running.proxy);
    await eventually(() => transport().connections === 0);
  });
});

describe('a reply whose connection is gone', () => {
  const running = useProxy(definition, { overrides: { listen: ['tcp:127.0.0.1:0'] } });
  let server: Server;
  const accepted: Socket[] = [];
  afterEach(() => {
    for (const socket of accepted.splice(0)) socket.destroy();
    server.close();
  });

  it('goes to the port of its Via, by one new connection', async () => {
    let text = '';
    server = createServer((socket) => {
      accepted.push(socket);
      socket.on('data', (bytes) => (text += bytes.toString('latin1')));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sentBy = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = await open(running.proxy.addresses[0]!);
    client.request({ method: 'MESSAGE', sentBy });
    client.request({ method: 'MESSAGE', sentBy });
    await eventually(() => running.stats.transactions.suspended === 2);
    client.close();
    await eventually(() => (text.match(/SIP\/2\.0 404/g) ?? []).length === 2);
    expect(accepted).toHaveLength(1);
    expect(running.stats.transport).toMatchObject({ connections: 1, connectionsOpened: 2, undelivered: 0 });
    // The connection is as good as any: what comes by it is taken.
    accepted[0]!.write(formatRequest(client.settle({ method: 'OPTIONS', via: `SIP/2.0/TCP ${sentBy};branch=z9hG4bKback` })));
    await eventually(() => text.includes('SIP/2.0 200 tcp 127.0.0.1'));
    accepted[0]!.destroy();
    await eventually(() => running.stats.transport.connections === 0);
  });

  it('is dropped and counted when nobody listens there', async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    const before = running.stats.transport;
    const client = await open(running.proxy.addresses[0]!);
    client.request({ method: 'MESSAGE', sentBy: `127.0.0.1:${port}` });
    await eventually(() => running.stats.transactions.suspended === 1);
    client.close();
    await eventually(() => running.stats.transport.undelivered === before.undelivered + 1);
    expect(running.stats.transport.connectsFailed).toBe(before.connectsFailed + 1);
    await becomesIdle(running.proxy);
    expect(running.stats.transport.connections).toBe(0);
  });
});

describe('the beginning and the end', () => {
  it('says what address cannot be bound', async () => {
    const running = createServer().listen(0, '127.0.0.1');
    await once(running, 'listening');
    const { port } = running.address() as AddressInfo;
    const file = new URL('../examples/resume.mjs', import.meta.url);
    await expect(startProxy(file, { listen: ['udp:127.0.0.1:0', `tcp:127.0.0.1:${port}`] })).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_LISTEN',
      message: `the address cannot be bound: tcp:127.0.0.1:${port}: EADDRINUSE, address already in use`,
    });
    running.close();
  });

  it('answers what is open with 503, then closes the connections and leaves nothing', async () => {
    const file = new URL('../examples/resume.mjs', import.meta.url);
    const proxy = await startProxy(file, { listen: ['tcp:127.0.0.1:0'] });
    const client = await open(proxy.addresses[0]!);
    const silent = await open(proxy.addresses[0]!);
    const invite = client.request();
    await client.response(invite, 100);
    const report = await proxy.close({ timeoutMs: 0 });
    expect(report.answered).toBe(1);
    expect((await client.response(invite)).status).toBe(503);
    await client.closed();
    await silent.closed();
    expect(proxy.stats().transport).toMatchObject({ connections: 0, connectionsOpened: 2, undelivered: 0 });
    await expect(StreamClient.open(proxy.addresses[0]!)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('closes connections whose peers neither read nor close', async () => {
    const file = new URL('../examples/resume.mjs', import.meta.url);
    const proxy = await startProxy(file, { listen: ['tcp:127.0.0.1:0'] });
    const client = await open(proxy.addresses[0]!);
    client.socket!.pause();
    client.request({ method: 'OPTIONS' });
    await eventually(() => proxy.stats().transport.received === 1);
    await proxy.close({ timeoutMs: 0 });
    expect(proxy.stats().transport.connections).toBe(0);
  });
});
