// The benchmark suite's own arithmetic and pages, over small rows made by hand: what is measured is not tested here.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { SaxesParser } from 'saxes';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lossesIn, lossesTable } from '../bench/losses.mjs';
import { fillMarkers, renewPages } from '../bench/pages.mjs';
import { renderChart } from '../bench/plot.mjs';
import { drawCharts } from '../bench/plots.mjs';
import { choose, expectedMinutes, versionsOf } from '../bench/suite.mjs';
import type { Chart, Comparison, Scenario } from '../bench/suite.mjs';

const program = fileURLToPath(new URL('../bench/run.mjs', import.meta.url));

function isWellFormed(xml: string) {
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.write(xml).close();
  return true;
}

const bars: Chart = {
  file: 'cpu', title: 'CPU', kind: 'bars', xLabel: 'case', yLabel: 'us per call',
  series: [
    { name: 'ours', points: [{ x: 'OPTIONS', y: 10, min: 9, max: 12 }, { x: 'INVITE', y: 20 }] },
    { name: 'theirs', points: [{ x: 'OPTIONS', y: 30, min: 29, max: 33 }] },
  ],
};

const lines: Chart = {
  file: 'timers', title: 'Timers', kind: 'lines', xLabel: 'pending', yLabel: 'ns', logX: true, logY: true,
  series: [{ name: 'ours', points: [{ x: 1000, y: 30 }, { x: 1e6, y: 60, min: 50, max: 70 }] }],
};

const render = (chart: Chart) => renderChart(chart) ?? '';
const count = (text: string, part: RegExp) => text.match(part)?.length ?? 0;
/** The swatches of the legend have round corners. */
const barsIn = (svg: string) => count(svg, /<rect [^>]*height="12" fill/g);

