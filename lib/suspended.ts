import { SLOT_KIND } from './async/data-task.ts';
import { native } from './binding.ts';
import { makeError } from './errors.ts';
import type { SipAsyncError } from './errors.ts';
import { errorOfStatus } from './runtime.ts';
import type { Runtime } from './runtime.ts';
import { checkText, describe } from './tm/arguments.ts';

const { status: STATUS, waiting: COLUMNS, field: FIELD, ownThread: OWN_THREAD } = native.constants;
const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 1_000_000;
/** Number of each column, as the addon names them. */
const AT = Object.fromEntries(COLUMNS.map((name, column) => [name, column])) as Record<string, number>;

/** What names a transaction or task: Kamailio's (tindex, tlabel). It fits one call only, however often a slot is used. */
export interface Handle {
  /** The slot: `msg.index`, `$T(id_index)`. */
  readonly index: number;
  /** Which of the slot's lives: `msg.generation`, `$T(id_label)`. */
  readonly label: number;
}

/** Something that waits, as `proxy.suspended()` lists it. */
export interface SuspendedEntry {
  readonly handle: Handle;
  /**
   * A call that goes on in a route block (or one of its replies or branches), one that sleeps, a data task, a tkv event, an
   * operation that was launched, or a message that `sworkerTask` handed over.
   */
  readonly kind: 'transaction' | 'sleep' | 'task' | 'event' | 'launch' | 'message';
  /** `suspended`: its time has not come; `queued`: it waits for a worker. */
  readonly state: 'suspended' | 'queued';
  /**
   * The route block that will run; `null` for a sleeper, a launch without a report route, a message that was handed over, and as
   * long as `tContinue` has not named one.
   */
  readonly route: string | null;
  /** The group that it waits for; `null` for a receiver, for a sleeper or an operation, and behind `tSuspend`. */
  readonly group: string | null;
  /** Milliseconds until its time comes, behind `tSuspend` until `max_suspend` has passed, of an operation its deadline; 0 when it has. */
  readonly dueInMs: number;
  /** How often the call has been suspended by now. */
  readonly suspensions: number;
  /** This and the next two are of the request; `null` for a task, an event or a launch. */
  readonly method: string | null;
  readonly ruri: string | null;
  readonly callId: string | null;
}

function kindOf(kind: number, sleeps: number): SuspendedEntry['kind'] {
  if (kind === SLOT_KIND.task) return 'task';
  if (kind === SLOT_KIND.event) return 'event';
  if (kind === SLOT_KIND.launch) return 'launch';
  if (kind === SLOT_KIND.raw) return 'message';
  return sleeps === 1 ? 'sleep' : 'transaction';
}

/** One row of what waits: the value of a column, by its name. */
export type WaitingRow = (column: string) => number;

/** @throws TypeError, RangeError for a limit that is none */
export function readWaiting(engine: number, limit: number = DEFAULT_LIMIT): WaitingRow[] {
  if (typeof limit !== 'number') throw new TypeError(`limit: expected a number, got ${describe(limit)}`);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new RangeError(`limit: expected an integer from 1 to ${MAX_LIMIT}, got ${limit}`);
  }
  const rows = new Float64Array(limit * COLUMNS.length);
  const count = native.engineWaiting(engine, rows);
  return Array.from({ length: count }, (_, row) => (column) => rows[row * COLUMNS.length + AT[column]!]!);
}

/** @throws TypeError, RangeError for a limit that is none */
export function listWaiting(engine: number, runtime: Runtime, limit?: number): SuspendedEntry[] {
  return readWaiting(engine, limit).map((at) => {
    const handle = { index: at('index'), label: at('generation') };
    const kind = kindOf(at('kind'), at('sleeps'));
    const isCall = kind === 'transaction' || kind === 'sleep' || kind === 'message';
    const text = (field: number) =>
      isCall ? native.messageString(runtime.channel, handle.index, handle.label, 0, field) : null;
    const { routes, tkv, groups } = runtime.config;
    return {
      handle,
      kind,
      state: at('run') === 0 ? 'suspended' : 'queued',
      route: kind === 'sleep' || kind === 'message' ? null : kind === 'event' ? tkv.eventRoute : (routes.route[at('route')] ?? null),
      group: groups[at('group')]?.name ?? null,
      dueInMs: at('dueInMs'),
      suspensions: at('suspensions'),
      method: text(FIELD.method),
      ruri: text(FIELD.ruri),
      callId: text(FIELD.callId),
    };
  });
}

/** Reads a handle that a user gives. @throws TypeError for what is none */
export function checkHandle(handle: unknown): Handle {
  if (typeof handle !== 'object' || handle === null) {
    throw new TypeError(`handle: expected { index, label }, got ${describe(handle)}`);
  }
  const { index, label } = handle as Partial<Handle>;
  for (const [name, value] of Object.entries({ index, label })) {
    if (typeof value !== 'number') throw new TypeError(`handle.${name}: expected a number, got ${describe(value)}`);
  }
  return { index: index!, label: label! };
}

/** Whether a slot can have been named by this number. */
export const isUint32 = (value: number) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;

/** @returns why it could not be continued, or `null` */
export function continueSuspended(runtime: Runtime, handle: Handle, routename: string): SipAsyncError | null {
  const { index, label } = checkHandle(handle);
  checkText(routename, 'routename');
  const route = runtime.routeNumbers.get(routename);
  if (route === undefined) return makeError('UNKNOWN_ROUTE', routename);
  if (!isUint32(index) || !isUint32(label)) return makeError('STALE_HANDLE');
  const { groups } = runtime.config;
  const group = groups[runtime.msGroup]!.workers > 0 ? runtime.msGroup : OWN_THREAD;
  const status = native.continueWith(runtime.channel, index, label, route, group);
  return status === STATUS.ok ? null : errorOfStatus(status);
}

/** @returns why it could not be cancelled, or `null` */
export function cancelWaiting(runtime: Pick<Runtime, 'channel'>, handle: Handle): SipAsyncError | null {
  const { index, label } = checkHandle(handle);
  // No slot was ever named like that.
  if (!isUint32(index) || !isUint32(label)) return makeError('STALE_HANDLE');
  const status = native.waitingCancel(runtime.channel, index, label, 487, 'Request Terminated');
  return status === STATUS.ok ? null : errorOfStatus(status);
}
