// Timers without Node and without SIP: our wheel beside heaps and a wheel as one writes it first.
import { build, byCase, comparisonsOf, nativeContender, programsInTurns } from '../native-programs.mjs';
import { markdownTable } from '../report.mjs';
import { withSpread } from '../statistics.mjs';

export const name = 'native-timers';
export const title = 'Timers of the native core: nanoseconds each';
export const needs = ['cmake', 'taskset'];
export const minutes = 5;

const kProgram = 'contend_timers';

export const contenders = [
  nativeContender({
    name: 'sip-async',
    title: 'sip-async',
    differs: 'any thread schedules, without a lock; a cancelled timer stays until it is due or half of all are cancelled',
  }),
  nativeContender({
    name: 'priority_queue',
    title: 'std::priority_queue',
    differs: 'one thread, or a lock around it; cancelled ones are marked, and taken out when more than half are',
  }),
  nativeContender({
    name: 'asio',
    title: 'Boost.Asio timer_queue',
    differs: 'one thread, or a lock around it, which io_context has and is not counted here; equals in any order',
    header: 'boost/asio/detail/timer_queue.hpp',
    package: 'libboost-dev',
  }),
  nativeContender({
    name: 'naive-wheel',
    title: 'naive wheel',
    differs: 'one thread, or a lock around it; cancels at once; comes by at every tick',
  }),
];

/** What the program prints, and what it is called in a row. @type {Record<string, string>} */
const figures = {
  'schedule+expire': 'scheduleExpireNs',
  'schedule+expire, CPU': 'scheduleExpireCpuNs',
  schedule: 'scheduleNs',
  'schedule, CPU': 'scheduleCpuNs',
  cancel: 'cancelNs',
  'cancel, CPU': 'cancelCpuNs',
  expire: 'expireNs',
  'expire, CPU': 'expireCpuNs',
};
const shown = ['schedule+expire', 'schedule', 'cancel', 'expire'];

/** @typedef {{ delays: 'same' | 'random', pending: number }} Case */

/** @param {boolean} quick @returns {Case[]} */
export function cases(quick) {
  const counts = quick ? [1000, 1_000_000] : [1000, 10_000, 100_000, 1_000_000, 10_000_000];
  const delays = /** @type {const} */ (['same', 'random']);
  return delays.flatMap((each) => counts.map((pending) => ({ delays: each, pending })));
}

/** @param {Case} testCase */
const caseText = ({ delays, pending }) => `${delays === 'same' ? 'same delay' : 'random delays'}, ${pending} pending`;

/** @param {import('../turns.mjs').Context & { contenders: any[] }} context */
export async function run(context) {
  build(kProgram);
  const operations = String(context.quick ? 400_000 : 2_000_000);
  return programsInTurns({
    context,
    program: kProgram,
    contenders: context.contenders,
    cases: cases(context.quick),
    argsOf: ({ delays, pending }) => [String(pending), delays, operations],
    figureOf: ({ name: what }) => figures[what] ?? what,
    core: context.cores.server,
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const titles = [...new Set(rows.map(({ contender }) => contender))];
  const body = byCase(rows).flatMap(({ case: testCase, rows: same }) =>
    shown.map((what, index) => {
      const each = titles.map((one) => same.find(({ contender }) => contender === one));
      const notes = index > 0 ? [] : same.flatMap((row) => (row.notes.length ? [`${row.contender}: ${row.notes.join(', ')}`] : []));
      return [
        testCase.delays, testCase.pending, what,
        ...each.map((row) => withSpread(row?.figures[figures[what]] ?? null)),
        each.map((row) => row?.used ?? 0).join(' + '), notes.join('; '),
      ];
    }),
  );
  const differs = contenders.filter(({ title: one }) => titles.includes(one)).map(({ title: one, differs: how }) => `- ${one}: ${how}`);
  const head = ['delays', 'pending', 'ns for each', ...titles, 'runs', 'notes'];
  return [...markdownTable(head, body), '', ...differs];
}

/** @param {import('../turns.mjs').Row[]} rows @returns {import('../suite.mjs').Chart[]} */
export function charts(rows) {
  const titles = [...new Set(rows.map(({ contender }) => contender))];
  return /** @type {const} */ (['random', 'same']).map((delays) => ({
    file: `native-timers-${delays}`,
    title: `To schedule a timer and expire it, ${delays === 'same' ? 'all with the same delay' : 'random delays'}`,
    kind: 'lines',
    xLabel: 'pending',
    yLabel: 'ns',
    logX: true,
    logY: true,
    series: titles.map((one) => ({
      name: one,
      points: rows.flatMap(({ case: testCase, contender, figures: { scheduleExpireNs: figure } }) => {
        if (contender !== one || testCase.delays !== delays || !figure) return [];
        return [{ x: Number(testCase.pending), y: figure.median, min: figure.min, max: figure.max }];
      }),
    })),
  }));
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  return shown.flatMap((what) => comparisonsOf(rows, figures[what], caseText, `${what}, ns`));
}
