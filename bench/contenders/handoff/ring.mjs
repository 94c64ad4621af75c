// Hand-off through a ring in shared memory for each worker, with Atomics.wait and Atomics.notify. A worker that waits for its
// ring cannot do anything else: no timer, no socket, no message reaches it. That is what it pays for its speed.
import { Worker } from 'node:worker_threads';
import { waitAsync } from '../../handoff-tally.mjs';
import { kAnswer, kAsks, kHead, kSleeps, kSlots, kTail, kWords, layout } from './ring.layout.mjs';

export const name = 'ring';
export const title = 'ring in SharedArrayBuffer';
export const unavailable = () => '';

/** One ring: written here, read by one worker. */
class Ring {
  #words;
  #sizes;
  #bytes;
  #slotBytes;
  #tail = 0;

  /** @param {SharedArrayBuffer} memory @param {number} slotBytes */
  constructor(memory, slotBytes) {
    ({ words: this.#words, sizes: this.#sizes, bytes: this.#bytes } = layout(memory));
    this.#slotBytes = slotBytes;
  }

  get waiting() {
    return (this.#tail - Atomics.load(this.#words, kHead)) | 0;
  }

  /** @param {Uint8Array} payload @param {number} asks 1: an answer is wanted */
  push(payload, asks) {
    if (this.waiting >= kSlots) return false;
    const slot = this.#tail & (kSlots - 1);
    this.#bytes.set(payload, slot * this.#slotBytes);
    this.#sizes[slot] = payload.length;
    if (asks !== 0) Atomics.store(this.#words, kAsks, 1);
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(this.#words, kTail, this.#tail);
    if (Atomics.load(this.#words, kSleeps) === 1) Atomics.notify(this.#words, kTail, 1);
    return true;
  }

  async answer() {
    for (;;) {
      const answer = Atomics.exchange(this.#words, kAnswer, -1);
      if (answer !== -1) return answer;
      const { async: isAsync, value } = waitAsync(this.#words, kAnswer, -1, 1000);
      if (isAsync) await value;
    }
  }
}

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers: count, bytes: slotBytes }) {
  const made = Array.from({ length: count }, () => {
    const memory = new SharedArrayBuffer(4 * (kWords + kSlots) + kSlots * slotBytes);
    Atomics.store(new Int32Array(memory), kAnswer, -1);
    const worker = new Worker(new URL('ring.worker.mjs', import.meta.url), { workerData: { memory, slotBytes } });
    return { worker, ring: new Ring(memory, slotBytes) };
  });
  await Promise.all(made.map(({ worker }) => new Promise((resolve) => worker.once('message', resolve))));
  const rings = made.map(({ ring }) => ring);
  let next = 0;
  return {
    send(payload) {
      next = (next + 1) % count;
      return rings[next].push(payload, 0);
    },
    ask(payload) {
      rings[0].push(payload, 1);
      return rings[0].answer();
    },
    close: async () => void (await Promise.all(made.map(({ worker }) => worker.terminate()))),
  };
}
