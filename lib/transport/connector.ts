import { connect, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { native } from '../binding.ts';
import type { StreamConfig } from '../config/streams.ts';
import type { Connections } from './connections.ts';
import { connectionKey } from './connections.ts';
import { SocketLink } from './link.ts';
import type { TlsMaterial } from './tls.ts';
import type { StreamTransport } from './transport.ts';

/** Where a message is to go. */
export interface Target {
  readonly transport: StreamTransport;
  readonly host: string;
  readonly port: number;
  /** Whom a TLS server's certificate must name; empty: its address, and without TLS. */
  readonly serverName: string;
  /** The number of the listener that the connection belongs to. */
  readonly socket: number;
}

/** A connection that is being opened, and what waits for it. */
interface Opening {
  readonly waiting: Buffer[];
  waitingBytes: number;
  readonly abandon: () => void;
}

/** Opens connections to where messages are to go, one for each place, and gives back to the native layer what it cannot send. */
export class Connector {
  readonly #channel: number;
  readonly #connections: Connections;
  readonly #config: StreamConfig;
  readonly #tls: TlsMaterial;
  readonly #openings = new Map<string, Opening>();
  #closed = false;

  constructor(channel: number, connections: Connections, config: StreamConfig, tls: TlsMaterial) {
    this.#channel = channel;
    this.#connections = connections;
    this.#config = config;
    this.#tls = tls;
  }

  /** Sends a message, by a connection that is there or by a new one. What cannot be sent is counted. */
  send(target: Target, bytes: Buffer): void {
    const key = connectionKey(target.transport, target.host, target.port, target.serverName);
    const connection = this.#connections.ofKey(key);
    if (connection !== undefined) {
      connection.send(bytes);
      return;
    }
    // A WebSocket client cannot be called (RFC 7118 section 5): it is reached by the connection it has made, or not at all.
    const opening = this.#openings.get(key) ?? (canConnect(target.transport) ? this.#open(target, key) : undefined);
    if (opening === undefined || opening.waitingBytes + bytes.length > this.#config.sendBufferBytes) {
      this.#giveBack(bytes);
      return;
    }
    opening.waiting.push(bytes);
    opening.waitingBytes += bytes.length;
  }

  /** Gives up what is being opened, and opens nothing any more. */
  close(): void {
    this.#closed = true;
    for (const { abandon } of this.#openings.values()) abandon();
  }

  #open(target: Target, key: string): Opening | undefined {
    const { counters } = this.#connections;
    if (this.#closed || !this.#connections.admit(null)) {
      counters.connectsFailed += 1;
      return undefined;
    }
    const socket = this.#connect(target);
    const deadline = setTimeout(() => socket.destroy(), this.#config.connectMs);
    const opening: Opening = { waiting: [], waitingBytes: 0, abandon: () => socket.destroy() };
    this.#openings.set(key, opening);
    const done = () => {
      clearTimeout(deadline);
      return this.#openings.get(key) === opening && this.#openings.delete(key);
    };
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.leave(null);
      if (!done()) return;
      counters.connectsFailed += 1;
      for (const bytes of opening.waiting) this.#giveBack(bytes);
    });
    socket.once(target.transport === 'tls' ? 'secureConnect' : 'connect', () => {
      if (!done()) return;
      const connection = this.#connections.add(target.transport, target.socket, new SocketLink(socket), key);
      for (const bytes of opening.waiting) connection.send(bytes);
    });
    return opening;
  }

  #connect({ transport, host, port, serverName }: Target): Socket {
    if (transport === 'tcp') return connect({ host, port });
    const { context, verifyServer } = this.#tls;
    const name = isIP(serverName) === 0 ? serverName : '';
    return connectTls({ ...context, host, port, rejectUnauthorized: verifyServer, ...(name === '' ? {} : { servername: name }) });
  }

  #giveBack(bytes: Buffer): void {
    this.#connections.counters.undelivered += 1;
    native.streamUndelivered(this.#channel, bytes);
  }
}

function canConnect(transport: StreamTransport): boolean {
  return transport === 'tcp' || transport === 'tls';
}
