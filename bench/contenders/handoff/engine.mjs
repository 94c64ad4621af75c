// Hand-off by engine.suspend of sip-async/engine, at once, to a group of workers; the answer is a task for the group `local`.
import { createEngine } from 'sip-async/engine';

export const name = 'engine';
export const title = 'sip-async/engine';
export const unavailable = () => '';

const kGroup = 'bench';
const kTask = { route: 'TASK', group: kGroup, delayMs: 0 };
const kAsk = { route: 'ASK', group: kGroup, delayMs: 0 };

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers }) {
  /** @type {(number: number) => void} */
  let answered = () => {};
  const engine = await createEngine({
    routes: {
      ANSWER: (payload) => answered(/** @type {Buffer} */ (payload).readInt32LE()),
    },
    groups: [{ name: kGroup, workers, module: new URL('engine.worker.mjs', import.meta.url) }],
    log: 'error',
  });
  return {
    send: (payload) => engine.suspend(payload, kTask) !== false,
    ask(payload) {
      return new Promise((resolve) => {
        answered = resolve;
        if (engine.suspend(payload, kAsk) === false) throw engine.asyncError;
      });
    },
    close: async () => void (await engine.close({ timeoutMs: 1000 })),
  };
}
