// A hierarchical timing wheel in JavaScript: five levels of 64 buckets with a tick of 1 ms, all of it in typed arrays, driven by
// one setTimeout of 1 ms while anything waits. Like ours it is never early.
export const name = 'js-wheel';
export const title = 'timing wheel in JavaScript';
export const unavailable = () => '';
export const earlyMs = 0;

const kBits = 6;
const kBuckets = 1 << kBits;
const kMask = kBuckets - 1;
const kLevels = 5;
const kNone = -1;

class Wheel {
  #onExpire;
  #originMs = performance.now();
  /** The next tick to be dealt with. */
  #now = 0;
  #waiting = 0;
  #isDriven = false;
  /** First and last of each bucket's list, so that equal times expire in order. */
  #first = new Int32Array(kLevels * kBuckets).fill(kNone);
  #last = new Int32Array(kLevels * kBuckets).fill(kNone);
  #next;
  #previous;
  #due;
  /** The bucket that a timer stands in, kNone for one that does not wait. */
  #bucket;

  /** @param {number} most @param {(id: number) => void} onExpire */
  constructor(most, onExpire) {
    this.#onExpire = onExpire;
    this.#next = new Int32Array(most);
    this.#previous = new Int32Array(most);
    this.#due = new Float64Array(most);
    this.#bucket = new Int32Array(most).fill(kNone);
  }

  /** @param {number} delayMs @param {number} id */
  start(delayMs, id) {
    const ms = performance.now() - this.#originMs;
    // Nothing waits, so no tick between needs to be looked at.
    if (this.#waiting === 0) this.#now = Math.max(this.#now, Math.floor(ms));
    this.#waiting += 1;
    this.#due[id] = Math.max(this.#now, Math.ceil(ms + delayMs));
    this.#insert(id);
    if (!this.#isDriven) this.#drive();
  }

  /** @param {number} id */
  cancel(id) {
    const bucket = this.#bucket[id];
    if (bucket === kNone) return false;
    const next = this.#next[id];
    const previous = this.#previous[id];
    if (previous === kNone) this.#first[bucket] = next;
    else this.#next[previous] = next;
    if (next === kNone) this.#last[bucket] = previous;
    else this.#previous[next] = previous;
    this.#bucket[id] = kNone;
    this.#waiting -= 1;
    return true;
  }

  /** @param {number} id */
  #insert(id) {
    const due = this.#due[id];
    const ahead = due - this.#now;
    let level = 0;
    while (level < kLevels - 1 && ahead >= 2 ** (kBits * (level + 1))) level += 1;
    const bucket = level * kBuckets + (Math.floor(due / 2 ** (kBits * level)) & kMask);
    const last = this.#last[bucket];
    this.#next[id] = kNone;
    this.#previous[id] = last;
    if (last === kNone) this.#first[bucket] = id;
    else this.#next[last] = id;
    this.#last[bucket] = id;
    this.#bucket[id] = bucket;
  }

  /** Takes a bucket's whole list. @param {number} bucket */
  #empty(bucket) {
    const first = this.#first[bucket];
    this.#first[bucket] = kNone;
    this.#last[bucket] = kNone;
    return first;
  }

  #drive() {
    this.#isDriven = true;
    setTimeout(() => {
      this.#advance(Math.floor(performance.now() - this.#originMs));
      if (this.#waiting > 0) this.#drive();
      else this.#isDriven = false;
    }, 1);
  }

  /** @param {number} to the tick that has come */
  #advance(to) {
    while (this.#now <= to && this.#waiting > 0) {
      for (let level = 1; level < kLevels && this.#now % 2 ** (kBits * level) === 0; level++) this.#spread(level);
      const bucket = this.#now & kMask;
      // One at a time: what expires may cancel what stands behind it, or start another for this very tick.
      for (let id = this.#first[bucket]; id !== kNone; id = this.#first[bucket]) {
        this.cancel(id);
        this.#onExpire(id);
      }
      this.#now += 1;
    }
  }

  /** @param {number} level */
  #spread(level) {
    let id = this.#empty(level * kBuckets + (Math.floor(this.#now / 2 ** (kBits * level)) & kMask));
    while (id !== kNone) {
      const next = this.#next[id];
      this.#insert(id);
      id = next;
    }
  }
}

/** @type {import('../../node-timers-main.mjs').Open} */
export async function open({ most, onExpire }) {
  const wheel = new Wheel(most, onExpire);
  return {
    start: (delayMs, id) => wheel.start(delayMs, id),
    cancel: (id) => wheel.cancel(id),
    close: async () => {},
  };
}
