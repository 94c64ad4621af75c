import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/** A TCP server that takes every connection and never says a word. */
export class SilentPeer {
  readonly #server: Server;
  /** All connections that were ever made. */
  readonly sockets: Socket[] = [];

  private constructor() {
    this.#server = createServer((socket) => {
      this.sockets.push(socket);
      // What comes is read, or an end would not be noticed.
      socket.on('error', () => undefined).resume();
    });
  }

  static async start(): Promise<SilentPeer> {
    const peer = new SilentPeer();
    peer.#server.listen(0, '127.0.0.1');
    await once(peer.#server, 'listening');
    return peer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get open(): number {
    return this.sockets.filter(({ destroyed }) => !destroyed).length;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
