import { native } from '../binding.ts';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { errorOfStatus } from '../runtime.ts';
import type { Runtime } from '../runtime.ts';
import { checkText, describe } from '../tm/arguments.ts';

const { status: STATUS, maxDataBytes: MAX_DATA_BYTES } = native.constants;
const INT32_MAX = 2_147_483_647;

/** What a slot stands for, as the addon numbers it. */
export const SLOT_KIND = { message: 0, task: 1, event: 2, branch: 3, launch: 4, raw: 5 } as const;

function submit(runtime: Runtime, kind: number, route: number, group: number, data: string | Uint8Array, number = 0, split = 0) {
  if (data.length > MAX_DATA_BYTES) return makeError('PAYLOAD_TOO_LARGE', `${data.length}, at most ${MAX_DATA_BYTES} bytes`);
  const status = native.taskSubmit(runtime.channel, kind, route, group, data, number, split, 0);
  return status === STATUS.ok ? null : errorOfStatus(status);
}

/**
 * Hands data to a route block that runs in a worker of a group (`async_task_data`, `async_task_group_data`).
 *
 * @param groupname `undefined`: the first group
 * @returns why it was refused, or `null`
 */
export function sendTaskData(
  runtime: Runtime,
  routename: string,
  data: string | Uint8Array,
  groupname?: string,
): SipAsyncError | null {
  checkText(routename, 'routename');
  if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
    throw new TypeError(`data: expected a string or a Uint8Array, got ${describe(data)}`);
  }
  const route = runtime.routeNumbers.get(routename);
  if (route === undefined) return makeError('UNKNOWN_ROUTE', routename);
  if (groupname === undefined) {
    if (runtime.firstGroup < 0) return makeError('NO_WORKERS', 'asyncWorkers is 0 and there is no group');
    return submit(runtime, SLOT_KIND.task, route, runtime.firstGroup, data);
  }
  const group = runtime.groupNumbers.get(groupname);
  if (group === undefined) return makeError('UNKNOWN_GROUP', groupname);
  return submit(runtime, SLOT_KIND.task, route, group, data);
}

/**
 * Emits a tkv event to the event route of `asyncTkvEvcb`, in a worker of the group `asyncTkvGname` (`async_tkv_emit`).
 *
 * @returns why it was refused, or `null`
 */
export function emitTkv(runtime: Runtime, type: number, key: string, value: string): SipAsyncError | null {
  if (typeof type !== 'number') throw new TypeError(`type: expected a number, got ${describe(type)}`);
  checkText(key, 'key');
  checkText(value, 'value');
  const { tkvGroup } = runtime;
  if (tkvGroup < 0) return makeError('TKV_DISABLED');
  if (!Number.isInteger(type) || type < -INT32_MAX - 1 || type > INT32_MAX) return makeError('OUT_OF_RANGE', `type: ${type}`);
  return submit(runtime, SLOT_KIND.event, 0, tkvGroup, key + value, type, key.length);
}

/** A tkv event as its event route sees it (`$atkv`). */
export interface TkvEvent {
  /** A whole number of 32 bits (`$atkv(type)`). */
  readonly type: number;
  /** `$atkv(key)` */
  readonly key: string;
  /** `$atkv(val)` */
  readonly val: string;
  /** The group that runs it (`$atkv(gname)`). */
  readonly gname: string;
}

/** Reads the tkv event that this thread runs. */
export function readTkv(runtime: Runtime, index: number, generation: number): TkvEvent | null {
  const text = native.taskData(runtime.channel, index, generation);
  if (typeof text !== 'string') return null;
  const numbers = new Uint32Array(2);
  native.taskNumbers(runtime.channel, index, generation, numbers);
  const split = numbers[1]!;
  return { type: numbers[0]! | 0, key: text.slice(0, split), val: text.slice(split), gname: runtime.groupName ?? '' };
}
