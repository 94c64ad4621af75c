// A small SIP user agent that follows each single call: when it was sent, when it was answered, how many times.
// It never has more unconfirmed requests on the way than the receive buffers hold, and repeats an INVITE until it is
// confirmed, so a lost datagram costs a retransmission and not a call.
import { createSocket } from 'node:dgram';
import { quantile, rounded, sleep } from './statistics.mjs';

const kUnconfirmedLimit = 1000;
const kBatchLimit = 200;
const kRetransmitScanMs = 50;
const kT1Ms = 500;
const kT2Ms = 4000;
/** An answer that comes again sooner than this is a second answer: the earliest retransmission of one is after T1. */
const kSecondAnswerMs = 400;

/**
 * @typedef {object} SenderOptions
 * @property {number} port
 * @property {'OPTIONS' | 'INVITE'} method
 * @property {{ user: string, delayMs: number }[]} routes taken in turns; delayMs is what the server is asked to wait,
 *   and goes into the URI as `;d=` in the unit of `unitMs`
 * @property {number} [unitMs] 1 (the default) or 1000
 * @property {number} rate requests a second, all routes together
 * @property {number} calls
 * @property {number} [limitMs] how long after the last request the answers may take (default 10,000)
 * @property {number} [lingerMs] how long to listen for second answers at the end (default 200)
 * @property {boolean} [latencies] whether the result lists each latency
 * @property {number} [uncounted] so many calls at the beginning are in no latency: this process has to warm up as well
 * @property {number} [bytes] size of each request, filled up with a body; without it there is none
 */

/**
 * What a run has come to: a tenth, nine tenths and all of the calls are confirmed (an INVITE by its 100).
 * @typedef {'first tenth' | 'last tenth begins' | 'suspended'} SenderEvent
 */

/**
 * @typedef {object} SenderResult
 * @property {number} answered
 * @property {number} unanswered
 * @property {number} wrongStatus
 * @property {number} secondAnswers
 * @property {number} retransmittedAnswers
 * @property {number} retransmittedRequests
 * @property {number} early answered sooner than asked for
 * @property {number} sendSeconds
 * @property {number} confirmSeconds from the first request until the last call was confirmed
 * @property {number} answerSeconds from the first answer until the last
 * @property {number} firstDueMs time from the first request until the first answer may come
 * @property {{ user: string, earliestMs: number, p50Ms: number, latestMs: number, latenciesMs?: number[] }[]} routes
 */

/** FNV-1a. @param {string} text */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

export class Sender {
  #options;
  #notify;
  #socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  #id = `${process.pid.toString(36)}${Date.now().toString(36)}`;
  #local = '';
  #sentMs;
  #answeredMs;
  #confirmed;
  #intervalMs;
  #status;
  /** A hash of the To of each first answer: the strings of a million would be more than the rest of this process. */
  #answerTo;
  #oldestUnconfirmed = 0;
  #firstSentMs = 0;
  #lastConfirmedMs = 0;
  #firstAnswerMs = 0;
  #lastAnswerMs = 0;
  #sent = 0;
  #confirmedCount = 0;
  #answeredCount = 0;
  #secondAnswers = 0;
  #retransmittedAnswers = 0;
  #retransmittedRequests = 0;

  /**
   * @param {SenderOptions} options
   * @param {(event: SenderEvent) => void} notify
   */
  constructor(options, notify) {
    this.#options = options;
    this.#notify = notify;
    this.#sentMs = new Float64Array(options.calls);
    this.#answeredMs = new Float64Array(options.calls);
    this.#confirmed = new Uint8Array(options.calls);
    this.#intervalMs = new Float64Array(options.calls).fill(kT1Ms);
    this.#status = new Uint16Array(options.calls);
    this.#answerTo = new Uint32Array(options.calls);
  }

