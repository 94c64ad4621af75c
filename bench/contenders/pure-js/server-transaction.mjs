// A server transaction: it replies, repeats its last reply, and holds what runs for it while its route is suspended.
import { randomBytes } from 'node:crypto';
import { makeResponse, stringify } from './sip-package.mjs';
import { kGiveUpMs, kT1Ms, kT2Ms, kWaitMs } from './timers.mjs';

/** @typedef {import('./sip-package.mjs').SipMessage} SipMessage */
/** @typedef {import('./udp-socket.mjs').Peer} Peer */

const tagPrefix = randomBytes(6).toString('hex');
let tagCount = 0;

/**
 * Where replies go: RFC 3261 section 18.2.2 with RFC 3581.
 * @param {SipMessage} request
 * @param {Peer} from
 * @returns {Peer}
 */
function replyPeer(request, from) {
  const [via] = request.headers.via;
  const hasRport = Object.hasOwn(via.params, 'rport');
  if (hasRport) via.params.rport = from.port;
  if (hasRport || via.host !== from.address) via.params.received = from.address;
  return { address: from.address, port: hasRport ? from.port : (via.port ?? 5060) };
}

/** @param {SipMessage['headers']['to']} to */
function withTag(to) {
  return to.params.tag ? to : { ...to, params: { ...to.params, tag: tagPrefix + (tagCount++).toString(36) } };
}

/** A reply without a transaction. @param {SipMessage} request @param {number} status @param {string} reason */
export function statelessReply(request, status, reason) {
  const response = makeResponse(request, status, reason);
  response.headers.to = withTag(response.headers.to);
  return Buffer.from(stringify(response), 'latin1');
}

export class ServerTransaction {
  /** Null once the final reply is out: what is kept for retransmissions is the reply. @type {SipMessage | null} */
  request;
  /** What it was read from. */
  text;
  /** The peer that replies go to. */
  peer;
  /** The branch it was relayed on. @type {import('./client-transaction.mjs').ClientTransaction | null} */
  branch = null;
  /** 0 until there is a final reply. */
  finalStatus = 0;
  #layer;
  #key;
  #isInvite;
  /** @type {Buffer | null} */
  #lastReply = null;
  #isAcknowledged = false;
  /** Suspended, or repeating a reply. @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {import('./transaction-layer.mjs').TransactionLayer} layer
   * @param {string} key
   * @param {SipMessage} request
   * @param {string} text
   * @param {Peer} from
   */
  constructor(layer, key, request, text, from) {
    this.#layer = layer;
    this.#key = key;
    this.#isInvite = request.method === 'INVITE';
    this.request = request;
    this.text = text;
    this.peer = replyPeer(request, from);
  }

  /**
   * @param {number} status
   * @param {string} reason
   * @returns {boolean} false when it has its final reply
   */
  reply(status, reason) {
    const { request } = this;
    if (request === null) return false;
    // Provisional replies of ours are 100 only, so one tag is all that a call gets.
    const response = makeResponse(request, status, reason);
    if (status > 100) response.headers.to = withTag(response.headers.to);
    return this.send(status, response);
  }

  /** Sends a response, made here or by a callee. @param {number} status @param {SipMessage} response */
  send(status, response) {
    if (this.finalStatus !== 0) return false;
    this.#lastReply = Buffer.from(stringify(response), 'latin1');
    this.#layer.send(this.#lastReply, this.peer);
    if (status < 200) return true;

    this.finalStatus = status;
    this.request = null;
    this.text = '';
    clearTimeout(this.#timer);
    if (this.#isInvite && status >= 300) this.#repeatUntilAck(kT1Ms, kT1Ms);
    else this.#endLater();
    return true;
  }

  onRetransmission() {
    if (this.#lastReply !== null && !this.#isAcknowledged) this.#layer.send(this.#lastReply, this.peer);
  }

  onAck() {
    if (this.#isAcknowledged || this.finalStatus < 300) return;
    this.#isAcknowledged = true;
    clearTimeout(this.#timer);
    this.#endLater();
  }

  /** An INVITE that waits is confirmed, or it would be sent again. */
  trying() {
    if (this.#isInvite && this.#lastReply === null) this.reply(100, 'Trying');
  }

  /**
   * Goes on after so many milliseconds unless it was answered before.
   * @param {number} delayMs
   * @param {() => void} resume
   */
  suspend(delayMs, resume) {
    this.trying();
    this.#resumeAt(performance.now() + delayMs, delayMs, resume);
  }

  /** Node counts whole milliseconds and may be one early. @param {number} dueMs @param {number} delayMs @param {() => void} resume */
  #resumeAt(dueMs, delayMs, resume) {
    this.#timer = setTimeout(() => {
      if (performance.now() < dueMs) this.#resumeAt(dueMs, 1, resume);
      else resume();
    }, delayMs);
  }

  /** The caller has withdrawn it. */
  cancel() {
    if (this.finalStatus !== 0) return;
    if (this.branch !== null) this.branch.cancel();
    else this.reply(487, 'Request Terminated');
  }

  /** @param {number} intervalMs @param {number} sinceMs from the reply until the next repetition */
  #repeatUntilAck(intervalMs, sinceMs) {
    this.#timer = setTimeout(() => {
      if (sinceMs >= kGiveUpMs) {
        this.#layer.endServer(this.#key);
        return;
      }
      this.onRetransmission();
      const nextMs = Math.min(2 * intervalMs, kT2Ms);
      this.#repeatUntilAck(nextMs, sinceMs + nextMs);
    }, intervalMs);
  }

  #endLater() {
    this.#timer = setTimeout(() => this.#layer.endServer(this.#key), kWaitMs);
  }
}
