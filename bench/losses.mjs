// Where we lose: every case of the newest results in which a contender does better than we do.
import { markdownTable } from './report.mjs';

/**
 * @typedef {object} Loss
 * @property {string} scenario
 * @property {string} case
 * @property {string} measure
 * @property {string} contender
 * @property {number} ours
 * @property {number} theirs
 * @property {number} ratio above 1: how many times better the other is
 */

/**
 * @param {{ scenario: string, comparisons: import('./suite.mjs').Comparison[] }[]} all
 * @returns {Loss[]} the worst first
 */
export function lossesIn(all) {
  const losses = all.flatMap(({ scenario, comparisons }) =>
    comparisons.flatMap(({ case: where, measure, lessIsBetter, ours, others }) =>
      others.map(({ contender, value: theirs }) => {
        const ratio = lessIsBetter ? ours / theirs : theirs / ours;
        return { scenario, case: where, measure, contender, ours, theirs, ratio };
      }),
    ),
  );
  // 0 against 0 is NaN and no loss; something against nothing is Infinity and the worst there is.
  const byRatio = (/** @type {Loss} */ a, /** @type {Loss} */ b) => (a.ratio === b.ratio ? 0 : b.ratio - a.ratio);
  return losses.filter(({ ratio }) => ratio > 1).sort(byRatio);
}

/** Three significant digits, more where there are more before the point. @param {number} value */
export function shortNumber(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '-' : 'without bound';
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** @param {Parameters<typeof lossesIn>[0]} all */
export function lossesTable(all) {
  const compared = all.reduce((sum, { comparisons }) => sum + comparisons.reduce((one, { others }) => one + others.length, 0), 0);
  if (compared === 0) return ['No stored result compares us with a contender.'];
  const losses = lossesIn(all);
  if (losses.length === 0) return [`In none of the ${compared} comparisons of the stored results.`];
  const head = ['scenario', 'case', 'figure', 'sip-async', 'better', 'by it', 'times better'];
  const body = losses.map(({ scenario, case: where, measure, contender, ours, theirs, ratio }) => [
    scenario, where, measure, shortNumber(ours), contender, shortNumber(theirs), shortNumber(ratio),
  ]);
  return [`In ${losses.length} of the ${compared} comparisons of the stored results.`, '', ...markdownTable(head, body)];
}
