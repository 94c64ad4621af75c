import { parentPort } from 'node:worker_threads';
import { countTasks } from '../../handoff-tally.mjs';

const count = countTasks();
const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

port.on('message', (message) => {
  if (message instanceof Uint8Array) count(message);
  else port.postMessage(count(message.payload));
});
