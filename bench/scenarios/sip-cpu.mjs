// CPU time of the server for each call, by what its route does, at fixed rates.
import { atFixedRate } from '../fixed-rate.mjs';
import { runSipp } from '../load.mjs';
import { contenderTable } from '../report.mjs';
import { chooseCalleePort, routeTitles, startOptionsOf, userOf, withCallee } from '../routes.mjs';
import { withSpread } from '../statistics.mjs';
import { comparisonsOf } from '../comparisons.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'sip-cpu';
export const title = 'CPU time per call, by what the route does';
export const needs = ['sipp'];

/** So many calls, at a rate that all hold, before any is counted: until then V8's compiler is at work. */
const kWarmUpCalls = 30_000;
const kWarmUpRate = 6000;
const kLoadSeconds = 3;
const kQuickLoadSeconds = 2;
/** The servers keep an answered transaction for 5 s; what it costs to end it belongs to the call, and is looked at here. */
const kSettleMs = 6000;
const settledRoute = 'msroute';

/** The first is held by all; an INVITE is three more messages than an OPTIONS, hence the lower second one. */
const kRates = { options: [4000, 12_000], invite: [4000, 8000] };
/** The others are asked at the first rate only. */
const routesOfTwoRates = { options: ['direct', 'msroute', 'task', 'relay'], invite: ['direct', 'msroute', 'relay'] };

/** @typedef {{ method: 'options' | 'invite', route: string, rate: number }} Case */

/**
 * @param {boolean} quick
 * @param {number | undefined} rate replaces the list, for a trial on a slow or busy machine
 * @returns {Case[]}
 */
export function cases(quick, rate) {
  const methods = /** @type {const} */ (['options', 'invite']);
  const routes = quick ? ['direct', 'msroute', 'relay'] : Object.keys(routeTitles);
  return methods.flatMap((method) =>
    routes.flatMap((route) => {
      const all = quick || !routesOfTwoRates[method].includes(route) ? kRates[method].slice(0, 1) : kRates[method];
      return (rate === undefined ? all : [rate]).map((each) => ({ method, route, rate: each }));
    }),
  );
}

/**
 * A server that failed at a rate is not asked at a higher one.
 * @param {Case} testCase
 * @param {import('../turns.mjs').Contender} contender
 * @param {import('../turns.mjs').Row[]} rows
 */
function failedBelow({ method, route, rate }, contender, rows) {
  const failed = rows.find(
    ({ case: known, contender: title, ok }) =>
      !ok && title === contender.title && known.method === method && known.route === route && Number(known.rate) < rate,
  );
  return failed === undefined ? '' : `not asked: it did not hold ${failed.case.rate}/s`;
}

/** @param {import('../turns.mjs').Context & { rate?: number }} context */
export async function run(context) {
  const calleePort = await chooseCalleePort();
  const own = {
    ...context,
    startOptions: (/** @type {Case} */ testCase) => startOptionsOf(testCase, calleePort),
    skip: failedBelow,
  };
  return inTurns(own, cases(context.quick, context.rate), (server, testCase, idleCpuPercent) => {
    const { method, route, rate } = /** @type {Case} */ (testCase);
    const core = context.cores.load;
    const seconds = context.quick ? kQuickLoadSeconds : kLoadSeconds;
    const isSettled = !context.quick && route === settledRoute && rate === kRates[method][0];
    const settleMs = isSettled ? kSettleMs : 0;
    return withCallee(testCase, calleePort, core, async () => {
      const asked = { method, route: userOf(route), rate };
      await runSipp({ ...asked, rate: kWarmUpRate, port: server.port, core, calls: kWarmUpCalls });
      return atFixedRate(server, core, { ...asked, seconds }, { settleMs, idleCpuPercent });
    });
  });
}

/** @param {Record<string, unknown>} testCase */
const routeTitle = ({ route }) => routeTitles[String(route)];

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  return contenderTable(rows, {
    caseColumns: {
      request: ({ method }) => String(method).toUpperCase(),
      route: routeTitle,
      'calls/s': ({ rate }) => String(rate),
    },
    figureTitle: 'us/call',
    figure: (row) => withSpread(row.figures.cpuUsPerCall ?? null),
    ratio: (row) => row.figures.cpuUsPerCall?.median ?? NaN,
  });
}

/** One chart for each request, the bars at its first rate. @param {import('../turns.mjs').Row[]} rows */
export function charts(rows) {
  return /** @type {const} */ (['options', 'invite']).map((method) => {
    const lowest = Math.min(...rows.filter((row) => row.case.method === method).map((row) => Number(row.case.rate)));
    const shown = rows.filter((row) => row.case.method === method && row.case.rate === lowest);
    return {
      file: `sip-cpu-${method}`,
      title: `CPU time of the server for each ${method.toUpperCase()}, ${lowest} calls a second`,
      kind: /** @type {const} */ ('bars'),
      xLabel: 'route',
      yLabel: 'us/call',
      series: [...new Set(shown.map((row) => row.contender))].map((contender) => ({
        name: contender,
        points: shown.flatMap((row) => {
          const figure = row.contender === contender ? row.figures.cpuUsPerCall : undefined;
          return figure ? [{ x: routeTitle(row.case), y: figure.median, min: figure.min, max: figure.max }] : [];
        }),
      })),
    };
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  return comparisonsOf(rows, {
    caseName: ({ method, route, rate }) => `${String(method).toUpperCase()}, ${routeTitles[String(route)]}, ${rate}/s`,
    figure: 'cpuUsPerCall',
    measure: 'CPU, us/call',
    lessIsBetter: true,
  });
}
