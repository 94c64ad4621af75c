// Many INVITEs suspended at the same time: what each of them costs in memory, and what all of them cost in CPU time
// while they sleep. The seconds timer is used, because Kamailio's other one holds 10,000 calls at most.
import { cpuNsBetween, readCpuNs, readMemory, watchOthers } from '../process-tree.mjs';
import { runSender } from '../load.mjs';
import { rounded, sleep, withSpread } from '../statistics.mjs';
import { comparisonsOf } from '../comparisons.mjs';
import { markdownTable } from '../report.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'suspended-memory';
export const title = 'INVITEs suspended at the same time: memory and CPU time while they sleep';
/** @type {string[]} */
export const needs = [];

const kWarmUpCalls = 4000;
/** Longer than answered transactions are kept, so that the end of the warm-up falls into no figure. */
const kSettleMs = 6000;
/** The end of the settling, in which the idle server is looked at. */
const kIdleLookMs = 4000;
const kAnswerLimitMs = 15_000;
const kAnswersPerSecondLeast = 20_000;
/** Long enough for a retransmitted answer, so that a second one is not missed. */
const kLingerMs = 1500;
/** The suspended calls are left alone this long before and after the CPU time of their sleep is taken. */
const kMarginMs = 1000;
const kInviteBytes = 700;

/** @typedef {{ calls: number, seconds: number, rate: number }} Case calls a second are what the sender offers */

/**
 * Each sleeps longer than the sending takes, and a million no longer than Kamailio's seconds timer can: 99 s.
 * @param {boolean} quick
 * @returns {Case[]}
 */
export function cases(quick) {
  if (quick) return [{ calls: 2000, seconds: 6, rate: 1000 }];
  return [
    { calls: 10_000, seconds: 10, rate: 5000 },
    { calls: 100_000, seconds: 15, rate: 12_500 },
    { calls: 1_000_000, seconds: 98, rate: 20_000 },
  ];
}

/** A million takes three minutes for each server: one round. @param {Case} testCase @param {number} rounds */
const roundsOf = ({ calls }, rounds) => (calls > 100_000 ? 1 : rounds);

/**
 * @param {import('../sender.mjs').SenderResult} result
 * @param {number} calls
 */
function faultOf(result, calls) {
  const faults = [];
  if (result.answered !== calls) faults.push(`${calls - result.answered} of ${calls} calls not answered with 404`);
  if (result.secondAnswers > 0) faults.push(`${result.secondAnswers} second answers`);
  if (result.early > 0) faults.push(`${result.early} early`);
  return faults.join(', ');
}

/** @param {import('../turns.mjs').Context} context */
export async function run(context) {
  const rows = [];
  for (const testCase of cases(context.quick)) {
    const own = {
      ...context,
      rounds: roundsOf(testCase, context.rounds),
      startOptions: (/** @type {Case} */ { calls }) => ({ calls }),
    };
    rows.push(...(await inTurns(own, [testCase], (server, each) => measure(server, each, context.cores.load))));
  }
  return rows;
}

/**
 * @param {import('../server-process.mjs').Server} server
 * @param {Case} testCase
 * @param {number} core
 * @returns {Promise<import('../turns.mjs').Sample>}
 */
async function measure(server, { calls, seconds, rate }, core) {
  // Refused without a transaction: the heaps take their working size, and no page is touched that the suspended
  // calls would then find ready and get for nothing.
  const refused = { port: server.port, method: /** @type {const} */ ('OPTIONS'), routes: [{ user: 'nobody', delayMs: 0 }] };
  await runSender({ ...refused, rate: 1000, calls: kWarmUpCalls }, core);
  await sleep(kSettleMs - kIdleLookMs);
  const idle = watchServer(server.pid);
  await sleep(kIdleLookMs);
  const idleCpuPercent = idle().cpuPercent;

  const delayMs = seconds * 1000;
  const others = watchOthers();
  const before = readMemory(server.pid);
  const startMs = performance.now();
  const whole = watchServer(server.pid);
  /** CPU time when the sender said so, in nanoseconds from the first request. @type {Record<string, number>} */
  const cpuNsAt = {};
  /** @type {ReturnType<typeof watchSleep> | undefined} */
  let asleep;
  const suspending = {
    port: server.port,
    method: /** @type {const} */ ('INVITE'),
    routes: [{ user: 'delay', delayMs }],
    unitMs: 1000,
    rate,
    calls,
    bytes: kInviteBytes,
    limitMs: delayMs + kAnswerLimitMs + (calls / kAnswersPerSecondLeast) * 1000,
    lingerMs: kLingerMs,
  };
  const result = await runSender(suspending, core, (event) => {
    cpuNsAt[event] = whole().cpuNs;
    if (event === 'suspended') asleep = watchSleep(server.pid, startMs + delayMs);
  });
  const cpuNs = whole().cpuNs;
  const sleeping = await asleep;
  const tenthUsPerCall = (/** @type {number} */ nanoseconds) => rounded(nanoseconds / 1000 / (calls / 10));
  const isTogether = sleeping !== undefined && result.confirmSeconds < seconds;
  const why = isTogether ? faultOf(result, calls) : `not all suspended at the same time: ${lateness(result)}`;
  const [route] = result.routes;
  return {
    // Memory and sleep are measured before the first answer; a fault in the answers is told beside them.
    ok: isTogether,
    ...(why === '' ? {} : { why }),
    figures: {
      ...(sleeping === undefined || !isTogether
        ? {}
        : {
            pssBytesPerCall: Math.round((sleeping.pssBytes - before.pssBytes) / calls),
            rssBytesPerCall: Math.round((sleeping.rssBytes - before.rssBytes) / calls),
            asleepCpuPercent: sleeping.cpuPercent,
            asleepSeconds: sleeping.seconds,
            firstTenthUsPerCall: tenthUsPerCall(cpuNsAt['first tenth']),
            lastTenthUsPerCall: tenthUsPerCall(cpuNsAt.suspended - cpuNsAt['last tenth begins']),
            lastToFirst: rounded((cpuNsAt.suspended - cpuNsAt['last tenth begins']) / cpuNsAt['first tenth']),
          }),
      cpuUsPerCall: rounded(cpuNs / 1000 / calls),
      suspendSeconds: result.confirmSeconds,
      resumeSeconds: result.answerSeconds,
      idleCpuPercent,
      answered: result.answered,
      early: result.early,
      earliestMs: rounded(route.earliestMs - delayMs),
      latestMs: rounded(route.latestMs - delayMs),
      secondAnswers: result.secondAnswers,
      retransmittedAnswers: result.retransmittedAnswers,
      retransmittedRequests: result.retransmittedRequests,
      sendSeconds: result.sendSeconds,
      othersPercent: rounded(others()),
    },
  };
}

