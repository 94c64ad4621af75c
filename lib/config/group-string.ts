import type { Faults, Path } from './faults.ts';
import { quote } from './faults.ts';
import { didYouMean } from './nearest.ts';

/** The keys of a group, in the spelling of its object form. */
export const GROUP_KEYS = ['name', 'workers', 'nonblock', 'usleep', 'maxQueue', 'concurrency'] as const;

const KEY_OF_SPELLING = new Map<string, string>(GROUP_KEYS.map((key) => [key.toLowerCase(), key]));

function withoutQuotes(value: string): string {
  const mark = value[0];
  const quoted = value.length >= 2 && (mark === '"' || mark === "'") && value.endsWith(mark);
  return quoted ? value.slice(1, -1) : value;
}

// A name may well be all digits; the other values are whole numbers, and what is none stays as it is for the
// group's own check to refuse.
function fieldValue(key: string, value: string): string | number {
  return key !== 'name' && /^[+-]?\d+$/.test(value) ? Number(value) : value;
}

/**
 * Takes Kamailio's `name=abc;workers=4;nonblock=0;usleep=0` apart into the object form of a group. As there, keys are
 * written in any case and one trailing `;` is tolerated; unlike there, an unknown, doubled or malformed part is a
 * fault. The values themselves are checked where the object form is.
 */
export function parseGroupString(text: string, path: Path, faults: Faults): Record<string, string | number> {
  const fields: Record<string, string | number> = {};
  const parts = text.trim().replace(/;$/, '').split(';');
  for (const part of parts) {
    const equals = part.indexOf('=');
    if (equals < 0) {
      faults.add(path, `expected key=value between the semicolons, got ${quote(part.trim())}`);
      continue;
    }
    const spelling = part.slice(0, equals).trim();
    const key = KEY_OF_SPELLING.get(spelling.toLowerCase());
    if (key === undefined) {
      const hint = didYouMean(spelling, GROUP_KEYS) || `, expected one of ${GROUP_KEYS.join(', ')}`;
      faults.add(path, `unknown key ${quote(spelling)}${hint}`);
    } else if (Object.hasOwn(fields, key)) {
      faults.add(path, `${key} is given twice`);
    } else {
      fields[key] = fieldValue(key, withoutQuotes(part.slice(equals + 1).trim()));
    }
  }
  return fields;
}
