import { emitTkv, readTkv, sendTaskData, SLOT_KIND } from './async/data-task.ts';
import type { TkvEvent } from './async/data-task.ts';
import { native } from './binding.ts';
import { RUN_STATE } from './message-run.ts';
import { MODULE_GROUP_NUMBER, PRE_ROUTING_EVENT } from './runtime.ts';
import { SCRIPT_END } from './script-end.ts';
import { MessageStatements } from './statements/message-statements.ts';
import { checkHandle, continueSuspended } from './suspended.ts';
import type { Handle } from './suspended.ts';
import { handOver, writeXdata } from './sworker.ts';
import { checkText, headerLine, parseDelay } from './tm/arguments.ts';
import { NO_ROUTE } from './tm/route-type.ts';

const { status: STATUS, ownThread } = native.constants;
const MAX_REASON = 200;
/** Where the addon writes the number of a suspension: read at once, so that one serves all. */
const suspension = new Uint32Array(2);
/** What is shown where there is no event, so that a script may ask without asking first. */
const NO_EVENT = Object.freeze({ type: null, key: null, val: null, gname: null });

// What a suspending function does when it does not return.
const ENDS = 1;
type Suspending<Args extends unknown[]> = (msg: Message, ...args: Args) => boolean | typeof ENDS;

// The work of the suspending functions is done in functions that return. V8 counts towards optimization when a function
// returns; one that always ends by throwing stays in the interpreter for good, so those that throw do nothing else.
let trySuspend: {
  route: Suspending<[routename: string, seconds: number | string]>;
  msRoute: Suspending<[routename: string, milliseconds: number | string]>;
  taskRoute: Suspending<[routename: string]>;
  taskGroupRoute: Suspending<[routename: string, groupname: string]>;
};

/**
 * A SIP message in a route: a request, or in a reply route the reply.
 *
 * It is good for the run of the route that it was given to; `asyncSleep` is part of the same run.
 *
 * Functions that can fail return `false` and leave the reason in {@link asyncError}; arguments of a wrong type throw a
 * `TypeError`. Once the call was suspended, or the script ended by `exit()` or `drop()`, the message is inert: what acts
 * on it throws `SIPASYNC_ERR_SUSPENDED`, and once the route has returned, `SIPASYNC_ERR_STALE_HANDLE`. Reading goes on as
 * long as the call lives. docs/from-kamailio.md has every function beside Kamailio's.
 *
 * @typeParam RouteName the blocks of `route` that its functions take; any text when it is left out
 * @typeParam GroupName the worker groups that they take
 * @typeParam FailureRouteName the blocks of `failureRoute`
 * @typeParam OnreplyRouteName the blocks of `onreplyRoute`
 * @typeParam BranchRouteName the blocks of `branchRoute`
 */
