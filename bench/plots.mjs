// docs/plots: one SVG for each chart of a stored result.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { renderChart } from './plot.mjs';

export const plotsFolder = 'docs/plots/';

/**
 * Draws charts, in memory. A name that is taken twice or is no name is a fault of the scenario.
 * @param {import('./suite.mjs').Chart[]} charts
 * @param {Map<string, string>} plots by file name; added to
 * @returns {import('./suite.mjs').Chart[]} those that had something to draw
 */
export function drawCharts(charts, plots) {
  return charts.filter((chart) => {
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(chart.file)) throw new Error(`${chart.file} is no name for a plot`);
    const file = `${chart.file}.svg`;
    if (plots.has(file)) throw new Error(`two plots are named ${file}`);
    const svg = renderChart(chart);
    if (svg !== undefined) plots.set(file, svg);
    return svg !== undefined;
  });
}

/**
 * Writes what changed and deletes the plots that have no result any more.
 * @param {Map<string, string>} plots by file name
 * @param {URL} root of the project
 * @returns {string[]} the files that changed
 */
export function writePlots(plots, root) {
  const folder = new URL(plotsFolder, root);
  const stored = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.svg')).sort() : [];
  if (plots.size > 0) mkdirSync(folder, { recursive: true });
  const gone = stored.filter((file) => !plots.has(file));
  for (const file of gone) rmSync(new URL(file, folder));
  const renewed = [...plots].filter(([file, svg]) => {
    if (stored.includes(file) && readFileSync(new URL(file, folder), 'utf8') === svg) return false;
    writeFileSync(new URL(file, folder), svg);
    return true;
  });
  return [...gone, ...renewed.map(([file]) => file)].map((file) => `${plotsFolder}${file}`);
}
