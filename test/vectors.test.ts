import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import type { ProxyStats } from 'sip-async';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { parseSip } from './support/sip-message.ts';
import type { SipMessage } from './support/sip-message.ts';
import { StreamClient } from './support/stream-client.ts';
import { all, own } from './vectors/index.ts';
import { rfc4475 } from './vectors/rfc4475.ts';
import { onStream } from './vectors/vector.ts';
import type { StreamOutcome, Vector } from './vectors/vector.ts';

/** Every message that reaches the route is noted by its Call-ID; no transport gives it more than a final reply. */
const definition = `
  requestRoute(msg) {
    if (!msg.ruri.startsWith('sip:settle@')) globalThis.routedVectors.push(msg.callId);
    msg.sendReply(404);
  },`;
const routed: (string | null)[] = ((globalThis as { routedVectors?: (string | null)[] }).routedVectors = []);

/** Timers B and H are 64 of this, so that the INVITEs that nobody acknowledges end soon. */
const overrides = { listen: ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0'], modparam: { tm: { retr_timer1: 10, retr_timer2: 40 } } };
const settle = { method: 'OPTIONS', user: 'settle' };

/** What came back for a vector: its final replies, and the answers to keep-alives. */
interface Echo {
  readonly finals: readonly SipMessage[];
  readonly pongs: number;
}

/** How a transport brings vectors to the proxy. */
interface Sender {
  /** Resolves when the proxy is through with the vector, and has shown that it is there for others. */
  bring(bytes: Buffer, outcomes: readonly StreamOutcome[], replies: number): Promise<Echo>;
  close(): Promise<void>;
}

/**
 * A reply to a Via without rport goes to the port in it, which is 5060 for most. Linux has all of 127.0.0.0/8, so this process
 * takes an address of its own there.
 */
async function openUdp(running: RunningProxy): Promise<Sender> {
  const host = `127.77.${(process.pid >> 8) & 255}.${(process.pid & 255) || 1}`;
  const { port } = running.proxy.addresses[0]!;
  const received: SipMessage[] = [];
  const garbage: Buffer[] = [];
  const sockets: Socket[] = [];
  for (const ownPort of [5060, 5050, 5070]) {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 1 << 20 });
    socket.on('message', (bytes) => {
      try {
        received.push(parseSip(bytes));
      } catch {
        garbage.push(bytes);
      }
    });
    socket.bind(ownPort, host);
    await once(socket, 'listening');
    sockets.push(socket);
  }
  const seen = new Set<string>();
  // Final replies to what came before are repeated until their timers end.
  const fresh = () => received.filter((one) => one.status >= 200 && !seen.has(one.header('call-id')));
  return {
    bring: async (bytes, _outcomes, replies) => {
      sockets[0]!.send(bytes, port, '127.0.0.1');
      if (replies > 0) await eventually(() => fresh().length > 0);
      await running.settle();
      const finals = fresh();
      for (const final of finals) seen.add(final.header('call-id'));
      expect(garbage).toEqual([]);
      // A final reply to an INVITE is repeated until its ACK comes; any other is there once.
      const isInvite = finals[0]?.method === 'INVITE';
      return { finals: isInvite ? [...new Map(finals.map((one) => [one.raw, one])).values()] : finals, pongs: 0 };
    },
    close: async () => {
      const closed = sockets.map((socket) => once(socket, 'close'));
      for (const socket of sockets) socket.close();
      await Promise.all(closed);
    },
  };
}

/** A connection of its own for each vector, since many end theirs, and one for what is asked meanwhile. */
async function openTcp(running: RunningProxy): Promise<Sender> {
  const address = running.proxy.addresses[1]!;
  const other = await StreamClient.open(address);
  return {
    bring: async (bytes, outcomes, replies) => {
      const client = await StreamClient.open(address);
      const finals = () => client.messages.filter((one) => one.status >= 200);
      client.autoAck = false;
      client.send(bytes);
      await eventually(() => finals().length >= replies);
      const end = outcomes.at(-1)?.is;
      if (end !== 'closed' && end !== 'incomplete') {
        // The next message is there to be told apart, and answered behind all that the vector can have brought.
        expect(await client.ask(settle)).toMatchObject({ status: 404 });
        client.messages.pop();
      }
      expect(await other.ask(settle)).toMatchObject({ status: 404 });
      if (end !== 'closed') {
        expect(client.isClosed).toBe(false);
        client.socket!.end();
      }
      // A connection that its peer has half closed is closed when all that came by it is read.
      await client.closed();
      expect(client.lineEnds).toMatch(/^(\r\n)*$/);
      return { finals: finals(), pongs: client.lineEnds.length / 2 };
    },
    close: async () => {
      other.close();
      await eventually(() => running.stats.transport.connections === 0);
    },
  };
}

type Transport = ProxyStats['transport'];

