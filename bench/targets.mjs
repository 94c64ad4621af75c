// What the project wants to reach, and how far the newest results are from it.
import { shortNumber } from './losses.mjs';
import { markdownTable } from './report.mjs';
import { capacityRatios, cpuRatios, earlyCalls, latenessRatios, p99Lateness } from './target-figures.mjs';
import { bytesPerCall, idlePercent, lastTenthRatio, lostCalls, sleepingPercent } from './target-figures.mjs';
import { expiryGrowth, expiryNs, handoffRatios, queueRatios } from './target-figures.mjs';

/** @typedef {{ rows: import('./suite.mjs').Row[], comparisons: import('./suite.mjs').Comparison[] }} Measured of a scenario */
/** @typedef {{ case: string, value: number, excused?: string }} Value NaN: we have no usable run; excused: why it counts as met */

/**
 * @typedef {object} Target
 * @property {number} number
 * @property {string} what
 * @property {{ most: number } | { least: number } | { below: number }} bound each value's
 * @property {string} unit
 * @property {string} scenario
 * @property {(measured: Measured) => Value[]} values one for each case; none: not measured
 */

/** @typedef {{ target: Target, values: Value[], met: boolean | undefined }} Finding met: undefined when not measured */

const kMillion = 1_000_000;

/** What the targets of one number are about. @type {Record<number, string>} */
const kTopics = {
  1: 'suspended 100 ms',
  2: 'answered directly, and relayed',
  3: 'lateness',
  4: 'suspended INVITEs',
  5: 'tasks for other threads',
  6: 'native core',
  7: 'at rest',
};

/** @type {Target[]} */
export const targets = [
  { number: 1, what: "CPU per suspended call / Kamailio's", bound: { most: 0.3 }, unit: '', scenario: 'sip-cpu',
    values: cpuRatios(['msroute'], /kamailio/i) },
  { number: 1, what: "CPU per suspended call / pure JS engine's", bound: { most: 0.15 }, unit: '', scenario: 'sip-cpu',
    values: cpuRatios(['msroute'], /pure.?js/i) },
  { number: 1, what: "highest rate that holds / Kamailio's", bound: { least: 2 }, unit: '', scenario: 'sip-capacity',
    values: capacityRatios(/kamailio/i) },
  { number: 2, what: "CPU per direct reply / Kamailio's", bound: { most: 0.5 }, unit: '', scenario: 'sip-cpu',
    values: cpuRatios(['direct'], /kamailio/i) },
  { number: 2, what: "CPU per relayed call / Kamailio's", bound: { most: 0.5 }, unit: '', scenario: 'sip-cpu',
    values: cpuRatios(['relay'], /kamailio/i) },
  { number: 3, what: 'calls that go on early', bound: { most: 0 }, unit: '', scenario: 'timer-lateness', values: earlyCalls },
  { number: 3, what: 'p99 of lateness at 1000 calls/s', bound: { most: 1.5 }, unit: 'ms', scenario: 'timer-lateness',
    values: p99Lateness(1000) },
  { number: 3, what: "p99 of lateness at 1000 calls/s / Kamailio's", bound: { below: 1 }, unit: '', scenario: 'timer-lateness',
    values: latenessRatios(1000, /kamailio/i) },
  { number: 4, what: 'memory of a suspended INVITE', bound: { most: 1500 }, unit: 'bytes', scenario: 'suspended-memory',
    values: bytesPerCall },
  { number: 4, what: 'lost of 1,000,000 at once', bound: { most: 0 }, unit: '', scenario: 'suspended-memory',
    values: lostCalls(kMillion) },
  { number: 4, what: 'CPU to suspend the last tenth of 1,000,000 / the first', bound: { most: 1.2 }, unit: '',
    scenario: 'suspended-memory', values: lastTenthRatio(kMillion) },
  { number: 5, what: "tasks a second / piscina's", bound: { least: 5 }, unit: '', scenario: 'node-handoff',
    values: handoffRatios('throughput', /piscina/i) },
  { number: 5, what: "tasks a second / postMessage's", bound: { least: 3 }, unit: '', scenario: 'node-handoff',
    values: handoffRatios('throughput', /postmessage/i) },
  { number: 5, what: "median round trip / postMessage's", bound: { most: 0.5 }, unit: '', scenario: 'node-handoff',
    values: handoffRatios('round trip', /postmessage/i) },
  { number: 6, what: 'schedule and expire at 1,000,000 pending', bound: { most: 60 }, unit: 'ns', scenario: 'native-timers',
    values: expiryNs(kMillion) },
  { number: 6, what: 'schedule and expire: dearest of 1e3 to 1e7 pending / at 1e3', bound: { most: 1.2 }, unit: '',
    scenario: 'native-timers', values: expiryGrowth },
  { number: 6, what: "MPMC queue 2x2: operations a second / the best contender's", bound: { least: 1 }, unit: '',
    scenario: 'native-queues', values: queueRatios },
  { number: 7, what: 'idle proxy', bound: { below: 0.5 }, unit: '% of a core', scenario: 'suspended-memory',
    values: idlePercent },
  { number: 7, what: 'with 1,000,000 asleep', bound: { below: 0.5 }, unit: '% of a core', scenario: 'suspended-memory',
    values: sleepingPercent(kMillion) },
];

