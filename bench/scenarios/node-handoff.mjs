// What it costs to hand work over from the main thread to worker threads, and to get an answer back.
import * as engine from '../contenders/handoff/engine.mjs';
import * as piscina from '../contenders/handoff/piscina.mjs';
import * as postMessage from '../contenders/handoff/post-message.mjs';
import * as ring from '../contenders/handoff/ring.mjs';
import * as taskData from '../contenders/handoff/task-data.mjs';
import { compare, processesInTurns, runProcess } from '../fresh-process.mjs';
import { markdownTable } from '../report.mjs';
import { rounded, withSpread } from '../statistics.mjs';

export const name = 'node-handoff';
export const title = 'Tasks handed over to worker threads';
/** @type {string[]} */
export const needs = [];
export const contenders = [taskData, engine, postMessage, piscina, ring];
export const minutes = 3;

/** A process that hangs would hold up all others. */
const kLimitSeconds = 60;
const kThroughput = 'throughput';
const kRoundTrip = 'round trip';

/** @typedef {{ measure: 'throughput' | 'round trip', workers: number, bytes: number }} Case */

/** @param {boolean} quick @returns {Case[]} */
export function cases(quick) {
  const workers = quick ? [1] : [1, 2];
  const sizes = quick ? [100] : [100, 1000];
  /** @type {Case[]} */
  const throughput = workers.flatMap((count) => sizes.map((bytes) => ({ measure: kThroughput, workers: count, bytes })));
  // One task at a time keeps one worker busy, however many there are.
  /** @type {Case[]} */
  const roundTrips = sizes.map((bytes) => ({ measure: kRoundTrip, workers: 1, bytes }));
  return [...throughput, ...roundTrips];
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  return processesInTurns(context, context.contenders, cases(context.quick), async (contender, testCase) => {
    const options = { contender, ...testCase, seconds: context.quick ? 1 : 3 };
    /** @type {import('../handoff-main.mjs').Result} */
    const { fault, tasks, seconds, cpuUs, medianUs, p99Us } = await runProcess('handoff-main.mjs', options, kLimitSeconds);
    const cpuUsPerTask = rounded(cpuUs / tasks);
    const own =
      testCase.measure === kThroughput
        ? { perSecond: rounded(tasks / seconds) }
        : { medianUs: rounded(medianUs), p99Us: rounded(p99Us) };
    return {
      ok: fault === '',
      ...(fault === '' ? {} : { why: fault }),
      figures: { ...own, cpuUsPerTask },
    };
  });
}

/** @typedef {import('../turns.mjs').Row} Row */

/** @param {Row['figures'][string] | undefined} figure */
const thousands = (figure) =>
  figure ? { median: figure.median / 1000, min: figure.min / 1000, max: figure.max / 1000 } : null;

/** @param {Row[]} rows */
export function table(rows) {
  const of = (/** @type {string} */ measure) => rows.filter((row) => row.case.measure === measure);
  const throughput = of(kThroughput).map(({ case: { workers, bytes }, contender, figures, used, notes }) => [
    workers,
    bytes,
    contender,
    withSpread(thousands(figures.perSecond), 0),
    withSpread(figures.cpuUsPerTask ?? null, 2),
    used,
    notes.join('; '),
  ]);
  const roundTrips = of(kRoundTrip).map(({ case: { bytes }, contender, figures, used, notes }) => [
    bytes,
    contender,
    withSpread(figures.medianUs ?? null),
    withSpread(figures.p99Us ?? null),
    withSpread(figures.cpuUsPerTask ?? null),
    used,
    notes.join('; '),
  ]);
  return [
    ...markdownTable(['workers', 'bytes', 'by', 'tasks/s, thousands', 'CPU, us/task', 'runs', 'notes'], throughput),
    '',
    ...markdownTable(['bytes', 'by', 'round trip, us', 'p99, us', 'CPU, us/task', 'runs', 'notes'], roundTrips),
  ];
}

const kOfCase = (/** @type {Case} */ { measure, workers, bytes }) =>
  measure === kThroughput ? `${workers} ${workers === 1 ? 'worker' : 'workers'}, ${bytes} bytes` : `one at a time, ${bytes} bytes`;

/** @param {Row[]} rows */
export function charts(rows) {
  const titles = [...new Set(rows.map((row) => row.contender))];
  /** @param {string} measure @param {string} figure @param {{ file: string, title: string, yLabel: string }} labels */
  const chart = (measure, figure, labels, scale = 1) => ({
    kind: /** @type {const} */ ('bars'),
    xLabel: measure === kThroughput ? 'workers, payload' : 'payload',
    series: titles.map((contender) => ({
      name: contender,
      points: rows.flatMap((row) => {
        const value = row.figures[figure];
        if (row.contender !== contender || row.case.measure !== measure || !value) return [];
        const x = kOfCase(/** @type {any} */ (row.case));
        return [{ x, y: value.median * scale, min: value.min * scale, max: value.max * scale }];
      }),
    })),
    ...labels,
  });
  return [
    chart(
      kThroughput,
      'perSecond',
      { file: 'node-handoff-throughput', title: 'Tasks handed over', yLabel: 'tasks/s, thousands' },
      1e-3,
    ),
    chart(kRoundTrip, 'medianUs', { file: 'node-handoff-round-trip', title: 'Round trip of one task', yLabel: 'median, us' }),
  ];
}

/** @param {Row[]} rows */
export function comparisons(rows) {
  const throughput = rows.filter((row) => row.case.measure === kThroughput);
  const roundTrips = rows.filter((row) => row.case.measure === kRoundTrip);
  const what = { nameOf: kOfCase, leftOut: [taskData.title, engine.title] };
  return [taskData.title, engine.title].flatMap((ours) => [
    ...compare(throughput, { ...what, ours, figure: 'perSecond', measure: `${ours}: tasks/s`, lessIsBetter: false }),
    ...compare(throughput, { ...what, ours, figure: 'cpuUsPerTask', measure: `${ours}: CPU, us/task`, lessIsBetter: true }),
    ...compare(roundTrips, { ...what, ours, figure: 'medianUs', measure: `${ours}: round trip, us`, lessIsBetter: true }),
  ]);
}
