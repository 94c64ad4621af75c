import { native } from './binding.ts';
import type { ErrorName } from './errors.ts';
import { MessageVariables } from './message-variables.ts';
import { checkText, checkUri, describe } from './tm/arguments.ts';
import { NO_ROUTE, ROUTE_TYPE } from './tm/route-type.ts';
import { forwardWhenResolved, sendWhenResolved } from './tm/resolution.ts';
import { targetUri } from './tm/target.ts';

const { status: STATUS, outcome: OUTCOME, field: FIELD, methods: METHODS } = native.constants;
const ACK = METHODS.indexOf('ACK');
const CANCEL = METHODS.indexOf('CANCEL');

/** The reply that says what a failed relay would have said, for scripts that leave it to us. */
const REPLY_OF: Partial<Record<ErrorName, number>> = { TOO_MANY_HOPS: 483, LOOP_DETECTED: 482, UNROUTABLE: 478 };
const NAME_OF_STATUS: Partial<Record<number, ErrorName>> = {
  [STATUS.tooManyHops]: 'TOO_MANY_HOPS',
  [STATUS.loop]: 'LOOP_DETECTED',
  [STATUS.unroutable]: 'UNROUTABLE',
};

const CANCEL_GOES_BY_ITSELF = 'what was sent on is cancelled by the proxy itself';

/** Where the addon writes the handle of a new branch: read at once, so that one serves all. */
const handle = new Uint32Array(2);

/**
 * Sending a request on, and what may be asked and set in the routes that this leads to.
 *
 * @typeParam FailureRouteName the blocks of `failureRoute`
 * @typeParam OnreplyRouteName the blocks of `onreplyRoute`
 * @typeParam BranchRouteName the blocks of `branchRoute`
 */
