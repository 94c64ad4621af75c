// Those who call: each call is followed from its request to its one final reply, and answered calls to the end of their
// dialog. What is lost is repeated, as RFC 3261 section 17.1 has it.
import { createSocket } from 'node:dgram';
import { sleep } from '../statistics.mjs';

const kT1Ms = 500;
const kT2Ms = 4000;
const kScanMs = 100;
/** A call that has no final reply by then has been lost. */
const kLostMs = 40_000;

/** What is called, in turns, and the final reply it must get. */
export const kinds = [
  { user: 'direct', method: 'OPTIONS', final: 404 },
  { user: 'wait', method: 'INVITE', final: 404 },
  { user: 'ok', method: 'INVITE', final: 200 },
  { user: 'task', method: 'OPTIONS', final: 404 },
  { user: 'busy', method: 'INVITE', final: 200 },
  { user: 'ring', method: 'INVITE', final: 487 },
  { user: 'fork', method: 'INVITE', final: 200 },
  { user: 'wait', method: 'OPTIONS', final: 404 },
  { user: 'open', method: 'INVITE', final: 404 },
  { user: 'ok', method: 'OPTIONS', final: 200 },
];

/**
 * @typedef {object} Call
 * @property {number} number
 * @property {typeof kinds[number]} kind
 * @property {string} pending what is repeated: a request, or nothing
 * @property {number} intervalMs
 * @property {number} dueMs
 * @property {number} begunMs
 * @property {Set<string>} finals To tags of the final replies
 * @property {string[]} routes
 * @property {boolean} isCancelled
 * @property {boolean} isOver
 */

export class Caller {
  #socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  #port;
  #id = `${process.pid.toString(36)}${Date.now().toString(36)}`;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  #next = 0;
  counts = { begun: 0, ended: 0, lost: 0, wrong: 0, secondFinals: 0, repeated: 0 };

  /** @param {number} port the proxy's */
  constructor(port) {
    this.#port = port;
  }

  /** @param {number} rate calls a second @param {number} seconds */
  async run(rate, seconds) {
    this.#socket.on('message', (bytes) => this.#onReply(bytes.toString('latin1')));
    await new Promise((resolve) => this.#socket.bind(0, '127.0.0.1', () => resolve(undefined)));
    const scanning = setInterval(() => this.#scan(), kScanMs);
    const startMs = performance.now();
    while (performance.now() - startMs < seconds * 1000) {
      const due = ((performance.now() - startMs) * rate) / 1000;
      while (this.counts.begun < due) this.#begin();
      await sleep(1);
    }
    while (this.#calls.size > 0) await sleep(kScanMs);
    clearInterval(scanning);
    this.#socket.close();
  }

  /** @param {Call} call @param {string} method @param {string} branch @param {string} [to] @param {number} [cseq] */
  #text(call, method, branch, to, cseq = call.number) {
    const own = `127.0.0.1:${this.#socket.address().port}`;
    const { user } = call.kind;
    const seqMethod = method;
    return [
      `${method} sip:${user}@127.0.0.1:${this.#port} SIP/2.0`,
      `Via: SIP/2.0/UDP ${own};branch=z9hG4bK${branch};rport`,
      'Max-Forwards: 70',
      ...call.routes.map((route) => `Route: ${route}`),
      `From: <sip:caller@${own}>;tag=${this.#id}`,
      `To: ${to ?? `<sip:${user}@127.0.0.1>`}`,
      `Call-ID: ${call.number}-${this.#id}`,
      `CSeq: ${cseq} ${seqMethod}`,
      `Contact: <sip:caller@${own}>`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n');
  }

  /** @param {string} text */
  #send(text) {
    this.#socket.send(text, this.#port, '127.0.0.1');
  }

  #begin() {
    const number = ++this.#next;
    this.counts.begun++;
    const kind = kinds[number % kinds.length];
    const nowMs = performance.now();
    /** @type {Call} */
    const call = {
      number, kind, pending: '', intervalMs: kT1Ms, dueMs: nowMs + kT1Ms, begunMs: nowMs,
      finals: new Set(), routes: [], isCancelled: false, isOver: false,
    };
    call.pending = this.#text(call, kind.method, `${this.#id}-${number}`);
    this.#calls.set(number, call);
    this.#send(call.pending);
  }

  #scan() {
    const nowMs = performance.now();
    for (const call of this.#calls.values()) {
      if (nowMs - call.begunMs > kLostMs) {
        if (!call.isOver) this.counts.lost++;
        this.#calls.delete(call.number);
      } else if (call.pending !== '' && nowMs >= call.dueMs) {
        this.counts.repeated++;
        call.intervalMs = Math.min(kT2Ms, 2 * call.intervalMs);
        call.dueMs = nowMs + call.intervalMs;
        this.#send(call.pending);
      }
    }
  }

  /** @param {string} reply */
  #onReply(reply) {
    const match = /\r\nCall-ID: *(\d+)-(\w+)/i.exec(reply);
    const call = match?.[2] === this.#id ? this.#calls.get(Number(match[1])) : undefined;
    const [, seqMethod = ''] = /\r\nCSeq: *\d+ +(\w+)/i.exec(reply) ?? [];
    if (call === undefined || seqMethod === 'CANCEL') return;
    const code = Number(reply.slice(8, 11));
    if (seqMethod === 'BYE') {
      if (code >= 200) this.#end(call);
      return;
    }
    if (code < 200) {
      if (call.kind.method === 'INVITE' && call.finals.size === 0) call.pending = '';
      if (code === 180 && call.kind.final === 487 && !call.isCancelled) {
        call.isCancelled = true;
        this.#send(this.#text(call, 'CANCEL', `${this.#id}-${call.number}`));
      }
      return;
    }
    this.#onFinal(call, code, reply);
  }

  /** @param {Call} call @param {number} code @param {string} reply */
  #onFinal(call, code, reply) {
    const to = /\r\nTo: *([^\r]*)/i.exec(reply)?.[1] ?? '';
    const isFirst = call.finals.size === 0;
    // Both branches of a fork may answer; each is a dialog of its own, and only then may there be two.
    if (!isFirst && !call.finals.has(to) && !(call.kind.user === 'fork' && code === 200)) this.counts.secondFinals++;
    call.finals.add(to);
    if (isFirst && code !== call.kind.final) this.counts.wrong++;
    if (call.kind.method !== 'INVITE') {
      this.#end(call);
      return;
    }
    if (code >= 300) {
      this.#send(this.#text(call, 'ACK', `${this.#id}-${call.number}`, to));
      this.#end(call);
      return;
    }
    call.routes = [...reply.matchAll(/\r\nRecord-Route: *([^\r]*)/gi)].map((route) => route[1]).reverse();
    this.#send(this.#text(call, 'ACK', `${this.#id}-${call.number}-ack${call.finals.size}`, to));
    if (!isFirst) return;
    call.pending = this.#text(call, 'BYE', `${this.#id}-${call.number}-bye`, to, call.number + 1);
    call.intervalMs = kT1Ms;
    call.dueMs = performance.now() + kT1Ms;
    this.#send(call.pending);
  }

  /** Remembered for a moment: repetitions, and a second final reply that must not come. @param {Call} call */
  #end(call) {
    call.pending = '';
    if (call.isOver) return;
    call.isOver = true;
    this.counts.ended++;
    setTimeout(() => this.#calls.delete(call.number), 1500);
  }
}
