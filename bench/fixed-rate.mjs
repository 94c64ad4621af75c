// One load of SIPp at a fixed rate, what the server used for it, and whether it held the rate.
import { runSipp } from './load.mjs';
import { cpuNsBetween, readCpuNs, watchOthers } from './process-tree.mjs';
import { rounded, sleep } from './statistics.mjs';

const kRetransmittedShareLimit = 0.005;
const kRateShareLimit = 0.97;

/**
 * What keeps a load from counting: the server or SIPp did not hold the rate.
 * @param {Awaited<ReturnType<typeof runSipp>>} load
 * @param {number} rate
 */
export function faultOf(load, rate) {
  if (load.exitCode !== 0 && load.ok === load.calls) return `SIPp ended with ${load.exitCode}`;
  if (load.failed > 0 || load.ok !== load.calls) return `${load.calls - load.ok} of ${load.calls} calls failed`;
  if (load.retransmitted > kRetransmittedShareLimit * load.calls) return `${load.retransmitted} retransmissions`;
  if (load.achievedRate < kRateShareLimit * rate) return `only ${Math.round(load.achievedRate)} calls a second sent`;
  return '';
}

/**
 * @typedef {object} FixedRate
 * @property {'options' | 'invite'} method
 * @property {string} route
 * @property {number} rate calls a second
 * @property {number} seconds
 * @property {number} [graceSeconds] how long calls may take when all are sent
 */

/**
 * @param {import('./server-process.mjs').Server} server
 * @param {number} core of the load
 * @param {FixedRate} asked
 * @param {{ settleMs?: number, idleCpuPercent?: number }} [settling] how long the server is watched after the last answer:
 *   ending its transactions belongs to the calls, what it uses when nobody calls does not
 * @returns {Promise<import('./turns.mjs').Sample>}
 */
export async function atFixedRate(server, core, asked, { settleMs = 0, idleCpuPercent = 0 } = {}) {
  const { method, route, rate, seconds, graceSeconds } = asked;
  const others = watchOthers();
  const before = readCpuNs(server.pid);
  const startMs = performance.now();
  const calls = Math.round(rate * seconds);
  const load = await runSipp({ port: server.port, core, method, route, rate, calls, graceSeconds });
  const cpuNs = cpuNsBetween(before, readCpuNs(server.pid));
  const elapsedMs = performance.now() - startMs;
  const othersPercent = rounded(others());
  /** @type {Record<string, number>} */
  const settled = {};
  if (settleMs > 0) {
    await sleep(settleMs);
    const settledNs = cpuNsBetween(before, readCpuNs(server.pid)) - (idleCpuPercent / 100) * settleMs * 1e6;
    settled.settledCpuUsPerCall = rounded(settledNs / 1000 / load.calls);
  }
  const why = faultOf(load, rate);
  return {
    ok: why === '',
    ...(why === '' ? {} : { why }),
    figures: {
      cpuUsPerCall: rounded(cpuNs / 1000 / load.calls),
      ...settled,
      serverCpuPercent: rounded(cpuNs / 1e4 / elapsedMs),
      loadCpuPercent: rounded(load.cpuPercent),
      loadPeakPercent: rounded(load.peakCpuPercent),
      meanResponseMs: rounded(load.meanResponseMs),
      achievedRate: rounded(load.achievedRate),
      retransmitted: load.retransmitted,
      othersPercent,
    },
  };
}
