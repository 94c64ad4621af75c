import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { parameter, parseSip } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';
import { ackFor, cancelFor, formatRequest, settleRequest } from './sip-request.ts';
import type { Request, RequestOptions } from './sip-request.ts';

const t1Ms = 500;
const t2Ms = 4000;

export interface TransactionOptions extends RequestOptions {
  /** Retransmit as RFC 3261 section 17.1 says; without it only `resend()` sends again. */
  retransmit?: boolean;
  /** Acknowledge every final response of an INVITE, repeated ones too. */
  autoAck?: boolean;
}

interface Waiter {
  readonly wanted: (response: SipMessage) => boolean;
  readonly resolve: (response: SipMessage) => void;
}

/** A client transaction: what was sent, and every response that came, repeated ones included. */
export class Transaction {
  readonly request: Request;
  readonly responses: SipMessage[] = [];
  /** When the request was first sent, `performance.now()`. */
  readonly sentAtMs = performance.now();
  /** How often the request went out. */
  sentCount = 0;
  readonly #client: SipClient;
  readonly #options: TransactionOptions;
  readonly #waiters = new Set<Waiter>();
  #timer: NodeJS.Timeout | undefined;

  constructor(client: SipClient, request: Request, options: TransactionOptions) {
    this.#client = client;
    this.request = request;
    this.#options = options;
    this.resend();
    if (options.retransmit) this.#retransmitAfter(t1Ms);
  }

  get provisionals(): SipMessage[] {
    return this.responses.filter((response) => response.status < 200);
  }

  /** All final responses; more than one means that the server repeated it. */
  get finals(): SipMessage[] {
    return this.responses.filter((response) => response.status >= 200);
  }

  /** Milliseconds from the first sending to this response. */
  elapsedMs(response: SipMessage): number {
    return response.atMs - this.sentAtMs;
  }

  /** The first final response, waited for if it has not come; rejects after `timeoutMs`. */
  final(timeoutMs = 10_000): Promise<SipMessage> {
    return this.response((response) => response.status >= 200, timeoutMs);
  }

  /** The first provisional response, waited for if it has not come; rejects after `timeoutMs`. */
  provisional(timeoutMs = 10_000): Promise<SipMessage> {
    return this.response((response) => response.status < 200, timeoutMs);
  }

  /** The first response that satisfies `wanted`, past ones included. */
  response(wanted: (response: SipMessage) => boolean, timeoutMs: number): Promise<SipMessage> {
    const here = this.responses.find(wanted);
    if (here) return Promise.resolve(here);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        wanted,
        resolve: (response) => {
          clearTimeout(deadline);
          resolve(response);
        },
      };
      const deadline = setTimeout(() => {
        this.#waiters.delete(waiter);
        const seen = this.responses.map((response) => response.status).join(' ') || 'nothing';
        reject(new Error(`${this.request.method} ${this.request.ruri}: ${timeoutMs} ms passed, got ${seen}`));
      }, timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  resend(): void {
    this.sentCount += 1;
    this.#client.send(formatRequest(this.request));
  }

  /** Acknowledges a final response, by default the first one. Returns what was sent. */
  ack(final: SipMessage | undefined = this.finals[0]): Request {
    if (!final) throw new Error('no final response to acknowledge');
    const toTag = parameter(final.header('to'), 'tag');
    const ack = ackFor(this.request, { status: final.status, toTag, contact: final.header('contact') });
    this.#client.send(formatRequest(ack));
    return ack;
  }

  cancel(): Transaction {
    return this.#client.start(cancelFor(this.request), {});
  }

  /** Called by the client for each response of this transaction. */
  accept(response: SipMessage): void {
    this.responses.push(response);
    const done = response.status >= 200;
    if (done || this.request.method === 'INVITE') this.stop();
    if (done && this.#options.autoAck && this.request.method === 'INVITE') this.ack(response);
    for (const waiter of this.#waiters) {
      if (!waiter.wanted(response)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(response);
    }
  }

  /** Ends retransmission. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #retransmitAfter(delayMs: number): void {
    this.#timer = setTimeout(() => {
      if (performance.now() - this.sentAtMs >= 64 * t1Ms) return;
      this.resend();
      const invite = this.request.method === 'INVITE';
      const proceeding = !invite && this.responses.length > 0;
      this.#retransmitAfter(proceeding ? t2Ms : invite ? delayMs * 2 : Math.min(delayMs * 2, t2Ms));
    }, delayMs);
  }
}

/** A SIP client on a UDP socket of its own, which sends exactly what a test tells it to. */
export class SipClient {
  /** Messages that belong to no transaction of this client. */
  readonly strays: SipMessage[] = [];
  /** Datagrams that are not SIP at all. */
  readonly garbage: Buffer[] = [];
  readonly #socket: Socket;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #transactions = new Map<string, Transaction>();

  private constructor(socket: Socket, target: { host: string; port: number }) {
    this.#socket = socket;
    this.#target = target;
    socket.on('message', (bytes) => this.#accept(bytes, performance.now()));
  }

  /** Binds to a free port of 127.0.0.1. */
  static async open(target: { port: number; host?: string }): Promise<SipClient> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new SipClient(socket, { host: target.host ?? '127.0.0.1', port: target.port });
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** `host:port`, as it stands in Via. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The text of a request that `request()` would send, for tests that change or repeat the bytes themselves. */
  build(options: RequestOptions = {}): string {
    return formatRequest(this.#settle(options));
  }

  /** Sends bytes as they are. */
  send(raw: string | Uint8Array): void {
    this.#socket.send(raw, this.#target.port, this.#target.host);
  }

  /** Sends a request and collects its responses. */
  request(options: TransactionOptions = {}): Transaction {
    const { retransmit = false, autoAck = false, ...rest } = options;
    return this.start(this.#settle(rest), { retransmit, autoAck });
  }

  /** Sends a settled request; two transactions of one key could not be told apart, so the second is refused. */
  start(request: Request, options: TransactionOptions): Transaction {
    const key = transactionKey(request.via, request.method);
    if (this.#transactions.has(key)) throw new Error(`${key} is in use: resend() repeats a request`);
    const transaction = new Transaction(this, request, options);
    this.#transactions.set(key, transaction);
    return transaction;
  }

  async close(): Promise<void> {
    for (const transaction of this.#transactions.values()) transaction.stop();
    this.#transactions.clear();
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #settle(options: RequestOptions): Request {
    return settleRequest(options, this.address, `${this.#target.host}:${this.#target.port}`);
  }

  #accept(bytes: Buffer, atMs: number): void {
    let message: SipMessage;
    try {
      message = parseSip(bytes, atMs);
    } catch {
      this.garbage.push(bytes);
      return;
    }
    const key = transactionKey(message.header('via'), message.method);
    const transaction = message.status > 0 ? this.#transactions.get(key) : undefined;
    if (transaction) transaction.accept(message);
    else this.strays.push(message);
  }
}

/** Branch, sent-by and method, as RFC 3261 section 17.1.3 matches a response. */
function transactionKey(via: string, method: string): string {
  const sentBy = /^SIP\s*\/\s*2\.0\s*\/\s*\w+\s+([^\s;,]+)/i.exec(via)?.[1] ?? '';
  return `${method} ${sentBy} ${parameter(via, 'branch')}`;
}
