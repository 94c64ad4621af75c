import { makeError } from '../errors.ts';

/** Where a value stands in the definition: `['modparam', 'async', 'ms_timer']`. */
export type Path = readonly (string | number)[];

/**
 * The path as a user would write it: `asyncWorkersGroup[0].workers`, `eventRoute['core:tkv']`. The empty path is the
 * definition itself, which users know as what their module exports.
 */
export function pathText(path: Path): string {
  if (path.length === 0) return 'default export';
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!/^[A-Za-z_$][\w$]*$/.test(step)) text += `['${JSON.stringify(step).slice(1, -1)}']`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

const LONGEST_QUOTE = 60;

/** The text in quotes, in one line and short enough for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}...` : text);
}

/** The value in words, in one line and short enough for a message. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'bigint') return `${value}n`;
  return typeof value === 'string' ? `the string ${quote(value)}` : String(value);
}

/** `expected a function, got null` */
export function mismatch(expected: string, value: unknown): string {
  return `expected ${expected}, got ${describeValue(value)}`;
}

/** Gathers what is wrong with a configuration, so that a user mends all of it in one go. */
export class Faults {
  readonly #lines: string[] = [];
  readonly #places = new Set<string>();

  add(path: Path, text: string): void {
    const place = pathText(path);
    this.#places.add(place);
    this.#lines.push(`${place}: ${text}`);
  }

  /** Whether the value at exactly this path is faulty. */
  has(path: Path): boolean {
    return this.#places.has(pathText(path));
  }

  /** Throws one CONFIG error that lists every fault, if there is any. */
  throwIfAny(): void {
    const count = this.#lines.length;
    if (count === 0) return;
    throw makeError('CONFIG', `${count} ${count === 1 ? 'fault' : 'faults'}\n  ${this.#lines.join('\n  ')}`);
  }
}
