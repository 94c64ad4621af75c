import { SLOT_KIND } from './async/data-task.ts';
import { native } from './binding.ts';
import { makeError } from './errors.ts';
import type { ErrorName, SipAsyncError } from './errors.ts';
import { MessageReader } from './message-reader.ts';
import { errorOfStatus } from './runtime.ts';
import type { Runtime } from './runtime.ts';
import { ROUTE_TYPE } from './tm/route-type.ts';
import type { RouteType } from './tm/route-type.ts';

const { methods: METHODS, outcome: OUTCOME } = native.constants;
const ACK = METHODS.indexOf('ACK');
const CANCEL = METHODS.indexOf('CANCEL');

/** What the script may still do with the message. */
export const RUN_STATE = {
  running: 0,
  /** Awaits asyncSleep. */
  sleeping: 1,
  /** Goes on elsewhere. */
  suspended: 2,
  /** exit() or drop(). */
  givenUp: 3,
  /** The route has returned. */
  ended: 4,
  /** tSuspend: the script goes on, and may still take it back. */
  open: 5,
  /** sworkerTask: the message is with a group, and the script goes on. */
  handedOver: 6,
} as const;
type RunState = (typeof RUN_STATE)[keyof typeof RUN_STATE];

/**
 * One run of a route with a message: what the script may still do with it, and why the last thing that it tried did not
 * work.
 */
export class MessageRun extends MessageReader {
  /** Name of the route block that runs, `requestRoute` for the request route. */
  readonly route: string;
  /** @internal */
  protected readonly routeType: RouteType;
  /** What the slot stands for, of SLOT_KIND. @internal */
  protected readonly kind: number;
  /** An earlier run of the call saved variables. @internal */
  protected readonly hasStored: boolean;
  /** @internal */
  protected state: RunState = RUN_STATE.running;
  /** Nothing needs to be sent any more. @internal */
  protected settled: boolean;
  /** It runs in a worker for a message that was handed over. @internal */
  protected isInSworker = false;
  #dropped = false;
  #error: SipAsyncError | null = null;
  #vars: Record<string, unknown> | undefined;
  #controller: AbortController | undefined;
  #sleeper: ((woken: boolean) => void) | undefined;

  /** @internal */
  constructor(
    runtime: Runtime,
    index: number,
    generation: number,
    method: number,
    route: string,
    kind: number = SLOT_KIND.message,
    hasStored = false,
    routeType: RouteType = ROUTE_TYPE.request,
  ) {
    super(runtime, index, generation, method);
    this.route = route;
    this.kind = kind;
    this.hasStored = hasStored;
    this.routeType = routeType;
    this.settled = method === ACK || method === CANCEL || kind !== SLOT_KIND.message;
  }

  /** Free variables of this run of this route (`$var(name)`); they are gone after a resume. */
  get var(): Record<string, unknown> {
    this.#vars ??= {};
    return this.#vars;
  }

  /**
   * Aborted when the call is cancelled, or ended from outside, while an asynchronous handler runs or sleeps. Its reason is
   * a `SipAsyncError` with the code `SIPASYNC_ERR_CANCELLED`; its message ends with the Reason header of the CANCEL if that has
   * one.
   */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /**
   * Why the last function that can fail returned `false`; `null` after one that succeeded, which with a
   * `modparam async return` below 0 returns `false` as well.
   */
  get asyncError(): SipAsyncError | null {
    return this.#error;
  }

  // ---- what may be done ----------------------------------------------------------------------------------------------

  /** @internal */
  protected mustBeLive(): void {
    if (this.state === RUN_STATE.running) return;
    throw makeError(this.state === RUN_STATE.ended ? 'STALE_HANDLE' : 'SUSPENDED');
  }

  /** Whether nothing has been done with the message yet: in core:pre-routing. @internal */
  protected get isRaw(): boolean {
    return this.kind === SLOT_KIND.raw;
  }

  /** Whether nobody else can have the call: the script runs, or has just ended itself. @internal */
  protected get isRunHere(): boolean {
    return this.state === RUN_STATE.running || this.state === RUN_STATE.givenUp;
  }

