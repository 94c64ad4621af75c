// A group of worker threads that run routes. What is handed over in one turn of the event loop goes in one message for each
// worker: a message of its own for each task costs several times as much.
import { Worker } from 'node:worker_threads';

/** @typedef {{ worker: Worker, batch: unknown[] }} Member */

export class WorkerGroup {
  /** @type {Member[]} */
  #members = [];
  #next = 0;
  #isScheduled = false;

  /**
   * @param {number} workers
   * @param {Record<string, unknown>} workerData
   * @param {(results: any[]) => void} onResults
   * @param {(error: unknown) => void} onDeath
   */
  constructor(workers, workerData, onResults, onDeath) {
    for (let count = 0; count < workers; count++) {
      const worker = new Worker(new URL('worker-main.mjs', import.meta.url), { workerData });
      worker.on('message', onResults);
      worker.on('error', onDeath);
      this.#members.push({ worker, batch: [] });
    }
  }

  /** @param {unknown} task */
  push(task) {
    this.#members[this.#next].batch.push(task);
    this.#next = (this.#next + 1) % this.#members.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  async stop() {
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #flush() {
    this.#isScheduled = false;
    for (const member of this.#members) {
      if (member.batch.length === 0) continue;
      member.worker.postMessage(member.batch);
      member.batch = [];
    }
  }
}
