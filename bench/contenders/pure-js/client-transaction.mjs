// A client transaction: one branch of a relayed request.
import { randomBytes } from 'node:crypto';
import { stringify } from './sip-package.mjs';
import { kGiveUpMs, kRingMs, kT1Ms, kT2Ms, kWaitMs } from './timers.mjs';

/** @typedef {import('./sip-package.mjs').SipMessage} SipMessage */

const branchPrefix = `z9hG4bK${randomBytes(8).toString('hex')}`;
let branchCount = 0;

export class ClientTransaction {
  #layer;
  #server;
  #peer;
  #request;
  #bytes;
  #key;
  #isInvite;
  #hasProvisional = false;
  #isCancelled = false;
  /** @type {Buffer | null} */
  #ack = null;
  #isOver = false;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {import('./transaction-layer.mjs').TransactionLayer} layer
   * @param {import('./server-transaction.mjs').ServerTransaction} server
   * @param {SipMessage} request
   * @param {import('./udp-socket.mjs').Peer} peer
   */
  constructor(layer, server, request, peer) {
    const branch = branchPrefix + (branchCount++).toString(36);
    const via = { version: '2.0', protocol: 'UDP', host: layer.host, port: layer.port, params: { branch } };
    this.#layer = layer;
    this.#server = server;
    this.#peer = peer;
    this.#isInvite = request.method === 'INVITE';
    this.#key = branch + request.method;
    /** @type {SipMessage} */
    const relayed = {
      ...request,
      headers: {
        ...request.headers,
        via: [via, ...request.headers.via],
        'max-forwards': String(Number(request.headers['max-forwards'] ?? 70) - 1),
      },
    };
    this.#request = relayed;
    this.#bytes = Buffer.from(stringify(relayed), 'latin1');
    layer.addClient(this.#key, this);
    layer.send(this.#bytes, peer);
    this.#repeat(kT1Ms, kT1Ms);
  }

  /** @param {SipMessage} response */
  onResponse(response) {
    const { status = 0 } = response;
    if (this.#isOver) {
      // The ACK was lost. A 2xx is repeated until the caller's own ACK, and each has to reach the caller.
      if (this.#ack !== null && status >= 300) this.#layer.send(this.#ack, this.#peer);
      else if (this.#isInvite && status >= 200 && status < 300) this.#layer.forward(response, this.#server.peer);
      return;
    }
    if (status < 200) {
      this.#onProvisional(status, response);
      return;
    }
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#isInvite && status >= 300) this.#acknowledge(response);
    this.#timer = setTimeout(() => this.#layer.endClient(this.#key), kWaitMs);
    response.headers.via.shift();
    this.#server.send(status, response);
  }

  cancel() {
    this.#isCancelled = true;
    if (this.#isInvite && this.#hasProvisional && !this.#isOver) this.#layer.send(this.#derived('CANCEL'), this.#peer);
  }

  /** @param {number} status @param {SipMessage} response */
  #onProvisional(status, response) {
    if (!this.#hasProvisional && this.#isInvite) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#timeOut(), kRingMs);
    }
    const isFirst = !this.#hasProvisional;
    this.#hasProvisional = true;
    if (isFirst && this.#isCancelled) this.cancel();
    if (status === 100) return;
    response.headers.via.shift();
    this.#server.send(status, response);
  }

  /** @param {number} intervalMs @param {number} sinceMs from the first sending until the next one */
  #repeat(intervalMs, sinceMs) {
    this.#timer = setTimeout(() => {
      if (sinceMs >= kGiveUpMs) {
        this.#timeOut();
        return;
      }
      this.#layer.send(this.#bytes, this.#peer);
      const doubledMs = this.#isInvite ? 2 * intervalMs : Math.min(2 * intervalMs, kT2Ms);
      const nextMs = this.#hasProvisional ? kT2Ms : doubledMs;
      this.#repeat(nextMs, sinceMs + nextMs);
    }, intervalMs);
  }

  #timeOut() {
    this.#isOver = true;
    this.#layer.endClient(this.#key);
    this.#server.reply(408, 'Request Timeout');
  }

  /** @param {SipMessage} response */
  #acknowledge(response) {
    this.#ack = this.#derived('ACK', response.headers.to);
    this.#layer.send(this.#ack, this.#peer);
  }

  /** The ACK or the CANCEL of this branch. @param {string} method @param {import('./sip-package.mjs').NameAddr} [to] */
  #derived(method, to = this.#request.headers.to) {
    const { headers, uri } = this.#request;
    const derived = {
      method,
      uri,
      headers: {
        via: [headers.via[0]],
        'max-forwards': '70',
        ...(headers.route ? { route: headers.route } : {}),
        from: headers.from,
        to,
        'call-id': headers['call-id'],
        cseq: { seq: headers.cseq.seq, method },
      },
    };
    return Buffer.from(stringify(/** @type {SipMessage} */ (derived)), 'latin1');
  }
}
