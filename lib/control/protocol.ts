import { describeValue, mismatch, quote } from '../config/faults.ts';
import type { Limit } from '../config/limits.ts';
import { didYouMean } from '../config/nearest.ts';
import { makeError } from '../errors.ts';
import type { ProxyStats } from '../stats.ts';
import type { Handle, SuspendedEntry } from '../suspended.ts';

/** What the control socket allows. */
export const CONTROL_LIMITS = {
  /** The longest request, its line end not counted. */
  lineBytes: 65_536,
  /** Connections that are served at a time. */
  connections: 16,
  /** How long a connection may be without any traffic. */
  idleMs: 10_000,
  /** How many entries one answer to `ps` may have. */
  listed: { min: 1, max: 10_000 } satisfies Limit,
  /** Longer texts of callers (Call-ID, request URI, method) are cut: they may be as long as a message. */
  textLength: 256,
} as const;

/** How many entries `ps` lists when it is not told. */
export const DEFAULT_LISTED = 100;

/** What `ps` answers. */
export interface Listing {
  /** What waits, the soonest first. */
  entries: SuspendedEntry[];
  /** More waits than there was room for. */
  more: boolean;
}

/** One request: a JSON object in one line. */
export type ControlRequest =
  | { command: 'ps'; limit: number }
  | { command: 'cancel'; handle: Handle }
  | { command: 'stats' };

/** What each command answers when nothing is wrong. */
export interface ControlResults {
  ps: Listing;
  cancel: true;
  stats: ProxyStats;
}

/** One answer: a JSON object in one line. */
export type ControlAnswer = { ok: true; result: unknown } | { ok: false; code: string; message: string };

const KEYS = {
  ps: ['limit'],
  cancel: ['handle'],
  stats: [],
} as const satisfies Record<ControlRequest['command'], readonly string[]>;
const COMMANDS = Object.keys(KEYS) as ControlRequest['command'][];
const UINT32_MAX = 0xffff_ffff;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

type Members = Readonly<Record<string, unknown>>;

function invalid(detail: string, cause?: unknown) {
  return makeError('INVALID_REQUEST', detail, cause);
}

function readMembers(value: unknown, what: string): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw invalid(mismatch(what, value));
}

function refuseUnknown(members: Members, known: readonly string[]): void {
  for (const key of Object.keys(members)) {
    if (!known.includes(key)) throw invalid(`unknown key ${quote(key)}${didYouMean(key, known)}`);
  }
}

function readInteger(value: unknown, name: string, { min, max }: Limit): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`${name}: ${mismatch(`an integer from ${min} to ${max}`, value)}`);
}

function parseJson(line: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(line));
  } catch (cause) {
    throw invalid('expected a JSON object in one line, as {"command":"ps"}', cause);
  }
}

/**
 * Reads a request.
 *
 * @param line the bytes of the line, without its end
 * @throws SipAsyncError `INVALID_REQUEST`
 */
export function parseRequest(line: Uint8Array): ControlRequest {
  const members = readMembers(parseJson(line), 'a JSON object');
  const command = COMMANDS.find((known) => known === members['command']);
  if (command === undefined) {
    const given = members['command'];
    const hint = typeof given === 'string' ? didYouMean(given, COMMANDS) : '';
    throw invalid(`command: expected one of ${COMMANDS.join(', ')}, got ${describeValue(given)}${hint}`);
  }
  refuseUnknown(members, ['command', ...KEYS[command]]);
  switch (command) {
    case 'ps':
      return { command, limit: readInteger(members['limit'] ?? DEFAULT_LISTED, 'limit', CONTROL_LIMITS.listed) };
    case 'cancel': {
      const handle = readMembers(members['handle'], 'a handle as {"index":1,"label":1}');
      refuseUnknown(handle, ['index', 'label']);
      const read = (name: string) => readInteger(handle[name], `handle.${name}`, { min: 0, max: UINT32_MAX });
      return { command, handle: { index: read('index'), label: read('label') } };
    }
    case 'stats':
      return { command };
  }
}

function cut(text: string | null): string | null {
  const most = CONTROL_LIMITS.textLength;
  return text !== null && text.length > most ? `${text.slice(0, most)}...` : text;
}

/** Puts what waits into the form of an answer. */
export function makeListing(waiting: readonly SuspendedEntry[], limit: number): Listing {
  const entries = waiting
    .slice(0, limit)
    .sort((a, b) => a.dueInMs - b.dueInMs || a.handle.index - b.handle.index)
    .map((entry) => ({ ...entry, method: cut(entry.method), ruri: cut(entry.ruri), callId: cut(entry.callId) }));
  return { entries, more: waiting.length > limit };
}
