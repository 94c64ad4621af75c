import type { GroupStats, Percentiles, ProxyStats } from '../stats.ts';
import type { StatsArgs } from './args.ts';
import { print, withProxy } from './output.ts';
import { formatTable, printable, printableJson } from './table.ts';
import type { Column } from './table.ts';

/** Two of these, with the indentation, fit into 80 columns. */
const NAME_WIDTH = 25;
const VALUE_WIDTH = 10;
const CELLS_IN_A_LINE = 2;
const INDENT = '  ';
const BETWEEN = '     ';

/** `retransmissionsAbsorbed` in plain words. */
function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(3);
}

/** Every figure by name, those of one object one by one: a figure that a newer proxy has is shown, too. */
function flatten(figures: object, prefix = ''): [string, string][] {
  return Object.entries(figures).flatMap(([name, value]: [string, number | object]): [string, string][] => {
    const label = `${prefix}${words(name)}`;
    return typeof value === 'number' ? [[label, figure(value)]] : flatten(value, `${label}: `);
  });
}

function section(title: string, figures: object): string {
  const cells = flatten(figures).map(([name, value]) => {
    const label = printable(name).padEnd(NAME_WIDTH);
    return `${label}${value.padStart(NAME_WIDTH + VALUE_WIDTH - label.length)}`;
  });
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += CELLS_IN_A_LINE) {
    lines.push(`${INDENT}${cells.slice(i, i + CELLS_IN_A_LINE).join(BETWEEN)}\n`);
  }
  return `${title}\n${lines.join('')}`;
}

const right = (title: string): Column => ({ title, right: true });

function columnOf(times: Percentiles): string[] {
  return [times.p50, times.p99, times.max].map(figure);
}

function groupTables(groups: Readonly<Record<string, GroupStats>>): string {
  const all = Object.entries(groups);
  const named = (title: string): Column => ({ title });
  const tasks = formatTable(
    [named('groups'), ...['workers', 'idle', 'queued', 'high water', 'done', 'failed', 'refused'].map(right)],
    all.map(([name, { workers, idle, queued, highWater, done, failed, refused }]) => [
      `${INDENT}${name}`,
      ...[workers, idle, queued, highWater, done, failed, refused].map(figure),
    ]),
  );
  const times = formatTable(
    [named('times in ms'), ...['wait p50', 'p99', 'max', 'run p50', 'p99', 'max'].map(right)],
    all.map(([name, { waitMs, runMs }]) => [`${INDENT}${name}`, ...columnOf(waitMs), ...columnOf(runMs)]),
  );
  return `${tasks}${times}`;
}

/** What `sip-async stats` prints. */
export function formatStats({ groups, ...sections }: ProxyStats): string {
  return Object.entries(sections).map(([title, figures]) => section(title, figures)).join('') + groupTables(groups);
}

/** Prints the figures of a running proxy. */
export async function stats({ control, json }: StatsArgs): Promise<number> {
  const figures = await withProxy(control, (client) => client.ask({ command: 'stats' }));
  print(json ? `${printableJson(figures)}\n` : formatStats(figures));
  return 0;
}