/** @param {Target['bound']} bound @param {number} value */
function satisfies(bound, value) {
  if ('most' in bound) return value <= bound.most;
  return 'least' in bound ? value >= bound.least : value < bound.below;
}

/**
 * A result whose rows have another shape than the target knows was measured by other code: not measured, no error.
 * @param {Target} target
 * @param {Measured | undefined} measured
 * @returns {Finding}
 */
export function evaluate(target, measured) {
  /** @type {Value[]} */
  let values = [];
  try {
    values = measured === undefined ? [] : target.values(measured);
  } catch {
    // As above.
  }
  const isMet = (/** @type {Value} */ { value, excused }) => excused !== undefined || satisfies(target.bound, value);
  return { target, values, met: values.length === 0 ? undefined : values.every(isMet) };
}

/** @param {Target} target */
function boundText({ bound, unit }) {
  const [word, value] =
    'most' in bound ? ['at most', bound.most] : 'least' in bound ? ['at least', bound.least] : ['below', bound.below];
  return [word, value, unit].filter((part) => part !== '').join(' ');
}

/** The worst case is named: it decides. @param {Finding} finding */
function measuredText({ target: { bound, unit }, values }) {
  if (values.length === 0) return 'not measured';
  const none = values.find(({ value }) => Number.isNaN(value));
  if (none) return `no usable run of ours: ${none.case}`;
  const sorted = [...values].sort((a, b) => ('least' in bound ? b.value - a.value : a.value - b.value));
  const [best, worst] = [sorted[0], sorted[sorted.length - 1]];
  const number = (/** @type {Value} */ { value }) => shortNumber(value);
  const range = sorted.length === 1 || number(best) === number(worst) ? number(worst) : `${number(best)} to ${number(worst)}`;
  const where = worst.case === '' ? '' : ` (${sorted.length > 1 ? 'worst: ' : ''}${worst.case})`;
  const excused = values.flatMap((value) => value.excused ?? []);
  return `${[range, unit].filter(Boolean).join(' ')}${where}${excused.length === 0 ? '' : `; ${excused[0]}`}`;
}

/** @param {boolean | undefined} met */
const verdict = (met) => (met === undefined ? 'not measured' : met ? 'yes' : '**no**');

/** @param {Map<string, Measured>} measured by scenario */
const findings = (measured) => targets.map((target) => evaluate(target, measured.get(target.scenario)));

/** @param {Map<string, Measured>} measured by scenario */
export function targetsTable(measured) {
  const body = findings(measured).map((finding) => {
    const { target, met } = finding;
    return [target.number, target.what, boundText(target), measuredText(finding), target.scenario, verdict(met)];
  });
  return markdownTable(['', 'what', 'target', 'measured, medians', 'scenario', 'met'], body);
}

/** The same in a line for each number. @param {Map<string, Measured>} measured by scenario */
export function headlineTable(measured) {
  const all = findings(measured);
  const body = Object.entries(kTopics).map(([number, topic]) => {
    const own = all.filter(({ target }) => target.number === Number(number));
    const count = (/** @type {boolean | undefined} */ met) => own.filter((finding) => finding.met === met).length;
    const parts = own
      .filter(({ values }) => values.length > 0)
      .map((finding) => `${finding.target.what}: ${measuredText(finding).replace(/ \(.*/, '')} (${boundText(finding.target)})`);
    return [topic, parts.join('; ') || 'not measured', `${count(true)} of ${own.length}${count(undefined) === 0 ? '' : `, ${count(undefined)} not measured`}`];
  });
  return markdownTable(['', 'measured (target)', 'targets met'], body);
}
