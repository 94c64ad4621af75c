// Where the figures of the targets stand in the rows and comparisons of each scenario.

/** @typedef {import('./suite.mjs').Row} Row */
/** @typedef {import('./targets.mjs').Measured} Measured */
/** @typedef {import('./targets.mjs').Value} Value */
/** @typedef {(measured: Measured) => Value[]} Select */

const kOurs = 'sip-async';
const kTimer = /schedule\s*\+\s*expire|schedule and expire/i;

/** @param {Row} row @param {string} figure */
const medianOf = (row, figure) => (row.ok ? (row.figures[figure]?.median ?? NaN) : NaN);

/** @param {Row[]} rows @param {(testCase: Record<string, unknown>) => boolean} isAsked */
const ownRows = (rows, isAsked = () => true) => rows.filter((row) => row.contender === kOurs && isAsked(row.case));

/** Words as they are, numbers with what they count. @param {Record<string, unknown>} testCase */
const caseText = (testCase) =>
  Object.entries(testCase).map(([key, value]) => (typeof value === 'number' ? `${key} ${value}` : value)).join(', ');

/**
 * Our figure by the other's in each case that the other has: a case in which only we fail counts, as one that is not met.
 * @param {Row[]} rows
 * @param {RegExp} contender
 * @param {string} figure
 * @param {(testCase: Record<string, unknown>) => boolean} isAsked
 * @returns {Value[]}
 */
function ratios(rows, contender, figure, isAsked) {
  return ownRows(rows, isAsked).flatMap((row) => {
    const key = JSON.stringify(row.case);
    const other = rows.find((each) => contender.test(each.contender) && JSON.stringify(each.case) === key);
    const theirs = other === undefined ? NaN : medianOf(other, figure);
    return Number.isFinite(theirs) ? [{ case: caseText(row.case), value: medianOf(row, figure) / theirs }] : [];
  });
}

/** @param {Row[]} rows @param {string} figure @returns {Value[]} */
const values = (rows, figure) => rows.map((row) => ({ case: caseText(row.case), value: medianOf(row, figure) }));

/** @param {string[]} routes @param {RegExp} contender @returns {Select} */
export const cpuRatios = (routes, contender) => ({ rows }) =>
  ratios(rows, contender, 'cpuUsPerCall', ({ route }) => routes.includes(String(route)));

/** @type {Select} */
export const earlyCalls = ({ rows }) =>
  ownRows(rows).map((row) => ({ case: caseText(row.case), value: row.figures.early?.max ?? NaN }));

/** @param {number} rate @returns {Select} */
export const p99Lateness = (rate) => ({ rows }) => values(ownRows(rows, (testCase) => testCase.rate === rate), 'p99Ms');

/** @param {number} rate @param {RegExp} contender @returns {Select} */
export const latenessRatios = (rate, contender) => ({ rows }) =>
  ratios(rows, contender, 'p99Ms', (testCase) => testCase.rate === rate);

/** @type {Select} */
export const bytesPerCall = ({ rows }) => values(ownRows(rows), 'pssBytesPerCall');

/** @param {number} calls @returns {Select} */
export const lostCalls = (calls) => ({ rows }) =>
  ownRows(rows, (testCase) => testCase.calls === calls).map((row) => ({
    case: caseText(row.case),
    value: row.ok ? calls - (row.figures.answered?.min ?? NaN) : NaN,
  }));

/** @param {number} calls @returns {Select} */
export const sleepingPercent = (calls) => ({ rows }) =>
  values(ownRows(rows, (testCase) => testCase.calls === calls), 'asleepCpuPercent');

/** @type {Select} */
export const idlePercent = ({ rows }) => values(ownRows(rows), 'idleCpuPercent');

/** @param {number} calls @returns {Select} */
export const lastTenthRatio = (calls) => ({ rows }) =>
  ownRows(rows, (testCase) => testCase.calls === calls).map((row) => ({
    case: caseText(row.case),
    value: medianOf(row, 'lastTenthCpuUsPerCall') / medianOf(row, 'firstTenthCpuUsPerCall'),
  }));

/** @param {Measured} measured @param {RegExp} about case and measure @param {RegExp} contender */
function compared({ comparisons }, about, contender) {
  return comparisons.flatMap(({ case: where, measure, lessIsBetter, ours, others }) => {
    const asked = others.filter((other) => contender.test(other.contender));
    if (asked.length === 0 || !about.test(`${where}, ${measure}`) || /CPU/.test(measure)) return [];
    return [{ case: where, lessIsBetter, ours, theirs: asked.map(({ value }) => value) }];
  });
}

/** @param {RegExp} contender @returns {Select} */
export const capacityRatios = (contender) => (measured) =>
  compared(measured, /./, contender).map(({ case: where, ours, theirs }) => ({ case: where, value: ours / theirs[0] }));

/** @param {'throughput' | 'round trip'} what @param {RegExp} contender @returns {Select} */
export const handoffRatios = (what, contender) => (measured) =>
  compared(measured, /./, contender)
    .filter(({ lessIsBetter }) => lessIsBetter === (what === 'round trip'))
    .map(({ case: where, ours, theirs }) => ({ case: where, value: ours / theirs[0] }));

/** @type {Select} */
export const queueRatios = (measured) =>
  compared(measured, /\b2x2\b/, /./).map(({ case: where, lessIsBetter, ours, theirs }) => ({
    case: where,
    value: lessIsBetter ? Math.min(...theirs) / ours : ours / Math.max(...theirs),
  }));

/** Figures of schedule + expire by how many were pending. @param {Measured} measured */
const expiries = (measured) =>
  compared(measured, kTimer, /./).map(({ case: where, ours }) => ({
    case: where,
    kind: where.replace(/[\d,.e]+k?M? pending/i, ''),
    pending: Number(/([\d,.e]+) pending/i.exec(where)?.[1].replaceAll(',', '')),
    ours,
  }));

/** @param {number} pending @returns {Select} */
export const expiryNs = (pending) => (measured) =>
  expiries(measured)
    .filter((each) => each.pending === pending)
    .map(({ case: where, ours }) => ({ case: where, value: ours }));

/** @type {Select} */
export const expiryGrowth = (measured) => {
  const all = expiries(measured);
  return all
    .filter(({ pending }) => pending === 1000)
    .map((first) => {
      const same = all.filter(({ kind }) => kind === first.kind);
      const dearest = same.reduce((a, b) => (a.ours > b.ours ? a : b));
      return { case: dearest.case, value: dearest.ours / first.ours };
    });
};
