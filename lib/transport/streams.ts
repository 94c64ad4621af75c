import { getSystemErrorMap } from 'node:util';
import { native } from '../binding.ts';
import type { BoundAddress } from '../bound-address.ts';
import type { ProxyConfig } from '../config/schema.ts';
import { makeError } from '../errors.ts';
import { Connections } from './connections.ts';
import { Connector } from './connector.ts';
import type { ConnectionCounters } from './counters.ts';
import { Outbox } from './outbox.ts';
import { StreamListener } from './stream-listener.ts';
import type { TlsMaterial } from './tls.ts';
import type { StreamTransport } from './transport.ts';

/** How long connections may take to send what waits when the proxy closes. */
const CLOSE_GRACE_MS = 500;

/** Everything of a proxy that goes by connections. It lives in the main thread, which has all of them. */
export class Streams {
  readonly #engine: number;
  readonly #channel: number;
  readonly #config: ProxyConfig;
  readonly #tls: TlsMaterial;
  readonly #connections: Connections;
  readonly #connector: Connector;
  readonly #outbox: Outbox;
  readonly #listeners: StreamListener[] = [];

  constructor(engine: number, channel: number, config: ProxyConfig, tls: TlsMaterial) {
    this.#engine = engine;
    this.#channel = channel;
    this.#config = config;
    this.#tls = tls;
    this.#connections = new Connections(channel, config.maxMessageBytes, config.streams, () => this.#outbox.sendAll());
    this.#connector = new Connector(channel, this.#connections, config.streams, tls);
    this.#outbox = new Outbox(channel, this.#connections, this.#connector);
    native.streamOpen(channel, this.#outbox.send);
  }

  get counters(): ConnectionCounters {
    return this.#connections.counters;
  }

  /**
   * Binds an address.
   *
   * @param number its place in `listen`
   * @throws SipAsyncError `LISTEN`
   */
  async listen(number: number, transport: StreamTransport, host: string, port: number): Promise<BoundAddress> {
    const socket = number * this.#config.children;
    const options = { transport, socket, tls: this.#tls, config: this.#config.streams };
    const listener = new StreamListener(options, this.#connections);
    let bound: BoundAddress;
    try {
      bound = await listener.listen(host, port);
    } catch (cause) {
      const { errno = 0, message } = cause as NodeJS.ErrnoException;
      const text = getSystemErrorMap().get(errno)?.join(', ') ?? message;
      throw makeError('LISTEN', `${transport}:${host}:${port}: ${text}`, cause);
    }
    this.#listeners.push(listener);
    const transportNumber = native.constants.transports.indexOf(transport);
    native.engineListenStream(this.#engine, socket, transportNumber, bound.host, bound.port, this.#config.advertise ?? '');
    return bound;
  }

  /** Takes no more connections; those that are open go on. */
  stopListening(): void {
    for (const listener of this.#listeners) listener.close();
  }

  /** Sends what waits, then ends all connections. Nothing keeps the process alive behind this. */
  async close(): Promise<void> {
    this.stopListening();
    this.#outbox.sendAll();
    this.#connector.close();
    await this.#connections.close(CLOSE_GRACE_MS);
    native.streamStop(this.#channel);
  }
}
