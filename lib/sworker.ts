import { describe } from './tm/arguments.ts';

/** The event that every message raises before anything else is done with it. */
export const PRE_ROUTING_EVENT = 'core:pre-routing';

/** The variable that goes along with a message that is handed over: of `modparam sworker xdata`. */
export interface XdataVariable {
  readonly kind: 'var' | 'avp';
  readonly name: string;
}

/** What of a message it is read from and written to. */
interface Variables {
  readonly var: Record<string, unknown>;
  readonly avp: { get(name: string): unknown; set(name: string, value: string): unknown; delete(name: string): void };
}

const VARIABLE = /^\$(var|avp)\(([A-Za-z][\w.-]*)\)$/;

/** @returns `null` for what names no variable that can be written there */
export function parseXdata(text: string): XdataVariable | null {
  const match = VARIABLE.exec(text);
  return match === null ? null : { kind: match[1] as 'var' | 'avp', name: match[2]! };
}

/**
 * Reads the variable to be handed over: as text, `''` when there is nothing.
 *
 * @throws TypeError for a value that is neither a string nor a number
 */
export function readXdata({ kind, name }: XdataVariable, from: Variables): string {
  const value = kind === 'avp' ? from.avp.get(name) : Object.hasOwn(from.var, name) ? from.var[name] : null;
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string') throw new TypeError(`$${kind}(${name}): expected a string or a number, got ${describe(value)}`);
  return value;
}

/** Sets the variable in a worker, or sees to it that it is not set. */
export function writeXdata({ kind, name }: XdataVariable, to: Variables, text: string | null): void {
  if (kind === 'var') to.var[name] = text;
  else if (text === null) to.avp.delete(name);
  else to.avp.set(name, text);
}
