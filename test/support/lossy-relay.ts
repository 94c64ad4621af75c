import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { sequence } from './random.ts';
import type { Sequence } from './random.ts';

/** How bad a direction is. Shares are in percent of the datagrams. */
export interface Badness {
  dropPercent?: number;
  duplicatePercent?: number;
  /** Datagrams that are held back by 1 to `delayMs`, so that later ones overtake them. */
  delayPercent?: number;
  delayMs?: number;
}

export interface LossyRelayOptions extends Badness {
  /** Where the right party listens on 127.0.0.1; 0 as long as that is not known. */
  target: number;
  /** The same for what goes back to the left party; as good as the way there when not given. */
  back?: Badness;
  /** Seed of the decisions; a fresh one, or `SIP_ASYNC_SEED`, when not given. Put it into the failure message. */
  seed?: number;
}

/**
 * A bad network between two parties. It reads and writes no SIP: the left party sends to `port`, the right one sees the
 * relay's other socket as the source and answers there, and that goes back to where the left party last sent from.
 *
 *     left party  <->  [port]  relay  [backPort]  <->  right party (target)
 *
 * For SIP this holds as long as both parties keep to where packets come from:
 * - Requests from the left carry the left party's address in Via. The right party must answer to the source of the packet:
 *   with `;rport` in Via (RFC 3581) a proxy does, SIPp and the callee of these tests always do. Without `rport` a response
 *   goes past the relay and is never lost.
 * - What the right party sends by a URI (Contact, Route, R-URI) goes past the relay unless that URI names it. SIPp as a caller
 *   sends everything to the address on its command line; a callee behind a relay is given the relay's port for its Contact.
 * - One left party per relay: there is one address to send back to.
 *
 * The seed fixes the decisions in the order of the datagrams. That order depends on timing, so a seed repeats how bad the
 * network is and not, datagram by datagram, what it does.
 */
export class LossyRelay {
  readonly seed: number;
  /** The right party's port. It may be set later: a party may have to be told the relay's port before it starts. */
  target: number;
  /** Datagrams that arrived, were dropped, and were sent twice, both ways together. */
  readonly counts = { arrived: 0, dropped: 0, duplicated: 0, delayed: 0 };
  readonly #front: Socket;
  readonly #back: Socket;
  readonly #random: Sequence;
  readonly #timers = new Set<NodeJS.Timeout>();
  #left: { port: number; address: string } | undefined;

  private constructor(front: Socket, back: Socket, options: LossyRelayOptions) {
    this.#front = front;
    this.#back = back;
    this.target = options.target;
    this.#random = options.seed === undefined ? sequence() : sequence(options.seed);
    this.seed = this.#random.seed;
    front.on('message', (bytes, { port, address }) => {
      this.#left = { port, address };
      this.#pass(options, () => back.send(bytes, this.target, '127.0.0.1'));
    });
    back.on('message', (bytes) => {
      const left = this.#left;
      if (left) this.#pass(options.back ?? options, () => front.send(bytes, left.port, left.address));
    });
  }

  static async open(options: LossyRelayOptions): Promise<LossyRelay> {
    const sockets = await Promise.all(
      [0, 1].map(async () => {
        const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
        socket.bind(0, '127.0.0.1');
        await once(socket, 'listening');
        return socket;
      }),
    );
    return new LossyRelay(sockets[0]!, sockets[1]!, options);
  }

  /** Where the left party sends to. */
  get port(): number {
    return this.#front.address().port;
  }

  /** Where the right party sees packets come from. */
  get backPort(): number {
    return this.#back.address().port;
  }

  /** One line for a failure: the seed, and what was done. */
  toString(): string {
    const { arrived, dropped, duplicated, delayed } = this.counts;
    return `lossy relay, seed ${this.seed}: ${arrived} arrived, ${dropped} dropped, ${duplicated} doubled, ${delayed} delayed`;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of [this.#front, this.#back]) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
  }

  #pass({ dropPercent = 0, duplicatePercent = 0, delayPercent = 0, delayMs = 20 }: Badness, send: () => void): void {
    const { counts } = this;
    counts.arrived += 1;
    if (this.#happens(dropPercent)) {
      counts.dropped += 1;
      return;
    }
    if (this.#happens(duplicatePercent)) {
      counts.duplicated += 1;
      send();
    }
    if (!this.#happens(delayPercent)) return void send();
    counts.delayed += 1;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, 1 + this.#random.next(delayMs));
    this.#timers.add(timer);
  }

  #happens(percent: number): boolean {
    return percent > 0 && this.#random.next(10_000) < percent * 100;
  }
}
