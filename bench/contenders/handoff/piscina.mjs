// Hand-off by piscina, the pool that Node programs use most. Its backpressure is its own: the promises of its tasks.
import { createRequire } from 'node:module';

// As much of it as is used here: its own declarations do not pass the strict checks of this project.
/** @typedef {{ run(task: Uint8Array): Promise<number>, destroy(): Promise<void> }} Pool */
/** @typedef {{ new (options: object): Pool, version: string }} PoolClass */

const requireHere = createRequire(import.meta.url);
/** @returns {PoolClass} */
const load = () => requireHere('piscina').Piscina;

export const name = 'piscina';
export const title = 'piscina';
export const version = () => load().version;

export function unavailable() {
  try {
    requireHere.resolve('piscina');
    return '';
  } catch {
    return 'piscina is not installed: npm ci';
  }
}

/** Tasks that a worker is given ahead of its answers; more than these changed nothing. */
const kTasksPerWorker = 16;

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers }) {
  const Piscina = load();
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