/** @param {import('../sender.mjs').SenderResult} result */
function lateness({ confirmSeconds, answered }) {
  return confirmSeconds > 0 ? `it took ${Math.round(confirmSeconds)} s` : `some were never confirmed, ${answered} answered`;
}

/** @param {number} pid */
function watchServer(pid) {
  const before = readCpuNs(pid);
  const startMs = performance.now();
  return () => {
    const cpuNs = cpuNsBetween(before, readCpuNs(pid));
    return { cpuNs, cpuPercent: rounded(cpuNs / 1e4 / (performance.now() - startMs)) };
  };
}

/**
 * Memory now, and the CPU time until shortly before the first call is due.
 * @param {number} pid
 * @param {number} firstDueMs
 */
async function watchSleep(pid, firstDueMs) {
  const memory = readMemory(pid);
  await sleep(kMarginMs);
  const watched = watchServer(pid);
  const startMs = performance.now();
  await sleep(Math.max(0, firstDueMs - kMarginMs - startMs));
  const elapsedMs = performance.now() - startMs;
  const cpuPercent = elapsedMs < kMarginMs ? NaN : watched().cpuPercent;
  return { ...memory, cpuPercent, seconds: rounded(elapsedMs / 1000) };
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = [
    'suspended at once', 'server', 'memory per call', 'CPU while asleep', 'CPU idle', 'to suspend all', 'to resume all',
    'CPU per call, first tenth', 'last tenth', 'last / first', 'answered once', 'early', 'earliest', 'latest', 'runs', 'notes',
  ];
  const body = rows.map(({ case: testCase, contender, figures, used, notes }) => {
    const median = (/** @type {string} */ figure, /** @type {string} */ unit, digits = 0) =>
      figures[figure] ? `${figures[figure].median.toFixed(digits)}${unit}` : '-';
    const spread = (/** @type {string} */ figure, /** @type {string} */ unit, digits = 0) =>
      figures[figure] ? `${withSpread(figures[figure], digits)} ${unit}` : '-';
    return [
      testCase.calls,
      contender,
      spread('pssBytesPerCall', 'bytes'),
      spread('asleepCpuPercent', '%', 2),
      median('idleCpuPercent', ' %', 2),
      median('suspendSeconds', ' s', 1),
      median('resumeSeconds', ' s', 1),
      median('firstTenthUsPerCall', ' us', 1),
      median('lastTenthUsPerCall', ' us', 1),
      median('lastToFirst', '', 2),
      median('answered', ''),
      figures.early?.max ?? '-',
      median('earliestMs', ' ms', 1),
      median('latestMs', ' ms', 1),
      used,
      notes.join('; '),
    ];
  });
  return markdownTable(head, body);
}

/** @param {import('../turns.mjs').Row[]} rows */
export function charts(rows) {
  const measures = [
    { file: 'suspended-memory', figure: 'pssBytesPerCall', title: 'Memory of a suspended INVITE', yLabel: 'bytes' },
    { file: 'suspended-last-tenth', figure: 'lastTenthUsPerCall', title: 'CPU time to suspend the last tenth', yLabel: 'us/call' },
  ];
  return measures.map(({ figure, ...chart }) => ({
    ...chart,
    kind: /** @type {const} */ ('lines'),
    xLabel: 'suspended at once',
    logX: true,
    series: [...new Set(rows.map((row) => row.contender))].map((contender) => ({
      name: contender,
      points: rows.flatMap((row) => {
        const value = row.contender === contender ? row.figures[figure] : undefined;
        return value ? [{ x: Number(row.case.calls), y: value.median, min: value.min, max: value.max }] : [];
      }),
    })),
  }));
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  const caseName = (/** @type {Record<string, unknown>} */ { calls }) => `${calls} INVITEs suspended at once`;
  return [
    { figure: 'pssBytesPerCall', measure: 'memory, bytes/call' },
    { figure: 'asleepCpuPercent', measure: 'CPU while asleep, % of a core' },
    { figure: 'cpuUsPerCall', measure: 'CPU, us/call' },
    { figure: 'lastToFirst', measure: 'CPU per call, last tenth / first' },
  ].flatMap((each) => comparisonsOf(rows, { ...each, caseName, lessIsBetter: true }));
}
