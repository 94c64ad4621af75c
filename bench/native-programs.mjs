// Programs of native/bench: built here, run as they are, each run a process of its own.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { awaitQuiet, outputOf } from './machine.mjs';
import { rounded } from './statistics.mjs';
import { rowOf } from './turns.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
export const buildFolder = join(root, 'build-bench');

/** @param {string[]} targets none: all */
export function build(...targets) {
  const cmake = (/** @type {string[]} */ args) =>
    execFileSync('cmake', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  cmake(['-S', '.', '-B', buildFolder, '-DSIP_ASYNC_NATIVE_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release']);
  const named = targets.flatMap((target) => ['--target', target]);
  cmake(['--build', buildFolder, '-j', String(Math.min(2, cpus().length)), ...named]);
}

/**
 * @param {string} output lines of name, value and unit with tabs between
 * @returns {{ name: string, value: number, unit: string }[]}
 */
export function parseLines(output) {
  return output.split('\n').flatMap((line) => {
    const [title, value, unit] = line.split('\t');
    if (unit === undefined || !Number.isFinite(Number(value))) return [];
    return [{ name: title, value: Number(value), unit: unit.trim() }];
  });
}

/**
 * A contender that is a header behind `name` in one of the programs.
 * @typedef {object} NativeContender
 * @property {string} name
 * @property {string} title
 * @property {() => string} unavailable
 * @property {() => string} [version]
 * @property {string[]} packages of Debian; none: it is always there
 * @property {string} differs what it does otherwise than ours
 */

/**
 * @param {{ name: string, title: string, differs: string, header?: string, package?: string }} about `header` says whether it
 *   is installed, `package` of Debian brings it
 * @returns {NativeContender}
 */
export function nativeContender({ name, title, differs, header, package: debianPackage }) {
  const folders = ['/usr/include', '/usr/local/include'];
  const isThere = () => header === undefined || folders.some((folder) => existsSync(join(folder, header)));
  const packages = debianPackage === undefined ? [] : [debianPackage];
  const versionOf = () => outputOf('dpkg-query', ['-W', '-f=${Version}', ...packages]);
  return {
    name,
    title,
    differs,
    packages,
    unavailable: () => (isThere() ? '' : `not installed (Debian package ${debianPackage})`),
    ...(debianPackage === undefined ? {} : { version: versionOf }),
  };
}

const kRunTimeoutMs = 180_000;

/**
 * @param {string} program
 * @param {string[]} args
 * @param {number | undefined} core to which the process is bound
 */
function runOnce(program, args, core) {
  const path = join(buildFolder, program);
  const [command, ...rest] = core === undefined ? [path, ...args] : ['taskset', '-c', String(core), path, ...args];
  try {
    const output = execFileSync(command, rest, { encoding: 'utf8', timeout: kRunTimeoutMs, stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = parseLines(output);
    if (lines.length === 0) throw new Error(`${program} printed no figure`);
    return lines;
  } catch (error) {
    const { stderr, message } = /** @type {Error & { stderr?: string }} */ (error);
    throw new Error(stderr?.trim() || message.split('\n')[0], { cause: error });
  }
}

/**
 * Every case with every contender, A B A B, a fresh process for each run.
 * @param {object} options
 * @param {import('./turns.mjs').Context} options.context
 * @param {string} options.program
 * @param {NativeContender[]} options.contenders
 * @param {Record<string, unknown>[]} options.cases
 * @param {(testCase: any) => string[]} options.argsOf what follows the contender's name
 * @param {(line: { name: string }) => string} options.figureOf the name of a figure, with its unit
 * @param {number} [options.core]
 */
export async function programsInTurns({ context, program, contenders, cases, argsOf, figureOf, core }) {
  const has = new Set(outputOf(join(buildFolder, program), ['--list']).split('\n'));
  const rows = [];
  for (const testCase of cases) {
    /** @type {Map<string, import('./turns.mjs').Run[]>} */
    const runsOf = new Map(contenders.map(({ title }) => [title, []]));
    for (let round = 1; round <= context.rounds; round++) {
      for (const contender of contenders) {
        const runs = /** @type {import('./turns.mjs').Run[]} */ (runsOf.get(contender.title));
        if (!has.has(contender.name)) {
          if (round === 1) runs.push({ ok: false, why: contender.unavailable() || 'not built', figures: {} });
          continue;
        }
        const othersPercent = rounded(await awaitQuiet());
        try {
          const lines = runOnce(program, [contender.name, ...argsOf(testCase)], core);
          runs.push({ ok: true, figures: Object.fromEntries(lines.map((line) => [figureOf(line), line.value])), othersPercent });
          context.log(`${Object.values(testCase).join(' ')} · ${contender.title} · ${round}/${context.rounds}: ${lines.map(({ name, value }) => `${name} ${value}`).join(', ')}`);
        } catch (error) {
          const why = /** @type {Error} */ (error).message;
          runs.push({ ok: false, why, figures: {}, othersPercent });
          context.log(`${Object.values(testCase).join(' ')} · ${contender.title} · ${round}/${context.rounds}: NOT USED, ${why}`);
        }
      }
    }
    for (const [title, runs] of runsOf) rows.push(rowOf(testCase, title, runs));
  }
  return rows;
}

/**
 * Rows of one case side by side, and ours beside the others'.
 * @param {import('./turns.mjs').Row[]} rows
 * @returns {{ case: Record<string, unknown>, own: import('./turns.mjs').Row | undefined, rows: import('./turns.mjs').Row[] }[]}
 */
export function byCase(rows) {
  const keys = [...new Set(rows.map((row) => JSON.stringify(row.case)))];
  return keys.map((key) => {
    const same = rows.filter((row) => JSON.stringify(row.case) === key);
    return { case: same[0].case, own: same.find(({ contender }) => contender === 'sip-async'), rows: same };
  });
}

/**
 * @param {import('./turns.mjs').Row[]} rows
 * @param {string} figure
 * @param {(testCase: any) => string} caseText
 * @param {string} measure
 * @returns {import('./suite.mjs').Comparison[]}
 */
export function comparisonsOf(rows, figure, caseText, measure) {
  return byCase(rows).flatMap(({ case: testCase, own, rows: same }) => {
    const ours = own?.figures[figure]?.median;
    if (ours === undefined) return [];
    const others = same.flatMap((row) => {
      const value = row === own ? undefined : row.figures[figure]?.median;
      return value === undefined ? [] : [{ contender: row.contender, value }];
    });
    return others.length === 0 ? [] : [{ case: caseText(testCase), measure, lessIsBetter: true, ours, others }];
  });
}
