import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../dist/binding.js';
import { Connections } from '../dist/transport/connections.js';
import { Connector } from '../dist/transport/connector.js';
import type { Target } from '../dist/transport/connector.js';
import { DEFAULT_TLS } from '../dist/transport/tls.js';
import type { TlsMaterial } from '../dist/transport/tls.js';
import { makeCertificate } from './support/certificates.ts';
import { eventually } from './support/eventually.ts';

const config = {
  maxConnections: 3,
  maxConnectionsPerSource: null,
  idleMs: 60_000,
  connectMs: 500,
  handshakeMs: 500,
  messageMs: 500,
  sendBufferBytes: 65_536,
};

/** Another end that notes what comes. */
class Peer {
  text = '';
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }
  static async plain(): Promise<Peer> {
    const peer: Peer = new Peer(createServer((socket) => peer.#take(socket)));
    return peer.#listen();
  }
  static async tls(certificate: { key: string; cert: string }): Promise<Peer> {
    const peer: Peer = new Peer(createTlsServer({ key: certificate.key, cert: certificate.cert }, (socket) => peer.#take(socket)));
    return peer.#listen();
  }
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  close(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }
  #take(socket: Socket): void {
    this.sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => (this.text += bytes.toString('latin1')));
  }
  async #listen(): Promise<this> {
    this.#server.on('tlsClientError', () => {});
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }
}

describe('connections that the proxy opens', () => {
  let engine: number;
  let channel: number;
  beforeAll(() => {
    engine = native.engineCreate(1, 16, 65535, 500, 4000, 5000, true, 1, 0, 0, false, false, false);
    native.engineBuild(engine);
    channel = native.channelOpen(engine, 0, -1, 0, new Uint32Array(128 * native.constants.record.words), () => 0);
    native.engineStart(engine);
  });
  afterAll(() => {
    native.channelClose(channel);
    native.engineStop(engine);
  });

  const peers: Peer[] = [];
  const opened: { connections: Connections; connector: Connector }[] = [];
  afterEach(async () => {
    for (const { connections, connector } of opened.splice(0)) {
      connector.close();
      await connections.close(200);
      await eventually(() => connections.counters.connections === 0);
    }
    for (const peer of peers.splice(0)) peer.close();
  });
  function setUp(tls: TlsMaterial = DEFAULT_TLS) {
    const connections = new Connections(channel, 65535, config, () => {});
    const connector = new Connector(channel, connections, config, tls);
    opened.push({ connections, connector });
    return { connections, connector, counters: connections.counters };
  }
  async function kept<T extends Peer>(peer: Promise<T>): Promise<T> {
    peers.push(await peer);
    return peer;
  }
  const to = (port: number, more: Partial<Target> = {}): Target => ({
    transport: 'tcp', host: '127.0.0.1', port, serverName: '', socket: 0, ...more,
  });
  const text = Buffer.from('OPTIONS');

  it('are one for each place, and are used again', async () => {
    const { connector, counters } = setUp();
    const [one, two] = [await kept(Peer.plain()), await kept(Peer.plain())];
    for (let round = 0; round < 3; round += 1) connector.send(to(one.port), text);
    connector.send(to(two.port), text);
    await eventually(() => one.text === 'OPTIONS'.repeat(3) && two.text === 'OPTIONS');
    connector.send(to(one.port), text);
    await eventually(() => one.text === 'OPTIONS'.repeat(4));
    expect(one.sockets).toHaveLength(1);
    expect(counters).toMatchObject({ connections: 2, connectionsOpened: 2, undelivered: 0, connectsFailed: 0 });
    // Once it is closed, another is opened.
    one.sockets[0]!.destroy();
    await eventually(() => counters.connections === 1);
    connector.send(to(one.port), text);
    await eventually(() => one.text === 'OPTIONS'.repeat(5));
  });

  it('hold a bounded amount while they are being opened', async () => {
    const { connector, counters } = setUp();
    const peer = await kept(Peer.plain());
    const heavy = Buffer.alloc(30_000, 'x');
    for (let round = 0; round < 5; round += 1) connector.send(to(peer.port), heavy);
    expect(counters.undelivered).toBe(3);
    await eventually(() => peer.text.length === 60_000);
  });

  it('count against the limit', async () => {
    const { connections, connector, counters } = setUp();
    const peer = await kept(Peer.plain());
    expect([1, 2, 3, 4].map(() => connections.admit('192.0.2.1'))).toEqual([true, true, true, false]);
    connector.send(to(peer.port), text);
    expect(counters).toMatchObject({ connections: 3, connectsFailed: 1, undelivered: 1 });
    for (let round = 0; round < 3; round += 1) connections.leave('192.0.2.1');
  });

  it('are given up after their time, and when the proxy closes', async () => {
    const { connector, counters } = setUp();
    // Takes the connection, but says nothing of TLS.
    const peer = await kept(Peer.plain());
    connector.send(to(peer.port, { transport: 'tls' }), text);
    connector.send(to(peer.port, { transport: 'tls' }), text);
    await eventually(() => counters.connectsFailed === 1);
    expect(counters).toMatchObject({ undelivered: 2, connections: 0 });
    connector.send(to(peer.port, { transport: 'tls' }), text);
    connector.close();
    await eventually(() => counters.connectsFailed === 2);
    connector.send(to(peer.port), text);
    expect(counters).toMatchObject({ undelivered: 4, connectsFailed: 3, connections: 0 });
  });

  it.each(['ws', 'wss'] as const)('are never opened for %s', (transport) => {
    const { connector, counters } = setUp();
    connector.send(to(9, { transport }), text);
    expect(counters).toMatchObject({ undelivered: 1, connectsFailed: 0, connections: 0 });
  });

  describe('over TLS', () => {
    const authority = makeCertificate('Test Authority');
    const named = makeCertificate('named', ['proxy.example.com'], authority);
    const trusting: TlsMaterial = { ...DEFAULT_TLS, context: { minVersion: 'TLSv1.2', ca: authority.cert } };

    it('need a certificate with the name that is asked for', async () => {
      const { connector, counters } = setUp(trusting);
      const peer = await kept(Peer.tls(named));
      const target = to(peer.port, { transport: 'tls', serverName: 'proxy.example.com' });
      connector.send(target, text);
      await eventually(() => peer.text === 'OPTIONS');
      // In any case, but not one that was verified for another name.
      connector.send({ ...target, serverName: 'PROXY.example.com' }, text);
      await eventually(() => peer.text === 'OPTIONSOPTIONS');
      for (const [number, serverName] of ['other.example.com', ''].entries()) {
        connector.send({ ...target, serverName }, text);
        await eventually(() => counters.connectsFailed === number + 1);
      }
      expect(counters).toMatchObject({ connections: 1, connectionsOpened: 1, undelivered: 2 });
      expect(peer.text).toBe('OPTIONSOPTIONS');
    });

    it('trust the authorities of the system without ca', async () => {
      const { connector, counters } = setUp();
      const peer = await kept(Peer.tls(named));
      connector.send(to(peer.port, { transport: 'tls', serverName: 'proxy.example.com' }), text);
      await eventually(() => counters.connectsFailed === 1);
      expect(peer.text).toBe('');
    });
  });
});
