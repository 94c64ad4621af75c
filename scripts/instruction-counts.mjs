// Judges instructions per operation by those stored in bench/instructions.json.

/**
 * @typedef {object} Counts
 * @property {string} arch
 * @property {string} compiler
 * @property {Record<string, number>} paths instructions per operation
 */

/** The same compiler makes the same program of the same source; the libraries' part moves a little. */
export const kTolerancePercent = 5;
/** Another compiler may do better or worse; what it does is no regression of ours unless it is large. */
export const kOtherCompilerPercent = 30;

/**
 * @param {Counts} stored
 * @param {Counts} measured
 * @returns {{ failures: string[], notes: string[], lines: string[] }}
 */
export function compareCounts(stored, measured) {
  if (stored.arch !== measured.arch) {
    const notes = [`not compared: the stored counts are of ${stored.arch}, this is ${measured.arch}`];
    return { failures: [], notes, lines: [] };
  }
  const isSameCompiler = stored.compiler === measured.compiler;
  const tolerancePercent = isSameCompiler ? kTolerancePercent : kOtherCompilerPercent;
  const notes = isSameCompiler
    ? []
    : [`another compiler (stored: ${stored.compiler}; here: ${measured.compiler}): ${tolerancePercent} % tolerated`];
  const failures = [];
  const lines = [];
  for (const path of new Set([...Object.keys(stored.paths), ...Object.keys(measured.paths)])) {
    const before = stored.paths[path];
    const now = measured.paths[path];
    if (now === undefined) {
      failures.push(`${path}: was not measured`);
    } else if (before === undefined) {
      failures.push(`${path}: nothing is stored for it (node scripts/instructions.mjs --update)`);
    } else {
      const percent = (100 * (now - before)) / before;
      lines.push(`${path.padEnd(16)} ${String(now).padStart(9)} instructions, ${percent < 0 ? '' : '+'}${percent.toFixed(1)} %`);
      if (!(percent <= tolerancePercent)) {
        failures.push(`${path}: ${now} instructions instead of ${before}, ${percent.toFixed(1)} % more`);
      } else if (percent < -tolerancePercent && isSameCompiler) {
        notes.push(`${path}: ${(-percent).toFixed(1)} % fewer; store it with node scripts/instructions.mjs --update`);
      }
    }
  }
  return { failures, notes, lines };
}

/**
 * What one operation takes, start and end of the process left out.
 * @param {{ operations: number, instructions: number }} few
 * @param {{ operations: number, instructions: number }} many
 */
export function perOperation(few, many) {
  return Math.round((many.instructions - few.instructions) / (many.operations - few.operations));
}

/** @param {string} output of valgrind --tool=callgrind */
export function collectedIn(output) {
  const count = Number(/Collected : (\d+)/.exec(output)?.[1]);
  if (!Number.isSafeInteger(count)) throw new Error(`callgrind printed no count:\n${output.slice(-1000)}`);
  return count;
}
