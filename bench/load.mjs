// The two load generators: SIPp for CPU per call, and our own sender where single calls must be followed.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readProcessCpuNs } from './process-tree.mjs';
import { freeUdpPort, killAtExit } from './server-process.mjs';
import { sleep } from './statistics.mjs';

const kReceiveBufferBytes = 4 << 20;
const kCallLimit = 200_000;
const kGraceSeconds = 20;
const kCpuLookMs = 250;
/** A peak is that of one second: shorter ones are noise of the looks. */
const kPeakLooks = 4;
const kCalleeStartMs = 300;

/**
 * SIPp writes a duration as hours, minutes, seconds and microseconds, all with colons between.
 * @param {string} text
 */
function durationMs(text) {
  const [hours, minutes, seconds, microseconds = 0] = text.split(':').map(Number);
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + microseconds / 1000;
}

/**
 * @param {string} file semicolon-separated, the first line names the columns
 * @returns {Record<string, string>[]}
 */
function readTable(file) {
  const [head, ...lines] = readFileSync(file, 'latin1').trim().split('\n').map((line) => line.split(';'));
  return lines.map((line) => Object.fromEntries(head.map((column, index) => [column, line[index]])));
}

/**
 * Rate at which SIPp really started calls, over the time it was sending.
 * @param {Record<string, string>[]} table
 * @param {number} calls
 */
function achievedRate(table, calls) {
  const sending = table.filter((line) => Number(line['TotalCallCreated']) < calls);
  const first = sending[0];
  const last = sending[sending.length - 1];
  if (!first || first === last) return NaN;
  // CurrentTime is "date <tab> time <tab> seconds since 1970".
  const seconds = (/** @type {Record<string, string>} */ line) => Number(line['CurrentTime'].split('\t')[2]);
  return (Number(last['TotalCallCreated']) - Number(first['TotalCallCreated'])) / (seconds(last) - seconds(first));
}

/**
 * Looks at a process's CPU time until told to stop, for it cannot be asked once the process has ended.
 * @param {number} pid
 */
function watchCpu(pid) {
  /** @type {{ atMs: number, cpuNs: number }[]} */
  const looks = [];
  const look = () => {
    const cpuNs = readProcessCpuNs(pid);
    if (cpuNs > 0) looks.push({ atMs: performance.now(), cpuNs });
  };
  const timer = setInterval(look, kCpuLookMs);
  const between = (/** @type {number} */ first, /** @type {number} */ last) => {
    const [from, to] = [looks[first], looks[last]];
    return from === to ? 0 : (to.cpuNs - from.cpuNs) / 1e4 / (to.atMs - from.atMs);
  };
  return {
    stop: () => clearInterval(timer),
    /** In per cent of a core, between the first look and the last. */
    percent: () => between(0, looks.length - 1),
    /** In the second in which it used most. */
    peakPercent: () =>
      looks.reduce((peak, _, last) => Math.max(peak, last < kPeakLooks ? 0 : between(last - kPeakLooks, last)), 0),
  };
}

/**
 * SIPp as the callee of relayed requests.
 * @param {object} options
 * @param {'options' | 'invite'} options.method
 * @param {number} options.port
 * @param {number} options.core
 */
export async function startSippCallee({ method, port, core }) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-callee-'));
  const scenario = fileURLToPath(new URL(`sipp/uas-${method}.xml`, import.meta.url));
  const command = [
    'sipp', '-sf', scenario, '-i', '127.0.0.1', '-p', port, '-buff_size', kReceiveBufferBytes, '-l', kCallLimit,
    '-deadcall_wait', 0, '-nostdin',
  ].map(String);
  const child = spawn('taskset', ['-c', String(core), ...command], { cwd: folder, stdio: 'ignore' });
  killAtExit(child);
  const exit = new Promise((resolve) => child.once('exit', resolve));
  await sleep(kCalleeStartMs);
  if (child.exitCode !== null) throw new Error(`the callee ended with ${child.exitCode}`);
  return {
    totalCpuNs: () => readProcessCpuNs(/** @type {number} */ (child.pid)),
    async stop() {
      child.kill('SIGKILL');
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * One SIPp run at a fixed rate, over when every call has ended.
 * @param {object} options
 * @param {number} options.port
 * @param {number} options.core
 * @param {'options' | 'invite'} options.method
 * @param {string} options.route
 * @param {number} options.rate calls a second
 * @param {number} options.calls
 * @param {number} [options.graceSeconds] how long calls may take when all are sent
 */
export async function runSipp({ port, core, method, route, rate, calls, graceSeconds = kGraceSeconds }) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-sipp-'));
  const scenario = fileURLToPath(new URL(`sipp/${method}.xml`, import.meta.url));
  const statistics = join(folder, 'statistics.csv');
  const limitSeconds = Math.ceil(calls / rate + graceSeconds);
  const command = [
    'sipp', `127.0.0.1:${port}`, '-sf', scenario, '-key', 'route', route, '-i', '127.0.0.1', '-p', await freeUdpPort(),
    '-r', rate, '-m', calls, '-l', kCallLimit, '-buff_size', kReceiveBufferBytes, '-deadcall_wait', 0, '-nostdin',
    '-timeout', `${limitSeconds}s`, '-trace_stat', '-stf', statistics, '-fd', 1,
  ].map(String);
  const child = spawn('taskset', ['-c', String(core), ...command], { cwd: folder, stdio: 'ignore' });
  killAtExit(child);
  const killer = setTimeout(() => child.kill('SIGKILL'), (limitSeconds + kGraceSeconds) * 1000);
  const watch = watchCpu(/** @type {number} */ (child.pid));
  const exitCode = await new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  clearTimeout(killer);
  watch.stop();
  try {
    const table = readTable(statistics);
    const last = table[table.length - 1];
    if (!last) throw new Error('no line');
    return {
      exitCode,
      calls,
      ok: Number(last['SuccessfulCall(C)']),
      failed: Number(last['FailedCall(C)']),
      retransmitted: Number(last['Retransmissions(C)']),
      meanResponseMs: durationMs(last['ResponseTime1(C)']),
      achievedRate: achievedRate(table, calls),
      cpuPercent: watch.percent(),
      peakCpuPercent: watch.peakPercent(),
    };
  } catch (error) {
    throw new Error(`SIPp (exit ${exitCode}) left no statistics`, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Our sender in a process of its own, so that it can be pinned and the harness does not disturb its clock.
 * @param {import('./sender.mjs').SenderOptions} options
 * @param {number} core
 * @param {(event: import('./sender.mjs').SenderEvent) => void} [onEvent]
 * @returns {Promise<import('./sender.mjs').SenderResult>}
 */
export function runSender(options, core, onEvent = () => {}) {
  const main = fileURLToPath(new URL('sender-main.mjs', import.meta.url));
  const child = spawn('taskset', ['-c', String(core), process.execPath, main, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  killAtExit(child);
  return new Promise((resolve, reject) => {
    child.on('message', (/** @type {any} */ message) => {
      if (message.event === 'done') resolve(message.result);
      else onEvent(message.event);
    });
    child.once('exit', (code, signal) => reject(new Error(`the sender ended early (${code ?? signal})`)));
  });
}
