import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { startProxy } from 'sip-async';
import type { ProxySettings, TlsSettings } from 'sip-async';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { makeCertificate } from './support/certificates.ts';
import { eventually } from './support/eventually.ts';
import { useProxy } from './support/running-proxy.ts';
import { StreamClient } from './support/stream-client.ts';

const authority = makeCertificate('Test Authority');
const server = makeCertificate('proxy.example.com', ['proxy.example.com', '127.0.0.1'], authority);
const stranger = makeCertificate('Another Authority');
const known = makeCertificate('client', ['client.example.com'], authority);
const unknown = makeCertificate('client', ['client.example.com'], stranger);

const folder = mkdtempSync(join(tmpdir(), 'sip-async-tls-'));
const fileOf = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const keyFile = fileOf('key.pem', server.key);
const certFile = fileOf('cert.pem', server.cert);
afterAll(() => rmSync(folder, { recursive: true }));

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    if (msg.method === 'MESSAGE') msg.asyncMsRoute('LATER', 30);
    msg.sendReply(200, [msg.proto, msg.srcIp, msg.srcPort].join(' '));
  },
  route: { LATER(msg) { msg.sendReply(404, msg.proto); } },`;

const clients: StreamClient[] = [];
async function open(...given: Parameters<typeof StreamClient.open>): Promise<StreamClient> {
  const client = await StreamClient.open(...given);
  clients.push(client);
  return client;
}
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

const trusting = { ca: authority.cert };

describe('a proxy that listens on TLS and secure WebSocket', () => {
  const running = useProxy(definition, {
    overrides: {
      listen: ['tls:127.0.0.1:0', 'wss:127.0.0.1:0'],
      tls: { key: keyFile, cert: certFile },
      handshakeTimeout: 1,
    },
  });
  const [tls, wss] = [() => running.proxy.addresses[0]!, () => running.proxy.addresses[1]!];
  const transport = () => running.stats.transport;

  it('answers by both, at once and from a worker', async () => {
    const stream = await open(tls(), trusting);
    expect((await stream.ask({ method: 'OPTIONS' })).reason).toBe(`tls 127.0.0.1 ${stream.port}`);
    expect((await stream.ask({ method: 'MESSAGE' })).reason).toBe('tls');
    const socket = await open(wss(), trusting);
    expect((await socket.ask({ method: 'OPTIONS' })).reason).toMatch(/^wss 127\.0\.0\.1 \d+$/);
    expect((await socket.ask({ method: 'MESSAGE' })).reason).toBe('wss');
    expect(transport()).toMatchObject({ connections: 2, handshakesFailed: 0 });
  });

  it('shows its certificate, and speaks nothing older than TLS 1.2', async () => {
    await expect(open(tls())).rejects.toMatchObject({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
    await expect(open(tls(), { ...trusting, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
    const stream = await open(tls(), { ...trusting, maxVersion: 'TLSv1.2' });
    expect((stream.socket as TLSSocket).getProtocol()).toBe('TLSv1.2');
  });

  it.each([
    ['garbage', 'OPTIONS sip:a@b SIP/2.0\r\n\r\n'],
    ['nothing', ''],
  ])('counts a handshake of %s and closes, and nobody else notices', async (_what, text) => {
    const before = transport().handshakesFailed;
    const other = await open(tls(), trusting);
    for (const address of [tls(), wss()]) {
      const socket = connect(address.port, address.host);
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.write(text);
      await once(socket.resume(), 'close');
    }
    await eventually(() => transport().handshakesFailed === before + 2);
    expect((await other.ask({ method: 'OPTIONS' })).status).toBe(200);
  });

  it('counts a client that leaves in the middle', async () => {
    const before = transport().handshakesFailed;
    const socket = connect(tls().port, tls().host);
    await once(socket, 'connect');
    socket.write('\x16\x03\x01');
    socket.destroy();
    await eventually(() => transport().handshakesFailed === before + 1);
  });

  it('leaves nothing', async () => {
    await eventually(() => transport().connections === 0);
  });
});

describe('a proxy that asks for certificates', () => {
  const running = useProxy(definition, {
    overrides: {
      listen: 'tls:127.0.0.1:0',
      tls: { key: server.key, cert: server.cert, ca: authority.cert, requestCert: 1, minVersion: 'TLSv1.3' },
    },
  });

  it('takes a client with one from its authority, and no other', async () => {
    const [address] = running.proxy.addresses as [never];
    const good = await open(address, { ...trusting, key: known.key, cert: known.cert });
    expect((await good.ask({ method: 'OPTIONS' })).status).toBe(200);
    // With TLS 1.3 a client is through before it hears that it was refused.
    for (const options of [trusting, { ...trusting, key: unknown.key, cert: unknown.cert }]) {
      const bad = await open(address, options);
      bad.request({ method: 'OPTIONS' });
      await bad.closed();
      expect(bad.messages).toEqual([]);
    }
    await eventually(() => running.stats.transport.handshakesFailed === 2);
    expect(running.stats.transport.connectionsOpened).toBe(1);
  });
});

describe('a reply whose TLS connection is gone', () => {
  async function callBack(tls: TlsSettings, certificate = server): Promise<{ text: string; proxyStats: () => unknown }> {
    let text = '';
    const peer = createTlsServer({ key: certificate.key, cert: certificate.cert }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => (text += bytes.toString('latin1')));
    });
    peer.on('tlsClientError', () => {});
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const file = new URL('./fixtures/answer-later.mjs', import.meta.url);
    const proxy = await startProxy(file, { listen: 'tls:127.0.0.1:0', tls: { key: keyFile, cert: certFile, ...tls } });
    const client = await open(proxy.addresses[0]!, trusting);
    client.request({ method: 'MESSAGE', sentBy: `127.0.0.1:${(peer.address() as AddressInfo).port}` });
    await eventually(() => proxy.stats().transactions.suspended === 1);
    client.close();
    await eventually(() => text.includes('SIP/2.0 404') || proxy.stats().transport.undelivered === 1);
    await proxy.close();
    peer.close();
    return { text, proxyStats: () => proxy.stats().transport };
  }

  it('goes to a server whose certificate names its address', async () => {
    expect((await callBack({ ca: authority.cert })).text).toContain('SIP/2.0 404');
  });

  it.each([
    ['an authority that is not trusted', {}, server],
    ['another name', { ca: authority.cert }, known],
  ])('does not go to a server with a certificate of %s', async (_what, tls, certificate) => {
    const { text, proxyStats } = await callBack(tls, certificate);
    expect(text).toBe('');
    expect(proxyStats()).toMatchObject({ undelivered: 1, connectsFailed: 1, connections: 0 });
  });

  it('goes anywhere without verifyServer', async () => {
    expect((await callBack({ verifyServer: 0 }, known)).text).toContain('SIP/2.0 404');
  });
});

describe('tls settings that cannot be used', () => {
  const file = new URL('./fixtures/answer-later.mjs', import.meta.url);
  const start = (tls: TlsSettings, settings: ProxySettings = {}) => startProxy(file, { listen: 'tls:127.0.0.1:0', tls, ...settings });
  const garbage = fileOf('garbage.pem', 'garbage');
  it.each([
    ['a file that is not there', { key: keyFile, cert: join(folder, 'none.pem') }, /tls\.cert: ENOENT/],
    ['a file with something else', { key: keyFile, cert: garbage }, /tls\.cert: /],
    ['the key of another certificate', { key: known.key, cert: server.cert }, /tls\.key: .*mismatch/],
    ['a key that is none', { key: garbage, cert: certFile }, /tls\.key: /],
  ])('are a fault of the configuration: %s', async (_what, tls, message) => {
    await expect(start(tls)).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_CONFIG',
      message: expect.stringMatching(message) as string,
    });
  });
});
