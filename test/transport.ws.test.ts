import { once } from 'node:events';
import { get, request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { cancelFor, formatRequest } from './support/sip-request.ts';
import { StreamClient } from './support/stream-client.ts';

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    if (msg.method === 'OPTIONS') msg.sendReply(200, [msg.proto, msg.body.length].join(' '));
    else if (msg.ruri.includes('never')) msg.asyncMsRoute('LATER', 30000);
    else msg.asyncMsRoute('LATER', 50);
  },
  route: { LATER(msg) { msg.sendReply(404, [msg.proto, threadId > 0 ? 'worker' : 'main'].join(' ')); } },`;

const clients: { close(): void }[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

describe('a proxy that listens on WebSocket', () => {
  const running = useProxy(definition, {
    overrides: { listen: ['ws:127.0.0.1:0'], maxMessageBytes: 8000, handshakeTimeout: 1, connectionIdle: 2 },
  });
  const address = () => running.proxy.addresses[0]!;
  const transport = () => running.stats.transport;
  async function open(): Promise<StreamClient> {
    const client = await StreamClient.open(address());
    clients.push(client);
    return client;
  }

  it('speaks the subprotocol, and no compression', async () => {
    const { webSocket } = await open();
    expect(webSocket!.protocol).toBe('sip');
    expect(webSocket!.extensions).toBe('');
  });

  it('answers by the connection, at once and from a worker', async () => {
    const client = await open();
    const reply = await client.ask({ method: 'OPTIONS' });
    expect(reply.reason).toBe('ws 0');
    expect(reply.header('via')).toMatch(/^SIP\/2\.0\/WS df7jal23ls0d\.invalid;branch=[^;]+;rport=\d+;received=127\.0\.0\.1$/);
    expect((await client.ask()).reason).toBe('ws worker');
    expect(client.messages.map(({ status }) => status)).toEqual([200, 100, 404]);
  });

  it('takes text and binary frames, and sends text as long as it is text', async () => {
    const client = await open();
    const one = client.settle({ method: 'OPTIONS', body: 'é' });
    client.webSocket!.send(formatRequest(one));
    expect((await client.response(one)).reason).toBe('ws 1');
    expect(client.wasText).toBe(true);
    // From comes back as it was, and this byte is no UTF-8.
    const two = client.settle({ method: 'OPTIONS', fromUser: 'caf\xe9' });
    client.webSocket!.send(Buffer.from(formatRequest(two), 'latin1'), { binary: true });
    await client.response(two);
    expect(client.wasText).toBe(false);
  });

  it('takes a message that comes in fragments, and one without Content-Length', async () => {
    const client = await open();
    const one = client.settle({ method: 'OPTIONS', body: 'in fragments' });
    const text = formatRequest(one);
    for (let at = 0; at < text.length; at += 40) {
      client.webSocket!.send(text.slice(at, at + 40), { fin: at + 40 >= text.length });
    }
    expect((await client.response(one)).reason).toBe('ws 12');
    const two = client.settle({ method: 'OPTIONS', body: 'all' });
    client.webSocket!.send(formatRequest(two).replace(/Content-Length: .*\r\n/, ''));
    expect((await client.response(two)).reason).toBe('ws 3');
  });

  it('takes one message a frame', async () => {
    const client = await open();
    const [one, two] = [client.settle({ method: 'OPTIONS' }), client.settle({ method: 'OPTIONS' })];
    client.webSocket!.send(formatRequest(one) + formatRequest(two));
    await client.response(one);
    await client.ask({ method: 'OPTIONS' });
    expect(client.messages.filter((message) => message.header('call-id') === two.callId)).toEqual([]);
  });

  it('answers malformed requests and goes on', async () => {
    const client = await open();
    client.webSocket!.send(formatRequest(client.settle({ method: 'OPTIONS' })).replace('CSeq: 1', 'CSeq: x'));
    await eventually(() => client.messages.some(({ status }) => status === 400));
    const before = transport().malformed;
    client.webSocket!.send('garbage');
    await eventually(() => transport().malformed.badStartLine === (before.badStartLine ?? 0) + 1);
    expect((await client.ask({ method: 'OPTIONS' })).status).toBe(200);
  });

  it('answers keep-alives of both kinds', async () => {
    const client = await open();
    client.webSocket!.send('\r\n\r\n');
    await eventually(() => client.lineEnds === '\r\n');
    const pong = once(client.webSocket!, 'pong');
    client.webSocket!.ping('x');
    expect(String((await pong)[0])).toBe('x');
  });

  it('cancels what waits', async () => {
    const client = await open();
    const invite = client.request({ user: 'never' });
    await client.response(invite, 100);
    client.send(formatRequest(cancelFor(invite)));
    expect((await client.response(invite)).status).toBe(487);
  });

  it('drops a reply whose connection is gone, for a browser cannot be called', async () => {
    const before = transport();
    const client = await open();
    client.request({ method: 'MESSAGE', sentBy: '127.0.0.1:9' });
    await eventually(() => running.stats.transactions.suspended === 1);
    client.close();
    await eventually(() => transport().undelivered === before.undelivered + 1);
    expect(transport().connectsFailed).toBe(before.connectsFailed);
  });

  it.each([
    ['a message that is too long', (socket: WebSocket) => socket.send('x'.repeat(8001)), 1009],
    ['fragments that are too long together', (socket: WebSocket) => {
      for (let i = 0; i < 20; i += 1) socket.send('x'.repeat(1000), { fin: false });
    }, 1009],
    ['a text that is no UTF-8', (socket: WebSocket) => socket.send(Buffer.of(0xff), { binary: false }), 1007],
    ['compression that was not agreed on', (socket: WebSocket) => {
      (socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(Buffer.of(0xc1, 0x81, 0, 0, 0, 0, 0));
    }, 1002],
  ])('closes at %s and counts it', async (_what, spoil, code) => {
    const before = transport().framingErrors;
    const client = await open();
    spoil(client.webSocket!);
    await client.closed();
    expect(client.closeCode).toBe(code);
    expect(transport().framingErrors).toBe(before + 1);
  });

  it('asks idle clients for a sign of life, keeps those that give one and closes the others', async () => {
    const before = transport().idleTimeouts;
    const live = await open();
    const dead = await open();
    dead.webSocket!.pause();
    await once(live.webSocket!, 'ping');
    await eventually(() => transport().idleTimeouts === before + 1, { timeoutMs: 10_000 });
    expect(live.isClosed).toBe(false);
    expect((await live.ask({ method: 'OPTIONS' })).status).toBe(200);
  }, 15_000);

  const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'x3JJHMbDL1EzLkh9GBhXDw==' };
  it.each([
    ['no subprotocol', upgrade, 400],
    ['another subprotocol', { ...upgrade, 'Sec-WebSocket-Protocol': 'xmpp, sips' }, 400],
    ['no key', { ...upgrade, 'Sec-WebSocket-Protocol': 'sip', 'Sec-WebSocket-Key': '' }, 400],
    ['no upgrade at all', {}, 426],
  ])('refuses a client with %s', async (_what, headers, status) => {
    const before = transport().handshakesFailed;
    const request = get({ host: address().host, port: address().port, headers, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(status);
    await eventually(() => transport().handshakesFailed === before + 1);
  });

  it('takes a client that offers more than one subprotocol', async () => {
    const socket = new WebSocket(`ws://${address().host}:${address().port}`, ['xmpp', 'sip']);
    clients.push(socket);
    await once(socket, 'open');
    expect(socket.protocol).toBe('sip');
  });

  it('waits for nobody who does not finish the handshake', async () => {
    const before = transport().handshakesFailed;
    const silent = connect(address().port, address().host);
    const slow = httpRequest({ host: address().host, port: address().port, method: 'POST', headers: { 'Content-Length': '100' }, agent: false });
    slow.on('error', () => {});
    slow.write('x');
    const [silentClosed] = await Promise.all([once(silent.resume(), 'close'), once(slow, 'close')]);
    expect(silentClosed).toBeDefined();
    await eventually(() => transport().handshakesFailed === before + 2);
  });

  it('leaves nothing', async () => {
    await becomesIdle(running.proxy);
    await eventually(() => transport().connections === 0);
  });
});
