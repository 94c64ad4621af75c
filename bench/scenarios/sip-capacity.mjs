// The highest rate that a server holds, by what its route does: no call fails and at most 0.5 % are retransmitted.
import { comparisonsOf } from '../comparisons.mjs';
import { atFixedRate } from '../fixed-rate.mjs';
import { runSipp } from '../load.mjs';
import { markdownTable } from '../report.mjs';
import { chooseCalleePort, routeTitles, startOptionsOf, userOf, withCallee } from '../routes.mjs';
import { rounded, sleep, withSpread } from '../statistics.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'sip-capacity';
export const title = 'Highest rate that holds, by what the route does';
export const needs = ['sipp'];

const kWarmUpRate = 4000;
const kWarmUpSeconds = 2;
const kStepSeconds = 4;
const kStep = 1.18;
/** A failed step is given this long to end, and the server as long to forget it. */
const kGraceSeconds = 5;
const kRecoverMs = 6000;
const kLowestRate = 1000;
/** SIPp does everything in one thread: this much of a core is all it has. */
const kLoadLimitPercent = 95;

/** Calls a second to begin with, so that few steps are needed; where the search ends does not depend on it. */
const kFirstRates = {
  options: { 'sip-async': 40_000, kamailio: 21_000, 'pure-js': 17_000 },
  invite: { 'sip-async': 24_000, kamailio: 14_000, 'pure-js': 12_000 },
};
const kFirstRateOfOthers = 10_000;
/** What costs about twice as much begins lower. */
const kCostlyRoutes = ['relay'];

/** @typedef {import('../routes.mjs').RouteCase} RouteCase */

/** @param {boolean} quick @returns {RouteCase[]} */
export function cases(quick) {
  const routes = { options: ['direct', 'msroute', 'task', 'data', 'relay'], invite: ['direct', 'msroute'] };
  if (quick) return [{ method: 'options', route: 'msroute' }];
  return /** @type {const} */ (['options', 'invite']).flatMap((method) => routes[method].map((route) => ({ method, route })));
}

/**
 * Up in steps until a rate does not hold, or down until one does, and then one look half way between the two.
 * @param {number} first
 * @param {(rate: number) => Promise<boolean>} holds
 */
export async function highestRate(first, holds) {
  let rate = first;
  let best = 0;
  let failed = Infinity;
  while (rate >= kLowestRate && (best === 0 || failed === Infinity)) {
    if (await holds(rate)) best = rate;
    else failed = rate;
    rate = Math.round(failed === Infinity ? rate * kStep : rate / kStep);
  }
  const middle = Math.round((best + failed) / 2);
  if (best > 0 && (await holds(middle))) best = middle;
  return best;
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  const calleePort = await chooseCalleePort();
  const own = {
    ...context,
    // A search is several loads in a row; three of them would take an hour.
    rounds: 1,
    startOptions: (/** @type {RouteCase} */ testCase) => startOptionsOf(testCase, calleePort),
  };
  const core = context.cores.load;
  return inTurns(own, cases(context.quick), (server, testCase, _idleCpuPercent, contender) =>
    withCallee(testCase, calleePort, core, (callee) => search(server, testCase, firstRate(contender.name, testCase), core, callee, context.log)),
  );
}

/** @param {string} contender @param {RouteCase} testCase */
function firstRate(contender, { method, route }) {
  /** @type {Record<string, number>} */
  const rates = kFirstRates[method];
  return Math.round((rates[contender] ?? kFirstRateOfOthers) / (kCostlyRoutes.includes(route) ? 2 : 1));
}

/**
 * @param {import('../server-process.mjs').Server} server
 * @param {RouteCase} testCase
 * @param {number} first calls a second to begin with
 * @param {number} core
 * @param {{ totalCpuNs: () => number } | null} callee
 * @param {(line: string) => void} log
 * @returns {Promise<import('../turns.mjs').Sample>}
 */
async function search(server, { method, route }, first, core, callee, log) {
  const load = { method, route: userOf(route) };
  await runSipp({ ...load, port: server.port, core, rate: kWarmUpRate, calls: kWarmUpRate * kWarmUpSeconds });
  /** @type {Record<string, number>} */
  let best = {};
  let steps = 0;
  let highestLoadPercent = 0;
  let whyNotMore = '';
  const rate = await highestRate(first, async (asked) => {
    steps++;
    const calleeBefore = callee?.totalCpuNs() ?? 0;
    const startMs = performance.now();
    const sample = await atFixedRate(server, core, { ...load, rate: asked, seconds: kStepSeconds, graceSeconds: kGraceSeconds });
    const calleePercent = ((callee?.totalCpuNs() ?? 0) - calleeBefore) / 1e4 / (performance.now() - startMs);
    const loadCpuPercent = rounded(sample.figures.loadCpuPercent + calleePercent);
    highestLoadPercent = Math.max(highestLoadPercent, sample.figures.loadPeakPercent + calleePercent);
    log(`  ${asked}/s: ${sample.why ?? 'holds'}; server ${sample.figures.serverCpuPercent} %, load ${Math.round(loadCpuPercent)} %`);
    if (sample.ok) {
      best = { ...sample.figures, loadCpuPercent };
    } else {
      whyNotMore = `${asked}/s: ${sample.why}`;
      await sleep(kRecoverMs);
    }
    return sample.ok;
  });
  if (rate === 0) return { ok: false, why: `does not hold ${kLowestRate}/s (${whyNotMore})`, figures: {} };
  const atLimit = highestLoadPercent > kLoadLimitPercent;
  return {
    ok: true,
    ...(atLimit ? { notes: [`load generator at its limit (${Math.round(highestLoadPercent)} % of its core)`] } : {}),
    figures: { highestRate: rate, steps, ...best },
  };
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = ['request', 'route', 'server', 'calls/s', 'CPU there, us/call', 'server', 'load', 'runs', 'notes'];
  const body = rows.map(({ case: testCase, contender, figures, used, notes }) => [
    String(testCase.method).toUpperCase(),
    routeTitles[String(testCase.route)],
    contender,
    withSpread(figures.highestRate ?? null, 0),
    withSpread(figures.cpuUsPerCall ?? null),
    figures.serverCpuPercent ? `${figures.serverCpuPercent.median.toFixed(0)} %` : '-',
    figures.loadCpuPercent ? `${figures.loadCpuPercent.median.toFixed(0)} %` : '-',
    used,
    notes.join('; '),
  ]);
  return markdownTable(head, body);
}

/** @param {Record<string, unknown>} testCase */
const caseName = ({ method, route }) => `${String(method).toUpperCase()}, ${routeTitles[String(route)]}`;

/** @param {import('../turns.mjs').Row[]} rows */
export function charts(rows) {
  return [
    {
      file: 'sip-capacity',
      title: 'Highest rate that holds on one core',
      kind: /** @type {const} */ ('bars'),
      xLabel: 'request and route',
      yLabel: 'calls/s',
      series: [...new Set(rows.map((row) => row.contender))].map((contender) => ({
        name: contender,
        points: rows.flatMap((row) => {
          const figure = row.contender === contender ? row.figures.highestRate : undefined;
          return figure ? [{ x: caseName(row.case), y: figure.median, min: figure.min, max: figure.max }] : [];
        }),
      })),
    },
  ];
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  return [
    { figure: 'highestRate', measure: 'highest rate, calls/s', lessIsBetter: false },
    { figure: 'cpuUsPerCall', measure: 'CPU at the highest rate, us/call', lessIsBetter: true },
  ].flatMap((each) => comparisonsOf(rows, { ...each, caseName }));
}