describe('a plot', () => {
  test('is well-formed and names its axes and series', () => {
    for (const chart of [bars, lines]) {
      const svg = render(chart);
      expect(isWellFormed(svg)).toBe(true);
      for (const text of [chart.title, chart.xLabel, chart.yLabel]) expect(svg).toContain(`>${text}</text>`);
    }
    expect(render(bars)).toContain('>theirs</text>');
  });

  test('has the same bytes for the same rows, and others for others', () => {
    expect(render(structuredClone(bars))).toBe(render(bars));
    expect(render(structuredClone(lines))).toBe(render(lines));
    expect(render({ ...bars, series: bars.series.slice(0, 1) })).not.toBe(render(bars));
  });

  test('escapes what it is given and drops what XML does not have', () => {
    const svg = render({ ...bars, title: `<b> & "c" 'd'\u0000\u000b`, series: [{ name: ']]> <x', points: [{ x: 'a<b', y: 1 }] }] });
    expect(isWellFormed(svg)).toBe(true);
    expect(svg).toContain('&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;');
    expect(svg).toContain('>a&lt;b</text>');
  });

  test('paints its ground for light and dark', () => {
    expect(render(bars)).toMatch(/<rect class="ground"/);
    expect(render(bars)).toMatch(/prefers-color-scheme:dark\)\{[^}]*\}[^@]*\.ground\{fill:#0d1117/);
  });

  test('draws a whisker only where there is a spread', () => {
    expect(count(render(bars), /class="whisker"/g)).toBe(2 * 3);
    expect(count(render(lines), /class="spread"/g)).toBe(3);
  });

  test('says so where a contender has no value', () => {
    const svg = render(bars);
    expect(count(svg, />no value</g)).toBe(1);
    expect(barsIn(svg)).toBe(3);
  });

  test.each([true, false])('of one point stands within its area (log: %s)', (log) => {
    const svg = render({ ...lines, logX: log, logY: log, series: [{ name: 'one', points: [{ x: 1000, y: 5 }] }] });
    const [, x, y] = /<circle cx="([\d.]+)" cy="([\d.]+)"/.exec(svg) ?? [];
    expect(Number(x)).toBeGreaterThan(150);
    expect(Number(x)).toBeLessThan(700);
    expect(Number(y)).toBeGreaterThan(20);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('leaves zero and less off a log axis, and tells it in words beside a bar', () => {
    const points = [{ x: 'none', y: 0 }, { x: 'some', y: 100, min: 0, max: 200 }];
    const drawn = render({ ...bars, logY: true, series: [{ name: 'ours', points }] });
    expect(drawn).toContain('>0</text>');
    expect(barsIn(drawn)).toBe(1);
    expect(drawn).not.toMatch(/NaN|Infinity/);
    const line = render({ ...lines, series: [{ name: 'ours', points: [{ x: 0, y: 1 }, { x: 10, y: 0 }, { x: 100, y: 2 }] }] });
    expect(count(line, /<circle/g)).toBe(1);
    expect(line).not.toMatch(/NaN|Infinity/);
  });

  test('of nothing but zeroes has an axis all the same', () => {
    for (const logY of [true, false]) {
      const svg = render({ ...bars, logY, series: [{ name: 'ours', points: [{ x: 'one', y: 0 }] }] });
      expect(svg).not.toMatch(/NaN|Infinity/);
      expect(isWellFormed(svg)).toBe(true);
    }
  });

  test('keeps every word within its width', () => {
    const title = 'A very long title that goes on and on '.repeat(8);
    const label = 'a label without any end to it '.repeat(6);
    const svg = render({ ...bars, title, series: [{ name: 'ours', points: [{ x: label, y: 1 }, { x: 'x'.repeat(80), y: 2 }] }] });
    const ends = [...svg.matchAll(/<text [^>]*?x="([\d.]+)"[^>]*?( text-anchor="(\w+)")?>([^<]*)</g)].map(([, x, , anchor, text]) => {
      const width = text!.length * 6;
      return anchor === 'end' ? [Number(x) - width, Number(x)] : anchor === 'middle' ? [Number(x) - width / 2, Number(x) + width / 2] : [Number(x), Number(x) + width];
    });
    expect(ends.length).toBeGreaterThan(5);
    for (const [from, to] of ends) {
      expect(from).toBeGreaterThanOrEqual(0);
      expect(to).toBeLessThanOrEqual(800);
    }
  });

  test('of nothing is none; a name that is taken or is none is refused', () => {
    expect(renderChart({ ...bars, series: [] })).toBeUndefined();
    expect(renderChart({ ...bars, series: [{ name: 'ours', points: [{ x: 'a', y: NaN }] }] })).toBeUndefined();
    const plots = new Map<string, string>();
    expect(drawCharts([bars, lines, { ...bars, file: 'none', series: [] }], plots)).toEqual([bars, lines]);
    expect([...plots.keys()]).toEqual(['cpu.svg', 'timers.svg']);
    expect(() => drawCharts([bars], plots)).toThrow('two plots are named cpu.svg');
    expect(() => drawCharts([{ ...bars, file: '../cpu' }], plots)).toThrow('no name');
  });
});

describe('losses', () => {
  const comparison = (lessIsBetter: boolean, ours: number, theirs: number): Comparison => ({
    case: `${ours} and ${theirs}`, measure: 'us', lessIsBetter, ours, others: [{ contender: 'other', value: theirs }],
  });

  test('are those in which the other is better, the worst first', () => {
    const comparisons = [comparison(true, 11, 10), comparison(true, 10, 11), comparison(false, 10, 30), comparison(false, 30, 10)];
    const found = lossesIn([{ scenario: 'a', comparisons }, { scenario: 'b', comparisons: [comparison(true, 4, 2)] }]);
    expect(found.map(({ scenario, ratio }) => [scenario, ratio])).toEqual([['a', 3], ['b', 2], ['a', 1.1]]);
  });

  test('are none when equal, both nothing or not a number; something against nothing is the worst', () => {
    const equal = [comparison(true, 5, 5), comparison(true, 0, 0), comparison(true, NaN, 1), comparison(false, 1, NaN)];
    expect(lossesIn([{ scenario: 'a', comparisons: equal }])).toEqual([]);
    const [worst] = lossesIn([{ scenario: 'a', comparisons: [comparison(true, 9, 1), comparison(true, 1, 0)] }]);
    expect(worst).toMatchObject({ ours: 1, theirs: 0, ratio: Infinity });
  });

  test('are told in a sentence when there are none', () => {
    expect(lossesTable([])).toEqual(['No stored result compares us with a contender.']);
    expect(lossesTable([{ scenario: 'a', comparisons: [comparison(true, 1, 2)] }])).toEqual([
      'In none of the 1 comparisons of the stored results.',
    ]);
    expect(lossesTable([{ scenario: 'a', comparisons: [comparison(true, 2, 1)] }]).at(-1)).toBe(
      '| a | 2 and 1 | us | 2 | other | 1 | 2 |',
    );
  });
});

describe('the choice of scenarios and contenders', () => {
  const contender = (name: string) => ({ name, title: name.toUpperCase(), unavailable: () => '', version: () => `${name} 1` });
  const scenario = (name: string, more: Partial<Scenario> = {}): Scenario => ({
    name, title: name, needs: [], run: () => Promise.resolve([]), table: () => [], ...more,
  });
  const servers = [contender('sip-async'), contender('kamailio')];
  const all = [scenario('cpu'), scenario('queues', { contenders: [contender('own'), contender('boost')] }), scenario('soak', { contenders: [] })];
  const names = (asked: { scenario: string[]; contender: string[] }) =>
    choose(all, servers, asked).map((each) => [each.scenario.name, ...each.contenders.map(({ name }) => name)]);

  test('without names is everything, each with its own contenders', () => {
    expect(names({ scenario: [], contender: [] })).toEqual([['cpu', 'sip-async', 'kamailio'], ['queues', 'own', 'boost'], ['soak']]);
  });

  test('by a contender leaves out the scenarios that do without it', () => {
    expect(names({ scenario: [], contender: ['boost'] })).toEqual([['queues', 'boost']]);
    expect(names({ scenario: [], contender: ['own', 'kamailio'] })).toEqual([['cpu', 'kamailio'], ['queues', 'own']]);
  });

  test('refuses a name that is none, with those that there are', () => {
    expect(() => names({ scenario: ['cpu'], contender: ['boost'] })).toThrow('unknown name: boost (there are sip-async, kamailio)');
    expect(() => names({ scenario: ['soak'], contender: ['own'] })).toThrow('unknown name: own (there are none)');
    expect(() => names({ scenario: ['nothing'], contender: [] })).toThrow('unknown name: nothing (there are cpu, queues, soak)');
  });

  test('knows the versions of what is there', () => {
    const gone = { ...contender('gone'), unavailable: () => 'not installed' };
    const own = scenario('cpu', { version: () => ({ SIPp: 'v3' }) });
    expect(versionsOf(own, [...servers, gone])).toEqual({ 'SIP-ASYNC': 'sip-async 1', KAMAILIO: 'kamailio 1', SIPp: 'v3' });
  });

  test('expects what the scenario says, or what its last run took', () => {
    const context = { rounds: 3, quick: false };
    expect(expectedMinutes(scenario('cpu', { minutes: 2 }), context, { minutes: 50, rounds: 1 })).toBe(6);
    expect(expectedMinutes(scenario('cpu'), context, { minutes: 4, rounds: 2 })).toBe(6);
    expect(expectedMinutes(scenario('cpu'), context, { rounds: 2 })).toBeUndefined();
    expect(expectedMinutes(scenario('cpu'), { rounds: 1, quick: true }, undefined)).toBe(1);
  });

  test('is refused by the command with exit code 2', async () => {
    const refused = promisify(execFile)(process.execPath, [program, '--scenario', 'shared-vars', '--contender', 'nobody']);
    await expect(refused).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^unknown name: nobody \(there are htable, map, map-32\)/),
    });
  });
});

