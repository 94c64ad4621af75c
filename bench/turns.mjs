// Contenders in turns, each run against a freshly started server, and the row that comes out of the runs.
import { awaitQuiet, isQuiet } from './machine.mjs';
import { cpuNsBetween, readCpuNs } from './process-tree.mjs';
import { rounded, summary } from './statistics.mjs';

/**
 * @typedef {object} StartOptions
 * @property {number} core
 * @property {number} [port]
 * @property {boolean} [handOver] every message is handed over to the group (sworker)
 * @property {number} [relayTo] UDP port on 127.0.0.1 that the route `relay` sends to
 * @property {boolean} [tkv] whether the route `tkv` will be asked
 * @property {number} [calls] how many it must be able to hold at the same time
 */

/**
 * @typedef {object} Contender
 * @property {string} name on the command line
 * @property {string} title in tables
 * @property {(options: Partial<StartOptions>) => string} unavailable why it cannot run here, or an empty string
 * @property {(options: StartOptions) => Promise<import('./server-process.mjs').Server>} start
 */

/**
 * @typedef {object} Context
 * @property {Contender[]} contenders
 * @property {number} rounds
 * @property {boolean} quick
 * @property {{ server: number, load: number, shared: boolean }} cores
 * @property {(line: string) => void} log
 * @property {(testCase: any) => Partial<StartOptions>} [startOptions] what the server of a case is started with
 * @property {(testCase: any, contender: Contender, rows: Row[]) => string} [skip] why a contender is not asked, or an
 *   empty string; the rows are those of the cases before
 */

/**
 * @typedef {object} Sample one run
 * @property {boolean} ok whether its figures may be used
 * @property {string} [why] what was wrong with it, used or not
 * @property {string[]} [notes] what must be known beside its figures without being a fault
 * @property {Record<string, number>} figures
 */

/**
 * @typedef {object} Row
 * @property {Record<string, unknown>} case
 * @property {string} contender
 * @property {boolean} ok at least one run may be used
 * @property {number} used runs behind the figures
 * @property {string[]} notes
 * @property {Record<string, { median: number, min: number, max: number } | null>} figures
 * @property {Run[]} runs
 */

/** @typedef {Sample & { started?: boolean, idleCpuPercent?: number, othersPercent?: number }} Run */

/**
 * @param {Record<string, unknown>} testCase
 * @param {string} contender
 * @param {Row['runs']} runs
 * @returns {Row}
 */
export function rowOf(testCase, contender, runs) {
  const used = runs.filter((run) => run.ok);
  const names = [...new Set(used.flatMap((run) => Object.keys(run.figures)))];
  const figures = names.map((name) => {
    const values = used.map((run) => run.figures[name]).filter((value) => Number.isFinite(value));
    return [name, summary(values)];
  });
  const notes = [...new Set(runs.flatMap((run) => [...(run.why === undefined ? [] : [run.why]), ...(run.notes ?? [])]))];
  const noisy = used.filter((run) => !isQuiet(run.othersPercent ?? 0)).length;
  if (noisy > 0) notes.push(`${noisy} of ${used.length} on a busy machine`);
  return {
    case: testCase,
    contender,
    ok: used.length > 0,
    used: used.length,
    notes,
    figures: Object.fromEntries(figures),
    runs,
  };
}

/**
 * @typedef {(server: import('./server-process.mjs').Server, testCase: any, idleCpuPercent: number, contender: Contender) =>
 *   Promise<Sample>} Measure
 */

/** @param {Run} run */
function outcomeOf(run) {
  const figures = Object.entries(run.figures).map(([name, value]) => `${name} ${value}`).join(', ');
  const fault = run.why === undefined ? '' : `${run.ok ? 'BUT' : 'NOT USED'}, ${run.why}`;
  return [fault, figures].filter((part) => part !== '').join('; ');
}

/**
 * Every case with every contender, A B A B, a fresh server for each run.
 * @param {Context} context
 * @param {Record<string, unknown>[]} cases
 * @param {Measure} measure
 * @returns {Promise<Row[]>}
 */
export async function inTurns(context, cases, measure) {
  /** @type {Row[]} */
  const rows = [];
  for (const testCase of cases) {
    const label = Object.values(testCase).join(' ');
    /** @type {Map<string, Row['runs']>} */
    const runsOf = new Map(context.contenders.map(({ title }) => [title, []]));
    for (let round = 1; round <= context.rounds; round++) {
      for (const contender of context.contenders) {
        const skipped = context.skip?.(testCase, contender, rows) ?? '';
        const run = skipped === '' ? await oneRun(context, contender, testCase, measure) : notStarted(skipped);
        runsOf.get(contender.title)?.push(run);
        context.log(`${label} · ${contender.title} · ${round}/${context.rounds}: ${outcomeOf(run)}`);
        // What cannot start will not start in the next round either.
        if (run.started === false) runsOf.set(contender.title, [run]);
      }
    }
    for (const [title, runs] of runsOf) rows.push(rowOf(testCase, title, runs));
  }
  return rows;
}

/** @param {string} why @returns {Run} */
const notStarted = (why) => ({ started: false, ok: false, why, figures: {} });

/**
 * @param {Context} context
 * @param {Contender} contender
 * @param {any} testCase
 * @param {Measure} measure
 * @returns {Promise<Run>}
 */
async function oneRun(context, contender, testCase, measure) {
  const options = context.startOptions?.(testCase) ?? {};
  const missing = contender.unavailable(options);
  if (missing !== '') return notStarted(missing);
  let server;
  try {
    server = await contender.start({ core: context.cores.server, ...options });
  } catch (error) {
    return notStarted(`does not start: ${/** @type {Error} */ (error).message}`);
  }
  try {
    const startNs = process.hrtime.bigint();
    const cpuNs = readCpuNs(server.pid);
    const othersPercent = await awaitQuiet();
    const waitedNs = Number(process.hrtime.bigint() - startNs);
    const idleCpuPercent = rounded((100 * cpuNsBetween(cpuNs, readCpuNs(server.pid))) / waitedNs);
    const sample = await measure(server, testCase, idleCpuPercent, contender);
    // Noise during the run counts like noise before it.
    const noise = Math.max(othersPercent, sample.figures.othersPercent ?? 0);
    return { ...sample, idleCpuPercent, othersPercent: rounded(noise) };
  } catch (error) {
    return { ok: false, why: /** @type {Error} */ (error).message, figures: {} };
  } finally {
    await server.stop();
  }
}
