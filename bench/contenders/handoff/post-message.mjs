// Hand-off by postMessage of worker_threads: a MessagePort for each worker, used in turn.
import { Worker } from 'node:worker_threads';

export const name = 'post-message';
export const title = 'postMessage';
export const unavailable = () => '';

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers: count }) {
  const workers = Array.from({ length: count }, () => new Worker(new URL('post-message.worker.mjs', import.meta.url)));
  /** @type {(number: number) => void} */
  let answered = () => {};
  for (const worker of workers) worker.on('message', (number) => answered(number));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('online', () => resolve(undefined)))));
  let next = 0;
  return {
    send(payload) {
      workers[next].postMessage(payload);
      next = (next + 1) % count;
      return true;
    },
    ask(payload) {
      return new Promise((resolve) => {
        answered = resolve;
        workers[0].postMessage({ payload });
      });
    },
    close: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  };
}
