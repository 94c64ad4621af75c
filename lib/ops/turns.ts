import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { onAbort, stoppedBy } from './operation.ts';

interface Waiter {
  readonly go: () => void;
  readonly refuse: (error: SipAsyncError) => void;
}

/** How many may work at once, and how many may wait for it; who comes first is served first, and nothing blocks. */
export class Turns {
  readonly #max: number;
  readonly #maxQueue: number;
  // A Set keeps the order and loses one from its middle in constant time, as an aborted one must be lost.
  readonly #queue = new Set<Waiter>();
  #taken = 0;
  #isClosed = false;
  #whenIdle: (() => void) | undefined;

  constructor(max: number, maxQueue: number) {
    this.#max = max;
    this.#maxQueue = maxQueue;
  }

  get running(): number {
    return this.#taken;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /**
   * Resolves when it is the caller's turn, who then calls {@link give} exactly once. Rejects with `POOL_FULL`, `CLOSED`, or as
   * the signal says; nothing has to be given back then.
   */
  async take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw stoppedBy(signal);
    if (this.#isClosed) throw makeError('CLOSED');
    if (this.#taken < this.#max) {
      this.#taken += 1;
      return;
    }
    if (this.#queue.size >= this.#maxQueue) {
      throw makeError('POOL_FULL', `${this.#taken} under way and ${this.#queue.size} waiting`);
    }
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        go: () => {
          stopListening();
          resolve();
        },
        refuse: (error) => {
          stopListening();
          reject(error);
        },
      };
      const stopListening = onAbort(signal, () => {
        this.#queue.delete(waiter);
        reject(stoppedBy(signal));
      });
      this.#queue.add(waiter);
    });
  }

  /** Ends a turn; the next one's begins. */
  give(): void {
    const [next] = this.#queue;
    if (next !== undefined) {
      this.#queue.delete(next);
      next.go();
      return;
    }
    this.#taken -= 1;
    if (this.#taken === 0) this.#whenIdle?.();
  }

  /** Refuses all who wait and all who come. Resolves when the last turn has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const waiter of this.#queue) waiter.refuse(makeError('CLOSED'));
    this.#queue.clear();
    if (this.#taken > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
  }
}
