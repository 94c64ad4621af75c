// The pages that show results: tables and plots come from the stored results and nothing else.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { lossesTable } from './losses.mjs';
import { newestResults, section } from './report.mjs';

const projectRoot = new URL('../', import.meta.url);
const kPages = ['docs/benchmarks.md', 'README.md'];

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
 * A scenario whose stored result is older than its code may not understand the rows; that costs its own part only.
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
 * @param {import('./suite.mjs').Scenario[]} scenarios
 * @param {URL} [root] of the project
 * @returns {string[]} the files that changed
 */
export function renewPages(scenarios, root = projectRoot) {
  const results = newestResults(root);
  const measured = scenarios.flatMap((scenario) => {
    const result = results.get(scenario.name);
    return result === undefined ? [] : [{ scenario, result }];
  });
  const compared = measured.map(({ scenario, result }) => ({
    scenario: scenario.name,
    comparisons: tolerant(`comparisons of ${scenario.name}`, () => scenario.comparisons?.(result.rows) ?? []),
  }));
  /** @type {Map<string, () => string>} */
  const texts = new Map([['losses', () => lossesTable(compared).join('\n')]]);
  for (const { scenario, result } of measured) texts.set(scenario.name, () => section(result, scenario));

  return kPages.filter((path) => {
    const file = new URL(path, root);
    if (!existsSync(file)) return false;
    const page = readFileSync(file, 'utf8');
    const filled = fillMarkers(page, (name) => texts.get(name)?.());
    if (filled === page) return false;
    writeFileSync(file, filled);
    return true;
  });
}
