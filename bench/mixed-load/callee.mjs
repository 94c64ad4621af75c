// Those who are called: `ok` rings and answers, `busy` refuses, `ring` rings until it is cancelled; both branches of `fork`
// answer. Each final reply to an INVITE is repeated until its ACK comes.
import { createSocket } from 'node:dgram';

const kAnswerMs = 40;
const kRepeatMs = 500;
const kMostRepeats = 20;
/** How long an INVITE that was acknowledged is known: a repetition of it may have been overtaken by the ACK. */
const kOverMs = 5000;

/** @param {string} request @param {string} name */
function lines(request, name) {
  return request.split('\r\n').filter((line) => line.toLowerCase().startsWith(`${name}:`));
}

/** @typedef {{ timer: NodeJS.Timeout | undefined, final: number, invite: string }} Ringing */

export class Callee {
  #socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  /** INVITEs without an ACK, by Call-ID and branch. @type {Map<string, Ringing>} */
  #open = new Map();
  /** Those that got theirs a moment ago. @type {Set<string>} */
  #over = new Set();
  /** Final replies to our callers that no ACK ever came for. */
  unacknowledged = 0;

  /** @returns {Promise<number>} the port */
  async start() {
    this.#socket.on('message', (bytes, from) => this.#onRequest(bytes.toString('latin1'), from.port));
    await new Promise((resolve) => this.#socket.bind(0, '127.0.0.1', () => resolve(undefined)));
    return this.#socket.address().port;
  }

  stop() {
    for (const { timer } of this.#open.values()) clearTimeout(timer);
    this.#socket.close();
  }

  /** @param {string} request @param {number} code @param {string} reason @param {number} port @param {string} key */
  #reply(request, code, reason, port, key) {
    const [to] = lines(request, 'to');
    const kept = ['via', 'from', 'call-id', 'cseq', 'record-route'].flatMap((name) => lines(request, name));
    const tag = to.includes(';tag=') || code === 100 ? to : `${to};tag=${key.replace(/\W/g, '').slice(-20)}`;
    const contact = `Contact: <sip:callee@127.0.0.1:${this.#socket.address().port}>`;
    const text = [`SIP/2.0 ${code} ${reason}`, ...kept, tag, contact, 'Content-Length: 0', '\r\n'].join('\r\n');
    this.#socket.send(text, port, '127.0.0.1');
  }

  /** @param {string} request @param {number} port */
  #onRequest(request, port) {
    const method = request.slice(0, request.indexOf(' '));
    const branch = /branch=([^;,\s]+)/.exec(request)?.[1] ?? '';
    const key = `${lines(request, 'call-id')[0]} ${branch}`;
    const open = this.#open.get(key);
    if (method === 'ACK') {
      // To a 2xx it has a branch of its own, and ends all that wait for one in the call.
      for (const [other, { timer }] of open ? [[key, open]] : this.#ofCall(key)) {
        clearTimeout(timer);
        this.#open.delete(/** @type {string} */ (other));
        this.#over.add(/** @type {string} */ (other));
        setTimeout(() => this.#over.delete(/** @type {string} */ (other)), kOverMs);
      }
    } else if (method === 'CANCEL') {
      this.#reply(request, 200, 'OK', port, key);
      if (open?.final === 0) this.#finish(open.invite, 487, port, key);
    } else if (method === 'INVITE') {
      if (open === undefined && !this.#over.has(key)) this.#ring(request, port, key);
    } else {
      this.#reply(request, 200, 'OK', port, key);
    }
  }

  /** @param {string} key @returns {[string, Ringing][]} */
  #ofCall(key) {
    const call = `${key.slice(0, key.lastIndexOf(' '))} `;
    return [...this.#open].filter(([other]) => other.startsWith(call));
  }

  /** @param {string} request @param {number} port @param {string} key */
  #ring(request, port, key) {
    const user = /^INVITE sip:([a-z]+)/.exec(request)?.[1];
    this.#open.set(key, { timer: undefined, final: 0, invite: request });
    this.#reply(request, 180, 'Ringing', port, key);
    if (user === 'ring') return;
    const timer = setTimeout(() => this.#finish(request, user === 'busy' ? 486 : 200, port, key), kAnswerMs);
    this.#open.set(key, { timer, final: 0, invite: request });
  }

  /** @param {string} request @param {number} code @param {number} port @param {string} key */
  #finish(request, code, port, key, repeats = 0) {
    const open = this.#open.get(key);
    if (open === undefined) return;
    clearTimeout(open.timer);
    if (repeats > kMostRepeats) {
      // A stranger whose rubbish has become a good INVITE acknowledges nothing.
      if (!/^Call-ID: *stranger/i.test(key)) this.unacknowledged++;
      this.#open.delete(key);
      return;
    }
    this.#reply(request, code, code === 200 ? 'OK' : 'No', port, key);
    const timer = setTimeout(() => this.#finish(request, code, port, key, repeats + 1), kRepeatMs);
    this.#open.set(key, { timer, final: code, invite: request });
  }
}
