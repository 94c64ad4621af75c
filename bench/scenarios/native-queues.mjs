// Queues between threads, without Node and without SIP: the task queue beside those that others use.
import { build, byCase, comparisonsOf, nativeContender, programsInTurns } from '../native-programs.mjs';
import { markdownTable } from '../report.mjs';
import { withSpread } from '../statistics.mjs';

export const name = 'native-queues';
export const title = 'Queues of many producers and many consumers: nanoseconds for each value';
export const needs = ['cmake'];
export const minutes = 2;

const kProgram = 'contend_queues';

export const contenders = [
  nativeContender({
    name: 'sip-async',
    title: 'sip-async',
    differs: 'bounded, first in first out, never waits; several taken in one step',
  }),
  nativeContender({
    name: 'moodycamel',
    title: 'moodycamel ConcurrentQueue',
    differs: 'not bounded: a push allocates; in order for each producer only; several taken in one step; a token for each thread',
    header: 'concurrentqueue/concurrentqueue.h',
    package: 'libconcurrentqueue-dev',
  }),
  nativeContender({
    name: 'boost-lockfree',
    title: 'boost::lockfree::queue',
    differs: 'bounded, first in first out, never waits; one at a time',
    header: 'boost/lockfree/queue.hpp',
    package: 'libboost-dev',
  }),
  nativeContender({
    name: 'tbb',
    title: 'oneTBB concurrent_bounded_queue',
    differs: 'bounded, first in first out, can also block (not used here); one at a time',
    header: 'oneapi/tbb/concurrent_queue.h',
    package: 'libtbb-dev',
  }),
  nativeContender({
    name: 'mutex-deque',
    title: 'std::mutex + std::deque',
    differs: 'bounded, first in first out, waits for its lock; several taken in one step',
  }),
];

/** @typedef {{ threads: string, producers: number, consumers: number, pace: 'steady' | 'burst' }} Case */

/** @type {Case[]} */
export const cases = [
  { threads: '1x1', producers: 1, consumers: 1, pace: 'steady' },
  { threads: '2x2', producers: 2, consumers: 2, pace: 'steady' },
  { threads: '4x4', producers: 4, consumers: 4, pace: 'steady' },
  { threads: '1x4', producers: 1, consumers: 4, pace: 'steady' },
  { threads: 'bursts of 1000', producers: 2, consumers: 2, pace: 'burst' },
];

/** @param {Case} testCase */
const caseText = ({ threads }) => threads;

/** @param {import('../turns.mjs').Context & { contenders: any[] }} context */
export async function run(context) {
  build(kProgram);
  const values = String(context.quick ? 1_000_000 : 4_000_000);
  return programsInTurns({
    context,
    program: kProgram,
    contenders: context.contenders,
    cases,
    argsOf: ({ producers, consumers, pace }) => [String(producers), String(consumers), pace, values],
    figureOf: ({ name: what }) => (what.endsWith('CPU') ? 'pushPopCpuNs' : 'pushPopNs'),
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  const titles = [...new Set(rows.map(({ contender }) => contender))];
  const body = byCase(rows).map(({ case: testCase, rows: same }) => {
    const each = titles.map((one) => same.find(({ contender }) => contender === one));
    return [
      testCase.pace === 'burst' ? `${testCase.threads}, ${testCase.producers}x${testCase.consumers}` : testCase.threads,
      ...each.map((row) => {
        const wall = row?.figures.pushPopNs ?? null;
        return wall === null ? '-' : `${withSpread(wall)}, CPU ${row?.figures.pushPopCpuNs?.median.toFixed(0) ?? '-'}`;
      }),
      each.map((row) => row?.used ?? 0).join(' + '),
      same.flatMap((row) => (row.notes.length ? [`${row.contender}: ${row.notes.join(', ')}`] : [])).join('; '),
    ];
  });
  const differs = contenders.filter(({ title: one }) => titles.includes(one)).map(({ title: one, differs: how }) => `- ${one}: ${how}`);
  const head = ['producers x consumers', ...titles.map((one) => `${one}, ns`), 'runs', 'notes'];
  return [...markdownTable(head, body), '', ...differs];
}

/** @param {import('../turns.mjs').Row[]} rows @returns {import('../suite.mjs').Chart[]} */
export function charts(rows) {
  const titles = [...new Set(rows.map(({ contender }) => contender))];
  return [{
    file: 'native-queues',
    title: 'One value through a queue, producers x consumers',
    kind: 'bars',
    xLabel: 'producers x consumers',
    yLabel: 'ns',
    logY: true,
    series: titles.map((one) => ({
      name: one,
      points: rows.flatMap(({ case: testCase, contender, figures: { pushPopNs: figure } }) => {
        if (contender !== one || !figure) return [];
        return [{ x: String(testCase.threads), y: figure.median, min: figure.min, max: figure.max }];
      }),
    })),
  }];
}

/** @param {import('../turns.mjs').Row[]} rows */
export function comparisons(rows) {
  return comparisonsOf(rows, 'pushPopNs', caseText, 'ns/value');
}
