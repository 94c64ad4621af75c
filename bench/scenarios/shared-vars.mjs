// What it costs worker threads to work on something that they share: htable, against a Map that the main thread keeps and
// that is asked with postMessage. No server: each run is a process of its own.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { awaitQuiet } from '../machine.mjs';
import { markdownTable } from '../report.mjs';
import { killAtExit } from '../server-process.mjs';
import { rounded, withSpread } from '../statistics.mjs';
import { rowOf } from '../turns.mjs';

export const name = 'shared-vars';
export const title = 'Operations on what threads share';
/** @type {string[]} */
export const needs = [];
export const minutes = 2;

const unavailable = () => '';

export const contenders = [
  { name: 'htable', title: 'htable', unavailable, store: 'htable', inFlight: 1 },
  { name: 'map', title: 'Map behind postMessage', unavailable, store: 'map', inFlight: 1 },
  { name: 'map-32', title: 'Map behind postMessage, 32 asked at a time', unavailable, store: 'map', inFlight: 32 },
];

/** @param {boolean} quick */
export function cases(quick) {
  const operations = quick ? ['inc'] : ['inc', 'get', 'set'];
  const threads = quick ? [2] : [1, 2, 4];
  return operations.flatMap((operation) => threads.map((count) => ({ operation, threads: count })));
}

/** @param {object} options @returns {Promise<import('../shared-vars-main.mjs').Result>} */
function runProcess(options) {
  const main = fileURLToPath(new URL('../shared-vars-main.mjs', import.meta.url));
  const child = fork(main, [JSON.stringify(options)], { execArgv: [] });
  killAtExit(child);
  return new Promise((resolve, reject) => {
    child.once('message', (result) => resolve(/** @type {any} */ (result)));
    child.once('exit', (code, signal) => reject(new Error(`the run ended early (${code ?? signal})`)));
  });
}

/** @param {object} options @returns {Promise<import('../turns.mjs').Run>} */
async function oneRun(options) {
  const othersPercent = await awaitQuiet();
  try {
    const { operations, seconds, cpuUs, right } = await runProcess(options);
    return {
      ok: right,
      ...(right ? {} : { why: 'the store does not hold what was done to it' }),
      figures: { perSecond: rounded(operations / seconds), cpuUsPerOperation: rounded(cpuUs / operations) },
      othersPercent: rounded(othersPercent),
    };
  } catch (error) {
    return { ok: false, why: /** @type {Error} */ (error).message, figures: {} };
  }
}

/** @param {Omit<import('../turns.mjs').Context, 'contenders'> & { contenders: typeof contenders }} context */
export async function run(context) {
  const stores = context.contenders;
  const rows = [];
  for (const testCase of cases(context.quick)) {
    /** @type {import('../turns.mjs').Run[][]} */
    const runs = stores.map(() => []);
    for (let round = 1; round <= context.rounds; round++) {
      for (const [i, { title: contender, store, inFlight }] of stores.entries()) {
        const sample = await oneRun({ ...testCase, store, inFlight, seconds: context.quick ? 1 : 3 });
        runs[i].push(sample);
        const figures = Object.entries(sample.figures).map(([figure, value]) => `${figure} ${value}`).join(', ');
        const label = `${Object.values(testCase).join(' ')} · ${contender} · ${round}/${context.rounds}`;
        context.log(`${label}: ${sample.why ?? figures}`);
      }
    }
    for (const [i, { title: contender }] of stores.entries()) rows.push(rowOf(testCase, contender, runs[i]));
  }
  return rows;
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = ['operation', 'threads', 'by', 'operations/s, thousands', 'CPU, us/operation', 'runs', 'notes'];
  const thousands = (/** @type {import('../turns.mjs').Row['figures'][string]} */ figure) =>
    figure && { median: figure.median / 1000, min: figure.min / 1000, max: figure.max / 1000 };
  const body = rows.map(({ case: { operation, threads }, contender, figures, used, notes }) => [
    operation,
    threads,
    contender,
    withSpread(thousands(figures.perSecond ?? null), 0),
    withSpread(figures.cpuUsPerOperation ?? null, 2),
    used,
    notes.join('; '),
  ]);
  return markdownTable(head, body);
}

/** @param {Record<string, unknown>} testCase */
const caseText = ({ operation, threads }) => `${operation}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;

/** @param {import('../turns.mjs').Row[]} rows @returns {import('../suite.mjs').Chart[]} */
export function charts(rows) {
  const series = contenders.map(({ title: contender }) => ({
    name: contender,
    points: rows.flatMap((row) => {
      const figure = row.contender === contender ? row.figures.perSecond : undefined;
      return figure ? [{ x: caseText(row.case), y: figure.median, min: figure.min, max: figure.max }] : [];
    }),
  }));
  const labels = { xLabel: 'operation, worker threads', yLabel: 'operations a second (median, smallest to largest)' };
  return [{ file: 'shared-vars', title, kind: 'bars', logY: true, ...labels, series }];
}

/** @param {import('../turns.mjs').Row[]} rows @returns {import('../suite.mjs').Comparison[]} */
export function comparisons(rows) {
  const [ours] = contenders;
  return rows.flatMap((own) => {
    const value = own.contender === ours.title ? own.figures.perSecond?.median : undefined;
    if (value === undefined) return [];
    const others = rows.flatMap(({ case: testCase, contender, figures: { perSecond } }) => {
      const isOther = contender !== ours.title && JSON.stringify(testCase) === JSON.stringify(own.case);
      return isOther && perSecond ? [{ contender, value: perSecond.median }] : [];
    });
    return [{ case: caseText(own.case), measure: 'operations/s', lessIsBetter: false, ours: value, others }];
  });
}
