// The arithmetic of each target, over small rows made by hand: these figures are test data and were measured by nobody.
import { describe, expect, test } from 'vitest';
import type { Comparison, Row } from '../bench/suite.mjs';
import type { Measured } from '../bench/targets.mjs';
import { evaluate, headlineTable, targets, targetsTable } from '../bench/targets.mjs';

/** A row whose figures have the value as median, smallest and largest. */
function row(testCase: object, contender: string, figures: Record<string, number>, ok = true): Row {
  const summaries = Object.entries(figures).map(([name, value]) => [name, { median: value, min: value, max: value }]);
  return { case: { ...testCase }, contender, ok, used: ok ? 1 : 0, notes: [], figures: Object.fromEntries(summaries), runs: [] };
}

const comparison = (where: string, measure: string, lessIsBetter: boolean, ours: number, others: Record<string, number>): Comparison => ({
  case: where, measure, lessIsBetter, ours,
  others: Object.entries(others).map(([contender, value]) => ({ contender, value })),
});

function finding(what: RegExp, measured: Partial<Measured>) {
  const target = targets.find((each) => what.test(each.what));
  if (target === undefined) throw new Error(`no such target: ${what}`);
  const { values, met } = evaluate(target, { rows: [], comparisons: [], ...measured });
  return { values: values.map(({ value }) => value), met };
}

const pureJs = 'sip + setTimeout (pure JS)';
const cpu = (route: string, method: string, figures: Record<string, number>) =>
  Object.entries(figures).map(([contender, cpuUsPerCall]) => row({ method, route, rate: 4000 }, contender, { cpuUsPerCall }));

describe('targets of calls', () => {
  const rows = [
    ...cpu('msroute', 'options', { 'sip-async': 3, Kamailio: 10, [pureJs]: 20 }),
    ...cpu('msroute', 'invite', { 'sip-async': 4, Kamailio: 20, [pureJs]: 20 }),
    ...cpu('direct', 'options', { 'sip-async': 6, Kamailio: 10, [pureJs]: 10 }),
    ...cpu('relay', 'invite', { 'sip-async': 5, Kamailio: 10 }),
  ];

  test('take CPU per call of their own routes, each case with its own', () => {
    expect(finding(/suspended call \/ Kamailio/, { rows })).toEqual({ values: [0.3, 0.2], met: true });
    expect(finding(/suspended call \/ pure JS/, { rows })).toEqual({ values: [0.15, 0.2], met: false });
    expect(finding(/direct reply/, { rows })).toEqual({ values: [0.6], met: false });
    expect(finding(/relayed/, { rows })).toEqual({ values: [0.5], met: true });
  });

  test('do not count a case that the other cannot do; one that only we cannot do is not met', () => {
    const testCase = { method: 'options', route: 'relay', rate: 1 };
    const fine = (contender: string) => row(testCase, contender, { cpuUsPerCall: 1 });
    const faulty = (contender: string) => row(testCase, contender, {}, false);
    expect(finding(/relayed/, { rows: [fine('sip-async'), faulty('Kamailio')] })).toEqual({ values: [], met: undefined });
    expect(finding(/relayed/, { rows: [fine('sip-async')] })).toEqual({ values: [], met: undefined });
    expect(finding(/relayed/, { rows: [faulty('sip-async'), fine('Kamailio')] })).toEqual({ values: [NaN], met: false });
  });
});

describe('targets of lateness', () => {
  const late = (rate: number, contender: string, p99Ms: number, early = 0) => row({ rate, delayMs: 20 }, contender, { p99Ms, early });

  test('count early calls at every rate, and only ours', () => {
    expect(finding(/early/, { rows: [late(50, 'sip-async', 1), late(50, 'Kamailio', 1, 7)] })).toEqual({ values: [0], met: true });
    expect(finding(/early/, { rows: [late(50, 'sip-async', 1, 1), late(1000, 'sip-async', 1)] }).met).toBe(false);
  });

  test('take p99 at a thousand calls a second', () => {
    const rows = [late(1000, 'sip-async', 1.5), late(1000, 'Kamailio', 1.5), late(50, 'sip-async', 9), late(50, 'Kamailio', 1)];
    expect(finding(/p99 of lateness at 1000 calls\/s$/, { rows })).toEqual({ values: [1.5], met: true });
    expect(finding(/p99 of lateness .* Kamailio/, { rows })).toEqual({ values: [1], met: false });
  });
});

describe('targets of suspended INVITEs', () => {
  const many = (calls: number, figures: Record<string, number>) => row({ calls, seconds: 30 }, 'sip-async', figures);

  test('take bytes for each, the largest deciding', () => {
    const rows = [many(10_000, { pssBytesPerCall: 1600 }), many(1_000_000, { pssBytesPerCall: 1400 })];
    expect(finding(/memory/, { rows })).toEqual({ values: [1600, 1400], met: false });
    expect(finding(/memory/, { rows: rows.slice(1) }).met).toBe(true);
  });

  test('count what is lost of a million', () => {
    expect(finding(/lost/, { rows: [many(1_000_000, { answered: 999_999 })] })).toEqual({ values: [1], met: false });
    expect(finding(/lost/, { rows: [many(1_000_000, { answered: 1_000_000 })] })).toEqual({ values: [0], met: true });
    expect(finding(/lost/, { rows: [many(1000, { answered: 1 })] }).met).toBeUndefined();
  });

  test('compare the last tenth of a million with the first', () => {
    const tenths = (first: number, last: number) => [
      many(1_000_000, { firstTenthCpuUsPerCall: first, lastTenthCpuUsPerCall: last }),
    ];
    expect(finding(/last tenth/, { rows: tenths(10, 12) })).toEqual({ values: [1.2], met: true });
    expect(finding(/last tenth/, { rows: tenths(10, 13) })).toEqual({ values: [1.3], met: false });
  });

  test('take what the proxy uses at rest', () => {
    const rows = [many(1_000_000, { idleCpuPercent: 0.1, asleepCpuPercent: 0.5 }), many(10_000, { idleCpuPercent: 0.2, asleepCpuPercent: 0.1 })];
    expect(finding(/idle/, { rows })).toEqual({ values: [0.1, 0.2], met: true });
    expect(finding(/asleep/, { rows })).toEqual({ values: [0.5], met: false });
  });
});

