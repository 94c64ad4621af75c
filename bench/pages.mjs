// The pages that show results: tables and plots come from the stored results and nothing else.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import { lossesTable } from './losses.mjs';
import { drawCharts, plotsFolder, writePlots } from './plots.mjs';
import { newestResults, section } from './report.mjs';
import { headlineTable, targetsTable } from './targets.mjs';

const projectRoot = new URL('../', import.meta.url);
const kPages = ['docs/benchmarks.md', 'README.md'];
/** The first plot of each of these is shown on the first page. */
const kHeadlineScenarios = ['sip-cpu', 'node-handoff'];

/**
 * Puts text between the markers of a name. What stands outside them is left as it is.
 * @param {string} page
 * @param {(name: string) => string | undefined} textOf
 */
export function fillMarkers(page, textOf) {
  return page.replace(/(<!-- bench:([\w-]+) -->\n)[\s\S]*?(<!-- \/bench -->)/g, (whole, open, name, close) => {
    const text = textOf(name);
    return text === undefined ? whole : `${open}\n${text}\n\n${close}`;
  });
}

/**
 * A stored result may be older than its scenario's code, which then does not understand the rows: that costs this part only.
 * @template T
 * @param {string} what
 * @param {() => T[]} list
 * @returns {T[]}
 */
function tolerant(what, list) {
  try {
    return list();
  } catch (error) {
    console.error(`${what}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/**
 * @param {import('./suite.mjs').Chart} chart
 * @param {string} page path of the page in the project
 */
function picture({ file, title }, page) {
  const words = title.replaceAll(/\s+/g, ' ').replaceAll(/[\\[\]]/g, '\\$&');
  return `![${words}](${posix.relative(posix.dirname(page), `${plotsFolder}${file}.svg`)})`;
}

/**
 * Everything that is shown of the stored results.
 * @param {import('./suite.mjs').Scenario[]} scenarios
 * @param {Map<string, import('./report.mjs').Result>} results
 */
function present(scenarios, results) {
  /** @type {Map<string, string>} */
  const plots = new Map();
  const parts = scenarios.flatMap((scenario) => {
    const result = results.get(scenario.name);
    if (result === undefined) return [];
    const { name } = scenario;
    const charts = tolerant(`charts of ${name}`, () => drawCharts(scenario.charts?.(result.rows) ?? [], plots));
    const comparisons = tolerant(`comparisons of ${name}`, () => scenario.comparisons?.(result.rows) ?? []);
    const lines = tolerant(`table of ${name}`, () => [section(result, scenario)]);
    return [{ name, rows: result.rows, charts, comparisons, text: lines[0] }];
  });
  return { plots, parts };
}

/**
 * The text between the markers of a name on a page.
 * @param {ReturnType<typeof present>['parts']} parts
 * @param {string} page
 * @returns {(name: string) => string | undefined}
 */
function textsOf(parts, page) {
  const measured = new Map(parts.map(({ name, rows, comparisons }) => [name, { rows, comparisons }]));
  const pictures = (/** @type {import('./suite.mjs').Chart[]} */ charts) => charts.map((chart) => picture(chart, page));
  const first = kHeadlineScenarios.flatMap((name) => parts.find((part) => part.name === name)?.charts.slice(0, 1) ?? []);
  return (name) => {
    if (name === 'losses') return lossesTable(parts.map((part) => ({ ...part, scenario: part.name }))).join('\n');
    if (name === 'targets') return targetsTable(measured).join('\n');
    if (name === 'headline') return [headlineTable(measured).join('\n'), ...pictures(first)].join('\n\n');
    const part = parts.find((each) => each.name === name);
    return part?.text === undefined ? undefined : [...pictures(part.charts), part.text].join('\n\n');
  };
}

/**
 * @param {import('./suite.mjs').Scenario[]} scenarios
 * @param {URL} [root] of the project
 * @returns {string[]} the files that changed
 */
export function renewPages(scenarios, root = projectRoot) {
  const { plots, parts } = present(scenarios, newestResults(root));
  const shown = new Set();
  const pages = kPages.filter((path) => {
    const file = new URL(path, root);
    if (!existsSync(file)) return false;
    const page = readFileSync(file, 'utf8');
    const textOf = textsOf(parts, path);
    const filled = fillMarkers(page, (name) => {
      shown.add(name);
      return textOf(name);
    });
    if (filled === page) return false;
    writeFileSync(file, filled);
    return true;
  });
  for (const { name } of parts) if (!shown.has(name)) console.error(`no page has a marker <!-- bench:${name} -->`);
  return [...writePlots(plots, root), ...pages];
}
