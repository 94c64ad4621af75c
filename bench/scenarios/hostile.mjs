// The longest that any one message keeps a receiver: a program without Node that takes the vectors of test/vectors and
// messages of the largest size through the header index, the guard and the transaction layer.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeVectors } from '../../scripts/vectors.mjs';
import { awaitQuiet } from '../machine.mjs';
import { markdownTable } from '../report.mjs';
import { withSpread } from '../statistics.mjs';
import { rowOf } from '../turns.mjs';
import { hostileProgram, parseLines } from './native.mjs';

export const name = 'hostile';
export const title = 'The slowest message: CPU time of one thread';
export const needs = ['cmake'];
export const minutes = 1;
/** @type {import('../suite.mjs').Chosen[]} */
export const contenders = [];

const root = fileURLToPath(new URL('../../', import.meta.url));
const buildFolder = join(root, 'build-bench');
const kProgramTimeoutMs = 120_000;

function build() {
  const cmake = (/** @type {string[]} */ args) =>
    execFileSync('cmake', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  cmake(['-S', '.', '-B', buildFolder, '-DSIP_ASYNC_NATIVE_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release']);
  cmake(['--build', buildFolder, '-j', String(Math.min(2, cpus().length)), '--target', hostileProgram]);
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  build();
  const messages = await writeVectors(buildFolder);
  /** @type {Map<string, { case: Record<string, unknown>, runs: import('../turns.mjs').Run[] }>} */
  const rows = new Map();
  for (let round = 1; round <= context.rounds; round++) {
    const othersPercent = await awaitQuiet();
    const output = execFileSync(join(buildFolder, hostileProgram), [messages], {
      encoding: 'utf8',
      timeout: kProgramTimeoutMs,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const measured = parseLines(output);
    if (measured.length === 0) throw new Error(`${hostileProgram} printed no figure`);
    for (const { name: what, value, unit } of measured) {
      const row = rows.get(what) ?? { case: { what, unit }, runs: [] };
      row.runs.push({ ok: true, figures: { value }, othersPercent });
      rows.set(what, row);
    }
    context.log(`hostile · ${round}/${context.rounds}: ${measured.map(({ value }) => value).join(' ')}`);
  }
  return [...rows.values()].map((row) => rowOf(row.case, 'native', row.runs));
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const body = rows.map(({ case: testCase, figures, used, notes }) => {
    const { what, unit } = testCase;
    return [what, withSpread(figures.value ?? null), unit, used, notes.join('; ')];
  });
  return markdownTable(['what, and over which messages', 'the slowest: median (min..max)', 'unit', 'runs', 'notes'], body);
}
