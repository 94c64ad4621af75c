import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { BoundAddress } from '../bound-address.ts';
import type { StreamConfig } from '../config/streams.ts';
import type { Connections } from './connections.ts';
import { connectionKey } from './connections.ts';
import { plainAddress, SocketLink } from './link.ts';
import type { Link } from './link.ts';
import { TlsGate } from './tls.ts';
import type { TlsMaterial } from './tls.ts';
import type { StreamTransport } from './transport.ts';
import { isSecure } from './transport.ts';
import { WebSocketGate } from './websocket.ts';

/** Connections that the kernel holds for us while the event loop is busy. */
const BACKLOG = 1024;

/** What a listener takes besides its address. */
export interface ListenerOptions {
  readonly transport: StreamTransport;
  /** The number of the listener on the native side. */
  readonly socket: number;
  readonly tls: TlsMaterial;
  readonly config: StreamConfig;
}

/** The ends of a connection: what tells it from all others of its listener while it lives. */
function endsOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}

/** A listening socket: takes connections as far as the limits allow, and sees them through their handshakes. */
export class StreamListener {
  readonly #options: ListenerOptions;
  readonly #connections: Connections;
  readonly #server: Server;
  readonly #tls: TlsGate | null;
  readonly #webSocket: WebSocketGate | null;
  /** Connections that are in their handshakes, by their ends. */
  readonly #greetings = new Map<string, { carrier: Socket; deadline: NodeJS.Timeout }>();

  constructor(options: ListenerOptions, connections: Connections) {
    const { transport, tls } = options;
    this.#options = options;
    this.#connections = connections;
    const hasWebSocket = transport === 'ws' || transport === 'wss';
    const webSocket = hasWebSocket
      ? new WebSocketGate(connections.maxMessageBytes, (link, carrier) => this.#open(link, carrier))
      : null;
    this.#webSocket = webSocket;
    this.#tls = isSecure(transport)
      ? new TlsGate(tls, (socket) => {
          if (webSocket === null) this.#open(new SocketLink(socket), socket);
          else webSocket.accept(socket);
        })
      : null;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Binds. Rejects with the system's error. */
  listen(host: string, port: number): Promise<BoundAddress> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: BACKLOG, ipv6Only: true, exclusive: true }, () => {
        this.#server.off('error', reject);
        // Of connections that could not be accepted: there is nobody to tell.
        this.#server.on('error', () => {});
        const { address, port: bound } = this.#server.address() as { address: string; port: number };
        resolve(new BoundAddress(this.#options.transport, address, bound));
      });
    });
  }

  /** Takes no more connections, and gives up those that are in their handshakes. */
  close(): void {
    this.#server.close();
    for (const { carrier } of this.#greetings.values()) carrier.destroy();
  }

  #accept(carrier: Socket): void {
    carrier.on('error', () => carrier.destroy());
    const source = plainAddress(carrier.remoteAddress);
    // Without an address it is closed already.
    if (source === '' || !this.#connections.admit(source)) {
      this.#connections.counters.connectionsRefused += 1;
      carrier.destroy();
      return;
    }
    const ends = endsOf(carrier);
    carrier.on('close', () => {
      this.#connections.leave(source);
      if (this.#greeted(ends)) this.#connections.counters.handshakesFailed += 1;
    });
    if (this.#options.transport === 'tcp') {
      this.#open(new SocketLink(carrier), carrier);
      return;
    }
    const deadline = setTimeout(() => carrier.destroy(), this.#options.config.handshakeMs);
    this.#greetings.set(ends, { carrier, deadline });
    (this.#tls ?? this.#webSocket)!.accept(carrier);
  }

  /** Whether the connection was in its handshakes, which it is no more. */
  #greeted(ends: string): boolean {
    clearTimeout(this.#greetings.get(ends)?.deadline);
    return this.#greetings.delete(ends);
  }

  #open(link: Link, socket: Socket): void {
    const { transport, socket: number } = this.#options;
    if (transport !== 'tcp' && !this.#greeted(endsOf(socket))) {
      // Closed meanwhile, with an end that it does not know any more.
      link.destroy();
      return;
    }
    this.#connections.add(transport, number, link, connectionKey(transport, link.remoteAddress, link.remotePort));
  }
}
