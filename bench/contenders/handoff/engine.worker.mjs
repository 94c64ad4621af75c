import { isMainThread } from 'node:worker_threads';
import { defineEngineRoutes } from 'sip-async/engine';
import { countTasks } from '../../handoff-tally.mjs';

const count = isMainThread ? () => 0 : countTasks();
const kAnswer = { route: 'ANSWER', delayMs: 0 };

export default defineEngineRoutes({
  TASK(payload) {
    count(/** @type {Buffer} */ (payload));
  },
  ASK(payload, { engine }) {
    const answer = new Uint8Array(4);
    new DataView(answer.buffer).setInt32(0, count(/** @type {Buffer} */ (payload)), true);
    if (engine.suspend(answer, kAnswer) === false) throw engine.asyncError;
  },
});
