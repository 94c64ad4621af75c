// The message as routes see it, on the main thread and, with what a route may do there, on a worker thread.
/** @typedef {import('./udp-socket.mjs').Peer} Peer */

/**
 * A task as it crosses to a worker: its kind, the number of the call that waits for it (0 when none does), the route, and
 * the request or the data.
 * @typedef {[kind: 'route' | 'data' | 'tkv', call: number, route: string, payload: any]} Task
 */

/** @typedef {[call: number, status: number, reason: string]} Reply what comes back from a worker */

/** @typedef {{ route: Record<string, (msg: any) => void>, eventRoute: Record<string, (msg: any) => void> }} Routes */

export class Message {
  #proxy;
  #server;
  #request;

  /**
   * @param {import('./proxy.mjs').Proxy} proxy
   * @param {import('./server-transaction.mjs').ServerTransaction} server
   * @param {import('./sip-package.mjs').SipMessage} request
   */
  constructor(proxy, server, request) {
    this.#proxy = proxy;
    this.#server = server;
    this.#request = request;
  }

  /** @returns {string} */
  get ruri() {
    return this.#request.uri ?? '';
  }

  /** @returns {string} */
  get callId() {
    return this.#request.headers['call-id'];
  }

  /** @returns {string} */
  get srcIp() {
    return this.#server.peer.address;
  }

  /** @param {number} status @param {string} reason */
  tReply(status, reason) {
    this.#server.reply(status, reason);
  }

  /** @param {number} status @param {string} reason */
  slSendReply(status, reason) {
    this.#proxy.layer.replyStateless(this.#server, status, reason);
  }

  /** @param {string} route @param {number} delayMs */
  asyncMsRoute(route, delayMs) {
    this.#server.suspend(delayMs, () => this.#proxy.runRoute(route, this, this.#server));
  }

  /** @param {string} route */
  asyncTaskRoute(route) {
    this.#server.trying();
    this.#proxy.handOver(route, this.#server);
  }

  /** @param {string} route @param {string} data */
  asyncTaskData(route, data) {
    this.#proxy.pushTask(['data', 0, route, data]);
  }

  /** @param {number} type @param {string} key @param {string} val */
  asyncTkvEmit(type, key, val) {
    this.#proxy.pushTask(['tkv', 0, 'core:tkv', [type, key, val]]);
  }

  /** @param {Peer} peer */
  tRelay(peer) {
    this.#proxy.layer.relay(this.#server, peer);
  }
}
