import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { eventually } from './eventually.ts';
import type { Certificate } from './certificates.ts';
import { parseSip } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';
import { token } from './sip-request.ts';
import { responseTo } from './udp-callee.ts';
import type { AnswerOptions } from './udp-callee.ts';

/** A callee that takes connections, over TCP or TLS. It answers what a test tells it to, by the connection of the request. */
export class StreamCallee {
  /** Requests and responses in the order of arrival, whatever they came by. */
  readonly messages: SipMessage[] = [];
  /** Connections that were taken, those that are closed included. */
  readonly connections: Socket[] = [];
  /** Tag of To in what this callee answers. */
  readonly tag = `callee-${token()}`;
  /** Handshakes that came to nothing. */
  handshakesFailed = 0;
  readonly #server: Server;
  readonly #transport: string;
  readonly #carriers = new WeakMap<SipMessage, Socket>();
  readonly #behaviour = new Map<string, readonly number[]>();

  private constructor(certificate: Certificate | undefined) {
    this.#transport = certificate === undefined ? 'tcp' : 'tls';
    if (certificate === undefined) {
      this.#server = createServer((socket) => this.#accept(socket));
    } else {
      this.#server = createTlsServer(certificate, (socket) => this.#accept(socket));
      this.#server.on('tlsClientError', () => (this.handshakesFailed += 1));
    }
  }

  /** Listens on a free port of 127.0.0.1, over TLS when there is a certificate. */
  static async open(certificate?: Certificate): Promise<StreamCallee> {
    const callee = new StreamCallee(certificate);
    callee.#server.listen(0, '127.0.0.1');
    await once(callee.#server, 'listening');
    return callee;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get uri(): string {
    return `sip:callee@127.0.0.1:${this.port};transport=${this.#transport}`;
  }
  /** As a relay takes it. */
  get target(): string {
    return `${this.#transport}:127.0.0.1:${this.port}`;
  }
  get lastConnection(): Socket {
    return this.connections.at(-1)!;
  }

  /** Answers every request of a method from now on. */
  on(method: string, statuses: readonly number[]): this {
    this.#behaviour.set(method, statuses);
    return this;
  }

  /** The requests of a method. */
  of(method: string): SipMessage[] {
    return this.messages.filter((message) => message.status === 0 && message.method === method);
  }

  /** The request of a method that came as the `count`th, waited for if it has not come. */
  async request(method: string, count = 1): Promise<SipMessage> {
    await eventually(() => this.of(method).length >= count).catch(() => {
      const seen = this.messages.map(({ startLine }) => startLine).join(', ') || 'nothing';
      throw new Error(`no ${method} number ${count} came; the callee got ${seen}`);
    });
    return this.of(method)[count - 1]!;
  }

  /** The response to a request that this callee has sent, waited for if it has not come. */
  async response(callId: string, method: string): Promise<SipMessage> {
    const wanted = (one: SipMessage) => one.status >= 200 && one.method === method && one.header('call-id') === callId;
    return (await eventually(() => this.messages.find(wanted)))!;
  }

  /** Sends a response by the connection of its request, or by another. */
  answer(request: SipMessage, status: number, options: AnswerOptions = {}, by = this.carrierOf(request)): void {
    const hasContact = request.method === 'INVITE' && status > 100 && status < 300;
    const usual = { toTag: status > 100 ? this.tag : '', contact: hasContact ? `<${this.uri}>` : '' };
    by.write(responseTo(request, status, { ...usual, ...options }), 'latin1');
  }

  /** The connection that a request came by. */
  carrierOf(request: SipMessage): Socket {
    return this.#carriers.get(request)!;
  }

  /** A connection of the callee's own making; what comes by it is among its messages. */
  async call(port: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port });
    this.#read(socket);
    await once(socket, 'connect');
    return socket;
  }

  async close(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #accept(socket: Socket): void {
    this.connections.push(socket);
    this.#read(socket);
  }

  #read(socket: Socket): void {
    let held = '';
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      held += bytes.toString('latin1');
      for (;;) {
        held = held.replace(/^[\r\n]+/, '');
        const headEnd = held.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const end = headEnd + 4 + Number(/^Content-Length: (\d+)\r?$/im.exec(held.slice(0, headEnd + 2))?.[1] ?? NaN);
        if (Number.isNaN(end)) throw new Error(`no Content-Length: ${held}`);
        if (held.length < end) return;
        const message = parseSip(held.slice(0, end));
        held = held.slice(end);
        this.#carriers.set(message, socket);
        this.messages.push(message);
        if (message.status > 0 || message.method === 'ACK') continue;
        for (const status of this.#behaviour.get(message.method) ?? []) this.answer(message, status);
      }
    });
  }
}