export class Message<
  RouteName extends string = string,
  GroupName extends string = string,
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
> extends MessageStatements<RouteName, FailureRouteName, OnreplyRouteName, BranchRouteName> {
  #event: TkvEvent | undefined;
  #suspension = 0;
  #taskBytes: Buffer | null = null;

  // ---- data tasks and events -----------------------------------------------------------------------------------------

  /** The data of the data task that runs (`$async(data)`): a string, or a copy of the bytes; `null` in any other route. */
  get asyncData(): string | Buffer | null {
    if (this.kind !== SLOT_KIND.task || this.state === RUN_STATE.ended) return null;
    // Given away once: who reads it again gets another copy, whatever became of this one.
    const bytes = this.#taskBytes;
    this.#taskBytes = null;
    return bytes ?? native.taskData(this.runtime.channel, this.index, this.generation);
  }

  /** @param bytes a copy of the data; `null` when the addon must be asked for it @internal */
  beginTask(bytes: Buffer | null): void {
    this.#taskBytes = bytes;
  }

  /** The group that this thread is a worker of (`$async(gname)`); `null` in a receiver and in the module's workers. */
  get asyncGname(): string | null {
    return this.runtime.groupName;
  }

  /** The tkv event that runs (`$atkv(type)` and so on); all its members are `null` in any other route. */
  get atkv(): TkvEvent | typeof NO_EVENT {
    if (this.kind !== SLOT_KIND.event) return NO_EVENT;
    this.#event ??= readTkv(this.runtime, this.index, this.generation) ?? undefined;
    return this.#event ?? NO_EVENT;
  }

  /**
   * Hands data to a route block that runs in a worker of the first group (`async_task_data`). That route sees a made-up
   * request and the data in {@link asyncData}; this script goes on at once.
   *
   * @param routename a block of `route`
   * @param data text, or bytes, which are copied; 1 MiB at the most
   * @returns `true` when the task was taken (Kamailio's 1); `false` with `UNKNOWN_ROUTE`, `NO_WORKERS`, `GROUP_FULL`,
   *   `PAYLOAD_TOO_LARGE`, `SLOTS_EXHAUSTED`, `CLOSED`
   */
  asyncTaskData(routename: RouteName, data: string | Uint8Array): boolean {
    this.mustNotBeGivenUp();
    return this.taken(sendTaskData(this.runtime, routename, data));
  }

  /**
   * Hands data to a route block that runs in a worker of a group (`async_task_group_data`).
   *
   * @param groupname a group of `asyncWorkersGroup`, or "default"
   * @returns as {@link asyncTaskData}; also `false` with `UNKNOWN_GROUP`
   */
  asyncTaskGroupData(routename: RouteName, groupname: GroupName, data: string | Uint8Array): boolean {
    this.mustNotBeGivenUp();
    checkText(groupname, 'groupname');
    return this.taken(sendTaskData(this.runtime, routename, data, groupname));
  }

  /**
   * Emits an event that runs the event route of `asyncTkvEvcb` in the group `asyncTkvGname` (`async_tkv_emit`).
   *
   * @param type a whole number of 32 bits
   * @param key any text
   * @param value any text; together with the key 1 MiB at the most
   * @returns `true` when the event was taken (Kamailio's 1); `false` with `TKV_DISABLED`, `OUT_OF_RANGE`, `GROUP_FULL`,
   *   `PAYLOAD_TOO_LARGE`, `SLOTS_EXHAUSTED`, `CLOSED`
   */
  asyncTkvEmit(type: number, key: string, value: string): boolean {
    this.mustNotBeGivenUp();
    return this.taken(emitTkv(this.runtime, type, key, value));
  }

  // ---- sworker -------------------------------------------------------------------------------------------------------

  /**
   * Hands the message over to a worker group, which deals with it as if it just came from the network (`sworker_task`). Only in
   * `eventRoute['core:pre-routing']`, which does not run for it again. Nothing that was set here goes along but the variable
   * of `modparam sworker xdata`. The script goes on and the message is inert; `drop()` is the usual end, and leaving it out
   * does no harm. Messages of one Call-ID come to their turn in the order in which they were handed over, and a
   * retransmission of a request that still waits there is absorbed.
   *
   * @param groupname a group of `asyncWorkersGroup`, or "default"
   * @returns `true` when the group has it, or has the one that this repeats; `false` with `UNKNOWN_GROUP`, `GROUP_FULL`,
   *   `NO_WORKERS`, `ALREADY_SUSPENDED` (handed over before), `ALREADY_ANSWERED` (`slSendReply`), `WRONG_ROUTE`,
   *   `SLOTS_EXHAUSTED` (no memory for the variable), `PAYLOAD_TOO_LARGE`, `CLOSED`. Nothing has happened then, and unless it
   *   is dropped the message goes on where it is
   * @throws TypeError for a name that is no string, and when the variable holds neither text nor a number
   */
  sworkerTask(groupname: GroupName): boolean {
    checkText(groupname, 'groupname');
    if (!this.isRaw) return this.refuse('WRONG_ROUTE', `sworkerTask is for ${PRE_ROUTING_EVENT}`);
    if (this.state === RUN_STATE.handedOver) return this.refuse('ALREADY_SUSPENDED');
    this.mustBeLive();
    const refusal = handOver(this.runtime, this, groupname);
    if (refusal !== null) return this.taken(refusal);
    this.state = RUN_STATE.handedOver;
    this.owner = 0;
    return this.done();
  }

  /**
   * Whether this route runs in a worker for a message that {@link sworkerTask} handed over (`sworker_active`). A route that
   * the call is resumed in later is not part of that.
   */
  sworkerActive(): boolean {
    return this.isInSworker;
  }

  /** @param text what was handed over with it; `null` is nothing @internal */
  beginSworker(text: string | null): void {
    this.isInSworker = true;
    if (this.runtime.xdata !== null) writeXdata(this.runtime.xdata, this, text);
  }

  // ---- replies -------------------------------------------------------------------------------------------------------

  /**
   * Adds a header line to the next reply of this run, a provisional one included (`append_to_reply`). It is not kept over
   * a suspension other than `asyncSleep`.
   *
   * @param line one header, with or without the line end
   * @returns `false` with `INVALID_STATUS` when the line holds control characters or is no header
   */
  appendToReply(line: string): boolean {
    this.mustBeLive();
    const header = headerLine(line);
    if (header === null) return this.refuse('INVALID_STATUS');
    this.replyLines += `${header}\r\n`;
    return this.done();
  }

  /**
   * Replies through the transaction, from the thread that calls (`send_reply`). A final reply is repeated as RFC 3261
   * wants it, and retransmissions of the request are answered with it.
   *
   * @param code a whole number, 100 to 699
   * @param reason the phrase, up to 200 characters; the usual one of the code when it is left out
   * @returns `false` with `ALREADY_ANSWERED`, `CANCELLED`, `NO_TRANSACTION` (an ACK or a CANCEL, a data task, an event),
   *   `INVALID_STATUS`, `WRONG_ROUTE` (a reply or branch route)
   */
  sendReply(code: number, reason = ''): boolean {
    return this.#reply(code, reason, false);
  }

  /** The same as {@link sendReply} (`t_reply`). */
  tReply(code: number, reason = ''): boolean {
    return this.#reply(code, reason, false);
  }

  /**
   * Replies without a transaction (`sl_send_reply`): nothing is kept, and a retransmission is a new message. Once the
   * call was made a transaction (`tNewtran`, or a suspension) the reply goes through it all the same. In
   * `eventRoute['core:pre-routing']` a final reply is the end of the message: it is not routed.
   *
   * @returns as {@link sendReply}
   */
  slSendReply(code: number, reason = ''): boolean {
    return this.#reply(code, reason, true);
  }

  /**
   * Replies what the last failure calls for as {@link slSendReply} does: 483, 482 or 478 behind a {@link tRelay} that failed
   * so, else 500 (`sl_reply_error`).
   *
   * @returns as {@link sendReply}
   */
  slReplyError(): boolean {
    return this.#reply(this.failedCode || 500, '', true);
  }

  #reply(code: number, reason: string, stateless: boolean): boolean {
    this.mustBeLive();
    if (typeof code !== 'number') throw new TypeError(`code: expected a number, got ${typeof code}`);
    checkText(reason, 'reason');
    if (!Number.isInteger(code) || code < 100 || code > 699) return this.refuse('INVALID_STATUS', String(code));
    if (reason.length > MAX_REASON) return this.refuse('INVALID_STATUS', 'reason');
    if (this.kind === SLOT_KIND.branch) return this.refuse('WRONG_ROUTE', 'a reply or branch route has nothing to reply to');
    if (this.kind !== SLOT_KIND.message && !(stateless && this.isRaw)) return this.refuse('NO_TRANSACTION');
    const { channel } = this.runtime;
    const lines = this.replyLines;
    const status = native.reply(channel, this.index, this.generation, code, reason, lines, stateless);
    if (status !== STATUS.ok) return this.refuseStatus(status);
    if (lines !== '') this.replyLines = '';
    if (code >= 200) this.settled = true;
    return this.done();
  }

  // ---- transaction ---------------------------------------------------------------------------------------------------

  /**
   * Makes the request a transaction at once (`t_newtran`): an INVITE gets its 100, and every later reply goes through
   * the transaction. Suspending functions do this by themselves.
   *
   * @returns `false` with `NO_TRANSACTION` (an ACK or a CANCEL, a data task, an event, a reply or branch route),
   *   `SLOTS_EXHAUSTED`, `ALREADY_ANSWERED`, `CANCELLED`
   */
  tNewtran(): boolean {
    this.mustBeLive();
    const status = native.newTransaction(this.runtime.channel, this.index, this.generation);
    return status === STATUS.ok ? this.done() : this.refuseStatus(status);
  }

  /** Ends the script here, from however deep a function (`exit`). A call that has no final reply then gets 500. */
  exit(): never {
    this.giveUp(false);
    throw SCRIPT_END;
  }

  /** Ends the script here and the message with it (`drop`): no reply is sent, retransmissions are absorbed. */
  drop(): never {
    this.giveUp(true);
    throw SCRIPT_END;
  }

  /**
   * Whether the message belongs to a transaction (`t_check_trans`). Retransmissions never reach a script here, so for a request
   * in its route it is always so.
   *
   * @returns `false` for an ACK or a CANCEL, a data task or an event, and when there was no slot left for a transaction
   */
  tCheckTrans(): boolean {
    this.mustNotBeGivenUp();
    return native.hasTransaction(this.runtime.channel, this.index, this.generation);
  }

  // ---- suspending ----------------------------------------------------------------------------------------------------

  /**
   * Suspends the call and runs a route block after so many seconds, in one of the module's `workers` (`async_route`).
   *
   * @param routename a block of `route`
   * @param seconds whole seconds, 1 to 100, or to `max_sleep`; a numeric string is accepted
   * @returns does not return on success (unless `modparam async return` says otherwise); `false` with `UNKNOWN_ROUTE`,
   *   `DELAY_OUT_OF_RANGE`, `NO_WORKERS`, `NO_TRANSACTION`, `SLOTS_EXHAUSTED`, `ALREADY_SUSPENDED`, `ALREADY_ANSWERED`,
   *   `CANCELLED`, `MODE_NO_TM`, or `PAYLOAD_TOO_LARGE` (the variables of the call); then nothing has changed
   */
  asyncRoute(routename: RouteName, seconds: number | string): boolean {
    const result = trySuspend.route(this, routename, seconds);
    if (result === ENDS) throw SCRIPT_END;
    return result;
  }

  /**
   * Suspends the call and runs a route block after so many milliseconds, in the group "default", or in the module's
   * workers when there is no such group (`async_ms_route`). The due time rounds up to a multiple of `ms_timer`.
   *
   * @param routename a block of `route`
   * @param milliseconds 1 to 30000, or to `max_sleep`; a numeric string is accepted
   * @returns as {@link asyncRoute}; also `false` with `MS_TIMER_DISABLED`
   */
  asyncMsRoute(routename: RouteName, milliseconds: number | string): boolean {
    const result = trySuspend.msRoute(this, routename, milliseconds);
    if (result === ENDS) throw SCRIPT_END;
    return result;
  }

  /**
   * Suspends the call for so many seconds and goes on with the next statement, in the same thread, with every local
   * variable kept (`async_sleep`). It needs no workers.
   *
   * @param seconds whole seconds, 1 to 100, or to `max_sleep`; a numeric string is accepted
   * @returns a promise: `true` when the time is over; `false` with `CANCELLED` when the call was cancelled or ended
   *   meanwhile, and at once with `DELAY_OUT_OF_RANGE`, `NO_TRANSACTION`, `SLOTS_EXHAUSTED`, `ALREADY_SUSPENDED`,
   *   `ALREADY_ANSWERED`, `CANCELLED`, `MODE_NO_TM`
   */
  async asyncSleep(seconds: number | string): Promise<boolean> {
    const delay = parseDelay(seconds, 'seconds', this.runtime.maxSeconds);
    if (this.refusesSuspension()) return false;
    if (delay === null) return this.refuse('DELAY_OUT_OF_RANGE', String(seconds));
    return this.#sleep(delay * 1000, 1);
  }

  /**
   * The same in milliseconds (`async_ms_sleep`). The due time rounds up to a multiple of `ms_timer`.
   *
   * @param milliseconds 1 to 30000, or to `max_sleep`; a numeric string is accepted
   * @returns as {@link asyncSleep}; also `false` with `MS_TIMER_DISABLED`
   */
  async asyncMsSleep(milliseconds: number | string): Promise<boolean> {
    const delay = parseDelay(milliseconds, 'milliseconds', this.runtime.maxMs);
    if (this.refusesSuspension()) return false;
    const { msTimerMs } = this.runtime.config.async;
    if (msTimerMs === 0) return this.refuse('MS_TIMER_DISABLED');
    if (delay === null) return this.refuse('DELAY_OUT_OF_RANGE', String(milliseconds));
    return this.#sleep(delay, msTimerMs);
  }

  /**
   * Suspends the call and runs a route block at once in the first worker group (`async_task_route`): "default" when
   * `asyncWorkers` makes it, else the first of `asyncWorkersGroup`.
   *
   * @param routename a block of `route`
   * @returns as {@link asyncRoute}; also `false` with `GROUP_FULL`
   */
  asyncTaskRoute(routename: RouteName): boolean {
    const result = trySuspend.taskRoute(this, routename);
    if (result === ENDS) throw SCRIPT_END;
    return result;
  }

  /**
   * Suspends the call and runs a route block at once in a worker group (`async_task_group_route`).
   *
   * @param routename a block of `route`
   * @param groupname a group of `asyncWorkersGroup`, or "default"
   * @returns as {@link asyncRoute}; also `false` with `UNKNOWN_GROUP`, `GROUP_FULL`
   */
  asyncTaskGroupRoute(routename: RouteName, groupname: GroupName): boolean {
    const result = trySuspend.taskGroupRoute(this, routename, groupname);
    if (result === ENDS) throw SCRIPT_END;
    return result;
  }

  static {
    trySuspend = {
      route(msg, routename, seconds) {
        checkText(routename, 'routename');
        const delay = parseDelay(seconds, 'seconds', msg.runtime.maxSeconds);
        if (msg.refusesSuspension()) return false;
        const route = msg.runtime.routeNumbers.get(routename);
        if (route === undefined) return msg.refuse('UNKNOWN_ROUTE', routename);
        if (delay === null) return msg.refuse('DELAY_OUT_OF_RANGE', String(seconds));
        return msg.#suspend(route, MODULE_GROUP_NUMBER, delay * 1000, 1);
      },
      msRoute(msg, routename, milliseconds) {
        checkText(routename, 'routename');
        const delay = parseDelay(milliseconds, 'milliseconds', msg.runtime.maxMs);
        if (msg.refusesSuspension()) return false;
        const { msTimerMs } = msg.runtime.config.async;
        if (msTimerMs === 0) return msg.refuse('MS_TIMER_DISABLED');
        const route = msg.runtime.routeNumbers.get(routename);
        if (route === undefined) return msg.refuse('UNKNOWN_ROUTE', routename);
        if (delay === null) return msg.refuse('DELAY_OUT_OF_RANGE', String(milliseconds));
        return msg.#suspend(route, msg.runtime.msGroup, delay, msTimerMs);
      },
      taskRoute(msg, routename) {
        checkText(routename, 'routename');
        if (msg.refusesSuspension()) return false;
        const route = msg.runtime.routeNumbers.get(routename);
        if (route === undefined) return msg.refuse('UNKNOWN_ROUTE', routename);
        const { firstGroup } = msg.runtime;
        if (firstGroup < 0) return msg.refuse('NO_WORKERS', 'asyncWorkers is 0 and there is no group');
        return msg.#queue(route, firstGroup);
      },
      taskGroupRoute(msg, routename, groupname) {
        checkText(routename, 'routename');
        checkText(groupname, 'groupname');
        if (msg.refusesSuspension()) return false;
        const route = msg.runtime.routeNumbers.get(routename);
        if (route === undefined) return msg.refuse('UNKNOWN_ROUTE', routename);
        const group = msg.runtime.groupNumbers.get(groupname);
        if (group === undefined) return msg.refuse('UNKNOWN_GROUP', groupname);
        return msg.#queue(route, group);
      },
    };
  }

  /**
   * Suspends the call until somebody continues it (`t_suspend`). The script goes on, to start what the call shall wait for; the
   * message is inert from here on but for reading, {@link tContinue} and {@link tCancelSuspend}. Nobody waits for ever: after
   * `max_suspend` the failure route runs if one is armed, else the call gets 408.
   *
   * @returns what to continue it by, Kamailio's (tindex, tlabel): any thread and any part of the program may. `false` as
   *   {@link asyncRoute}
   */
  tSuspend(): Handle | false {
    if (this.refusesSuspension()) return false;
    const kept = this.keepVariables();
    if (kept !== STATUS.ok) return this.refuseStatus(kept);
    const { channel, config } = this.runtime;
    const { onFailure = NO_ROUTE } = this.changes ?? {};
    const status = native.suspendOpen(channel, this.index, this.generation, config.tm.maxSuspendMs, onFailure, suspension);
    if (status !== STATUS.ok) return this.refuseStatus(status);
    this.#suspension = suspension[0]!;
    this.state = RUN_STATE.open;
    this.owner = 0;
    this.done();
    return { index: this.index, label: this.generation };
  }

  /**
   * Takes {@link tSuspend} back, in the same run of the route and as long as nobody has continued the call
   * (`t_cancel_suspend`). The message can be used again.
   *
   * @param index,label what tSuspend returned
   * @returns `false` with `NOT_SUSPENDED` (continued or timed out meanwhile, another call's, not suspended), `CANCELLED`
   */
  tCancelSuspend(index: number, label: number): boolean {
    checkHandle({ index, label });
    if (this.state !== RUN_STATE.open || index !== this.index || label !== this.generation) {
      return this.refuse('NOT_SUSPENDED');
    }
    const status = native.suspendUndo(this.runtime.channel, index, label, this.#suspension);
    if (status !== STATUS.ok) return this.refuseStatus(status);
    this.state = RUN_STATE.running;
    return this.done();
  }

  /**
   * Continues a suspended call, this or any other, with a route block (`t_continue`): in the group "default", else in the
   * module's workers, else in the receiver that it came in by. One that waits for its time goes on before it. What becomes of
   * this message does not matter: a callback may do it long after the route has returned.
   *
   * @param index,label what {@link tSuspend} returned, or `index` and `generation` of a message
   * @param routename a block of `route`
   * @returns `false` with `UNKNOWN_ROUTE`, `STALE_HANDLE`, `NOT_SUSPENDED` (somebody was quicker, or it sleeps in `asyncSleep`),
   *   `CANCELLED`, `SLOTS_EXHAUSTED`
   */
  tContinue(index: number, label: number, routename: RouteName): boolean {
    return this.taken(continueSuspended(this.runtime, { index, label }, routename));
  }

  #suspend(route: number, group: number, delayMs: number, roundMs: number): boolean | typeof ENDS {
    const { channel } = this.runtime;
    const kept = this.keepVariables();
    if (kept !== STATUS.ok) return this.refuseStatus(kept);
    return this.#gone(native.suspend(channel, this.index, this.generation, route, group, delayMs, roundMs));
  }

  #queue(route: number, group: number): boolean | typeof ENDS {
    const kept = this.keepVariables();
    if (kept !== STATUS.ok) return this.refuseStatus(kept);
    return this.#gone(native.queueTask(this.runtime.channel, this.index, this.generation, route, group));
  }

  /** After a suspension: the script ends, or is told what `modparam async return` wants it told. */
  #gone(status: number): boolean | typeof ENDS {
    if (status !== STATUS.ok) return this.refuseStatus(status);
    this.state = RUN_STATE.suspended;
    this.owner = 0;
    this.done();
    const { returnValue } = this.runtime.config.async;
    return returnValue === 0 ? ENDS : returnValue > 0;
  }

  async #sleep(delayMs: number, roundMs: number): Promise<boolean> {
    const { channel } = this.runtime;
    this.loadVariables();
    const status = native.suspend(channel, this.index, this.generation, 0, ownThread, delayMs, roundMs);
    if (status !== STATUS.ok) return this.refuseStatus(status);
    const woken = await this.sleep();
    return woken ? this.done() : this.refuse('CANCELLED');
  }
}