  /**
   * Data tasks and events do nothing to the call, so a script that goes on behind its suspension may still start them.
   *
   * @internal
   */
  protected mustNotBeGivenUp(): void {
    if (this.state === RUN_STATE.sleeping || this.#goesOnSuspended) return;
    this.mustBeLive();
  }

  /**
   * Ends the script. A call that was suspended (`return` not 0) is another's by then, and only the script ends.
   *
   * @internal
   */
  protected giveUp(drops: boolean): void {
    if (this.#goesOnSuspended) return;
    this.mustBeLive();
    this.state = RUN_STATE.givenUp;
    this.#dropped = drops;
  }

  /** Behind tSuspend and sworkerTask, and with `return` other than 0 behind any suspension, the script goes on. */
  get #goesOnSuspended(): boolean {
    if (this.state === RUN_STATE.open || this.state === RUN_STATE.handedOver) return true;
    return this.state === RUN_STATE.suspended && this.runtime.config.async.returnValue !== 0;
  }

  /** Whether a suspending function is refused for what was done before; one on an inert message throws. @internal */
  protected refusesSuspension(): boolean {
    if (this.runtime.config.async.mode === 1) return !this.refuse('MODE_NO_TM');
    if (this.state === RUN_STATE.running) {
      const isCall = this.kind === SLOT_KIND.message || this.kind === SLOT_KIND.branch;
      return !isCall && !this.refuse('NO_TRANSACTION');
    }
    if (this.#goesOnSuspended || this.state === RUN_STATE.sleeping) return !this.refuse('ALREADY_SUSPENDED');
    if (this.state === RUN_STATE.ended) return !this.refuse('STALE_HANDLE');
    throw makeError('SUSPENDED');
  }

  /** @internal */
  protected refuse(name: ErrorName, detail?: string): false {
    this.#error = makeError(name, detail);
    return false;
  }
  /** @internal */
  protected refuseStatus(status: number): false {
    this.#error = errorOfStatus(status);
    return false;
  }
  /** @internal */
  protected done(): true {
    this.#error = null;
    return true;
  }
  /** @internal */
  protected taken(refusal: SipAsyncError | null): boolean {
    this.#error = refusal;
    return refusal === null;
  }

  /** Waits for the end of a sleep that has begun. @returns whether its time came @internal */
  protected sleep(): Promise<boolean> {
    this.state = RUN_STATE.sleeping;
    this.owner = 0;
    return new Promise((resolve) => {
      this.#sleeper = resolve;
    });
  }

  // ---- for lib/script.ts ---------------------------------------------------------------------------------------------

  /** Whether an asyncSleep is going on. @internal */
  get isSleeping(): boolean {
    return this.state === RUN_STATE.sleeping;
  }

  /** Whether nothing needs to be sent any more. @internal */
  get isSettled(): boolean {
    return this.settled;
  }

  /**
   * Between two routes that run for one message: `exit()` has ended the first only, `drop()` and a suspension end both.
   *
   * @returns whether the second runs
   * @internal
   */
  goOnBehindExit(): boolean {
    if (this.state === RUN_STATE.givenUp && !this.#dropped) this.state = RUN_STATE.running;
    return this.state === RUN_STATE.running;
  }

  /** The handler has returned a promise: from now on the call may be ended from outside between two statements. @internal */
  goAsynchronous(): void {
    this.owner = 0;
  }

  /** The sleep is over. @internal */
  wake(): void {
    if (this.state !== RUN_STATE.sleeping) return;
    this.state = RUN_STATE.running;
    this.#wakeSleeper(true);
  }

  /** The call was cancelled or ended from outside. @internal */
  abandon(): void {
    this.settled = true;
    // Made if it is not there: a handler that asks for the signal later must find it aborted.
    this.#controller ??= new AbortController();
    const reason = native.cancelReason(this.runtime.channel, this.index, this.generation);
    this.#controller.abort(makeError('CANCELLED', reason || undefined));
    if (this.state !== RUN_STATE.sleeping) return;
    this.state = RUN_STATE.running;
    this.#wakeSleeper(false);
  }

  #wakeSleeper(woken: boolean): void {
    const sleeper = this.#sleeper;
    this.#sleeper = undefined;
    sleeper?.(woken);
  }

  /** The route has returned or thrown. @returns the outcome for the addon @internal */
  end(): number {
    const { state } = this;
    this.state = RUN_STATE.ended;
    this.owner = 0;
    const isElsewhere = state === RUN_STATE.suspended || state === RUN_STATE.open || state === RUN_STATE.handedOver;
    if (isElsewhere) return OUTCOME.suspended;
    return this.#dropped ? OUTCOME.dropped : OUTCOME.ended;
  }
}
