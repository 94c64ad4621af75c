// Many INVITEs suspended at the same time: what each of them costs in memory, and what all of them cost in CPU time
// while they sleep. The seconds timer is used, because Kamailio's other one holds 10,000 calls at most.
import { cpuNsBetween, readCpuNs, readMemory, watchOthers } from '../process-tree.mjs';
import { runSender } from '../load.mjs';
import { rounded, sleep, withSpread } from '../statistics.mjs';
import { markdownTable } from '../report.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'suspended-memory';
export const title = 'INVITEs suspended at the same time: memory and CPU time while they sleep';
/** @type {string[]} */
export const needs = [];

const kWarmUpCalls = 4000;
/** Longer than answered transactions are kept, so that the end of the warm-up falls into neither figure. */
const kSettleMs = 6000;
const kMaximumRate = 8000;
const kSendSecondsLeast = 2;
const kAnswerLimitMs = 15_000;
/** Long enough for a retransmitted answer, so that a second one is not missed. */
const kLingerMs = 1500;
/** The suspended calls are left alone this long before and after the CPU time of their sleep is taken. */
const kMarginMs = 1000;

/** @param {boolean} quick */
export function cases(quick) {
  return quick ? [{ calls: 2000, seconds: 6 }] : [{ calls: 10_000, seconds: 30 }, { calls: 100_000, seconds: 30 }];
}

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
  return inTurns(context, cases(context.quick), async (server, { calls, seconds }, idleCpuPercent) => {
    const load = { port: server.port, method: /** @type {const} */ ('INVITE') };
    // Refused without a transaction: the heaps take their working size, and no page is touched that the suspended
    // calls would then find ready and get for nothing.
    const refused = [{ user: 'nobody', delayMs: 0 }];
    const warmUp = { port: server.port, method: /** @type {const} */ ('OPTIONS'), routes: refused, rate: 1000 };
    await runSender({ ...warmUp, calls: kWarmUpCalls }, context.cores.load);
    await sleep(kSettleMs);

    const delayMs = seconds * 1000;
    const suspending = {
      ...load,
      routes: [{ user: 'delay', delayMs }],
      unitMs: 1000,
      rate: Math.min(kMaximumRate, calls / kSendSecondsLeast),
      calls,
      limitMs: delayMs + kAnswerLimitMs,
      lingerMs: kLingerMs,
    };
    const others = watchOthers();
    const before = readMemory(server.pid);
    const startMs = performance.now();
    /** @type {Promise<Record<string, number>> | undefined} */
    let asleep;
    const result = await runSender(suspending, context.cores.load, () => {
      asleep = watchSleep(server.pid, startMs + delayMs);
    });
    const othersPercent = rounded(others());
    const sleeping = await asleep;
    const why = sleeping === undefined ? 'the calls were not all suspended at the same time' : faultOf(result, calls);
    const [route] = result.routes;
    return {
      // Memory and sleep are measured before the first answer; a fault in the answers is told beside them.
      ok: sleeping !== undefined,
      ...(why === '' ? {} : { why }),
      figures: {
        ...(sleeping === undefined
          ? {}
          : {
              pssBytesPerCall: Math.round((sleeping.pssBytes - before.pssBytes) / calls),
              rssBytesPerCall: Math.round((sleeping.rssBytes - before.rssBytes) / calls),
              asleepCpuPercent: sleeping.cpuPercent,
              asleepSeconds: sleeping.seconds,
            }),
        idleCpuPercent,
        answered: result.answered,
        early: result.early,
        earliestMs: rounded(route.earliestMs - delayMs),
        latestMs: rounded(route.latestMs - delayMs),
        secondAnswers: result.secondAnswers,
        retransmittedAnswers: result.retransmittedAnswers,
        retransmittedRequests: result.retransmittedRequests,
        sendSeconds: result.sendSeconds,
        othersPercent,
      },
    };
  });
}

/**
 * Memory now, and the CPU time until shortly before the first call is due.
 * @param {number} pid
 * @param {number} firstDueMs
 */
async function watchSleep(pid, firstDueMs) {
  const memory = readMemory(pid);
  await sleep(kMarginMs);
  const before = readCpuNs(pid);
  const startMs = performance.now();
  await sleep(Math.max(0, firstDueMs - kMarginMs - startMs));
  const elapsedMs = performance.now() - startMs;
  const cpuPercent = elapsedMs < kMarginMs ? NaN : rounded(cpuNsBetween(before, readCpuNs(pid)) / 1e4 / elapsedMs);
  return { ...memory, cpuPercent, seconds: rounded(elapsedMs / 1000) };
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const head = [
    'suspended at once', 'for', 'server', 'memory per call', 'CPU while asleep', 'idle before', 'answered once',
    'early', 'earliest', 'latest', 'runs', 'notes',
  ];
  const body = rows.map(({ case: testCase, contender, figures, used, notes }) => {
    const median = (/** @type {string} */ figure, digits = 0) => figures[figure]?.median.toFixed(digits) ?? '-';
    return [
      testCase.calls,
      `${testCase.seconds} s`,
      contender,
      `${withSpread(figures.pssBytesPerCall ?? null, 0)} bytes`,
      `${withSpread(figures.asleepCpuPercent ?? null, 2)} %`,
      `${median('idleCpuPercent', 2)} %`,
      median('answered'),
      figures.early?.max ?? '-',
      `${median('earliestMs', 1)} ms`,
      `${median('latestMs', 1)} ms`,
      used,
      notes.join('; '),
    ];
  });
  return markdownTable(head, body);
}
