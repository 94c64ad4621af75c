import * as z from 'zod';
import type { Faults, Path } from './faults.ts';
import { mismatch } from './faults.ts';
import type { Limit } from './limits.ts';
import { didYouMean, nearestName } from './nearest.ts';

// Longer lists of names than this are not worth printing; the documentation has them.
const MOST_NAMES_LISTED = 8;

/** Every check of a value words its failure the same way, whichever of them fails. */
function wording(expected: string): { error: (issue: { input?: unknown }) => string } {
  return { error: (issue) => mismatch(expected, issue.input) };
}

/** A whole number within a limit. */
export function integer(limit: Limit) {
  const text = wording(`an integer from ${limit.min} to ${limit.max}`);
  return z.number(text).int(text).min(limit.min, text).max(limit.max, text);
}

/** Kamailio's way to say no and yes. */
export function zeroOrOne() {
  return z.literal([0, 1], wording('0 or 1'));
}

/** As {@link zeroOrOne}, for values that are no Kamailio parameter of ours and so may be JavaScript's booleans. */
export function flag() {
  return z.union([z.literal([0, 1]), z.boolean()], wording('0 or 1'));
}

/** A string that is not empty. */
export function text(expected: string) {
  return z.string(wording(expected)).min(1, wording(expected));
}

/** One word of a list; a misspelt one gets the nearest. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  return z.enum(words, {
    error: ({ input }) => {
      const hint = typeof input === 'string' ? didYouMean(input, words) : '';
      return `${mismatch(`one of ${words.join(', ')}`, input)}${hint}`;
    },
  });
}

/** Whether the value is an object with named members, and so can be read key by key. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What to say about a key that nobody knows. */
function unknownKey(key: string, known: readonly string[]): string {
  if (nearestName(key, known) !== null) return `unknown key${didYouMean(key, known)}`;
  if (known.length > MOST_NAMES_LISTED) return 'unknown key';
  return `unknown key, expected ${known.length === 1 ? '' : 'one of '}${known.join(', ')}`;
}

function unwrapped(field: z.core.$ZodType): z.core.$ZodType {
  return field instanceof z.ZodOptional ? field.unwrap() : field;
}

/**
 * Reads a strict object key by key rather than as a whole, so that one wrong value hides neither the other faults
 * nor what the right values say together. A faulty value is left out of the result.
 */
export function readObject<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  input: unknown,
  path: Path,
  faults: Faults,
): Partial<z.output<z.ZodObject<Shape>>> {
  const values: Record<string, unknown> = {};
  const known = Object.keys(schema.shape);
  if (!isRecord(input)) {
    faults.add(path, mismatch('an object', input));
    return {};
  }
  for (const key of Object.keys(input)) {
    if (!known.includes(key)) faults.add([...path, key], unknownKey(key, known));
  }
  for (const key of known) {
    const field = schema.shape[key]!;
    const value = input[key];
    const inner = unwrapped(field);
    if (value === undefined && inner !== field) continue;
    if (inner instanceof z.ZodObject) {
      values[key] = readObject(inner, value, [...path, key], faults);
      continue;
    }
    const result = z.safeParse(field, value);
    if (result.success) values[key] = result.data;
    // The further issues of one value all say the same.
    else faults.add([...path, key], result.error.issues[0]!.message);
  }
  return values as Partial<z.output<z.ZodObject<Shape>>>;
}
