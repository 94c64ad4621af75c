// From rows to Markdown, and the stored results.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';

const projectRoot = new URL('../', import.meta.url);
const kLineLength = 128;

/**
 * @typedef {object} Result
 * @property {string} scenario
 * @property {string} title
 * @property {boolean} quick
 * @property {number} rounds
 * @property {number} [minutes] it took
 * @property {Record<string, string>} [versions] of the contenders, by title, and of what else was used
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
 * One line a case, the contenders side by side, and how many times less the first of them needs than the second.
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
  const [first, second] = contenders;
  const head = [
    ...Object.keys(caseColumns),
    ...contenders.map((contender) => `${contender}, ${figureTitle}`),
    ...(second === undefined ? [] : [`${first} / ${second}`]),
    'runs',
    'notes',
  ];
  const body = cases.map((testCase) => {
    const own = contenders.map((contender) =>
      rows.find((row) => row.contender === contender && JSON.stringify(row.case) === JSON.stringify(testCase)),
    );
    const share = own[0] && own[1] ? ratio(own[0]) / ratio(own[1]) : NaN;
    const notes = own.flatMap((row) => (row?.notes.length ? [`${row.contender}: ${row.notes.join(', ')}`] : []));
    return [
      ...Object.values(caseColumns).map((column) => column(testCase)),
      ...own.map((row) => (row ? figure(row) : '-')),
      ...(second === undefined ? [] : [Number.isFinite(share) ? share.toFixed(2) : '-']),
      own.map((row) => row?.used ?? 0).join(' + '),
      notes.join('; '),
    ];
  });
  return markdownTable(head, body);
}

/** @param {string} text */
function wrapped(text) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1];
    if (last.length + 1 + word.length <= kLineLength || last === '') lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join('\n');
}

/** @param {Result} result */
function machineLine({ provenance: made, rounds, versions }) {
  const cores = made.pinned.shared ? 'server and load on one core' : 'server and load on one core each';
  const clock = made.cpuMhz ? ` at ${made.cpuMhz} MHz${made.governor ? `, governor ${made.governor}` : ''}` : '';
  const machine = `${made.cpu}${clock}, ${made.cores} cores (${cores}), ${made.memoryGb} GB, ${made.kernel}`;
  // Results from before versions were stored for each contender know of these two only.
  const others = Object.entries(versions ?? { Kamailio: made.kamailio, SIPp: made.sipp }).filter(
    ([title]) => title !== 'sip-async',
  );
  const programs = [`Node ${made.node}`, made.compiler, ...others.map(([title, version]) => `${title} ${version}`)].join(', ');
  const own = `sip-async ${made.package}, commit ${made.commit.slice(0, 12)}${made.dirty ? ' with changes' : ''}`;
  const when = `${made.date.slice(0, 16).replace('T', ' ')} UTC, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`;
  return wrapped(`${machine}; ${programs}; ${own}; ${when}; \`${made.command}\``);
}

/**
 * The newest stored result of each scenario.
 * @param {URL} [root] of the project
 * @returns {Map<string, Result>}
 */
export function newestResults(root = projectRoot) {
  const resultsFolder = new URL('bench/results/', root);
  const newest = new Map();
  if (!existsSync(resultsFolder)) return newest;
  for (const file of readdirSync(resultsFolder).filter((each) => each.endsWith('.json')).sort()) {
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

/** @param {Result} result @returns {string} name of the file, relative to the project */
export function storeResult(result) {
  const date = result.provenance.date.slice(0, 16).replace(':', '');
  const path = `bench/results/${date}-${result.scenario}.json`;
  writeFileSync(new URL(path, projectRoot), `${JSON.stringify(result, null, 1)}\n`);
  return path;
}
