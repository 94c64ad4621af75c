import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { BoundAddress } from 'sip-async';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { formatRequest } from './support/sip-request.ts';
import { StreamClient } from './support/stream-client.ts';

const definition = `
  requestRoute(msg) { msg.slSendReply(200, 'OK'); },`;

const sockets: Socket[] = [];
const clients: StreamClient[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const client of clients.splice(0)) client.close();
});

/** A connection that nobody looks after. */
async function dial({ host, port }: BoundAddress, localAddress?: string): Promise<Socket> {
  const socket = connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
  sockets.push(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}
async function open(address: BoundAddress): Promise<StreamClient> {
  const client = await StreamClient.open(address);
  clients.push(client);
  return client;
}
/** Resolves when the other side has closed, be it with a reset. */
const closed = (socket: Socket) => (socket.destroyed ? Promise.resolve() : once(socket.resume(), 'close'));

/** How many connections, with both ends in this process, the system lets us have. */
function mostConnections(wanted: number): number {
  const report = process.report.getReport() as { userLimits: { open_files: { soft: number | string } } };
  const limit = Number(report.userLimits.open_files.soft);
  return Number.isNaN(limit) ? wanted : Math.min(wanted, Math.floor((limit - 500) / 2));
}

describe('connections that say nothing', () => {
  const count = mostConnections(5000);
  const running = useProxy(definition, { overrides: { listen: ['tcp:127.0.0.1:0'], maxConnections: count } });
  const transport = () => running.stats.transport;

  it(`do not harm the others: ${count} of them`, async () => {
    expect(count).toBeGreaterThanOrEqual(1000);
    const client = await open(running.proxy.addresses[0]!);
    const before = process.memoryUsage.rss();
    while (transport().connections < count) {
      const batch = Math.min(200, count - transport().connections);
      await Promise.all(Array.from({ length: batch }, () => dial(running.proxy.addresses[0]!)));
      await eventually(() => sockets.length + 1 === transport().connections);
    }
    // Of both ends.
    expect((process.memoryUsage.rss() - before) / count).toBeLessThan(50_000);
    expect((await client.ask({ method: 'OPTIONS' })).status).toBe(200);

    // One more is too many, until one has gone.
    const refused = await dial(running.proxy.addresses[0]!);
    await closed(refused);
    expect(transport().connectionsRefused).toBe(1);
    sockets[0]!.destroy();
    await eventually(() => transport().connections === count - 1);
    const other = await open(running.proxy.addresses[0]!);
    expect((await other.ask({ method: 'OPTIONS' })).status).toBe(200);
  }, 60_000);

  it('leave nothing', async () => {
    await eventually(() => transport().connections === 0, { timeoutMs: 20_000 });
    await becomesIdle(running.proxy);
  }, 30_000);
});

describe('a proxy with tight limits', () => {
  const running = useProxy(definition, {
    overrides: {
      listen: ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0'],
      maxConnectionsPerSource: 4,
      connectionIdle: 3,
      messageTimeout: 1,
      connectionSendBuffer: 65_536,
    },
  });
  const tcp = () => running.proxy.addresses[1]!;
  const transport = () => running.stats.transport;
  const beginning = 'OPTIONS sip:a@b SIP/2.0\r\n';
  const goesOn = async () => expect((await running.ask({ method: 'OPTIONS' })).status).toBe(200);

  it('takes so many from one address, and more from another', async () => {
    await eventually(() => transport().connections === 0);
    const four = await Promise.all([1, 2, 3, 4].map(() => dial(tcp())));
    await eventually(() => transport().connections === 4);
    await closed(await dial(tcp()));
    expect(transport().connectionsRefused).toBe(1);
    const elsewhere = await dial(tcp(), '127.0.0.2');
    await eventually(() => transport().connections === 5);
    four[0]!.destroy();
    elsewhere.destroy();
    await eventually(() => transport().connections === 3);
    await dial(tcp());
    await eventually(() => transport().connections === 4);
  });

  it('closes what is silent', async () => {
    await eventually(() => transport().connections === 0);
    const before = transport().idleTimeouts;
    const silent = await dial(tcp());
    const live = await open(tcp());
    const beat = setInterval(() => live.send('\r\n\r\n'), 500);
    await closed(silent);
    clearInterval(beat);
    expect(transport().idleTimeouts).toBe(before + 1);
    expect(live.isClosed).toBe(false);
  }, 15_000);

  it.each([
    ['comes byte by byte', async (socket: Socket) => {
      for (let at = 0; !socket.destroyed; at += 1) {
        socket.write(beginning[at % beginning.length]!);
        await new Promise((done) => setTimeout(done, 50));
      }
    }],
    ['stops in the middle', (socket: Socket) => socket.write(`${beginning}Via: SIP/2.0/TCP h`)],
    ['is shorter than it says', (socket: Socket) => socket.write(`${beginning}Content-Length: 60000\r\n\r\nbody`)],
  ])('does not wait for a message that %s', async (_what, send) => {
    const before = transport();
    const socket = await dial(tcp());
    void send(socket);
    await closed(socket);
    // What comes byte by byte may also have become a line that is none.
    const after = transport();
    expect(after.messageTimeouts + after.framingErrors).toBe(before.messageTimeouts + before.framingErrors + 1);
    await goesOn();
  });

  it.each([
    ['a line without end', 'x'],
    ['headers without end', 'Subject: x\r\n'],
    ['zeroes', '\0'],
    ['a message that is longer than it says', `${beginning}l: 0\r\n\r\n!!!\r\n`],
  ])('closes at a flood of %s', async (_what, piece) => {
    const before = transport().framingErrors;
    const socket = await dial(tcp());
    socket.resume();
    const flood = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)));
    if (piece.startsWith('Subject')) socket.write(beginning);
    let sent = 0;
    while (!socket.destroyed && sent < 256 << 20) {
      sent += flood.length;
      if (!socket.write(flood)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
    }
    expect(socket.destroyed).toBe(true);
    expect(transport().framingErrors).toBe(before + 1);
    await goesOn();
  }, 15_000);

  it('answers a flood of keep-alives with few', async () => {
    const client = await open(tcp());
    client.send('\r\n\r\n'.repeat(250_000));
    await client.ask({ method: 'OPTIONS' });
    expect(client.lineEnds.length).toBeGreaterThan(0);
    expect(client.lineEnds.length).toBeLessThan(10_000);
  });

  it('takes as many requests as come', async () => {
    const client = await open(tcp());
    const requests = Array.from({ length: 5000 }, () => client.settle({ method: 'OPTIONS' }));
    client.send(requests.map(formatRequest).join(''));
    await eventually(() => client.messages.length === 5000, { timeoutMs: 15_000 });
    expect(client.messages.every(({ status }) => status === 200)).toBe(true);
  }, 20_000);

  it('closes a connection whose peer does not read, and holds no more for it than allowed', async () => {
    await eventually(() => transport().connections === 0, { timeoutMs: 10_000 });
    const before = transport().slowPeers;
    const client = await open(tcp());
    client.socket!.pause();
    const before503 = transport().refused;
    const heavy = (n: number) =>
      formatRequest(client.settle({ method: 'OPTIONS', via: `SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKheavy${n};x=${'x'.repeat(7000)}` }));
    for (let n = 0; transport().slowPeers === before && n < 50_000; n += 1) {
      if (!client.socket!.write(heavy(n))) {
        const drained = once(client.socket!, 'drain').catch(() => {});
        await Promise.race([drained, eventually(() => transport().slowPeers > before, { timeoutMs: 20_000 })]);
      }
    }
    expect(transport().slowPeers).toBe(before + 1);
    await eventually(() => transport().connections === 0);
    expect(transport().refused).toBe(before503);
    await goesOn();
    await becomesIdle(running.proxy);
  }, 30_000);
});
