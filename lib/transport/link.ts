import type { Socket } from 'node:net';

/** What a link has to tell. */
export interface LinkEvents {
  /** A piece of a stream, or a whole message. The bytes are only valid for the moment. */
  bytes(bytes: Buffer): void;
  /** A sign of life without bytes. */
  alive(): void;
  /** What came is not what the transport allows; the link closes. */
  broken(): void;
  close(): void;
}

/** The way to a peer, whatever carries it. Nothing here throws, and no error comes out of it: a link that fails closes. */
export interface Link {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Whether the peer sends a stream of bytes; otherwise whole messages. */
  readonly isStream: boolean;
  /** Bytes that the peer has not taken yet and that are held here. */
  readonly waitingBytes: number;
  send(bytes: Buffer): void;
  /** Sends what waits, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /** Asks the peer for a sign of life, if there is a way to. */
  probe(): void;
  /** Reads nothing until {@link resume}: what the peer goes on to send costs nothing here. */
  pause(): void;
  resume(): void;
  /** To be called once. */
  listen(events: LinkEvents): void;
}

/** The address of a peer as the native side reads it: without the zone of a link-local one. */
export function plainAddress(address: string | undefined): string {
  return address?.replace(/%.*$/s, '') ?? '';
}

/** A TCP or TLS connection. */
export class SocketLink implements Link {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly isStream = true;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(socket.remoteAddress);
    this.remotePort = socket.remotePort ?? 0;
    // Small messages that somebody waits for.
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
  }

  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  send(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }
  end(): void {
    this.#socket.end();
  }
  destroy(): void {
    this.#socket.destroy();
  }

  probe(): void {
    // A stream has no way of its own; whoever wants to be kept sends CRLF (RFC 5626 section 4.4.1).
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  listen(events: LinkEvents): void {
    const socket = this.#socket;
    socket.on('data', (bytes) => events.bytes(bytes));
    socket.on('close', () => events.close());
    if (socket.destroyed) events.close();
  }
}
