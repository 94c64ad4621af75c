// Process entry of the shared-vars scenario: options as JSON in the first argument, the result over the IPC channel. The
// worker threads run the same file.
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { htable } from 'sip-async';

/** @typedef {'inc' | 'get' | 'set'} Operation */

/**
 * @typedef {object} Options
 * @property {'htable' | 'map'} store
 * @property {number} inFlight requests that a thread has on their way at a time, for `map`
 * @property {number} threads
 * @property {Operation} operation
 * @property {number} seconds
 */

/**
 * @typedef {object} Result
 * @property {number} operations
 * @property {number} seconds
 * @property {number} cpuUs of all threads together
 * @property {boolean} right whether the store holds what was done to it
 */

const kKeys = 1000;
const kWarmUpSeconds = 0.5;
const kOperationsBetweenLooks = 100;
const kText = 'sip:alice@192.0.2.17:5060';
const keys = Array.from({ length: kKeys }, (_, i) => `subscriber-${i}@example.com`);
const table = htable('bench');

/** @type {Record<Operation, (key: string) => unknown>} */
const onTable = {
  inc: (key) => table.inc(key),
  get: (key) => table.get(key),
  set: (key) => table.set(key, kText),
};

/** @type {Map<string, any>} */
const map = new Map();
/** @type {Record<Operation, (key: string, value?: string) => unknown>} */
const onMap = {
  inc(key) {
    const sum = map.get(key) + 1;
    map.set(key, sum);
    return sum;
  },
  get: (key) => map.get(key),
  set: (key, value) => (map.set(key, value), true),
};

/** A worker thread as the main thread sees it, which answers what it asks of the map. */
class Thread {
  #worker;
  /** @type {(operations: number) => void} */
  #finish = () => {};

  /** @param {Options} options */
  constructor(options) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: options });
    this.#worker.on('message', (message) => {
      if (!Array.isArray(message)) return this.#finish(message.operations);
      const [id, operation, key, value] = message;
      this.#worker.postMessage([id, onMap[/** @type {Operation} */ (operation)](key, value)]);
    });
  }

  /** @param {number} seconds @returns {Promise<number>} how many operations it did */
  work(seconds) {
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#worker.postMessage({ seconds });
    });
  }

  end() {
    return this.#worker.terminate();
  }
}

/** @param {Options} options @returns {Promise<Result>} */
async function measure({ seconds, threads: count, operation, store, ...rest }) {
  for (const key of keys) {
    table.set(key, operation === 'inc' ? 0 : kText);
    map.set(key, operation === 'inc' ? 0 : kText);
  }
  const options = { seconds, threads: count, operation, store, ...rest };
  const threads = Array.from({ length: count }, () => new Thread(options));
  const workAll = async (/** @type {number} */ forSeconds) => {
    const operations = await Promise.all(threads.map((thread) => thread.work(forSeconds)));
    return operations.reduce((sum, one) => sum + one, 0);
  };
  const warmUp = await workAll(kWarmUpSeconds);
  const startMs = performance.now();
  const before = process.cpuUsage();
  const operations = await workAll(seconds);
  const { user, system } = process.cpuUsage(before);
  const elapsed = (performance.now() - startMs) / 1000;
  await Promise.all(threads.map((thread) => thread.end()));

  const held = store === 'htable' ? [...table].map(([, value]) => value) : [...map.values()];
  const right =
    operation === 'inc'
      ? held.reduce((sum, value) => sum + Number(value), 0) === warmUp + operations
      : held.length === kKeys && held.every((value) => value === kText);
  return { operations, seconds: elapsed, cpuUs: user + system, right };
}

/** The worker's side. @param {Options} options */
function serve({ store, operation, inFlight }) {
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
  /** @type {Map<number, (value: unknown) => void>} */
  const waiting = new Map();
  let last = 0;
  // Not one key after the other: neighbours in the list are neighbours in memory.
  const nextKey = () => keys[(++last * 389) % kKeys];

  /** @param {number} endMs */
  function workOnTable(endMs) {
    let operations = 0;
    while (performance.now() < endMs) {
      for (let i = 0; i < kOperationsBetweenLooks; i++) onTable[operation](nextKey());
      operations += kOperationsBetweenLooks;
    }
    return operations;
  }

  /** @param {number} endMs */
  async function workOnMap(endMs) {
    let operations = 0;
    while (performance.now() < endMs) {
      const key = nextKey();
      const id = last;
      const answer = new Promise((resolve) => waiting.set(id, resolve));
      port.postMessage(operation === 'set' ? [id, operation, key, kText] : [id, operation, key]);
      await answer;
      operations++;
    }
    return operations;
  }

  port.on('message', async (message) => {
    if (Array.isArray(message)) {
      const [id, value] = message;
      waiting.get(id)?.(value);
      waiting.delete(id);
      return;
    }
    const endMs = performance.now() + message.seconds * 1000;
    if (store === 'htable') return port.postMessage({ operations: workOnTable(endMs) });
    const chains = await Promise.all(Array.from({ length: inFlight }, () => workOnMap(endMs)));
    port.postMessage({ operations: chains.reduce((sum, one) => sum + one, 0) });
  });
}

if (isMainThread) {
  const result = await measure(JSON.parse(process.argv[2]));
  process.send?.(result, () => process.disconnect());
} else {
  serve(workerData);
}
