// From rows to comparisons of one figure: ours beside the others', where both have a usable run.
import { title as ownTitle } from './contenders/sip-async.mjs';

/**
 * @typedef {object} Comparison
 * @property {string} case
 * @property {string} measure with its unit
 * @property {boolean} lessIsBetter
 * @property {number} ours
 * @property {{ contender: string, value: number }[]} others
 */

/**
 * @param {import('./turns.mjs').Row[]} rows
 * @param {object} asked
 * @param {(testCase: Record<string, unknown>) => string} asked.caseName
 * @param {string} asked.figure name of the figure in the rows
 * @param {string} asked.measure
 * @param {boolean} asked.lessIsBetter
 * @param {string} [asked.ours] title of our contender
 * @returns {Comparison[]}
 */
export function comparisonsOf(rows, { caseName, figure, measure, lessIsBetter, ours = ownTitle }) {
  const usable = rows.filter((row) => row.ok && Number.isFinite(row.figures[figure]?.median));
  const valueOf = (/** @type {import('./turns.mjs').Row} */ row) => row.figures[figure]?.median ?? NaN;
  return usable
    .filter((row) => row.contender === ours)
    .map((own) => {
      const key = JSON.stringify(own.case);
      const others = usable
        .filter((row) => row.contender !== ours && JSON.stringify(row.case) === key)
        .map((row) => ({ contender: row.contender, value: valueOf(row) }));
      return { case: caseName(own.case), measure, lessIsBetter, ours: valueOf(own), others };
    })
    .filter(({ others }) => others.length > 0);
}
