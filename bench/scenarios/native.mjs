// The micro-benchmarks of native/: programs without Node, built here and run as they are.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { awaitQuiet } from '../machine.mjs';
import { markdownTable } from '../report.mjs';
import { withSpread } from '../statistics.mjs';
import { rowOf } from '../turns.mjs';

export const name = 'native';
export const title = 'Micro-benchmarks of the native core';
export const needs = ['cmake'];
export const minutes = 1;
/** @type {import('../suite.mjs').Chosen[]} */
export const contenders = [];

/** What ours are called at the end of a figure's name, where a program also measures something else for comparison. */
const kOurs = ['wheel', 'task queue', 'pool'];

/** Takes a folder of messages, and has a scenario of its own. */
export const hostileProgram = 'bench_hostile_bench';

const root = fileURLToPath(new URL('../../', import.meta.url));
const buildFolder = join(root, 'build-bench');
const kProgramTimeoutMs = 120_000;

/** @param {string} folder @returns {string[]} */
function programsIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'CMakeFiles' ? [] : programsIn(path);
    return /^bench_\w+$/.test(entry.name) && entry.name !== hostileProgram ? [path] : [];
  });
}

function build() {
  const jobs = String(Math.min(2, cpus().length));
  const cmake = (/** @type {string[]} */ args) =>
    execFileSync('cmake', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  cmake(['-S', '.', '-B', buildFolder, '-DSIP_ASYNC_NATIVE_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release']);
  cmake(['--build', buildFolder, '-j', jobs]);
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

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  build();
  const programs = programsIn(buildFolder).sort();
  if (programs.length === 0) throw new Error('no program named bench_* was built');
  /** @type {Map<string, { case: Record<string, unknown>, runs: import('../turns.mjs').Run[] }>} */
  const rows = new Map();
  for (let round = 1; round <= context.rounds; round++) {
    for (const program of programs) {
      const othersPercent = await awaitQuiet();
      const output = execFileSync(program, { encoding: 'utf8', timeout: kProgramTimeoutMs });
      const measured = parseLines(output);
      if (measured.length === 0) throw new Error(`${basename(program)} printed no figure`);
      for (const { name: title, value, unit } of measured) {
        const key = `${basename(program)}\t${title}`;
        const row = rows.get(key) ?? { case: { program: basename(program), name: title, unit }, runs: [] };
        row.runs.push({ ok: true, figures: { value }, othersPercent });
        rows.set(key, row);
      }
      context.log(`${basename(program)} · ${round}/${context.rounds}: ${measured.length} figures`);
    }
  }
  return [...rows.values()].map((row) => rowOf(row.case, 'native', row.runs));
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const body = rows.map(({ case: testCase, figures, used, notes }) => {
    const { program, name: what, unit } = testCase;
    return [program, what, withSpread(figures.value ?? null), unit, used, notes.join('; ')];
  });
  return markdownTable(['program', 'what', 'median (min..max)', 'unit', 'runs', 'notes'], body);
}

/** @param {import('../turns.mjs').Row[]} rows @returns {import('../suite.mjs').Comparison[]} */
export function comparisons(rows) {
  const named = rows.flatMap(({ case: testCase, figures: { value } }) => {
    const [, where, what] = /^(.*), (.*)$/.exec(String(testCase.name)) ?? [];
    return value && what !== undefined ? [{ where, what, unit: String(testCase.unit), value: value.median }] : [];
  });
  return named
    .filter(({ what }) => kOurs.includes(what))
    .map(({ where, what, unit, value }) => ({
      case: where,
      measure: unit,
      lessIsBetter: true,
      ours: value,
      others: named
        .filter((other) => other.where === where && other.what !== what)
        .map((other) => ({ contender: other.what, value: other.value })),
    }));
}
