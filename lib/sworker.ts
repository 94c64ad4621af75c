import { native } from './binding.ts';
import type { XdataVariable } from './config/xdata.ts';
import { makeError } from './errors.ts';
import type { SipAsyncError } from './errors.ts';
import { errorOfStatus } from './runtime.ts';
import type { Runtime } from './runtime.ts';
import { describe } from './tm/arguments.ts';

/** What of a message it is read from and written to. */
interface Variables {
  readonly var: Record<string, unknown>;
  readonly avp: { get(name: string): unknown; set(name: string, value: string): unknown; delete(name: string): void };
}

/**
 * Reads the variable to be handed over: as text, `''` when there is nothing.
 *
 * @throws TypeError for a value that is neither a string nor a number
 */
function readXdata({ kind, name }: XdataVariable, from: Variables): string {
  const value = kind === 'avp' ? from.avp.get(name) : Object.hasOwn(from.var, name) ? from.var[name] : null;
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return value;
  throw new TypeError(`$${kind}(${name}): expected a string or a number, got ${describe(value)}`);
}

/** Sets the variable in a worker, or sees to it that it is not set. */
export function writeXdata({ kind, name }: XdataVariable, to: Variables, text: string | null): void {
  if (kind === 'var') to.var[name] = text;
  else if (text === null) to.avp.delete(name);
  else to.avp.set(name, text);
}

/**
 * Hands the message of core:pre-routing over to a group.
 *
 * @returns why it was refused, or `null`
 */
export function handOver(
  { channel, groupNumbers, firstGroup, xdata }: Runtime,
  message: Variables & { readonly index: number; readonly generation: number },
  groupname: string,
): SipAsyncError | null {
  const group = groupNumbers.get(groupname);
  if (group === undefined && firstGroup < 0) return makeError('NO_WORKERS', 'asyncWorkers is 0 and there is no group');
  if (group === undefined) return makeError('UNKNOWN_GROUP', groupname);
  const text = xdata === null ? '' : readXdata(xdata, message);
  const status = native.sworkerTask(channel, message.index, message.generation, group, text);
  return status === native.constants.status.ok ? null : errorOfStatus(status);
}
