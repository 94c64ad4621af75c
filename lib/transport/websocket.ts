import { isUtf8 } from 'node:buffer';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Link, LinkEvents } from './link.ts';
import { plainAddress } from './link.ts';

/** The subprotocol of RFC 7118 section 4; without it a client is none of ours. */
const SUBPROTOCOL = 'sip';

/** Going away (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;

/** A WebSocket connection: a message of SIP is a message of the WebSocket (RFC 7118 section 5). */
export class WebSocketLink implements Link {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly isStream = false;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, carrier: Socket) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(carrier.remoteAddress);
    this.remotePort = carrier.remotePort ?? 0;
    carrier.setNoDelay(true);
  }

  get waitingBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(bytes: Buffer): void {
    // Browsers want text; bytes that are none must not be sent as such (RFC 7118 section 5.2).
    this.#socket.send(bytes, { binary: !isUtf8(bytes) }, () => {});
  }
  end(): void {
    this.#socket.close(GOING_AWAY);
  }
  destroy(): void {
    this.#socket.terminate();
  }
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  probe(): void {
    this.#socket.ping(undefined, undefined, () => {});
  }

  listen(events: LinkEvents): void {
    const socket = this.#socket;
    // The type of the data is settled by binaryType, which is left at its default.
    socket.on('message', (data) => events.bytes(data as Buffer));
    socket.on('ping', () => events.alive());
    socket.on('pong', () => events.alive());
    socket.on('error', () => events.broken());
    socket.on('close', () => events.close());
    if (socket.readyState === socket.CLOSED) events.close();
  }
}

/** Does the WebSocket handshake on connections that others accept. */
export class WebSocketGate {
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #onOpen: (link: Link, carrier: Socket) => void;

  constructor(maxMessageBytes: number, onOpen: (link: Link, carrier: Socket) => void) {
    this.#onOpen = onOpen;
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: maxMessageBytes,
      // A few bytes could stand for megabytes.
      perMessageDeflate: false,
      handleProtocols: () => SUBPROTOCOL,
    });
    this.#http = createServer((_request, response) => {
      response.writeHead(426, { Upgrade: 'websocket', Connection: 'close' }).end();
    });
    this.#http.on('upgrade', (request: IncomingMessage, carrier: Duplex, head: Buffer) =>
      this.#upgrade(request, carrier as Socket, head),
    );
    this.#http.on('clientError', (_error, carrier) => carrier.destroy());
  }

  /** Takes over a connection that nothing was read from. */
  accept(carrier: Socket): void {
    this.#http.emit('connection', carrier);
  }

  #upgrade(request: IncomingMessage, carrier: Socket, head: Buffer): void {
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
    if (!offered.includes(SUBPROTOCOL)) {
      carrier.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.#sockets.handleUpgrade(request, carrier, head, (socket) => {
      this.#onOpen(new WebSocketLink(socket, carrier), carrier);
    });
  }
}
