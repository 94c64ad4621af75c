// What it costs to hand every message over to a group: CPU time for each call, and whether the rate is held, beside the same
// proxy that does everything in its receiver, and the same with an event route that only looks.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runSipp } from '../load.mjs';
import { cpuNsBetween, readCpuNs, watchOthers } from '../process-tree.mjs';
import { contenderTable } from '../report.mjs';
import { freeUdpPort, startServer } from '../server-process.mjs';
import { rounded, withSpread } from '../statistics.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'sworker';
export const title = 'CPU time per call, handed over to a group of two and not';
export const needs = ['sipp'];
export const minutes = 6;

const kWarmUpSeconds = 5;
const kLoadSeconds = 10;
const kQuickLoadSeconds = 3;
const kRetransmittedShareLimit = 0.005;
const kRateShareLimit = 0.97;
const kRates = { options: [4000, 12_000, 24_000], invite: [4000, 8000] };

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** @param {string} file @param {string} ownTitle @returns {import('../turns.mjs').Contender} */
function variant(file, ownTitle) {
  const module = fileURLToPath(new URL(`../sworker/${file}.proxy.mjs`, import.meta.url));
  return {
    name: file,
    title: ownTitle,
    unavailable: () => (existsSync(main) ? '' : 'not built: npm run build'),
    async start({ core }) {
      const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
      const port = await freeUdpPort();
      return startServer({
        command: [process.execPath, main, 'run', module, '--listen', `udp:127.0.0.1:${port}`],
        core,
        port,
        version,
        readyLine: `listening on udp:127.0.0.1:${port}`,
      });
    },
  };
}

export const contenders = [
  variant('handed-over', 'handed over'),
  variant('direct', 'without'),
  variant('event-only', 'event route only'),
];

/** @param {boolean} quick @param {number | undefined} rate replaces the list */
export function cases(quick, rate) {
  return /** @type {const} */ (['options', 'invite']).flatMap((method) => {
    const rates = rate === undefined ? (quick ? kRates[method].slice(0, 1) : kRates[method]) : [rate];
    return rates.map((each) => ({ method, rate: each }));
  });
}

/**
 * @param {Awaited<ReturnType<typeof runSipp>>} load
 * @param {number} rate
 */
function faultOf(load, rate) {
  if (load.failed > 0 || load.ok !== load.calls) return `${load.calls - load.ok} of ${load.calls} calls failed`;
  if (load.retransmitted > kRetransmittedShareLimit * load.calls) return `${load.retransmitted} retransmissions`;
  if (load.achievedRate < kRateShareLimit * rate) return `only ${Math.round(load.achievedRate)} calls a second sent`;
  return '';
}

/** @param {import('../turns.mjs').Context & { rate?: number }} context */
export async function run(context) {
  const asked = cases(context.quick, context.rate);
  return inTurns(context, asked, async (server, { method, rate }) => {
    const load = { port: server.port, core: context.cores.load, method, route: 'direct', rate };
    await runSipp({ ...load, calls: rate * (context.quick ? 1 : kWarmUpSeconds) });
    const others = watchOthers();
    const before = readCpuNs(server.pid);
    const startMs = performance.now();
    const result = await runSipp({ ...load, calls: rate * (context.quick ? kQuickLoadSeconds : kLoadSeconds) });
    const cpuNs = cpuNsBetween(before, readCpuNs(server.pid));
    const elapsedMs = performance.now() - startMs;
    const why = faultOf(result, rate);
    return {
      ok: why === '',
      ...(why === '' ? {} : { why }),
      figures: {
        cpuUsPerCall: rounded(cpuNs / 1000 / result.calls),
        serverCpuPercent: rounded(cpuNs / 1e4 / elapsedMs),
        meanResponseMs: rounded(result.meanResponseMs),
        achievedRate: rounded(result.achievedRate),
        retransmitted: result.retransmitted,
        othersPercent: rounded(others()),
      },
    };
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  return contenderTable(rows, {
    caseColumns: {
      request: ({ method }) => String(method).toUpperCase(),
      'calls/s': ({ rate }) => String(rate),
    },
    figureTitle: 'us/call',
    figure: (row) => withSpread(row.figures.cpuUsPerCall ?? null),
    ratio: (row) => row.figures.cpuUsPerCall?.median ?? NaN,
  });
}
