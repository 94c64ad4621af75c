// Hand-off by piscina, the pool that Node programs use most. Its backpressure is its own: the promises of its tasks.
import { Piscina } from 'piscina';

export const name = 'piscina';
export const title = 'piscina';
export const unavailable = () => '';

/** Tasks that a worker is given ahead of its answers; more than these changed nothing. */
const kTasksPerWorker = 16;

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers }) {
  const pool = new Piscina({
    filename: new URL('piscina.worker.mjs', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Infinity,
    concurrentTasksPerWorker: kTasksPerWorker,
    recordTiming: false,
  });
  let open = 0;
  let wanted = 0;
  let goOn = () => {};
  const settled = () => {
    open -= 1;
    if (open === wanted) goOn();
  };
  return {
    send(payload) {
      open += 1;
      // A copy, for its tasks do not end in order: one may be kept while thousands behind it are done. What failed is missed in
      // the count.
      pool.run(payload.slice()).then(settled, settled);
      return true;
    },
    ask: (payload) => pool.run(payload),
    open: () => open,
    until(left) {
      if (open <= left) return Promise.resolve();
      wanted = left;
      return new Promise((resolve) => {
        goOn = () => resolve();
      });
    },
    close: () => pool.destroy(),
  };
}
