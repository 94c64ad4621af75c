/** A column of a table on standard output. */
export interface Column {
  readonly title: string;
  /** Numbers stand right. */
  readonly right?: boolean;
  /** It may be cut when the table is wider than the terminal. */
  readonly elastic?: boolean;
}

const GAP = '  ';
const NARROW_GAP = ' ';
/** What is left of a column that is cut. */
const LEAST_WIDTH = 6;

/** Text that comes from callers, without anything that a terminal would act on. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{C}\u2028\u2029]/gu, '?');
}

/** JSON for people and pipes, which holds nothing that a terminal would act on. */
export function printableJson(value: unknown): string {
  const escape = (character: string) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join('');
  return JSON.stringify(value, null, 2).replaceAll(/(?!\n)[\p{C}\u2028\u2029]/gu, escape);
}

/** Narrows the elastic columns until `excess` is gone or nothing more can be taken. */
function narrow(columns: readonly Column[], natural: readonly number[], excess: number): number[] {
  const widths = [...natural];
  for (let left = excess; left > 0; left -= 1) {
    // The widest gives way, so that short names are the last to be cut.
    let widest = -1;
    columns.forEach(({ elastic }, i) => {
      if (elastic === true && widths[i]! > LEAST_WIDTH && widths[i]! >= (widths[widest] ?? 0)) widest = i;
    });
    if (widest < 0) break;
    widths[widest]! -= 1;
  }
  return widths;
}

function cell(text: string, width: number, right: boolean): string {
  const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text;
  return right ? cut.padStart(width) : cut.padEnd(width);
}

/**
 * Lays out rows under a header line.
 *
 * @param width of the terminal; `Infinity`, for a pipe or a file, cuts nothing
 */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[], width = Infinity): string {
  const titles = columns.map(({ title }) => title);
  const lines = [titles, ...rows.map((row) => row.map(printable))];
  const natural = columns.map((_, i) => lines.reduce((most, line) => Math.max(most, line[i]!.length), 0));
  const excessWith = (gap: string) => natural.reduce((sum, one) => sum + one, gap.length * (columns.length - 1)) - width;
  const gap = excessWith(GAP) > 0 ? NARROW_GAP : GAP;
  const widths = narrow(columns, natural, excessWith(gap));
  return lines
    .map((line) => `${line.map((text, i) => cell(text, widths[i]!, columns[i]!.right === true)).join(gap).trimEnd()}\n`)
    .join('');
}
