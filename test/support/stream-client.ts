import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { BoundAddress } from 'sip-async';
import { WebSocket } from 'ws';
import { eventually } from './eventually.ts';
import { parameter, parseSip } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';
import { ackFor, formatRequest, settleRequest } from './sip-request.ts';
import type { Request, RequestOptions } from './sip-request.ts';

/** A peer over a connection: sends requests and collects what comes back. */
export class StreamClient {
  readonly messages: SipMessage[] = [];
  /** What came beside messages: line ends. */
  lineEnds = '';
  isClosed = false;
  closeCode: number | undefined;
  /** Whether the last message came in a text frame. */
  wasText = false;
  /** Acknowledges every final response to an INVITE, repeated ones too. */
  autoAck = true;
  readonly #invites = new Map<string, Request>();
  readonly #transport: string;
  readonly #target: string;
  readonly #port: () => number;
  readonly #write: (bytes: Buffer) => void;
  readonly #close: () => void;
  /** The socket underneath; `null` for a WebSocket. */
  readonly socket: Socket | null;
  readonly webSocket: WebSocket | null;

  private constructor(address: BoundAddress, socket: Socket | null, webSocket: WebSocket | null) {
    this.#transport = address.transport.toUpperCase();
    this.#target = String(address).slice(address.transport.length + 1);
    this.socket = socket;
    this.webSocket = webSocket;
    if (socket !== null) {
      this.#port = () => socket.localPort!;
      this.#write = (bytes) => socket.write(bytes);
      this.#close = () => socket.destroy();
      let held = '';
      socket.on('data', (bytes: Buffer) => (held = this.#cut(held + bytes.toString('latin1'))));
      socket.on('error', () => {});
      socket.on('close', () => (this.isClosed = true));
    } else {
      this.#port = () => 0;
      this.#write = (bytes) => webSocket!.send(bytes, { binary: false });
      this.#close = () => webSocket!.terminate();
      webSocket!.on('message', (data: Buffer, isBinary) => {
        this.wasText = !isBinary;
        this.#cut(data.toString('latin1'));
      });
      webSocket!.on('error', () => {});
      webSocket!.on('close', (code) => {
        this.closeCode = code;
        this.isClosed = true;
      });
    }
  }

  static async open(address: BoundAddress, options: ConnectionOptions = {}): Promise<StreamClient> {
    const { transport, host, port } = address;
    if (transport === 'ws' || transport === 'wss') {
      const webSocket = new WebSocket(`${transport}://${host.includes(':') ? `[${host}]` : host}:${port}`, 'sip', {
        perMessageDeflate: true,
        ...options,
      });
      const client = new StreamClient(address, null, webSocket);
      await once(webSocket, 'open');
      return client;
    }
    const socket = transport === 'tls' ? connectTls({ host, port, ...options }) : connect({ host, port });
    const client = new StreamClient(address, socket, null);
    await once(socket, transport === 'tls' ? 'secureConnect' : 'connect');
    return client;
  }

  get port(): number {
    return this.#port();
  }

  /** A request with all values settled; its Via names this client. */
  settle(options: RequestOptions = {}): Request {
    const own = this.webSocket === null ? `127.0.0.1:${this.port}` : 'df7jal23ls0d.invalid';
    const request = settleRequest(options, own, this.#target);
    return { ...request, via: options.via ?? request.via.replace('/UDP ', `/${this.#transport} `) };
  }

  send(bytes: string | Uint8Array): void {
    this.#write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes));
  }

  /** Sends a request. @returns it, with all values settled */
  request(options: RequestOptions = {}): Request {
    const request = this.settle(options);
    if (request.method === 'INVITE') this.#invites.set(request.callId, request);
    this.send(formatRequest(request));
    return request;
  }

  /** The first response with this status to this request, waited for if it has not come. */
  async response(request: Request, status?: number, timeoutMs = 5000): Promise<SipMessage> {
    const wanted = (one: SipMessage) =>
      one.header('call-id') === request.callId &&
      one.method === request.method &&
      (status === undefined ? one.status >= 200 : one.status === status);
    return (await eventually(() => this.messages.find(wanted), { timeoutMs }))!;
  }

  /** Sends a request and waits for its final response. */
  ask(options: RequestOptions = {}): Promise<SipMessage> {
    return this.response(this.request(options));
  }

  /** Sends the ACK for a final response. */
  acknowledge(invite: Request, final: SipMessage): void {
    const toTag = parameter(final.header('to'), 'tag');
    this.send(formatRequest(ackFor(invite, { status: final.status, toTag, contact: final.header('contact') })));
  }

  closed(timeoutMs = 5000): Promise<boolean> {
    return eventually(() => this.isClosed, { timeoutMs });
  }

  close(): void {
    this.#close();
  }

  /** Cuts what our own proxy has sent, which always has a Content-Length. @returns the rest */
  #cut(text: string): string {
    for (;;) {
      const lineEnds = /^[\r\n]*/.exec(text)![0];
      this.lineEnds += lineEnds;
      text = text.slice(lineEnds.length);
      const headEnd = text.indexOf('\r\n\r\n');
      if (headEnd < 0) return text;
      const length = headEnd + 4 + Number(/^Content-Length: (\d+)\r?$/im.exec(text.slice(0, headEnd + 2))?.[1] ?? NaN);
      if (Number.isNaN(length)) throw new Error(`no Content-Length: ${text}`);
      if (text.length < length) return text;
      const message = parseSip(text.slice(0, length));
      this.messages.push(message);
      const invite = this.#invites.get(message.header('call-id'));
      if (this.autoAck && invite !== undefined && message.status >= 200 && message.method === 'INVITE') {
        this.acknowledge(invite, message);
      }
      text = text.slice(length);
    }
  }
}
