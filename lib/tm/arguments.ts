/** Throws a `TypeError` unless the argument is a string. */
export function checkText(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw new TypeError(`${name}: expected a string, got ${describe(value)}`);
}

/**
 * Reads a delay: a number, or a string of digits, as Kamailio's scripts have it.
 *
 * @returns the delay, or `null` when it is not a whole number from 1 to `max`
 * @throws TypeError when it is neither number nor string
 */
export function parseDelay(value: unknown, name: string, max: number): number | null {
  if (typeof value !== 'number' && typeof value !== 'string') {
    throw new TypeError(`${name}: expected a number or a numeric string, got ${describe(value)}`);
  }
  const delay = typeof value === 'number' ? value : /^\s*\d{1,15}\s*$/.test(value) ? Number(value) : NaN;
  return Number.isInteger(delay) && delay >= 1 && delay <= max ? delay : null;
}

/** The type of a value, for the message of a TypeError. */
export function describe(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

// eslint-disable-next-line no-control-regex
const INVALID_IN_LINE = /[\u0000-\u0008\u000a-\u001f\u007f]/;
// eslint-disable-next-line no-control-regex
const INVALID_IN_URI = /[\s<>"\u0000-\u001f\u007f]/;

/** One header line without its end; `null` when it is none. @throws TypeError when it is no string */
export function headerLine(line: unknown): string | null {
  checkText(line, 'line');
  const header = line.replace(/\r?\n$/, '');
  return !INVALID_IN_LINE.test(header) && /^[^\s:]+\s*:/.test(header) ? header : null;
}

/** Throws a `TypeError` unless the argument is a URI as far as a message cannot be broken with it. */
export function checkUri(uri: unknown, name: string): string {
  checkText(uri, name);
  if (uri === '' || INVALID_IN_URI.test(uri)) throw new TypeError(`${name}: expected a URI, got ${JSON.stringify(uri)}`);
  return uri;
}