/** The counters that say what became of a vector, after it. */
function expectedTransport(before: Transport, outcomes: readonly StreamOutcome[], pongs: number): Partial<Transport> {
  const malformed: Record<string, number> = { ...before.malformed };
  let { keepAlives, strayResponses, framingErrors } = before;
  keepAlives += pongs;
  for (const outcome of outcomes) {
    if (outcome.is === 'refused' || outcome.is === 'dropped') malformed[outcome.reason] = (malformed[outcome.reason] ?? 0) + 1;
    if (outcome.is === 'closed') framingErrors += 1;
    if (outcome.is !== 'absorbed') continue;
    if (outcome.counter === 'strayResponses') strayResponses += 1;
    else if (pongs === 0) keepAlives += 1;
  }
  const { refused, limited, sendFailed, connectsFailed, undelivered, messageTimeouts } = before;
  const unchanged = { refused, limited, sendFailed, connectsFailed, undelivered, messageTimeouts };
  return { ...unchanged, malformed, keepAlives, strayResponses, framingErrors };
}

function expectedStatuses(outcomes: readonly StreamOutcome[], isAck: boolean): number[] {
  return outcomes.flatMap((outcome) => {
    if (outcome.is === 'route') return isAck ? [] : [404];
    const isAnswered = outcome.is === 'refused' || outcome.is === 'answered' || outcome.is === 'closed';
    return isAnswered && outcome.status !== 0 ? [outcome.status] : [];
  });
}

class Bench {
  readonly #running: RunningProxy;
  #sender: Sender | undefined;
  readonly #vias = new Set<string | undefined>();

  constructor(running: RunningProxy) {
    this.#running = running;
  }

  async open(open: (running: RunningProxy) => Promise<Sender>): Promise<void> {
    this.#sender = await open(this.#running);
  }
  close(): Promise<void> {
    return this.#sender!.close();
  }

  async check({ bytes }: Vector, outcomes: readonly StreamOutcome[]): Promise<void> {
    const running = this.#running;
    // Some of RFC 4475 share a Via, and so would be retransmissions of each other.
    const [via] = /^via:.*branch=.*$/im.exec(bytes) ?? [];
    if (via !== undefined && this.#vias.has(via)) await becomesIdle(running.proxy, 20_000);
    this.#vias.add(via);
    const before = running.stats.transport;
    const routedBefore = routed.length;
    const wanted = expectedStatuses(outcomes, bytes.startsWith('ACK '));
    const { finals, pongs } = await this.#sender!.bring(Buffer.from(bytes, 'latin1'), outcomes, wanted.length);
    expect(finals.map(({ status }) => status)).toEqual(wanted);
    expect(routed.length - routedBefore).toBe(outcomes.filter(({ is }) => is === 'route').length);
    expect(running.stats.transport).toMatchObject(expectedTransport(before, outcomes, pongs));
    const isKeepAlive = outcomes.some((outcome) => outcome.is === 'absorbed' && outcome.counter === 'keepAlives');
    if (!isKeepAlive) expect(pongs).toBe(0);
  }
}

describe('the vectors', () => {
  it('are 49 of RFC 4475, and more than 300 malformed ones of our own', () => {
    expect(rfc4475).toHaveLength(49);
    const malformed = Object.values(own).flat();
    expect(malformed.filter(({ udp }) => udp.is !== 'route').length).toBeGreaterThanOrEqual(230);
    expect(malformed.length).toBeGreaterThanOrEqual(400);
  });

  it('have names and bytes of their own', () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(new Set(all.map(({ bytes }) => bytes)).size).toBe(all.length);
    for (const { name, bytes } of all) expect(/[^\0-\xff]/.test(bytes), name).toBe(false);
  });
});

type Row = readonly [
  name: string,
  open: (running: RunningProxy) => Promise<Sender>,
  outcomesOf: (vector: Vector) => readonly StreamOutcome[],
];
const transports: readonly Row[] = [
  ['UDP', openUdp, (vector) => [vector.udp]],
  ['TCP', openTcp, onStream],
];

describe.each(transports)('over %s', (_transport, open, outcomesOf) => {
  const running = useProxy(definition, { overrides });
  const bench = new Bench(running);
  beforeAll(() => bench.open(open));
  afterAll(() => bench.close());

  it.each(all.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    await bench.check(vector, outcomesOf(vector));
  });

  it('nothing is left of any of them', async () => {
    await becomesIdle(running.proxy, 20_000);
    const { transport } = running.stats;
    const counted = Object.values(transport.malformed).reduce((sum, count) => sum + count, 0);
    const faults = all.flatMap(outcomesOf).filter((outcome) => outcome.is === 'refused' || outcome.is === 'dropped');
    expect(counted).toBe(faults.length);
    expect(transport.refused).toBe(0);
    expect(running.client.garbage).toEqual([]);
    // The one that was asked meanwhile.
    await eventually(() => running.stats.transport.connections === (open === openTcp ? 1 : 0));
  });
});
