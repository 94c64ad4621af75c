// Process entry of the node-handoff scenario: options as JSON in the first argument, the result over the IPC channel.
import { Tally, writeNumber } from './handoff-tally.mjs';
import { median, quantile, sleep } from './statistics.mjs';

/**
 * @typedef {object} Handoff what a contender's `open` returns
 * @property {(payload: Uint8Array) => boolean} send hands a task over; false when it was not taken
 * @property {(payload: Uint8Array) => Promise<number>} ask the same, and the answer: the number that the worker read
 * @property {() => number} [open] how many tasks it still has, for contenders that know it themselves
 * @property {(left: number) => Promise<void>} [until] waits until it has so few, for the same
 * @property {() => Promise<void>} close
 */

/** @typedef {(options: { workers: number, bytes: number }) => Promise<Handoff>} Open */

/**
 * @typedef {object} Options
 * @property {string} contender name of its file
 * @property {'throughput' | 'round trip'} measure
 * @property {number} workers
 * @property {number} bytes of a payload
 * @property {number} seconds
 */

/**
 * @typedef {object} Result
 * @property {string} fault empty when each task was done once, as it was sent
 * @property {number} tasks
 * @property {number} seconds
 * @property {number} cpuUs of all threads together
 * @property {number} medianUs of a round trip; 0, as the next, where throughput is measured
 * @property {number} p99Us
 */

/** Tasks that may be open at a time: full queues, and bounded ones. */
const kWindow = 2048;
const kWarmUpSeconds = 1;
const kWarmUpAsks = 2000;
/** Between two round trips, so that both threads have gone to sleep: that is where a single task finds them. */
const kAsksBetweenPauses = 50;
const kDrainSeconds = 10;

/** @param {Options} options @returns {Promise<Result>} */
async function measure({ contender, measure: what, workers, bytes, seconds }) {
  const { open } = /** @type {{ open: Open }} */ (await import(`./contenders/handoff/${contender}.mjs`));
  const tally = new Tally();
  const handoff = await open({ workers, bytes });
  // A payload is written again only when its task is over: some contenders keep it until it can be sent.
  const payloads = Array.from({ length: 2 * kWindow }, () => new Uint8Array(bytes));
  let last = 0;
  const nextPayload = () => {
    const payload = payloads[++last % payloads.length];
    writeNumber(payload, last);
    return payload;
  };
  const countOpen = handoff.open ?? (() => tally.sent - tally.done);
  const until = handoff.until ?? ((/** @type {number} */ left) => tally.reach(tally.sent - left));

  /** @param {number} forSeconds */
  async function sendFor(forSeconds) {
    const endMs = performance.now() + forSeconds * 1000;
    const before = tally.sent;
    while (performance.now() < endMs) {
      for (let open = countOpen(); open < kWindow; open++) {
        if (!handoff.send(nextPayload())) throw new Error('a task was refused');
        tally.add(last);
      }
      await until(kWindow / 2);
    }
    const drained = performance.now() + kDrainSeconds * 1000;
    while (tally.done < tally.sent && performance.now() < drained) await sleep(1);
    return tally.sent - before;
  }

  /** @param {number} most @param {number} endMs @param {number[]} times */
  async function ask(most, endMs, times) {
    let asked = 0;
    for (; asked < most && performance.now() < endMs; asked++) {
      if (asked % kAsksBetweenPauses === 0) await sleep(2);
      const payload = nextPayload();
      const startMs = performance.now();
      const number = await handoff.ask(payload);
      times.push((performance.now() - startMs) * 1000);
      tally.add(last);
      if (number !== last) throw new Error(`asked ${last}, answered ${number}`);
    }
    return asked;
  }

  /** @type {number[]} */
  const times = [];
  const isThroughput = what === 'throughput';
  await (isThroughput ? sendFor(kWarmUpSeconds) : ask(kWarmUpAsks, Infinity, []));
  const startMs = performance.now();
  const before = process.cpuUsage();
  const tasks = await (isThroughput ? sendFor(seconds) : ask(Infinity, startMs + seconds * 1000, times));
  const { user, system } = process.cpuUsage(before);
  const elapsed = (performance.now() - startMs) / 1000;
  const fault = tally.fault();
  await handoff.close();
  times.sort((a, b) => a - b);
  const [medianUs, p99Us] = isThroughput ? [0, 0] : [median(times), quantile(times, 0.99)];
  return { fault, tasks, seconds: elapsed, cpuUs: user + system, medianUs, p99Us };
}

const result = await measure(JSON.parse(process.argv[2]));
if (process.send) process.send(result, () => process.disconnect());
else console.log(JSON.stringify(result));
