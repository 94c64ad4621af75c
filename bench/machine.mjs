// The machine as the benchmarks see it: its cores, how quiet it is, and what has to be said about it beside a figure.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type as systemName } from 'node:os';
import { sleep } from './statistics.mjs';
import { watchOthers } from './process-tree.mjs';

const kQuietPercent = 15;
const kQuietProbeMs = 1200;
const kQuietPatienceMs = 30_000;

const root = new URL('../', import.meta.url);

/**
 * Standard output of a command, or an empty string where the command does not exist or fails.
 * @param {string} command
 * @param {string[]} args
 */
export function outputOf(command, args) {
  try {
    return execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch (error) {
    // SIPp ends with a code other than 0 after printing its version.
    return String(/** @type {{ stdout?: string }} */ (error).stdout ?? '').trim();
  }
}

/** @param {string} command */
export const isInstalled = (command) => outputOf('which', [command]) !== '';

/**
 * The server gets one core and the load generator another; with one core only they share it, and the result says so.
 * @returns {{ server: number, load: number, shared: boolean }}
 */
export function pickCores() {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  const allowed = list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  const server = allowed[0];
  const load = allowed[allowed.length - 1];
  return { server, load, shared: server === load };
}

/**
 * Waits until all other processes together use less than 15 % of a core, for half a minute at most.
 * @returns {Promise<number>} what they used in the last look, in per cent of a core
 */
export async function awaitQuiet() {
  const deadline = Date.now() + kQuietPatienceMs;
  for (;;) {
    const others = watchOthers();
    await sleep(kQuietProbeMs);
    const percent = others();
    if (percent < kQuietPercent || Date.now() > deadline) return percent;
  }
}

/** @param {number} percent */
export const isQuiet = (percent) => percent < kQuietPercent;

function compiler() {
  let command = 'c++';
  try {
    const cache = readFileSync(new URL('build/CMakeCache.txt', root), 'utf8');
    command = /^CMAKE_CXX_COMPILER:\w+=(.+)$/m.exec(cache)?.[1] ?? command;
  } catch {
    // Not built from source here: the compiler on the path is what a source build would take.
  }
  return outputOf(command, ['--version']).split('\n')[0] || 'none';
}

/** What the kernel says about the clock of the first core; a virtual machine often says nothing. */
function cpuClock() {
  const read = (/** @type {string} */ file) => {
    try {
      return readFileSync(`/sys/devices/system/cpu/cpu0/cpufreq/${file}`, 'latin1').trim();
    } catch {
      return '';
    }
  };
  const mostMhz = Math.round(Number(read('cpuinfo_max_freq')) / 1000);
  return { cpuMhz: mostMhz || (cpus()[0]?.speed ?? 0), governor: read('scaling_governor') };
}

function workingTree() {
  const commit = outputOf('git', ['rev-parse', 'HEAD']);
  if (!/^[0-9a-f]{40}$/.test(commit)) return { commit: 'none', dirty: true };
  // What the benchmarks themselves write does not change what they measure.
  const written = ['bench/results', 'docs/benchmarks.md', 'docs/plots', 'README.md'].map((path) => `:(exclude)${path}`);
  return { commit, dirty: outputOf('git', ['status', '--porcelain', '--', '.', ...written]) !== '' };
}

/**
 * Everything that has to stand beside a figure so that somebody else can judge or repeat it.
 * @param {string[]} args of the command line
 */
export function provenance(args) {
  const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  return {
    date: new Date().toISOString(),
    command: ['node bench/run.mjs', ...args].join(' '),
    package: version,
    ...workingTree(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    ...cpuClock(),
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: `${systemName()} ${release()}`,
    node: process.version,
    compiler: compiler(),
    kamailio: /version: \S+ (\S+)/.exec(outputOf('kamailio', ['-v']))?.[1] ?? 'not installed',
    sipp: /SIPp (v[\d.]*\d)/.exec(outputOf('sipp', ['-v']))?.[1] ?? 'not installed',
    pinned: pickCores(),
  };
}
