// Runs of contenders that are no servers: each in a fresh process, contenders in turns.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { awaitQuiet } from './machine.mjs';
import { killAtExit } from './server-process.mjs';
import { rounded } from './statistics.mjs';
import { rowOf } from './turns.mjs';

/** @typedef {{ name: string, title: string, unavailable: () => string }} ProcessContender */

/**
 * The process takes its options as JSON in the first argument and sends its result over the IPC channel.
 * @template T
 * @param {string} main file name in this folder
 * @param {object} options
 * @param {number} limitSeconds after which it is killed
 * @param {string[]} [execArgv]
 * @returns {Promise<T>}
 */
export function runProcess(main, options, limitSeconds, execArgv = []) {
  const child = fork(fileURLToPath(new URL(main, import.meta.url)), [JSON.stringify(options)], { execArgv });
  killAtExit(child);
  const limit = setTimeout(() => child.kill('SIGKILL'), limitSeconds * 1000);
  return new Promise((resolve, reject) => {
    /** @type {T | undefined} */
    let result;
    child.once('message', (message) => {
      result = /** @type {any} */ (message);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(limit);
      if (result !== undefined && code === 0) resolve(result);
      else reject(new Error(result === undefined ? `the run ended early (${code ?? signal})` : `it ended with ${code ?? signal}`));
    });
  });
}

/**
 * Every case with every contender, A B A B, a fresh process for each run.
 * @template {Record<string, unknown>} Case
 * @param {import('./turns.mjs').Context} context
 * @param {ProcessContender[]} contenders
 * @param {Case[]} cases
 * @param {(contender: string, testCase: Case) => Promise<import('./turns.mjs').Sample>} measure
 * @returns {Promise<import('./turns.mjs').Row[]>}
 */
export async function processesInTurns(context, contenders, cases, measure) {
  const rows = [];
  for (const testCase of cases) {
    /** @type {import('./turns.mjs').Run[][]} */
    const runs = contenders.map(() => []);
    for (let round = 1; round <= context.rounds; round++) {
      for (const [i, { name, title, unavailable }] of contenders.entries()) {
        const missing = unavailable();
        if (missing !== '' && round > 1) continue;
        const run = missing === '' ? await oneRun(() => measure(name, testCase)) : { ok: false, why: missing, figures: {} };
        runs[i].push(run);
        const figures = Object.entries(run.figures).map(([figure, value]) => `${figure} ${value}`).join(', ');
        const label = `${Object.values(testCase).join(' ')} · ${title} · ${round}/${context.rounds}`;
        context.log(`${label}: ${[run.why ?? '', figures].filter((part) => part !== '').join('; ')}`);
      }
    }
    for (const [i, { title }] of contenders.entries()) rows.push(rowOf(testCase, title, runs[i]));
  }
  return rows;
}

/** @param {() => Promise<import('./turns.mjs').Sample>} measure @returns {Promise<import('./turns.mjs').Run>} */
async function oneRun(measure) {
  const othersPercent = rounded(await awaitQuiet());
  try {
    return { ...(await measure()), othersPercent };
  } catch (error) {
    return { ok: false, why: /** @type {Error} */ (error).message, figures: {}, othersPercent };
  }
}

/**
 * Ours beside all others, of each case in which ours has a figure.
 * @param {import('./turns.mjs').Row[]} rows
 * @param {object} what
 * @param {string} what.ours title of our contender
 * @param {string[]} [what.leftOut] titles of contenders that are not compared with it
 * @param {string} what.figure
 * @param {string} what.measure
 * @param {boolean} what.lessIsBetter
 * @param {(testCase: any) => string} what.nameOf
 */
export function compare(rows, { ours, leftOut = [], figure, measure, lessIsBetter, nameOf }) {
  return rows.flatMap((row) => {
    const own = row.figures[figure]?.median;
    if (row.contender !== ours || !row.ok || own === undefined) return [];
    const others = rows.flatMap((other) => {
      const value = other.figures[figure]?.median;
      const isOther = other.contender !== ours && !leftOut.includes(other.contender);
      if (!isOther || !other.ok || value === undefined || nameOf(other.case) !== nameOf(row.case)) return [];
      return [{ contender: other.contender, value }];
    });
    return others.length === 0 ? [] : [{ case: nameOf(row.case), measure, lessIsBetter, ours: own, others }];
  });
}
