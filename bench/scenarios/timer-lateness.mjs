// How late a suspended call goes on, seen by the caller: its answer's time, less the delay asked for, less the round
// trip of calls that are answered directly in the same run.
import { runSender } from '../load.mjs';
import { watchOthers } from '../process-tree.mjs';
import { quantile, rounded } from '../statistics.mjs';
import { markdownTable } from '../report.mjs';
import { comparisonsOf } from '../comparisons.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'timer-lateness';
export const title = 'Lateness of a suspended call in milliseconds';
/** @type {string[]} */
export const needs = [];

/** As many as `sip-cpu` has: until then V8's compiler takes the core from the routes now and then. */
const kWarmUpCalls = 30_000;
const kWarmUpRate = 6000;
/** The first second of each run counts for the sender's own warm-up. */
const kUncountedSeconds = 1;
const kLoadSeconds = { few: 4, many: 3 };

/** @param {boolean} quick */
export function cases(quick) {
  const rates = quick ? [50] : [50, 1000];
  const delays = quick ? [5, 100] : [1, 5, 20, 100, 1000, 5000];
  return rates.flatMap((rate) => delays.map((delayMs) => ({ rate, delayMs })));
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  return inTurns(context, cases(context.quick), async (server, { rate, delayMs }) => {
    const seconds = rate > 100 ? kLoadSeconds.many : kLoadSeconds.few;
    const routes = [{ user: 'msdelay', delayMs }, { user: 'direct', delayMs: 0 }];
    const load = { port: server.port, method: /** @type {const} */ ('OPTIONS'), routes, latencies: true };
    await runSender({ ...load, rate: kWarmUpRate, calls: kWarmUpCalls }, context.cores.load);

    const others = watchOthers();
    // Every second request is a direct one, so each route runs at the rate of the case.
    const calls = 2 * rate * (kUncountedSeconds + seconds);
    const uncounted = 2 * rate * kUncountedSeconds;
    const result = await runSender({ ...load, rate: 2 * rate, calls, uncounted }, context.cores.load);
    const [suspended, direct] = result.routes;
    const lateness = (suspended.latenciesMs ?? []).map((latencyMs) => latencyMs - delayMs - direct.p50Ms);
    const missing = calls - result.answered;
    const lost = missing === 0 ? '' : `${missing} of ${calls} calls not answered with 404`;
    const twice = result.secondAnswers === 0 ? '' : `${result.secondAnswers} second answers`;
    const early = result.early === 0 ? '' : `${result.early} of ${calls / 2} early`;
    const why = [lost, twice, early].filter((fault) => fault !== '').join(', ');
    return {
      ok: missing === 0,
      ...(why === '' ? {} : { why }),
      figures: {
        directP50Ms: direct.p50Ms,
        p50Ms: rounded(quantile(lateness, 0.5)),
        p90Ms: rounded(quantile(lateness, 0.9)),
        p99Ms: rounded(quantile(lateness, 0.99)),
        maxMs: rounded(lateness[lateness.length - 1] ?? NaN),
        earliestMs: rounded(lateness[0] ?? NaN),
        early: result.early,
        othersPercent: rounded(others()),
      },
    };
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = ['calls/s', 'delay', 'server', 'p50', 'p90', 'p99', 'max', 'earliest', 'early', 'runs', 'notes'];
  const body = rows.map(({ case: testCase, contender, figures, used, notes }) => [
    testCase.rate,
    `${testCase.delayMs} ms`,
    contender,
    ...['p50Ms', 'p90Ms', 'p99Ms'].map((figure) => figures[figure]?.median.toFixed(2) ?? '-'),
    figures.maxMs?.max.toFixed(2) ?? '-',
    figures.earliestMs?.min.toFixed(2) ?? '-',
    figures.early?.max ?? '-',
    used,
    notes.join('; '),
  ]);
  return markdownTable(head, body);
}

/** @param {import('../turns.mjs').Row[]} rows */
export function charts(rows) {
  return [...new Set(rows.map((row) => Number(row.case.rate)))].map((rate) => ({
    file: `timer-lateness-${rate}`,
    title: `Lateness at ${rate} calls a second: 99 of 100 are at most this late`,
    kind: /** @type {const} */ ('lines'),
    xLabel: 'delay, ms',
    yLabel: 'p99, ms',
    logX: true,
    logY: true,
    series: [...new Set(rows.map((row) => row.contender))].map((contender) => ({
      name: contender,
      points: rows.flatMap((row) => {
        const figure = row.contender === contender && row.case.rate === rate ? row.figures.p99Ms : undefined;
        return figure ? [{ x: Number(row.case.delayMs), y: figure.median, min: figure.min, max: figure.max }] : [];
      }),
    })),
  }));
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  const caseName = (/** @type {Record<string, unknown>} */ { delayMs, rate }) => `suspended ${delayMs} ms, ${rate}/s`;
  return [
    { figure: 'p50Ms', measure: 'lateness p50, ms' },
    { figure: 'p99Ms', measure: 'lateness p99, ms' },
  ].flatMap((each) => comparisonsOf(rows, { ...each, caseName, lessIsBetter: true }));
}
