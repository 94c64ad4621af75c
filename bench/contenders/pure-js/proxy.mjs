// The proxy: transaction layer, routes and the group of workers that task routes run in.
import { Message } from './message.mjs';
import { TransactionLayer } from './transaction-layer.mjs';

/** @typedef {import('./message.mjs').Task} Task */
/** @typedef {import('./server-transaction.mjs').ServerTransaction} ServerTransaction */
/** @typedef {import('./udp-socket.mjs').Peer} Peer */

export class Proxy {
  layer;
  #routes;
  #pushTask;
  /** Calls whose route runs in a worker. @type {Map<number, ServerTransaction>} */
  #handedOver = new Map();
  #callCount = 0;

  /**
   * @param {object} parts
   * @param {Peer} parts.local
   * @param {(bytes: Buffer, to: Peer) => void} parts.send
   * @param {typeof import('./routes.mjs')} parts.routes
   * @param {(task: Task) => void} parts.pushTask
   */
  constructor({ local, send, routes, pushTask }) {
    this.layer = new TransactionLayer(local, send, (server, request) => this.#onRequest(server, request));
    this.#routes = routes;
    this.#pushTask = pushTask;
  }

  /** @param {Task} task */
  pushTask(task) {
    this.#pushTask(task);
  }

  /** The call goes on in a worker. @param {string} route @param {ServerTransaction} server */
  handOver(route, server) {
    const call = ++this.#callCount;
    this.#handedOver.set(call, server);
    this.#pushTask(['route', call, route, server.text]);
  }

  /** What workers have decided. @param {import('./message.mjs').Reply[]} replies */
  onReplies(replies) {
    for (const [call, status, reason] of replies) {
      const server = this.#handedOver.get(call);
      this.#handedOver.delete(call);
      server?.reply(status, reason);
    }
  }

  /** @param {string} name @param {Message} message @param {ServerTransaction} server */
  runRoute(name, message, server) {
    this.#run(() => this.#routes.route[name](message), server);
  }

  /** @param {ServerTransaction} server @param {import('./sip-package.mjs').SipMessage} request */
  #onRequest(server, request) {
    this.#run(() => this.#routes.requestRoute(new Message(this, server, request)), server);
  }

  /** @param {() => void} route @param {ServerTransaction} server */
  #run(route, server) {
    try {
      route();
    } catch (error) {
      console.error(error);
      server.reply(500, 'Server Internal Error');
    }
  }
}