describe('targets taken from comparisons', () => {
  test('compare the highest rates with Kamailio', () => {
    const comparisons = [comparison('OPTIONS, direct', 'calls/s', false, 40_000, { Kamailio: 20_000, [pureJs]: 5000 })];
    expect(finding(/highest rate/, { comparisons })).toEqual({ values: [2], met: true });
  });

  test('compare hand-over of asyncTaskData, tasks and round trips apart, and not CPU', () => {
    const others = { postMessage: 100, piscina: 50 };
    const comparisons = [
      comparison('1 worker, 100 bytes', 'sip-async, asyncTaskData: tasks/s', false, 250, others),
      comparison('1 worker, 100 bytes', 'sip-async, asyncTaskData: CPU, us/task', true, 1, others),
      comparison('one at a time', 'sip-async, asyncTaskData: round trip, us', true, 50, others),
      comparison('1 worker, 100 bytes', 'sip-async/engine: tasks/s', false, 900, others),
    ];
    expect(finding(/piscina/, { comparisons })).toEqual({ values: [5], met: true });
    expect(finding(/tasks a second \/ postMessage/, { comparisons })).toEqual({ values: [2.5], met: false });
    expect(finding(/round trip/, { comparisons })).toEqual({ values: [0.5], met: true });
  });

  test('take schedule and expire at a million, and its growth for each kind of delays', () => {
    const at = (kind: string, pending: number, ours: number) =>
      comparison(`schedule + expire, ${kind}, ${pending} pending`, 'ns', true, ours, { heap: 1 });
    const comparisons = [
      at('same delay', 1000, 20), at('same delay', 1_000_000, 60), at('same delay', 10_000_000, 30),
      at('random delays', 1000, 50), at('random delays', 1_000_000, 55), at('random delays', 10_000_000, 45),
      comparison('schedule + cancel, same delay, 1000000 pending', 'ns', true, 999, { heap: 1 }),
    ];
    expect(finding(/at 1,000,000 pending/, { comparisons })).toEqual({ values: [60, 55], met: true });
    expect(finding(/dearest/, { comparisons })).toEqual({ values: [3, 1.1], met: false });
  });

  test('compare the queue with the best of the others, whichever way the figure counts', () => {
    const times = [comparison('2x2', 'ns/op', true, 20, { boost: 40, moodycamel: 25 })];
    const rates = [comparison('burst, 2x2', 'operations/s', false, 20, { boost: 10, moodycamel: 25 }), comparison('4x4', 'ns/op', true, 9, { boost: 1 })];
    expect(finding(/queue/, { comparisons: times })).toEqual({ values: [1.25], met: true });
    expect(finding(/queue/, { comparisons: rates })).toEqual({ values: [0.8], met: false });
  });
});

describe('tables of targets', () => {
  test('say not measured where no result is stored, and where its rows have another shape', () => {
    expect(targetsTable(new Map()).slice(2).every((line) => line.endsWith('| not measured |'))).toBe(true);
    expect(targetsTable(new Map()).length).toBe(2 + targets.length);
    expect(headlineTable(new Map()).slice(2)).toHaveLength(7);
    // A result of other code may hold anything.
    const strange = { rows: [null, { contender: 'sip-async' }], comparisons: [{}] } as unknown as Measured;
    for (const target of targets) expect(evaluate(target, strange).met).toBeUndefined();
  });

  test('name the worst case and tell whether the target is met', () => {
    const rows = [
      ...cpu('direct', 'options', { 'sip-async': 1, Kamailio: 10 }),
      ...cpu('direct', 'invite', { 'sip-async': 8, Kamailio: 10 }),
      ...cpu('msroute', 'invite', { 'sip-async': 1, Kamailio: 10 }),
    ];
    const measured = new Map([['sip-cpu', { rows, comparisons: [] }]]);
    const lines = targetsTable(measured);
    expect(lines).toContain(
      "| 2 | CPU per direct reply / Kamailio's | at most 0.5 | 0.1 to 0.8 (worst: invite, direct, rate 4000) | sip-cpu | **no** |",
    );
    expect(lines).toContain("| 1 | CPU per suspended call / Kamailio's | at most 0.3 | 0.1 (invite, msroute, rate 4000) | sip-cpu | yes |");
    expect(headlineTable(measured)[3]).toBe(
      "| answered directly, and relayed | CPU per direct reply / Kamailio's: 0.1 to 0.8 (at most 0.5) | 0 of 2, 1 not measured |",
    );
  });
});
