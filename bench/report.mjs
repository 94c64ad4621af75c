// From rows to Markdown: the tables of docs/benchmarks.md and README.md come from the stored results and nothing else.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const resultsFolder = new URL('results/', import.meta.url);
const kPages = ['docs/benchmarks.md', 'README.md'];

/**
 * @typedef {object} Result
 * @property {string} scenario
 * @property {string} title
 * @property {boolean} quick
 * @property {number} rounds
 * @property {ReturnType<typeof import('./machine.mjs').provenance>} provenance
 * @property {import('./turns.mjs').Row[]} rows
 */

/**
 * @param {string[]} head
 * @param {unknown[][]} body
 */
export function markdownTable(head, body) {
  const cell = (/** @type {unknown} */ value) => String(value).replaceAll(/\s+/g, ' ').replaceAll('|', '\\|');
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.map(cell).join(' | ')} |`);
}

/** @typedef {(testCase: Record<string, unknown>) => string} CaseColumn */

/**
 * One line a case, the contenders side by side, and what share of each other's the first one's figure is.
 * @param {import('./turns.mjs').Row[]} rows
 * @param {object} columns
 * @param {Record<string, CaseColumn>} columns.caseColumns
 * @param {string} columns.figureTitle
 * @param {(row: import('./turns.mjs').Row) => string} columns.figure
 * @param {(row: import('./turns.mjs').Row) => number} columns.ratio
 */
export function contenderTable(rows, { caseColumns, figureTitle, figure, ratio }) {
  const contenders = [...new Set(rows.map((row) => row.contender))];
  const cases = [...new Map(rows.map((row) => [JSON.stringify(row.case), row.case])).values()];
  const [first, ...others] = contenders;
  const head = [
    ...Object.keys(caseColumns),
    ...contenders.map((contender) => `${contender}, ${figureTitle}`),
    ...others.map((other) => `${first} / ${other}`),
    'runs',
    'notes',
  ];
  const body = cases.map((testCase) => {
    const own = contenders.map((contender) =>
      rows.find((row) => row.contender === contender && JSON.stringify(row.case) === JSON.stringify(testCase)),
    );
    const shares = own.slice(1).map((other) => (own[0] && other ? ratio(own[0]) / ratio(other) : NaN));
    const notes = own.flatMap((row) => (row?.notes.length ? [`${row.contender}: ${row.notes.join(', ')}`] : []));
    return [
      ...Object.values(caseColumns).map((column) => column(testCase)),
      ...own.map((row) => (row ? figure(row) : '-')),
      ...shares.map((share) => (Number.isFinite(share) ? share.toFixed(2) : '-')),
      own.map((row) => row?.used ?? 0).join(' + '),
      notes.join('; '),
    ];
  });
  return markdownTable(head, body);
}

/** @param {Result} result */
function machineLine({ provenance: made, rounds }) {
  const cores = made.pinned.shared ? 'server and load on one core' : 'server and load on one core each';
  const machine = `${made.cpu}, ${made.cores} cores (${cores}), ${made.memoryGb} GB, ${made.kernel}`;
  const programs = `Node ${made.node}, ${made.compiler}, Kamailio ${made.kamailio}, SIPp ${made.sipp}`;
  const own = `sip-async ${made.package}, commit ${made.commit.slice(0, 12)}${made.dirty ? ' with changes' : ''}`;
  const when = `${made.date.slice(0, 16).replace('T', ' ')} UTC, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`;
  return `${machine}; ${programs}; ${own}; ${when}; \`${made.command}\``;
}

/** The newest stored result of each scenario. @returns {Map<string, Result>} */
export function newestResults() {
  const newest = new Map();
  if (!existsSync(resultsFolder)) return newest;
  for (const file of readdirSync(resultsFolder).filter((each) => each.endsWith('.json'))) {
    const result = JSON.parse(readFileSync(new URL(file, resultsFolder), 'utf8'));
    const known = newest.get(result.scenario);
    if (!known || known.provenance.date < result.provenance.date) newest.set(result.scenario, result);
  }
  return newest;
}

/**
 * @param {Result} result
 * @param {{ table: (rows: import('./turns.mjs').Row[]) => string[] }} scenario
 */
export function section(result, scenario) {
  return [...scenario.table(result.rows), '', machineLine(result)].join('\n');
}

/**
 * Puts text between the markers of a scenario. What stands outside them is left as it is.
 * @param {string} page
 * @param {(scenarioName: string) => string | undefined} textOf
 */
export function fillMarkers(page, textOf) {
  return page.replace(/(<!-- bench:([\w-]+) -->\n)[\s\S]*?(<!-- \/bench -->)/g, (whole, open, scenarioName, close) => {
    const text = textOf(scenarioName);
    return text === undefined ? whole : `${open}\n${text}\n\n${close}`;
  });
}

/**
 * @param {{ name: string, table: (rows: import('./turns.mjs').Row[]) => string[] }[]} scenarios
 * @returns {string[]} the pages that changed
 */
export function regeneratePages(scenarios) {
  const results = newestResults();
  return kPages.filter((path) => {
    const file = new URL(path, root);
    if (!existsSync(file)) return false;
    const page = readFileSync(file, 'utf8');
    const filled = fillMarkers(page, (scenarioName) => {
      const scenario = scenarios.find(({ name }) => name === scenarioName);
      const result = results.get(scenarioName);
      return scenario && result ? section(result, scenario) : undefined;
    });
    if (filled === page) return false;
    writeFileSync(file, filled);
    return true;
  });
}

/** @param {Result} result @returns {string} name of the file, relative to the project */
export function storeResult(result) {
  const date = result.provenance.date.slice(0, 16).replace(':', '');
  const path = `bench/results/${date}-${result.scenario}.json`;
  writeFileSync(new URL(path, root), `${JSON.stringify(result, null, 1)}\n`);
  return path;
}
