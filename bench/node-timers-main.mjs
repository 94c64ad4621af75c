// Process entry of the node-timers scenario: options as JSON in the first argument, the result over the IPC channel.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readMemory } from './process-tree.mjs';
import { quantile, sleep } from './statistics.mjs';

/**
 * @typedef {object} Timers what a contender's `open` returns
 * @property {(delayMs: number, id: number) => void} start
 * @property {(id: number) => boolean} cancel
 * @property {() => Promise<void>} close
 */

/** @typedef {(options: { most: number, onExpire: (id: number) => void }) => Promise<Timers>} Open */

/**
 * @typedef {object} Options
 * @property {string} contender name of its file
 * @property {number} pending
 * @property {'same' | 'random'} delays
 */

/**
 * @typedef {object} Result
 * @property {string} fault empty when each timer expired once and none early
 * @property {Record<string, number>} figures
 */

const kWarmUp = 20_000;
/** Expiries are spread over this when delays are random. */
const kSpreadMs = 2000;
/** Waited for with everything pending, before the first expires. */
const kQuietMs = 1000;
const kLongMs = 600_000;
const kLimitMs = 30_000;
const kLoopResolutionMs = 1;

/** A small generator, so that all contenders get the same delays. @param {number} seed */
function makeRandom(seed) {
  let state = seed;
  return (/** @type {number} */ below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** @param {Options} options @returns {Promise<Result>} */
async function measure({ contender, pending, delays }) {
  const { open, earlyMs } = /** @type {{ open: Open, earlyMs: number }} */ (
    await import(`./contenders/node-timers/${contender}.mjs`)
  );
  const gc = /** @type {() => void} */ (globalThis.gc);
  const most = Math.max(pending, kWarmUp);
  const dueMs = new Float64Array(most);
  const lateMs = new Float64Array(most);
  const expiries = new Uint8Array(most);
  let expired = 0;
  const onExpire = (/** @type {number} */ id) => {
    lateMs[id] = performance.now() - dueMs[id];
    expiries[id] += 1;
    expired += 1;
  };
  const timers = await open({ most: most + 16, onExpire });
  const random = makeRandom(0x5eed);

  /** @param {number} count @param {number} leastMs @param {number} spreadMs */
  function start(count, leastMs, spreadMs) {
    for (let id = 0; id < count; id++) {
      const delayMs = leastMs + (spreadMs > 0 ? random(spreadMs) : 0);
      dueMs[id] = performance.now() + delayMs;
      timers.start(delayMs, id);
    }
  }
  /** @param {number} count */
  async function awaitExpiry(count) {
    const limit = performance.now() + kLimitMs;
    while (expired < count && performance.now() < limit) await sleep(20);
  }
  /** In another order than they were started. @param {number} count */
  function cancelAll(count) {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const other = random(i + 1);
      const id = order[i];
      order[i] = order[other];
      order[other] = id;
    }
    const before = cpuUs();
    let cancelled = 0;
    for (const id of order) if (timers.cancel(id)) cancelled += 1;
    return { cancelled, before };
  }
  // The compiler has seen everything, and memory that the first use takes is taken.
  start(kWarmUp, 50, 50);
  await awaitExpiry(kWarmUp);
  start(kWarmUp, kLongMs, 0);
  cancelAll(kWarmUp);
  await sleep(200);
  expired = 0;
  expiries.fill(0);
  // Touched now, so that they do not count as the contender's memory.
  dueMs.fill(0);
  lateMs.fill(0);
  gc();
  gc();
  const memoryBefore = readMemory(process.pid);

  // Long enough for all to be started, and some quiet behind it.
  const leastMs = kQuietMs + Math.ceil(pending * 0.004);
  const spreadMs = delays === 'random' ? kSpreadMs : 0;
  const startedMs = performance.now();
  let before = cpuUs();
  start(pending, leastMs, spreadMs);
  const startUs = (cpuUs() - before) / pending;
  const startMs = performance.now() - startedMs;
  const earliestMs = startedMs + leastMs;
  gc();
  gc();
  const memory = readMemory(process.pid);

  // Its own timer counts the loop's, so it is made when all stand still.
  const loop = monitorEventLoopDelay({ resolution: kLoopResolutionMs });
  loop.enable();
  const idleMs = performance.now();
  before = cpuUs();
  await sleep(Math.max(0, earliestMs - performance.now() - 50));
  const idlePercent = (cpuUs() - before) / (performance.now() - idleMs) / 10;
  loop.disable();
  const idleLoopMaxMs = loop.max / 1e6;
  if (expired !== 0) return { fault: `${expired} expired before their time`, figures: {} };

  loop.reset();
  loop.enable();
  before = cpuUs();
  await awaitExpiry(pending);
  const expireUs = (cpuUs() - before) / pending;
  loop.disable();
  await sleep(50);

  const faults = [];
  const wrong = expiries.subarray(0, pending).reduce((sum, count) => sum + (count === 1 ? 0 : 1), 0);
  if (wrong > 0) faults.push(`${wrong} of ${pending} lost or doubled`);
  const late = lateMs.subarray(0, pending).slice().sort();
  const early = late.reduce((sum, ms) => sum + (ms < 0 ? 1 : 0), 0);
  const tooEarly = late.reduce((sum, ms) => sum + (ms < -earlyMs ? 1 : 0), 0);
  if (tooEarly > 0) faults.push(`${tooEarly} early by more than ${earlyMs} ms`);

  expired = 0;
  start(pending, kLongMs, spreadMs);
  gc();
  const { cancelled, before: cancelBefore } = cancelAll(pending);
  // With what is cleared away behind it.
  await sleep(300);
  const cancelUs = (cpuUs() - cancelBefore) / pending;
  if (cancelled !== pending) faults.push(`${pending - cancelled} of ${pending} not cancelled`);
  if (expired !== 0) faults.push(`${expired} expired that were cancelled`);
  await timers.close();
  const sorted = Array.from(late);
  return {
    fault: faults.join(', '),
    figures: {
      startUs,
      cancelUs,
      expireUs,
      startMs,
      pssBytes: (memory.pssBytes - memoryBefore.pssBytes) / pending,
      rssBytes: (memory.rssBytes - memoryBefore.rssBytes) / pending,
      idlePercent,
      idleLoopMaxMs,
      loopP99Ms: loop.percentile(99) / 1e6,
      loopMaxMs: loop.max / 1e6,
      lateP50Ms: quantile(sorted, 0.5),
      lateP99Ms: quantile(sorted, 0.99),
      lateMaxMs: sorted[sorted.length - 1],
      early,
    },
  };
}

const result = await measure(JSON.parse(process.argv[2]));
if (process.send) process.send(result, () => process.disconnect());
else console.log(JSON.stringify(result));
