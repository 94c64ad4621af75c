import { native } from '../binding.ts';
import type { StreamConfig } from '../config/streams.ts';
import { Connection } from './connection.ts';
import type { ConnectionOwner } from './connection.ts';
import { noConnections } from './counters.ts';
import type { ConnectionCounters } from './counters.ts';
import type { FramingReason } from './framing.ts';
import type { Link } from './link.ts';
import type { StreamTransport } from './transport.ts';

/** How often connections are looked at for what they owe. */
const SWEEP_MS = 250;
/** How long the event loop may take to close what was destroyed. */
const DESTROY_MS = 1000;
const MOST_FLOWS = 0xffff_ffff;

const ANSWERS: Readonly<Record<FramingReason, readonly [code: number, reason: string]>> = {
  garbage: [400, 'Bad Request'],
  tooLarge: [513, 'Message Too Large'],
  noContentLength: [400, 'Missing Content-Length'],
  badContentLength: [400, 'Bad Content-Length'],
};

/** Where connections go to: what is the same for all messages to one place, so that they share a connection. */
export function connectionKey(transport: StreamTransport, host: string, port: number, serverName = ''): string {
  return `${transport} ${host} ${port} ${serverName.toLowerCase()}`;
}

/** All connections of a proxy, by flow and by place, with their limits. What they bring goes to the native layer. */
export class Connections implements ConnectionOwner {
  readonly counters: ConnectionCounters = noConnections();
  readonly maxMessageBytes: number;
  readonly #channel: number;
  readonly #config: StreamConfig;
  /** Sends what the native layer has to send. */
  readonly #flush: () => void;
  readonly #byFlow = new Map<number, Connection>();
  readonly #byKey = new Map<string, Connection>();
  readonly #bySource = new Map<string, number>();
  #lastFlow = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(channel: number, maxMessageBytes: number, config: StreamConfig, flush: () => void) {
    this.#channel = channel;
    this.maxMessageBytes = maxMessageBytes;
    this.#config = config;
    this.#flush = flush;
  }

  get sendBufferBytes(): number {
    return this.#config.sendBufferBytes;
  }

  /**
   * Whether there is room for one more, from this address if it comes from outside. It counts from now on, until
   * {@link leave} is called with the same address.
   */
  admit(source: string | null): boolean {
    const { maxConnections, maxConnectionsPerSource } = this.#config;
    const fromSource = source === null ? 0 : (this.#bySource.get(source) ?? 0);
    if (this.counters.connections >= maxConnections) return false;
    if (maxConnectionsPerSource !== null && fromSource >= maxConnectionsPerSource) return false;
    this.counters.connections += 1;
    if (source !== null) this.#bySource.set(source, fromSource + 1);
    return true;
  }

  leave(source: string | null): void {
    this.counters.connections -= 1;
    if (source === null) return;
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
  }

  /** Takes in a connection that is ready for messages, and begins to read it. */
  add(transport: StreamTransport, socket: number, link: Link, key: string): Connection {
    const connection = new Connection({ flow: this.#nextFlow(), transport, socket, key }, link, this);
    this.counters.connectionsOpened += 1;
    this.#byFlow.set(connection.place.flow, connection);
    this.#byKey.set(key, connection);
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    connection.begin();
    return connection;
  }

  /** The connection with this number, if messages can be sent by it. */
  ofFlow(flow: number): Connection | undefined {
    const connection = this.#byFlow.get(flow);
    return connection?.isOpen ? connection : undefined;
  }

  /** A connection to this place, if there is one that messages can be sent by. */
  ofKey(key: string): Connection | undefined {
    const connection = this.#byKey.get(key);
    return connection?.isShared ? connection : undefined;
  }

  /** Ends all connections once what waits is sent; those that are left after `graceMs` are closed. */
  async close(graceMs: number): Promise<void> {
    for (const connection of this.#byFlow.values()) connection.end();
    await this.#emptied(graceMs);
    for (const connection of this.#byFlow.values()) connection.destroy();
    // They close on the event loop, handshakes among them.
    await this.#emptied(DESTROY_MS);
  }

  async #emptied(withinMs: number): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    while (this.counters.connections > 0 && performance.now() < deadlineMs) {
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  received({ place, link }: Connection, bytes: Buffer): void {
    const transport = native.constants.transports.indexOf(place.transport);
    native.streamReceive(
      this.#channel, place.socket, place.flow, transport, link.remoteAddress, link.remotePort, bytes,
    );
  }

  broken({ place, link }: Connection, reason: FramingReason, head: Buffer | null): void {
    this.counters.framingErrors += 1;
    if (head === null) return;
    const transport = native.constants.transports.indexOf(place.transport);
    const [code, phrase] = ANSWERS[reason];
    native.streamReject(
      this.#channel, place.socket, place.flow, transport, link.remoteAddress, link.remotePort, head, code, phrase,
    );
    // The connection ends behind this, and nothing would find it any more.
    this.#flush();
  }

  keptAlive(): void {
    this.counters.keepAlives += 1;
  }

  stalled(): void {
    this.counters.slowPeers += 1;
  }

  closed(connection: Connection): void {
    const { flow, key } = connection.place;
    this.#byFlow.delete(flow);
    if (this.#byKey.get(key) === connection) this.#byKey.delete(key);
    if (this.#byFlow.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
  }

  #nextFlow(): number {
    do {
      this.#lastFlow = this.#lastFlow === MOST_FLOWS ? 1 : this.#lastFlow + 1;
    } while (this.#byFlow.has(this.#lastFlow));
    return this.#lastFlow;
  }

  #sweep(): void {
    const now = performance.now();
    const { idleMs, messageMs } = this.#config;
    for (const connection of this.#byFlow.values()) {
      if (!connection.isOpen) continue;
      const idle = now - connection.activeMs;
      if (connection.partialSinceMs !== null && now - connection.partialSinceMs >= messageMs) {
        this.counters.messageTimeouts += 1;
        connection.destroy();
      } else if (idle >= idleMs) {
        this.counters.idleTimeouts += 1;
        connection.end();
      } else if (idle >= idleMs / 2) {
        connection.probe();
      }
    }
  }
}