export class MessageRelay<
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
> extends MessageVariables {
  /** What to reply when the script ends with nothing behind a relay that failed. */
  #failedCode = 0;
  #hasRelayed = false;
  #lookup: Promise<void> | null = null;
  /** Of a raw message: the status of a reply, 0 for a request. */
  #rawStatus = 0;

  /** Whether this is a request and no reply. */
  override get isRequest(): boolean {
    return this.#rawStatus === 0 && this.routeType !== ROUTE_TYPE.reply;
  }
  /** The status of a reply; `null` for a request (`$rs`). */
  override get status(): number | null {
    if (this.isRequest) return null;
    if (this.#rawStatus !== 0) return this.#rawStatus;
    return native.statusOf(this.runtime.channel, this.index, this.generation) || null;
  }
  /** The reason phrase of a reply; `null` for a request (`$rr`). */
  override get reason(): string | null {
    return this.isRequest ? null : this.textOf(FIELD.reason);
  }

  // ---- what will happen ----------------------------------------------------------------------------------------------

  /**
   * Runs a failure route when all branches of the next {@link tRelay} have failed, before the caller is told
   * (`t_on_failure`). It runs once; a failure route that relays again arms the next one itself.
   *
   * @param name a block of `failureRoute`; `null` arms none
   * @returns `false` with `UNKNOWN_ROUTE`, `WRONG_ROUTE` (a reply or branch route, `core:pre-routing`)
   */
  tOnFailure(name: FailureRouteName | null): boolean {
    if (!this.#isInCall()) return this.refuse('WRONG_ROUTE', 'tOnFailure');
    return this.#arm('onFailure', name, this.runtime.failureNumbers);
  }

  /**
   * Runs a reply route for each reply to the branches of the next {@link tRelay} (`t_on_reply`).
   *
   * @param name a block of `onreplyRoute`; `null` arms none
   * @returns `false` with `UNKNOWN_ROUTE`, `WRONG_ROUTE` (a reply route, `core:pre-routing`)
   */
  tOnReply(name: OnreplyRouteName | null): boolean {
    if (this.isRaw || this.routeType === ROUTE_TYPE.reply) return this.refuse('WRONG_ROUTE', 'tOnReply');
    return this.#arm('onReply', name, this.runtime.onreplyNumbers);
  }

  /**
   * Runs a branch route for each branch of the next {@link tRelay}, before it is sent (`t_on_branch`). What is changed there
   * is in that branch alone.
   *
   * @param name a block of `branchRoute`; `null` arms none
   * @returns `false` with `UNKNOWN_ROUTE`, `WRONG_ROUTE` (a reply or branch route, `core:pre-routing`)
   */
  tOnBranch(name: BranchRouteName | null): boolean {
    if (!this.#isInCall()) return this.refuse('WRONG_ROUTE', 'tOnBranch');
    return this.#arm('onBranch', name, this.runtime.branchNumbers);
  }

  /**
   * Adds a branch to the next {@link tRelay}: the request goes there as well, at the same time (`append_branch`).
   *
   * @param uri its Request-URI
   * @returns `false` with `WRONG_ROUTE`
   * @throws TypeError for what is no URI
   */
  appendBranch(uri: string): boolean {
    checkUri(uri, 'uri');
    this.mustBeLive();
    if (!this.#isInCall()) return this.refuse('WRONG_ROUTE', 'appendBranch');
    this.change().branches.push(uri);
    return this.done();
  }

  /**
   * Has the requests of the dialog come back this way: the forwarded message gets a Record-Route with the address it came
   * in by, and with the one it goes out by when that is another (`record_route`).
   *
   * @returns `false` with `WRONG_ROUTE` (a reply route, `core:pre-routing`)
   */
  recordRoute(): boolean {
    this.mustBeLive();
    if (this.isRaw || this.routeType === ROUTE_TYPE.reply) return this.refuse('WRONG_ROUTE', 'recordRoute');
    this.change().recordsRoute = true;
    return this.done();
  }

  // ---- sending on ----------------------------------------------------------------------------------------------------

  /**
   * Sends the request on through the transaction (`t_relay`), with all that was changed in it; the script goes on. Its
   * replies come back to the caller by themselves: provisional ones and 2xx at once, any other when all branches have failed,
   * the best of them (RFC 3261 section 16.7). An ACK is forwarded without a transaction.
   *
   * The next hop is `target`, else `du`, else the topmost Route that is not ours, else the Request-URI; host names are looked
   * up as RFC 3263 says, without holding anything up, and what they lead to is tried one after the other.
   *
   * @param target where to send it whatever Route and Request-URI are: a SIP URI, `udp:host:port`, `host:port` or `host`
   * @returns `true` when it was taken; `false` with `UNROUTABLE`, `TOO_MANY_HOPS`, `LOOP_DETECTED`, `SLOTS_EXHAUSTED`,
   *   `ALREADY_ANSWERED`, `CANCELLED`, `INVALID_STATUS` (a header line that was added, or a message too long to be sent),
   *   `NO_TRANSACTION` (a CANCEL, a data task, an event), `PAYLOAD_TOO_LARGE` (the variables of the call), `MODE_NO_TM`,
   *   `WRONG_ROUTE` (a reply or branch route, `core:pre-routing`). A script that then ends without a reply gives 483, 482, 478 or 500, unless it has
   *   sent the request somewhere else, or is a failure route: then the answer from there counts.
   * @throws TypeError for a target that is none
   */
  tRelay(target?: string): boolean {
    const destination = target === undefined ? (this.du ?? '') : targetUri(target);
    this.mustBeLive();
    if (this.runtime.config.async.mode === 1) return this.refuse('MODE_NO_TM');
    if (!this.#isInCall()) return this.refuse('WRONG_ROUTE', 'tRelay');
    if (this.methodNumber === CANCEL) return this.refuse('NO_TRANSACTION', CANCEL_GOES_BY_ITSELF);
    const appended = this.changes?.branches ?? [];
    // They are for this relay, and what is kept must not hold them any more: a failure route would fork to them again.
    if (appended.length > 0) this.change().branches = [];
    const kept = this.keepVariables();
    if (kept !== STATUS.ok) {
      if (appended.length > 0) this.change().branches = appended;
      return this.refuseStatus(kept);
    }
    const { changes } = this;
    const branches: (string | null)[] = [changes?.ruri ?? null, ...appended];
    let status: number = STATUS.ok;
    let sent = 0;
    // An ACK is no branch of anything.
    const runsBranches = this.methodNumber !== ACK && (changes?.onBranch ?? NO_ROUTE) !== NO_ROUTE;
    for (const [number, ruri] of branches.entries()) {
      // As in Kamailio, the destination is the first branch's; the others go where their URIs say, unless the target does.
      const to = number === 0 || target !== undefined ? destination : '';
      const one = runsBranches ? this.#runBranch(ruri, to) : this.#relay(ruri, to);
      if (one === STATUS.ok) sent += 1;
      else status = one;
    }
    if (sent === 0) {
      if (appended.length > 0) this.change().branches = appended;
      return this.#fail(status);
    }
    this.#failedCode = 0;
    this.#hasRelayed = true;
    return this.done();
  }

  /**
   * Sends the request on without a transaction (`forward`): nothing is kept, replies go by Via alone, a retransmission is a
   * new message. The target must hold an address, for nothing is there that could wait for a name.
   *
   * @param target as in {@link tRelay}
   * @returns `false` as {@link tRelay}
   * @throws TypeError for a target that is none
   */
  forward(target?: string): boolean {
    const destination = target === undefined ? (this.du ?? '') : targetUri(target);
    this.mustBeLive();
    if (!this.#isInCall()) return this.refuse('WRONG_ROUTE', 'forward');
    if (this.methodNumber === CANCEL) return this.refuse('NO_TRANSACTION', CANCEL_GOES_BY_ITSELF);
    const status = native.forward(...this.#wanted(this.changes?.ruri ?? null, destination), '');
    if (status !== STATUS.ok) return this.#fail(status === STATUS.unresolved ? STATUS.unroutable : status);
    this.settled = true;
    return this.done();
  }

  /** @internal */
  #wanted(ruri: string | null, destination: string) {
    const { runtime, changesMade: changes } = this;
    return [
      runtime.channel,
      this.index,
      this.generation,
      ruri ?? '',
      destination,
      changes?.removedNames.map((name) => `${name}\n`).join('') ?? '',
      changes?.appendedLines.map((line) => `${line}\r\n`).join('') ?? '',
      changes?.body ?? null,
      changes?.recordsRoute ?? false,
      changes?.onFailure ?? NO_ROUTE,
      changes?.onReply ?? NO_ROUTE,
    ] as const;
  }

  #relay(ruri: string | null, destination: string): number {
    const wanted = this.#wanted(ruri, destination);
    const status = native.relay(...wanted, handle);
    if (status !== STATUS.unresolved) return status;
    if (this.methodNumber === ACK) {
      const [channel, index, generation, uri, , ...more] = wanted;
      this.#lookup = forwardWhenResolved(this.runtime, native.branchTarget(), (address, name) =>
        native.forward(channel, index, generation, uri, address, ...more, name),
      );
      return STATUS.ok;
    }
    sendWhenResolved(this.runtime, handle[0]!, handle[1]!, native.branchTarget());
    return STATUS.ok;
  }

  /** Opens a branch and runs its route. @returns a native status; `cancelled` when the route dropped it */
  #runBranch(ruri: string | null, destination: string): number {
    const { runtime, changes } = this;
    const status = native.branchOpen(
      runtime.channel,
      this.index,
      this.generation,
      changes!.onFailure,
      changes!.onReply,
      handle,
    );
    if (status !== STATUS.ok) return status;
    const wasDropped = runtime.runBranch(handle[0]!, handle[1]!, this.methodNumber, changes!.onBranch, (message) => {
      message.inherit(this.serializeVariables());
      message.isInSworker = this.isInSworker;
      const own = message.change();
      own.ruri = ruri;
      own.du = destination === '' ? null : destination;
      own.onBranch = NO_ROUTE;
      own.branches = [];
    });
    return wasDropped ? STATUS.unroutable : STATUS.ok;
  }

  #fail(status: number): false {
    const name = NAME_OF_STATUS[status];
    if (name === undefined) return this.refuseStatus(status);
    this.#failedCode = REPLY_OF[name] ?? 0;
    return this.refuse(name);
  }

  /** @internal */
  protected override keepVariables(): number {
    // For the route that the call is resumed in.
    if (this.#hasRelayed && this.changes?.hasRelayed !== true) this.change().hasRelayed = true;
    return super.keepVariables();
  }

  /** What the message has to be there for when its route has ended. @internal */
  get lookup(): Promise<void> | null {
    return this.#lookup;
  }

  /** In core:pre-routing. @param status of a reply, 0 for a request @internal */
  beginPreRouting(status: number): void {
    this.#rawStatus = status;
  }

  /** A failure route is armed once. @internal */
  beginFailureRoute(): void {
    if (this.changes !== undefined && this.changes.onFailure !== NO_ROUTE) this.change().onFailure = NO_ROUTE;
  }

  /**
   * Behind a relay that failed and a script that did nothing about it. Where others are asked, or have refused, their answer
   * counts.
   *
   * @returns whether there was a reply for that
   * @internal
   */
  answerFailure(): boolean {
    const isElsewhere = this.#hasRelayed || (this.changes?.hasRelayed ?? false);
    if (this.#failedCode === 0 || isElsewhere || this.routeType === ROUTE_TYPE.failure) return false;
    const { channel, logger } = this.runtime;
    const status = native.reply(channel, this.index, this.generation, this.#failedCode, '', '', false);
    if (status !== STATUS.ok) return false;
    logger.warn({ route: this.route, callId: this.callId, code: this.#failedCode }, 'the relay failed; replied for the script');
    return true;
  }

  /** What a reply that the library makes by itself should say. @internal */
  protected get failedCode(): number {
    return this.#failedCode;
  }

  // ---- asking --------------------------------------------------------------------------------------------------------

  /**
   * Whether a status matches: in a failure route that of the reply that was chosen, in a reply route that of the reply
   * (`t_check_status`).
   *
   * @param pattern a regular expression as text, `4[0-9][0-9]` say, or a code
   * @throws TypeError for what is no regular expression
   */
  tCheckStatus(pattern: string | number | RegExp): boolean {
    if (typeof pattern !== 'string' && typeof pattern !== 'number' && !(pattern instanceof RegExp)) {
      throw new TypeError(`pattern: expected a string, a number or a RegExp, got ${describe(pattern)}`);
    }
    let expression: RegExp;
    try {
      expression = pattern instanceof RegExp ? pattern : new RegExp(String(pattern));
    } catch (cause) {
      throw new TypeError(`pattern: ${JSON.stringify(pattern)} is no regular expression`, { cause });
    }
    const status = native.statusOf(this.runtime.channel, this.index, this.generation);
    return status !== 0 && expression.test(String(status));
  }

  /** Whether the call was cancelled (`t_is_canceled`). */
  tIsCanceled(): boolean {
    return native.isCancelled(this.runtime.channel, this.index, this.generation);
  }

  // ---- the end of a run ----------------------------------------------------------------------------------------------

  /** The route has returned or thrown. @returns the outcome for the addon @internal */
  override end(): number {
    // Behind exit() and drop(), too, the run is this thread's until it ends here.
    const isRunning = this.isRunHere;
    if (isRunning && this.#hasRelayed) super.keepVariables();
    if (this.kindOfRun === 'call') return super.end();
    // Read before the end, behind which nothing can be.
    const changes = isRunning ? this.changesMade : undefined;
    const wanted = this.#wanted(changes?.ruri ?? null, changes?.du ?? '');
    if (this.kindOfRun === 'reply' && isRunning) this.shareVariables();
    const outcome = super.end();
    if (outcome !== OUTCOME.ended) return outcome;
    if (this.kindOfRun === 'branch') {
      const status = native.branchRelay(...wanted);
      if (status === STATUS.unresolved) sendWhenResolved(this.runtime, this.index, this.generation, native.branchTarget());
      return OUTCOME.pending;
    }
    if (changes === undefined) return outcome;
    const [channel, index, generation, , , removed, appended, body] = wanted;
    native.replyForward(channel, index, generation, removed, appended, body);
    return OUTCOME.pending;
  }

  /** @internal */
  protected get kindOfRun(): 'call' | 'reply' | 'branch' {
    if (this.routeType === ROUTE_TYPE.reply) return 'reply';
    return this.routeType === ROUTE_TYPE.branch ? 'branch' : 'call';
  }

  #isInCall(): boolean {
    return this.kindOfRun === 'call' && !this.isRaw;
  }

  #arm(member: 'onFailure' | 'onReply' | 'onBranch', name: string | null, numbers: ReadonlyMap<string, number>): boolean {
    if (name !== null) checkText(name, 'name');
    this.mustBeLive();
    const number = name === null ? NO_ROUTE : numbers.get(name);
    if (number === undefined) return this.refuse('UNKNOWN_ROUTE', name ?? '');
    this.change()[member] = number;
    return this.done();
  }
}
