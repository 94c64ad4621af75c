/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {number[]} sorted ascending
 * @param {number} share 0 to 1
 */
export function quantile(sorted, share) {
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Three decimals are more than any of these measurements carries. @param {number} value */
export function rounded(value) {
  return Number(value.toFixed(3));
}

/**
 * The median of some runs with its spread.
 * @param {number[]} values
 */
export function summary(values) {
  if (values.length === 0) return null;
  return { median: rounded(median(values)), min: rounded(Math.min(...values)), max: rounded(Math.max(...values)) };
}

/**
 * @param {{ median: number, min: number, max: number } | null} figure
 * @param {number} [digits]
 */
export function withSpread(figure, digits = 1) {
  if (!figure) return '-';
  return `${figure.median.toFixed(digits)} (${figure.min.toFixed(digits)}..${figure.max.toFixed(digits)})`;
}

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
