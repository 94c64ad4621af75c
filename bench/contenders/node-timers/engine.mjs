// Waits as tasks of sip-async/engine in the group `local`: the route runs in the thread that started them.
import { createEngine } from 'sip-async/engine';

export const name = 'engine';
export const title = 'sip-async/engine';
export const unavailable = () => '';
export const earlyMs = 0;

/** @type {import('../../node-timers-main.mjs').Open} */
export async function open({ most, onExpire }) {
  const engine = await createEngine({
    routes: { EXPIRE: (id) => onExpire(Number(id)) },
    maxSuspended: most,
    log: 'error',
  });
  const options = { route: 'EXPIRE', delayMs: 0 };
  // A handle is two numbers, and so many are kept best as numbers.
  const indexes = new Uint32Array(most);
  const labels = new Uint32Array(most);
  return {
    start(delayMs, id) {
      options.delayMs = delayMs;
      const handle = engine.suspend(String(id), options);
      if (handle === false) throw engine.asyncError;
      indexes[id] = handle.index;
      labels[id] = handle.label;
    },
    cancel: (id) => engine.cancel({ index: indexes[id], label: labels[id] }),
    close: async () => void (await engine.close({ timeoutMs: 0 })),
  };
}
