import { parentPort, workerData } from 'node:worker_threads';
import { countTasks } from '../../handoff-tally.mjs';
import { kAnswer, kAsks, kHead, kSleeps, kSlots, kTail, layout } from './ring.layout.mjs';

const { memory, slotBytes } = workerData;
const { words, sizes, bytes } = layout(memory);
const count = countTasks();
let head = 0;

parentPort?.postMessage('ready');
for (;;) {
  const tail = Atomics.load(words, kTail);
  if (tail === head) {
    Atomics.store(words, kSleeps, 1);
    Atomics.wait(words, kTail, head);
    Atomics.store(words, kSleeps, 0);
    continue;
  }
  while (head !== tail) {
    const slot = head & (kSlots - 1);
    const at = slot * slotBytes;
    // The task's own copy, in memory that is not shared: what is behind it may be written again.
    const payload = new Uint8Array(sizes[slot]);
    payload.set(bytes.subarray(at, at + sizes[slot]));
    head = (head + 1) | 0;
    Atomics.store(words, kHead, head);
    const number = count(payload);
    if (Atomics.load(words, kAsks) === 1) {
      Atomics.store(words, kAsks, 0);
      Atomics.store(words, kAnswer, number);
      Atomics.notify(words, kAnswer);
    }
  }
}
