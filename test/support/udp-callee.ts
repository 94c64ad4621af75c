import { createSocket } from 'node:dgram';
import type { RemoteInfo, Socket } from 'node:dgram';
import { once } from 'node:events';
import { eventually } from './eventually.ts';
import { parameter, parseSip } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';
import { token } from './sip-request.ts';

export interface AnswerOptions {
  reason?: string;
  /** Tag of To; the callee's own for every status above 100 when not given. */
  toTag?: string;
  /** The whole value of Contact; the callee's own address for a provisional or 2xx to INVITE when not given. */
  contact?: string;
  /** Whole extra header lines, without line ends. */
  headers?: readonly string[];
  body?: string;
}

/** What a callee does by itself: the statuses it answers a method with, at once, or a function. */
export type Behaviour = readonly number[] | ((request: SipMessage, callee: SipCallee) => void);

/**
 * A callee on a UDP socket of its own. It keeps every datagram that arrives and answers what a test tells it to; it never
 * retransmits. Responses go to where the request came from.
 */
export class SipCallee {
  /** Every request in the order of arrival, repeated ones included. */
  readonly requests: SipMessage[] = [];
  /** Responses, which a callee that asks nothing should never get. */
  readonly responses: SipMessage[] = [];
  /** Tag of To in what this callee answers. */
  readonly tag = `callee-${token()}`;
  readonly #socket: Socket;
  readonly #sources = new WeakMap<SipMessage, RemoteInfo>();
  readonly #behaviour = new Map<string, Behaviour>();
  /** The last status that a request got by its behaviour, by method and branch. */
  readonly #answered = new Map<string, number>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (bytes, source) => this.#accept(parseSip(bytes, performance.now()), source));
  }

  /** Binds to a free port of 127.0.0.1. */
  static async open(): Promise<SipCallee> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new SipCallee(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** `host:port`, as it stands in Contact. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get uri(): string {
    return `sip:callee@${this.address}`;
  }

  /**
   * Answers every request of a method from now on; ACK is never answered. What a list has answered is repeated as a server
   * transaction does it (RFC 3261 section 17.2, RFC 6026): the last status again, and nothing to an INVITE behind its 2xx.
   */
  on(method: string, behaviour: Behaviour): this {
    this.#behaviour.set(method, behaviour);
    return this;
  }

  /** The requests of a method, repeated ones left out: a busy machine repeats what it has been too slow to answer. */
  distinct(method: string): SipMessage[] {
    const seen = new Set<string>();
    return this.of(method).filter(({ raw }) => !seen.has(raw) && seen.add(raw));
  }

  /** All arrivals of a method, of one call when its Call-ID is given. */
  of(method: string, callId?: string): SipMessage[] {
    return this.requests.filter(
      (request) => request.method === method && (callId === undefined || request.header('call-id') === callId),
    );
  }

  /** The request of a method that came as the `count`th, waited for if it has not come. */
  async request(method: string, count = 1, timeoutMs = 10_000): Promise<SipMessage> {
    await eventually(() => this.of(method).length >= count, { timeoutMs }).catch(() => {
      const seen = this.requests.map((request) => request.method).join(' ') || 'nothing';
      throw new Error(`${timeoutMs} ms passed without ${method} number ${count}; the callee got ${seen}`);
    });
    return this.of(method)[count - 1]!;
  }

  /** Sends a response to a request. Returns its text, for tests that repeat it by `send`. */
  answer(request: SipMessage, status: number, options: AnswerOptions = {}): string {
    const text = responseTo(request, status, { toTag: status > 100 ? this.tag : '', contact: this.#contact(request, status), ...options });
    this.send(text, request);
    return text;
  }

  /** Sends bytes as they are to where a request came from, or to a port of 127.0.0.1. */
  send(raw: string, to: SipMessage | number): void {
    const source = typeof to === 'number' ? { port: to, address: '127.0.0.1' } : this.#sources.get(to);
    if (!source) throw new Error('this callee has not got that request');
    this.#socket.send(Buffer.from(raw, 'latin1'), source.port, source.address);
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #contact(request: SipMessage, status: number): string {
    return request.method === 'INVITE' && status > 100 && status < 300 ? `<${this.uri}>` : '';
  }

  /** What a request gets of its behaviour. A busy machine repeats requests that were answered long ago. */
  #due(request: SipMessage, behaviour: readonly number[]): readonly number[] {
    const key = `${request.method} ${request.header('via')}`;
    const last = this.#answered.get(key);
    if (last === undefined) {
      if (behaviour.length > 0) this.#answered.set(key, behaviour.at(-1)!);
      return behaviour;
    }
    return request.method === 'INVITE' && last >= 200 && last < 300 ? [] : [last];
  }

  #accept(message: SipMessage, source: RemoteInfo): void {
    this.#sources.set(message, source);
    if (message.status > 0) {
      this.responses.push(message);
      return;
    }
    this.requests.push(message);
    const behaviour = this.#behaviour.get(message.method);
    if (typeof behaviour === 'function') behaviour(message, this);
    else if (message.method !== 'ACK') for (const status of this.#due(message, behaviour ?? [])) this.answer(message, status);
  }
}

const reasons: Readonly<Record<number, string>> = {
  100: 'Trying', 180: 'Ringing', 183: 'Session Progress', 200: 'OK', 302: 'Moved Temporarily', 401: 'Unauthorized',
  404: 'Not Found', 407: 'Proxy Authentication Required', 481: 'Call/Transaction Does Not Exist', 486: 'Busy Here',
  487: 'Request Terminated', 500: 'Server Internal Error', 503: 'Service Unavailable', 603: 'Decline',
};

/** A response with the Via and Record-Route headers of its request, as RFC 3261 sections 8.2.6 and 12.1.1 want them. */
export function responseTo(request: SipMessage, status: number, options: AnswerOptions = {}): string {
  const { reason = reasons[status] ?? 'Whatever', toTag = '', contact = '', headers = [], body = '' } = options;
  const to = request.header('to');
  const copied = (name: string, written: string) => (request.headers.get(name) ?? []).map((value) => `${written}: ${value}`);
  const lines = [
    `SIP/2.0 ${status} ${reason}`,
    ...copied('via', 'Via'),
    ...(status < 300 ? copied('record-route', 'Record-Route') : []),
    `From: ${request.header('from')}`,
    `To: ${to}${toTag && !parameter(to, 'tag') ? `;tag=${toTag}` : ''}`,
    `Call-ID: ${request.header('call-id')}`,
    `CSeq: ${request.header('cseq')}`,
    ...(contact ? [`Contact: ${contact}`] : []),
    ...headers,
    ...(body ? ['Content-Type: text/plain'] : []),
    `Content-Length: ${Buffer.byteLength(body, 'latin1')}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
