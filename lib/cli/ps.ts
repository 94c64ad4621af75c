import { CONTROL_LIMITS } from '../control/protocol.ts';
import type { Listing } from '../control/protocol.ts';
import type { SuspendedEntry } from '../suspended.ts';
import type { PsArgs } from './args.ts';
import { print, terminalWidth, withProxy } from './output.ts';
import { formatTable, printableJson } from './table.ts';
import type { Column } from './table.ts';

const COLUMNS: readonly Column[] = [
  { title: 'HANDLE' },
  { title: 'KIND' },
  { title: 'STATE' },
  { title: 'DUE IN', right: true },
  { title: 'ROUTE', elastic: true },
  { title: 'GROUP', elastic: true },
  { title: 'METHOD', elastic: true },
  { title: 'CALL-ID', elastic: true },
];
const NOTHING = '-';

function row({ handle, kind, state, dueInMs, route, group, method, callId }: SuspendedEntry): string[] {
  return [
    `${handle.index}:${handle.label}`,
    kind,
    state,
    dueInMs === 0 ? 'now' : `${(dueInMs / 1000).toFixed(1)}s`,
    route ?? NOTHING,
    group ?? NOTHING,
    method ?? NOTHING,
    callId ?? NOTHING,
  ];
}

function counts(words: readonly string[], plural: string): string {
  const counted = new Map<string, number>();
  for (const word of words) counted.set(word, (counted.get(word) ?? 0) + 1);
  return [...counted].map(([word, count]) => `${count} ${word}${count === 1 ? '' : plural}`).join(', ');
}

/** What `sip-async ps` prints. */
export function formatListing({ entries, more }: Listing, width: number): string {
  if (entries.length === 0) return `${formatTable(COLUMNS, [], width)}nothing waits\n`;
  const kinds = counts(entries.map(({ kind }) => kind), 's');
  const states = counts(entries.map(({ state }) => state), '');
  const total = `${entries.length} ${more ? 'listed' : 'waiting'}`;
  const rest = more ? `there is more: --limit takes up to ${CONTROL_LIMITS.listed.max}\n` : '';
  return `${formatTable(COLUMNS, entries.map(row), width)}${total}: ${kinds}; ${states}\n${rest}`;
}

/** Lists what waits in a running proxy. */
export async function ps({ control, limit, json }: PsArgs): Promise<number> {
  const listing = await withProxy(control, (client) => client.ask({ command: 'ps', limit }));
  print(json ? `${printableJson(listing)}\n` : formatListing(listing, terminalWidth()));
  return 0;
}