  /** @returns {Promise<SenderResult>} */
  async run() {
    const { port, rate, calls, limitMs = 10_000, lingerMs = 200 } = this.#options;
    this.#socket.on('message', (datagram) => this.#onMessage(datagram));
    // Nobody listening shows as an error on a connected socket; the call then counts as unanswered.
    this.#socket.on('error', () => {});
    await new Promise((resolve) => this.#socket.bind(0, '127.0.0.1', () => resolve(undefined)));
    await new Promise((resolve) => this.#socket.connect(port, '127.0.0.1', () => resolve(undefined)));
    this.#local = `127.0.0.1:${this.#socket.address().port}`;

    const retransmitter = setInterval(() => this.#retransmit(), kRetransmitScanMs);
    const startMs = performance.now();
    this.#firstSentMs = startMs;
    while (this.#sent < calls) {
      const due = Math.min(calls, 1 + Math.floor(((performance.now() - startMs) * rate) / 1000));
      const room = this.#options.method === 'INVITE' ? kUnconfirmedLimit - (this.#sent - this.#confirmedCount) : calls;
      for (let left = Math.min(due - this.#sent, room, kBatchLimit); left > 0; left--) this.#sendNew();
      await sleep(1);
    }
    const sentAllMs = performance.now();
    while (this.#answeredCount < calls && performance.now() - sentAllMs < limitMs) await sleep(5);
    await sleep(lingerMs);
    clearInterval(retransmitter);
    this.#socket.close();
    return this.#result((sentAllMs - startMs) / 1000);
  }

  /** @param {number} call */
  #route(call) {
    return this.#options.routes[call % this.#options.routes.length];
  }

  /**
   * @param {string} method
   * @param {number} call
   * @param {string} [to]
   */
  #send(method, call, to) {
    const { port, unitMs = 1 } = this.#options;
    const { user, delayMs } = this.#route(call);
    const parameter = delayMs > 0 ? `;d=${delayMs / unitMs}` : '';
    const request =
      `${method} sip:${user}@127.0.0.1:${port}${parameter} SIP/2.0\r\n` +
      `Via: SIP/2.0/UDP ${this.#local};branch=z9hG4bK${this.#id}-${call}\r\nMax-Forwards: 70\r\n` +
      `From: <sip:caller@127.0.0.1>;tag=${this.#id}${call}\r\nTo: ${to ?? `<sip:${user}@127.0.0.1>`}\r\n` +
      `Call-ID: ${call}-${this.#id}@127.0.0.1\r\nCSeq: 1 ${method}\r\n` +
      `Contact: <sip:caller@${this.#local}>\r\n`;
    this.#socket.send(Buffer.from(request + this.#rest(method, request.length), 'latin1'));
  }

  /** The end of a request whose headers so far have a length. @param {string} method @param {number} length */
  #rest(method, length) {
    const { bytes = 0 } = this.#options;
    if (bytes === 0 || method === 'ACK') return 'Content-Length: 0\r\n\r\n';
    const head = 'Content-Type: text/plain\r\nContent-Length: 000\r\n\r\n';
    const body = 'x'.repeat(Math.max(0, bytes - length - head.length));
    return head.replace('000', String(body.length).padStart(3, ' ')) + body;
  }

  #sendNew() {
    const call = this.#sent++;
    this.#sentMs[call] = performance.now();
    this.#send(this.#options.method, call);
  }

  #retransmit() {
    // An OPTIONS that waits on purpose has no 100 to stop its retransmission; there a lost one shows as unanswered.
    if (this.#options.method !== 'INVITE' || this.#confirmedCount === this.#sent) return;
    const nowMs = performance.now();
    while (this.#confirmed[this.#oldestUnconfirmed]) this.#oldestUnconfirmed++;
    for (let call = this.#oldestUnconfirmed; call < this.#sent; call++) {
      if (this.#confirmed[call] || nowMs - this.#sentMs[call] < this.#intervalMs[call]) continue;
      this.#intervalMs[call] += Math.min(kT2Ms, this.#intervalMs[call] + kT1Ms);
      this.#retransmittedRequests++;
      this.#send('INVITE', call);
    }
  }

  /** @param {number} call */
  #confirm(call) {
    if (this.#confirmed[call]) return;
    this.#confirmed[call] = 1;
    const { calls } = this.#options;
    const count = ++this.#confirmedCount;
    if (count === Math.floor(calls / 10)) this.#notify('first tenth');
    if (count === calls - Math.floor(calls / 10)) this.#notify('last tenth begins');
    if (count === calls) {
      this.#lastConfirmedMs = performance.now();
      this.#notify('suspended');
    }
  }

  /** @param {Buffer} datagram */
  #onMessage(datagram) {
    const nowMs = performance.now();
    const reply = datagram.toString('latin1');
    const branch = /;branch=z9hG4bK(\w+)-(\d+)/.exec(reply);
    if (!branch || branch[1] !== this.#id || !reply.startsWith('SIP/2.0 ')) return;
    const call = Number(branch[2]);
    const status = Number(reply.slice(8, 11));
    this.#confirm(call);
    if (status < 200) return;

    const to = /\r\nTo:\s*([^\r]*)/i.exec(reply)?.[1] ?? '';
    const toHash = hashOf(to);
    if (this.#options.method === 'INVITE') this.#send('ACK', call, to);
    if (this.#status[call] === 0) {
      this.#status[call] = status;
      this.#answeredMs[call] = nowMs;
      this.#answerTo[call] = toHash;
      if (this.#answeredCount++ === 0) this.#firstAnswerMs = nowMs;
      this.#lastAnswerMs = nowMs;
    } else if (toHash !== this.#answerTo[call] || nowMs - this.#answeredMs[call] < kSecondAnswerMs) {
      this.#secondAnswers++;
    } else {
      this.#retransmittedAnswers++;
    }
  }

  /**
   * @param {number} sendSeconds
   * @returns {SenderResult}
   */
  #result(sendSeconds) {
    const { calls, routes, uncounted = 0 } = this.#options;
    let early = 0;
    let right = 0;
    /** @type {number[][]} */
    const latenciesMs = routes.map(() => []);
    for (let call = 0; call < calls; call++) {
      if (this.#status[call] !== 404) continue;
      const latencyMs = this.#answeredMs[call] - this.#sentMs[call];
      right++;
      if (latencyMs < this.#route(call).delayMs) early++;
      if (call >= uncounted) latenciesMs[call % routes.length].push(rounded(latencyMs));
    }
    return {
      answered: right,
      unanswered: calls - this.#answeredCount,
      wrongStatus: this.#answeredCount - right,
      secondAnswers: this.#secondAnswers,
      retransmittedAnswers: this.#retransmittedAnswers,
      retransmittedRequests: this.#retransmittedRequests,
      early,
      sendSeconds: rounded(sendSeconds),
      confirmSeconds: rounded((this.#lastConfirmedMs - this.#firstSentMs) / 1000),
      answerSeconds: rounded((this.#lastAnswerMs - this.#firstAnswerMs) / 1000),
      firstDueMs: Math.min(...routes.map((route) => route.delayMs)),
      routes: routes.map(({ user }, index) => {
        const sorted = latenciesMs[index].sort((a, b) => a - b);
        return {
          user,
          earliestMs: sorted[0] ?? NaN,
          p50Ms: quantile(sorted, 0.5),
          latestMs: sorted[sorted.length - 1] ?? NaN,
          ...(this.#options.latencies ? { latenciesMs: sorted } : {}),
        };
      }),
    };
  }
}
