// A worker thread: runs task routes, or, handed over every message, the whole proxy.
import { parentPort, workerData } from 'node:worker_threads';
import { Proxy } from './proxy.mjs';
import * as routes from './routes.mjs';
import { parse } from './sip-package.mjs';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

/** A request whose route goes on here. It is parsed again, and only when the route looks into it. */
class TaskMessage {
  #text;
  /** @type {import('./sip-package.mjs').SipMessage | undefined} */
  #parsed;
  /** @type {[number, string] | null} */
  answer = null;

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  get parsed() {
    return (this.#parsed ??= parse(this.#text));
  }

  get ruri() {
    return this.parsed?.uri ?? '';
  }

  /** @param {number} status @param {string} reason */
  tReply(status, reason) {
    this.answer ??= [status, reason];
  }
}

/** @param {import('./message.mjs').Task} task @returns {import('./message.mjs').Reply | undefined} */
function runTask([kind, call, name, payload]) {
  const message = new TaskMessage(kind === 'route' ? payload : '');
  try {
    if (kind === 'route') routes.route[name](message);
    else if (kind === 'data') routes.route[name]({ asyncData: payload });
    else routes.eventRoute[name]({ atkv: { type: payload[0], key: payload[1], val: payload[2], gname: 'default' } });
  } catch (error) {
    console.error(error);
  }
  if (kind !== 'route') return undefined;
  const [status, reason] = message.answer ?? [500, 'Server Internal Error'];
  return [call, status, reason];
}

if (workerData.handOver) {
  /** @type {[string, number, string][]} */
  let datagrams = [];
  const flush = () => {
    port.postMessage(datagrams);
    datagrams = [];
  };
  const proxy = new Proxy({
    local: workerData.local,
    send(bytes, to) {
      if (datagrams.length === 0) setImmediate(flush);
      datagrams.push([bytes.toString('latin1'), to.port, to.address]);
    },
    routes,
    // It is a worker already.
    pushTask: (task) => void setImmediate(() => proxy.onReplies([runTask(task)].filter((reply) => reply !== undefined))),
  });
  port.on('message', (/** @type {[string, number, string][]} */ batch) => {
    for (const [text, fromPort, address] of batch) proxy.layer.receive(text, { port: fromPort, address });
  });
} else {
  port.on('message', (/** @type {import('./message.mjs').Task[]} */ tasks) => {
    const replies = tasks.map(runTask).filter((reply) => reply !== undefined);
    if (replies.length > 0) port.postMessage(replies);
  });
}
