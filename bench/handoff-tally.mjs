// What every worker of the hand-off scenario keeps of its tasks, in memory that all threads share: how many they were, and
// two sums of what they held. The main thread finds its backpressure and its check there, the same for all contenders.
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';

const kKey = 'sip-async.bench.handoff';
const kMaxWorkers = 8;
/** A cache line: no two workers write to the same. */
const kLineWords = 16;
/** A worker looks this often whether the main thread waits. */
const kTasksBetweenLooks = 32;

// Words of the first line.
const kWorkers = 0;
/** The number of tasks that the main thread waits for, 0 for none; whoever has seen that they are done sets it to 0. */
const kAwaited = 1;
// Words of a worker's line.
const kCount = 0;
const kSum = 1;
const kSquares = 2;

/** @param {Int32Array} words @param {number} word */
function total(words, word) {
  const workers = Atomics.load(words, kWorkers);
  let sum = 0;
  for (let worker = 1; worker <= workers; worker++) sum = (sum + Atomics.load(words, worker * kLineWords + word)) | 0;
  return sum;
}

/** The number that the sender wrote, and the last byte: so the payload is read at both ends. @param {Uint8Array} payload */
function lookAt(payload) {
  const number = payload[0] | (payload[1] << 8) | (payload[2] << 16) | (payload[3] << 24);
  return payload[payload.length - 1] === (number & 0xff) ? number : -1;
}

/** @param {Uint8Array} payload @param {number} number */
export function writeNumber(payload, number) {
  payload[0] = number;
  payload[1] = number >> 8;
  payload[2] = number >> 16;
  payload[3] = number >> 24;
  payload[payload.length - 1] = number;
}

/** The worker's side: takes the next line, and returns what is to be called with each payload. */
export function countTasks() {
  const words = /** @type {Int32Array} */ (getEnvironmentData(kKey));
  const line = (Atomics.add(words, kWorkers, 1) + 1) * kLineWords;
  let count = 0;
  let sum = 0;
  let squares = 0;
  return (/** @type {Uint8Array} */ payload) => {
    const number = lookAt(payload);
    count += 1;
    sum = (sum + number) | 0;
    squares = (squares + Math.imul(number, number)) | 0;
    words[line + kSum] = sum;
    words[line + kSquares] = squares;
    // Last, and sequentially consistent: who sees the count sees the sums.
    Atomics.store(words, line + kCount, count);
    if (count % kTasksBetweenLooks === 0) {
      const awaited = Atomics.load(words, kAwaited);
      if (awaited !== 0 && total(words, kCount) >= awaited && Atomics.compareExchange(words, kAwaited, awaited, 0) === awaited) {
        Atomics.notify(words, kAwaited);
      }
    }
    return number;
  };
}

/** The main thread's side; to be made before the workers. */
export class Tally {
  #words = new Int32Array(new SharedArrayBuffer((kMaxWorkers + 1) * kLineWords * Int32Array.BYTES_PER_ELEMENT));
  #sum = 0;
  #squares = 0;
  sent = 0;

  constructor() {
    setEnvironmentData(kKey, this.#words);
  }

  get done() {
    return total(this.#words, kCount);
  }

  /** @param {number} number of a task that was sent */
  add(number) {
    this.sent += 1;
    this.#sum = (this.#sum + number) | 0;
    this.#squares = (this.#squares + Math.imul(number, number)) | 0;
  }

  /** Until so many tasks are done; a worker tells within its next few tasks. @param {number} count */
  async reach(count) {
    Atomics.store(this.#words, kAwaited, count);
    while (Atomics.load(this.#words, kAwaited) !== 0) {
      if (this.done >= count) break;
      const { async: isAsync, value } = waitAsync(this.#words, kAwaited, count, 100);
      if (isAsync) await value;
    }
    Atomics.store(this.#words, kAwaited, 0);
  }

  /** What is wrong with what the workers got, or an empty string. */
  fault() {
    if (this.done !== this.sent) return `${this.done} of ${this.sent} tasks done`;
    const right = total(this.#words, kSum) === this.#sum && total(this.#words, kSquares) === this.#squares;
    return right ? '' : 'the workers got other tasks than were sent';
  }
}

/** Newer than the library that the types are checked with. */
export const waitAsync =
  /** @type {(words: Int32Array, at: number, value: number, timeoutMs: number) => { async: boolean, value: Promise<string> }} */ (
    /** @type {any} */ (Atomics).waitAsync
  );
