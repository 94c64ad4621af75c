// What it costs a Node program to have many waits: to start them, to cancel them, and to see them expire.
import * as engine from '../contenders/node-timers/engine.mjs';
import * as jsWheel from '../contenders/node-timers/js-wheel.mjs';
import * as setTimeouts from '../contenders/node-timers/set-timeout.mjs';
import { compare, processesInTurns, runProcess } from '../fresh-process.mjs';
import { markdownTable } from '../report.mjs';
import { rounded, withSpread } from '../statistics.mjs';

export const name = 'node-timers';
export const title = 'Waits of a Node program';
/** @type {string[]} */
export const needs = [];
export const contenders = [engine, setTimeouts, jsWheel];
export const minutes = 5;

/** A process that hangs would hold up all others. */
const kLimitSeconds = 120;

/** @typedef {{ pending: number, delays: 'same' | 'random' }} Case */

/** @param {boolean} quick @returns {Case[]} */
export function cases(quick) {
  const counts = quick ? [100_000] : [1000, 10_000, 100_000, 1_000_000];
  /** @type {Case['delays'][]} */
  const delays = quick ? ['random'] : ['same', 'random'];
  return delays.flatMap((kind) => counts.map((pending) => ({ pending, delays: kind })));
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  return processesInTurns(context, context.contenders, cases(context.quick), async (contender, testCase) => {
    /** @type {import('../node-timers-main.mjs').Result} */
    const { fault, figures } = await runProcess('node-timers-main.mjs', { contender, ...testCase }, kLimitSeconds, ['--expose-gc']);
    return {
      ok: fault === '',
      ...(fault === '' ? {} : { why: fault }),
      figures: Object.fromEntries(Object.entries(figures).map(([figure, value]) => [figure, rounded(value)])),
    };
  });
}

/** @typedef {import('../turns.mjs').Row} Row */

/** @param {Row[]} rows */
export function table(rows) {
  const of = (/** @type {Row} */ { figures }, /** @type {string} */ figure, digits = 2) => figures[figure]?.median.toFixed(digits) ?? '-';
  const costs = rows.map((row) => [
    row.case.pending,
    row.case.delays,
    row.contender,
    ...['startUs', 'cancelUs', 'expireUs'].map((figure) => withSpread(row.figures[figure] ?? null, 2)),
    of(row, 'pssBytes', 0),
    of(row, 'idlePercent'),
    row.used,
    row.notes.join('; '),
  ]);
  const times = rows.map((row) => [
    row.case.pending,
    row.case.delays,
    row.contender,
    ...['lateP50Ms', 'lateP99Ms', 'lateMaxMs'].map((figure) => of(row, figure)),
    row.figures.early?.max ?? '-',
    ...['idleLoopMaxMs', 'loopP99Ms', 'loopMaxMs', 'startMs'].map((figure) => of(row, figure)),
  ]);
  const own = ['waits', 'delays', 'by'];
  const costTitles = ['start, us', 'cancel, us', 'expire, us', 'bytes for each', 'CPU while waiting, %', 'runs', 'notes'];
  const timeTitles = [
    'late, p50', 'p99', 'max', 'early', 'loop delay, waiting, max', 'loop delay, expiring, p99', 'max', 'all started in',
  ];
  return [...markdownTable([...own, ...costTitles], costs), '', ...markdownTable([...own, ...timeTitles], times)];
}

const kOfCase = (/** @type {Case} */ { pending, delays }) => `${pending} waits, ${delays} delays`;

/** What is drawn and compared. */
const kFigures = [
  { figure: 'startUs', measure: 'start, CPU us', file: 'node-timers-start', title: 'Starting a wait', yLabel: 'CPU, us' },
  { figure: 'cancelUs', measure: 'cancel, CPU us', file: 'node-timers-cancel', title: 'Cancelling a wait', yLabel: 'CPU, us' },
  { figure: 'expireUs', measure: 'expire, CPU us', file: 'node-timers-expire', title: 'A wait expires', yLabel: 'CPU, us' },
  { figure: 'pssBytes', measure: 'bytes for each', file: 'node-timers-memory', title: 'Memory of a wait', yLabel: 'bytes' },
  { figure: 'loopMaxMs', measure: 'loop delay, max, ms', file: 'node-timers-loop', title: 'Delay of the event loop while waits expire', yLabel: 'max, ms' },
];

/** @param {Row[]} rows */
export function charts(rows) {
  const titles = [...new Set(rows.map((row) => row.contender))];
  const random = rows.filter((row) => row.case.delays === 'random');
  return kFigures.map(({ figure, file, title: chartTitle, yLabel }) => ({
    file,
    title: `${chartTitle}, random delays`,
    kind: /** @type {const} */ ('lines'),
    xLabel: 'waits at a time',
    yLabel,
    logX: true,
    logY: true,
    series: titles.map((contender) => ({
      name: contender,
      points: random.flatMap((row) => {
        const value = row.figures[figure];
        if (row.contender !== contender || !value) return [];
        return [{ x: Number(row.case.pending), y: value.median, min: value.min, max: value.max }];
      }),
    })),
  }));
}

/** @param {Row[]} rows */
export function comparisons(rows) {
  return kFigures.flatMap(({ figure, measure }) =>
    compare(rows, { ours: engine.title, figure, measure, lessIsBetter: true, nameOf: kOfCase }),
  );
}
