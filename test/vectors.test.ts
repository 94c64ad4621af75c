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
import { all, own } from './vectors/index.ts';
import { rfc4475 } from './vectors/rfc4475.ts';
import type { Outcome, Vector } from './vectors/vector.ts';

/** Every message that reaches the route is noted by its Call-ID; no transport gives it more than a final reply. */
const definition = `
  requestRoute(msg) {
    globalThis.routedVectors.push(msg.callId);
    msg.sendReply(404);
  },`;
const routed: (string | null)[] = ((globalThis as { routedVectors?: (string | null)[] }).routedVectors = []);

/** Timers B and H are 64 of this, so that the INVITEs that nobody acknowledges end soon. */
const overrides = { modparam: { tm: { retr_timer1: 10, retr_timer2: 40 } } };

/** How a transport brings vectors to the proxy, and what comes back. */
interface Sender {
  send(bytes: Buffer): void;
  readonly received: SipMessage[];
  /** What came back and is no SIP. */
  readonly garbage: Buffer[];
  close(): Promise<void>;
}

/**
 * A reply to a Via without rport goes to the port in it, which is 5060 for most. Linux has all of 127.0.0.0/8, so this process
 * takes an address of its own there.
 */
async function openUdp(port: number): Promise<Sender> {
  const host = `127.77.${(process.pid >> 8) & 255}.${(process.pid & 255) || 1}`;
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
  return {
    send: (bytes) => sockets[0]!.send(bytes, port, '127.0.0.1'),
    received,
    garbage,
    close: async () => {
      const closed = sockets.map((socket) => once(socket, 'close'));
      for (const socket of sockets) socket.close();
      await Promise.all(closed);
    },
  };
}

function expectedTransport(before: ProxyStats['transport'], outcome: Outcome): Partial<ProxyStats['transport']> {
  const { malformed, keepAlives, strayResponses, refused, limited, sendFailed } = before;
  const unchanged = { malformed, keepAlives, strayResponses, refused, limited, sendFailed };
  switch (outcome.is) {
    case 'absorbed':
      return { ...unchanged, [outcome.counter]: before[outcome.counter] + 1 };
    case 'refused':
    case 'dropped':
      return { ...unchanged, malformed: { ...malformed, [outcome.reason]: (malformed[outcome.reason] ?? 0) + 1 } };
    default:
      return unchanged;
  }
}

function expectedStatus(outcome: Outcome, isAck: boolean): number[] {
  if (outcome.is === 'route') return isAck ? [] : [404];
  return outcome.is === 'refused' || outcome.is === 'answered' ? [outcome.status] : [];
}

class Bench {
  readonly #running: RunningProxy;
  #sender: Sender | undefined;
  readonly #seen = new Set<string>();
  readonly #vias = new Set<string | undefined>();

  constructor(running: RunningProxy) {
    this.#running = running;
  }

  get sender(): Sender {
    return this.#sender!;
  }
  async open(open: (port: number) => Promise<Sender>): Promise<void> {
    this.#sender = await open(this.#running.proxy.addresses[0]!.port);
  }

  async check({ bytes }: Vector, outcome: Outcome): Promise<void> {
    const running = this.#running;
    // Some of RFC 4475 share a Via, and so would be retransmissions of each other.
    const [via] = /^via:.*branch=.*$/im.exec(bytes) ?? [];
    if (via !== undefined && this.#vias.has(via)) await becomesIdle(running.proxy, 20_000);
    this.#vias.add(via);
    const before = running.stats.transport;
    const routedBefore = routed.length;
    const isAck = bytes.startsWith('ACK ');
    this.sender.send(Buffer.from(bytes, 'latin1'));
    const wanted = expectedStatus(outcome, isAck);
    // Final replies to what came before are repeated until their timers end.
    const fresh = () => this.sender.received.filter((one) => one.status >= 200 && !this.#seen.has(one.header('call-id')));
    if (wanted.length > 0) await eventually(() => fresh().length > 0);
    await running.settle();
    const answers = fresh();
    for (const answer of answers) this.#seen.add(answer.header('call-id'));
    // A final reply to an INVITE is repeated until its ACK comes; any other is there once.
    const distinct = bytes.startsWith('INVITE ') ? [...new Map(answers.map((one) => [one.raw, one])).values()] : answers;
    expect(distinct.map(({ status }) => status)).toEqual(wanted);
    expect(routed.length - routedBefore).toBe(outcome.is === 'route' ? 2 : 1);
    expect(running.stats.transport).toMatchObject(expectedTransport(before, outcome));
    expect(this.sender.garbage).toEqual([]);
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

type Transport = readonly [name: string, open: (port: number) => Promise<Sender>, outcomeOf: (vector: Vector) => Outcome];
const transports: readonly Transport[] = [['UDP', openUdp, (vector) => vector.udp]];

describe.each(transports)('over %s', (_transport, open, outcomeOf) => {
  const running = useProxy(definition, { overrides });
  const bench = new Bench(running);
  beforeAll(() => bench.open(open));
  afterAll(() => bench.sender.close());

  it.each(all.map((vector) => [vector.name, vector] as const))('%s', (_name, vector) => bench.check(vector, outcomeOf(vector)));

  it('nothing is left of any of them', async () => {
    await becomesIdle(running.proxy, 20_000);
    const { transport } = running.stats;
    const counted = Object.values(transport.malformed).reduce((sum, count) => sum + count, 0);
    const faults = all.map(outcomeOf).filter((outcome) => outcome.is === 'refused' || outcome.is === 'dropped');
    expect(counted).toBe(faults.length);
    expect(transport.refused).toBe(0);
    expect(running.client.garbage).toEqual([]);
  });
});
