// Hours of everything at once: calls that are answered, suspended, sent on, forked, refused and sent elsewhere, cancelled,
// data tasks, and strangers' rubbish. What counts is that each call gets its one final reply, that memory stays where it is,
// and that nothing is left in the end.
import { execFile, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cpuNsBetween, readCpuNs, readMemory } from '../process-tree.mjs';
import { markdownTable } from '../report.mjs';
import { freeUdpPort, killAtExit, startServer } from '../server-process.mjs';
import { rounded, sleep } from '../statistics.mjs';
import { rowOf } from '../turns.mjs';

export const name = 'mixed-load';
export const title = 'Everything at once, for long';
/** @type {string[]} */
export const needs = [];
export const minutes = 60;
/** @type {import('../suite.mjs').Chosen[]} */
export const contenders = [];

const kRate = 400;
/** After this share of the run, memory has its working size. */
const kWarmShare = 0.2;
const kSampleMs = 5000;
/** The wait timers and repetitions of the last calls. */
const kEndMs = 45_000;
const kMegabyte = 1 << 20;

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const proxy = fileURLToPath(new URL('../mixed-load/proxy.mjs', import.meta.url));
const load = fileURLToPath(new URL('../mixed-load/main.mjs', import.meta.url));

/** @param {boolean} quick */
export function cases(quick) {
  const { MIXED_LOAD_RATE: rate = kRate, MIXED_LOAD_MINUTES: minutes = 60 } = process.env;
  return [{ rate: Number(rate), minutes: quick ? 1 : Number(minutes) }];
}

/** @param {string} control @returns {Promise<any>} */
async function readStats(control) {
  const { stdout } = await promisify(execFile)(process.execPath, [main, 'stats', '--control', control, '--json']);
  return JSON.parse(stdout);
}

/** @param {any} stats */
function liveOf({ transactions, branches, tasks, memory, timers }) {
  return {
    transactions: transactions.active, suspended: transactions.suspended, inScript: transactions.inScript,
    branches: branches.active, tasks: tasks.active, timers: timers.pending, slots: memory.slotsInUse,
    blocks: memory.payloadBlocks,
  };
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  const rows = [];
  for (const testCase of cases(context.quick)) {
    const sample = await oneRun(context, testCase);
    context.log(`${testCase.minutes} min at ${testCase.rate}/s: ${sample.why ?? JSON.stringify(sample.figures)}`);
    rows.push(rowOf(testCase, 'sip-async', [sample]));
  }
  return rows;
}

/**
 * @param {import('../turns.mjs').Context} context
 * @param {{ rate: number, minutes: number }} testCase
 * @returns {Promise<import('../turns.mjs').Run>}
 */
async function oneRun(context, { rate, minutes }) {
  const folder = mkdtempSync(join(tmpdir(), 'mixed-load-'));
  const control = join(folder, 'control');
  const sender = fork(load, { execArgv: [] });
  killAtExit(sender);
  /** @type {(event: string) => Promise<any>} */
  const hears = (event) =>
    new Promise((resolve, reject) => {
      sender.on('message', (/** @type {any} */ message) => message.event === event && resolve(message));
      sender.once('exit', (code, signal) => reject(new Error(`the load ended early (${code ?? signal})`)));
    });
  const callee = await hears('callee');
  process.env.CALLEE = String(callee.port);
  process.env.CONTROL = control;
  const port = await freeUdpPort();
  const listen = ['--listen', `udp:127.0.0.1:${port}`, '--listen', `tcp:127.0.0.1:${port}`];
  const server = await startServer({
    command: [process.execPath, main, 'run', proxy, ...listen],
    core: context.cores.server,
    port,
    version: '',
    readyLine: `listening on tcp:127.0.0.1:${port}`,
    cleanUp: () => rmSync(folder, { recursive: true, force: true }),
  });
  try {
    const seconds = minutes * 60;
    const before = readCpuNs(server.pid);
    const done = hears('done');
    sender.send({ udp: port, tcp: port, rate, seconds });
    /** @type {number[]} */
    const rss = [];
    let isOver = false;
    done.then(() => (isOver = true), () => (isOver = true));
    while (!isOver) {
      await sleep(kSampleMs);
      rss.push(readMemory(server.pid).rssBytes / kMegabyte);
    }
    const { counts } = await done;
    const cpuUs = cpuNsBetween(before, readCpuNs(server.pid)) / 1000;
    let live = liveOf(await readStats(control));
    for (let waited = 0; waited < kEndMs && Object.values(live).some((count) => count !== 0); waited += 1000) {
      await sleep(1000);
      live = liveOf(await readStats(control));
    }
    const stats = await readStats(control);
    const warm = rss.slice(Math.floor(rss.length * kWarmShare));
    const left = Object.entries(live).filter(([, count]) => count !== 0);
    const faults = [
      ...['lost', 'wrong', 'secondFinals', 'unacknowledged'].filter((one) => counts[one] > 0).map((one) => `${counts[one]} ${one}`),
      ...left.map(([what, count]) => `${count} ${what} left`),
    ];
    return {
      ok: faults.length === 0,
      ...(faults.length === 0 ? {} : { why: faults.join(', ') }),
      figures: {
        calls: counts.begun,
        ended: counts.ended,
        strange: counts.strange,
        repeated: counts.repeated,
        messages: stats.transport.received + stats.transport.sent,
        cpuUsPerCall: rounded(cpuUs / counts.begun),
        rssWarmMb: rounded(warm[0] ?? 0),
        rssEndMb: rounded(warm.at(-1) ?? 0),
        rssMostMb: rounded(Math.max(0, ...rss)),
      },
    };
  } finally {
    sender.kill();
    await server.stop();
  }
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = [
    'minutes', 'calls/s', 'calls', 'each ended once', 'messages', 'strange packets', 'CPU, us/call',
    'memory after a fifth', 'at the end', 'most', 'notes',
  ];
  const body = rows.map(({ case: testCase, figures, notes }) => {
    const figure = (/** @type {string} */ one, digits = 0) => figures[one]?.median.toFixed(digits) ?? '-';
    return [
      testCase.minutes, testCase.rate, figure('calls'), figure('ended'), figure('messages'), figure('strange'),
      figure('cpuUsPerCall', 1), `${figure('rssWarmMb', 1)} MB`, `${figure('rssEndMb', 1)} MB`,
      `${figure('rssMostMb', 1)} MB`, notes.join('; '),
    ];
  });
  return markdownTable(head, body);
}
