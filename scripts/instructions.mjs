// Counts the instructions of core paths with callgrind and compares them with bench/instructions.json: a count does not
// depend on what else the machine does. --update stores what was counted instead.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensure, tools } from './debian.mjs';
import { collectedIn, compareCounts, perOperation } from './instruction-counts.mjs';
import { onPath, root, run } from './process.mjs';

const { values: options } = parseArgs({ options: { update: { type: 'boolean', default: false } } });
const storedFile = join(root, 'bench/instructions.json');
const buildFolder = join(root, 'build-bench');
const program = join(buildFolder, 'count_paths');
const kFew = 4000;
const kMany = 12_000;

function build() {
  const fresh = !existsSync(join(buildFolder, 'CMakeCache.txt'));
  const generator = fresh && onPath('ninja') ? ['-G', 'Ninja'] : [];
  const configure = ['-S', '.', '-B', buildFolder, ...generator, '-DSIP_ASYNC_NATIVE_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release'];
  return run('cmake', configure) && run('cmake', ['--build', buildFolder, '-j', '2', '--target', 'count_paths']);
}

function compiler() {
  const cache = readFileSync(join(buildFolder, 'CMakeCache.txt'), 'utf8');
  const command = /^CMAKE_CXX_COMPILER:\w+=(.+)$/m.exec(cache)?.[1] ?? 'c++';
  return execFileSync(command, ['--version'], { encoding: 'utf8' }).split('\n')[0];
}

/** @param {string} path @param {number} operations */
function count(path, operations) {
  const args = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, path, String(operations)];
  const { status, stderr, error } = spawnSync('valgrind', args, { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error(`${path} under valgrind: ${error?.message ?? `exit code ${status}\n${stderr.slice(-1000)}`}`);
  }
  return { operations, instructions: collectedIn(stderr) };
}

function measure() {
  const names = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const paths = Object.fromEntries(names.map((name) => [name, perOperation(count(name, kFew), count(name, kMany))]));
  return { arch: process.arch, compiler: compiler(), paths };
}

ensure([tools.compiler, tools.cmake, tools.generator, tools.valgrind]);
if (!build()) process.exit(1);
const measured = measure();
if (options.update) {
  writeFileSync(storedFile, `${JSON.stringify(measured, null, 1)}\n`);
  console.log(`stored ${Object.keys(measured.paths).length} counts`);
} else {
  const { failures, notes, lines } = compareCounts(JSON.parse(readFileSync(storedFile, 'utf8')), measured);
  for (const line of [...lines, ...notes]) console.log(line);
  for (const failure of failures) console.error(`FAILED ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}
