import * as z from 'zod';
import type { Faults, Path } from './faults.ts';
import { describeValue, mismatch, quote } from './faults.ts';
import { parseGroupString } from './group-string.ts';
import { DEFAULTS, LIMITS } from './limits.ts';
import { didYouMean } from './nearest.ts';
import { flag, integer, isRecord, readObject } from './read.ts';

/** The module's own workers (`modparam async workers`); no user's group may take the name. */
export const MODULE_GROUP = 'async:workers';
/** The group that `asyncWorkers` makes. */
export const DEFAULT_GROUP = 'default';

/** A worker group as the engine takes it. */
export interface GroupConfig {
  name: string;
  workers: number;
  nonblock: boolean;
  usleepUs: number;
  maxQueue: number;
  /** How many asynchronous handlers one worker keeps going; 0 is as many as come. */
  concurrency: number;
}

/** A group as far as it could be read: without its name when that is faulty. */
export interface GroupEntry {
  readonly path: Path;
  readonly name: string | null;
  readonly config: GroupConfig;
}

function nameFault(name: unknown): string | null {
  const { min, max } = LIMITS.groupNameBytes;
  const expected = `a group name of ${min} to ${max} bytes without ";", "=" and control characters`;
  if (typeof name !== 'string') return mismatch(expected, name);
  const bytes = Buffer.byteLength(name);
  // eslint-disable-next-line no-control-regex
  if (bytes < min || bytes > max || /[;=\u0000-\u001f\u007f-\u009f]/.test(name)) return mismatch(expected, name);
  if (name === MODULE_GROUP) return `the name ${MODULE_GROUP} is reserved for the workers of modparam async`;
  return null;
}

const groupSchema = z.strictObject({
  name: z.custom<string>((name) => nameFault(name) === null, { error: (issue) => nameFault(issue.input)! }),
  workers: integer(LIMITS.groupWorkers),
  nonblock: flag().optional(),
  usleep: integer(LIMITS.groupUsleepUs).optional(),
  maxQueue: integer(LIMITS.groupMaxQueue).optional(),
  concurrency: integer(LIMITS.groupConcurrency).optional(),
});

/** A group whose definition says no more than its name and size. */
export function plainGroup(name: string, workers: number): GroupConfig {
  return { name, workers, nonblock: false, usleepUs: 0, maxQueue: DEFAULTS.groupMaxQueue, concurrency: 0 };
}

function readGroup(input: unknown, path: Path, faults: Faults): GroupEntry {
  let fields: Record<string, unknown>;
  if (typeof input === 'string') fields = parseGroupString(input, path, faults);
  else if (isRecord(input)) fields = input;
  else {
    faults.add(path, mismatch("a group, as 'name=abc;workers=4' or { name: 'abc', workers: 4 }", input));
    return { path, name: null, config: plainGroup('', 0) };
  }
  const values = readObject(groupSchema, fields, path, faults);
  const config: GroupConfig = {
    ...plainGroup(values.name ?? '', values.workers ?? 0),
    nonblock: Boolean(values.nonblock),
    usleepUs: values.usleep ?? 0,
    maxQueue: values.maxQueue ?? DEFAULTS.groupMaxQueue,
    concurrency: values.concurrency ?? 0,
  };
  return { path, name: values.name ?? null, config };
}

/** Reads `asyncWorkersGroup`: an array of groups, or a single one. */
export function readGroups(input: unknown, path: Path, faults: Faults): GroupEntry[] {
  if (!Array.isArray(input)) return [readGroup(input, path, faults)];
  return Array.from(input, (entry, index) => readGroup(entry, [...path, index], faults));
}

/** Refuses two groups of one name, of which look-ups could only ever find one. */
export function checkGroupNames(entries: readonly GroupEntry[], asyncWorkers: number, faults: Faults): void {
  const first = new Set<string>();
  for (const { name, path } of entries) {
    if (name === null) continue;
    if (first.has(name)) faults.add([...path, 'name'], `a group named ${quote(name)} is defined already`);
    first.add(name);
    if (name === DEFAULT_GROUP && asyncWorkers > 0) {
      faults.add([...path, 'name'], `the group "${DEFAULT_GROUP}" is defined already, by asyncWorkers`);
    }
  }
}

/**
 * Whether a group has to be made for tkv events: they may have one of their own without saying more of it than its name,
 * and then it gets one worker. A name that is near that of a defined group is taken for a slip and refused.
 */
export function needsTkvGroup(
  name: string,
  entries: readonly GroupEntry[],
  hasDefault: boolean,
  path: Path,
  faults: Faults,
): boolean {
  const names = entries.map((entry) => entry.name);
  // The one that is meant may be the one whose name could not be read; that fault is reported already.
  if (names.includes(name) || names.includes(null)) return false;
  const known = names.filter((entry) => entry !== null);
  if (hasDefault) known.push(DEFAULT_GROUP);
  if (known.includes(name)) return false;
  const meant = didYouMean(name, known);
  const isNewName = meant === '' && name !== DEFAULT_GROUP && nameFault(name) === null;
  if (!isNewName) faults.add(path, `expected the name of a worker group, got ${describeValue(name)}${meant}`);
  return isNewName;
}