describe('pages', () => {
  let folder: string;
  let root: URL;
  const page = 'Before\n\n<!-- bench:cpu -->\nold\n<!-- /bench -->\n\nBetween\n\n<!-- bench:losses -->\n<!-- /bench -->\n\nAfter\n';
  const provenance = {
    date: '2026-01-01T00:00:00.000Z', command: 'node bench/run.mjs', package: '0.0.0', commit: 'none', dirty: false, cpu: 'CPU',
    cpuMhz: 3000, governor: 'performance', cores: 2, memoryGb: 1, kernel: 'Linux', node: 'v20', compiler: 'c++', kamailio: '5',
    sipp: '3', pinned: { server: 0, load: 1, shared: false },
  };
  const scenario: Scenario = {
    name: 'cpu', title: 'CPU', needs: [], run: () => Promise.resolve([]), table: (rows) => [`${rows.length} rows`], charts: () => [bars],
    comparisons: () => [{ case: 'one', measure: 'us', lessIsBetter: true, ours: 3, others: [{ contender: 'other', value: 2 }] }],
  };
  const store = (name: string, date: string, rows: object[]) => {
    const result = { scenario: name, title: name, quick: false, rounds: 3, provenance: { ...provenance, date }, rows };
    writeFileSync(join(folder, 'bench/results', `${date.replaceAll(':', '')}-${name}.json`), JSON.stringify(result));
  };
  const read = (path: string) => readFileSync(join(folder, path), 'utf8');
  const plots = () => (existsSync(join(folder, 'docs/plots')) ? readdirSync(join(folder, 'docs/plots')).sort() : []);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'bench-report-'));
    root = pathToFileURL(`${folder}/`);
    mkdirSync(join(folder, 'bench/results'), { recursive: true });
    mkdirSync(join(folder, 'docs'));
    writeFileSync(join(folder, 'docs/benchmarks.md'), page);
    writeFileSync(join(folder, 'README.md'), page);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true, force: true });
  });

  test('change between the markers only, and only where there is a result', () => {
    expect(fillMarkers(page, () => undefined)).toBe(page);
    expect(fillMarkers(page, (name) => (name === 'cpu' ? 'new $& $1' : undefined))).toBe(page.replace('\nold\n', () => '\n\nnew $& $1\n\n'));
  });

  test('show table, plot and losses of the newest result, and a second time changes nothing', () => {
    store('cpu', '2026-01-02T00:00:00.000Z', [{}, {}]);
    store('cpu', '2026-01-01T00:00:00.000Z', [{}]);
    expect(renewPages([scenario], root)).toEqual(['docs/plots/cpu.svg', 'docs/benchmarks.md', 'README.md']);
    expect(read('docs/benchmarks.md')).toContain('![CPU](plots/cpu.svg)\n\n2 rows\n');
    expect(read('README.md')).toContain('![CPU](docs/plots/cpu.svg)\n\n2 rows\n');
    expect(read('README.md')).toContain('| cpu | one | us | 3 | other | 2 | 1.5 |');
    expect(read('README.md')).toContain('CPU at 3000 MHz, governor performance');
    expect(read('README.md')).toMatch(/^Before\n[^]*\n\nBetween\n[^]*\n\nAfter\n$/);
    expect(renewPages([scenario], root)).toEqual([]);
  });

  test('lose the plots whose result has gone, and no other file', () => {
    store('cpu', '2026-01-01T00:00:00.000Z', [{}]);
    renewPages([scenario], root);
    writeFileSync(join(folder, 'docs/plots/note.txt'), 'kept');
    for (const file of readdirSync(join(folder, 'bench/results'))) rmSync(join(folder, 'bench/results', file));
    expect(renewPages([scenario], root)).toContain('docs/plots/cpu.svg');
    expect(plots()).toEqual(['note.txt']);
  });

  test('say that there is nothing when there is nothing', () => {
    renewPages([scenario], root);
    expect(read('README.md')).toContain('No stored result compares us with a contender.');
    expect(read('README.md')).toContain('<!-- bench:cpu -->\nold\n');
    expect(plots()).toEqual([]);
  });

  test('do without the part of a scenario that does not understand its rows', () => {
    const told = vi.spyOn(console, 'error').mockImplementation(() => {});
    store('cpu', '2026-01-01T00:00:00.000Z', [{}]);
    const fails = () => {
      throw new Error('other rows');
    };
    renewPages([{ ...scenario, charts: fails, comparisons: fails }], root);
    expect(read('README.md')).toContain('\n1 rows\n');
    expect(told.mock.calls.flat()).toEqual(['charts of cpu: other rows', 'comparisons of cpu: other rows']);
  });

  test('without a marker for a result are told', () => {
    const told = vi.spyOn(console, 'error').mockImplementation(() => {});
    store('other', '2026-01-01T00:00:00.000Z', [{}]);
    renewPages([{ ...scenario, name: 'other' }], root);
    expect(told.mock.calls.flat()).toEqual(['no page has a marker <!-- bench:other -->']);
  });
});
