// CPU time of the server for each call, at fixed rates that both servers hold.
import { cpuNsBetween, readCpuNs, watchOthers } from '../process-tree.mjs';
import { runSipp } from '../load.mjs';
import { rounded, sleep, withSpread } from '../statistics.mjs';
import { inTurns } from '../turns.mjs';
import { contenderTable } from '../report.mjs';

export const name = 'sip-cpu';
export const title = 'CPU time per call, answered directly and after 100 ms suspended';
export const needs = ['sipp'];

const kWarmUpSeconds = 5;
const kLoadSeconds = 10;
const kQuickLoadSeconds = 5;
const kRetransmittedShareLimit = 0.005;
const kRateShareLimit = 0.97;
/** Both servers keep an answered transaction for 5 s; what it costs to end it belongs to the call. */
const kSettleMs = 6000;

/** An INVITE is three more messages than an OPTIONS, hence the lower second rate. */
const kRates = { options: [4000, 12_000], invite: [4000, 8000] };

/** @param {boolean} quick @param {number | undefined} rate replaces the list, for a trial on a slow or busy machine */
export function cases(quick, rate) {
  const methods = /** @type {const} */ (['options', 'invite']);
  return methods.flatMap((method) =>
    ['direct', 'msroute'].flatMap((route) => {
      const rates = rate === undefined ? (quick ? kRates[method].slice(0, 1) : kRates[method]) : [rate];
      return rates.map((each) => ({ method, route, rate: each }));
    }),
  );
}

/**
 * @param {Awaited<ReturnType<typeof runSipp>>} load
 * @param {number} rate
 */
function faultOf(load, rate) {
  if (load.exitCode !== 0 && load.ok === load.calls) return `SIPp ended with ${load.exitCode}`;
  if (load.failed > 0 || load.ok !== load.calls) return `${load.calls - load.ok} of ${load.calls} calls failed`;
  if (load.retransmitted > kRetransmittedShareLimit * load.calls) return `${load.retransmitted} retransmissions`;
  if (load.achievedRate < kRateShareLimit * rate) return `only ${Math.round(load.achievedRate)} calls a second sent`;
  return '';
}

/** @param {import('../turns.mjs').Context & { rate?: number }} context */
export async function run(context) {
  const loadSeconds = context.quick ? kQuickLoadSeconds : kLoadSeconds;
  const settleMs = context.quick ? 0 : kSettleMs;
  const asked = cases(context.quick, context.rate);
  return inTurns(context, asked, async (server, { method, route, rate }, idleCpuPercent) => {
    const load = { port: server.port, core: context.cores.load, method, route, rate };
    await runSipp({ ...load, calls: rate * kWarmUpSeconds });

    const others = watchOthers();
    const before = readCpuNs(server.pid);
    const startMs = performance.now();
    const result = await runSipp({ ...load, calls: rate * loadSeconds });
    const answered = readCpuNs(server.pid);
    const elapsedMs = performance.now() - startMs;
    const othersPercent = rounded(others());
    await sleep(settleMs);
    const settled = readCpuNs(server.pid);

    const cpuNs = cpuNsBetween(before, answered);
    // Less what the server uses when nobody calls, else the pause would be charged to the calls.
    const settledNs = cpuNsBetween(before, settled) - (idleCpuPercent / 100) * settleMs * 1e6;
    const why = faultOf(result, rate);
    return {
      ok: why === '',
      ...(why === '' ? {} : { why }),
      figures: {
        cpuUsPerCall: rounded(cpuNs / 1000 / result.calls),
        ...(settleMs === 0 ? {} : { settledCpuUsPerCall: rounded(settledNs / 1000 / result.calls) }),
        serverCpuPercent: rounded(cpuNs / 1e4 / elapsedMs),
        meanResponseMs: rounded(result.meanResponseMs),
        achievedRate: rounded(result.achievedRate),
        retransmitted: result.retransmitted,
        othersPercent,
      },
    };
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  return contenderTable(rows, {
    caseColumns: {
      request: ({ method }) => String(method).toUpperCase(),
      route: ({ route }) => (route === 'direct' ? 'answered directly' : 'suspended 100 ms'),
      'calls/s': ({ rate }) => String(rate),
    },
    figureTitle: 'us/call',
    figure: (row) => withSpread(row.figures.cpuUsPerCall ?? null),
    ratio: (row) => row.figures.cpuUsPerCall?.median ?? NaN,
  });
}
