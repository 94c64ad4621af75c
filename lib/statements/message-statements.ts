import { native } from '../binding.ts';
import { RUN_STATE } from '../message-run.ts';
import { MessageRelay } from '../message-relay.ts';
import { SCRIPT_END } from '../script-end.ts';
import { checkText } from '../tm/arguments.ts';
import { launch } from './launch.ts';
import type { Operation, OperationOutcome } from './operation.ts';
import { checkOperation, checkOptions, timeoutMs } from './options.ts';
import type { AsyncOptions, LaunchOptions } from './options.ts';

const { status: STATUS } = native.constants;
const OPTION_NAMES = ['timeout'];

/**
 * OpenSIPS' asynchronous statements, `async()` and `launch()`.
 *
 * @typeParam RouteName the blocks of `route`
 */
export class MessageStatements<
  RouteName extends string = string,
  FailureRouteName extends string = string,
  OnreplyRouteName extends string = string,
  BranchRouteName extends string = string,
> extends MessageRelay<FailureRouteName, OnreplyRouteName, BranchRouteName> {
  #outcome: OperationOutcome | null = null;
  #launchText: string | null = null;

  /**
   * What became of the operation that this route runs for (`$rc` at the top of OpenSIPS' resume and report routes): 1, it has its
   * value; -1, an error; -2, its deadline passed. `null` in any other route.
   */
  get rc(): 1 | -1 | -2 | null {
    return this.#outcome?.rc ?? null;
  }

  /** The value of that operation, or the error: what it threw, or a `SipAsyncError`. `null` in any other route. */
  get result(): unknown {
    return this.#outcome === null ? null : this.#outcome.result;
  }

  /** In a report route the `text` that {@link launch} was given (OpenSIPS' `$param(1)`); `null` without one, and elsewhere. */
  get launchText(): string | null {
    return this.#launchText;
  }

  /** Of a resume or report route, before it runs. @internal */
  resumeWith(outcome: OperationOutcome | null, text: string | null = null): void {
    this.#outcome = outcome;
    this.#launchText = text;
  }

  /**
   * Suspends the call, runs an operation, and goes on with a route block in this same thread when the operation has ended or its
   * time is over (OpenSIPS' `async(operation, resume_route, timeout)`). The route finds {@link rc} and {@link result}, and
   * everything that survives any other suspension. Exactly one of result, deadline, CANCEL and `close()` counts; whatever comes
   * first aborts the operation's signal, a CANCEL or `close()` without the route being run.
   *
   * Allowed in request, failure, reply and branch routes, and in what they are resumed in. The operation is started once the call
   * is suspended; one that is ready at once, or throws at once, takes the same way as any other.
   *
   * @param operation `(signal) => value or Promise`
   * @param routename a block of `route`
   * @returns does not return on success (unless `modparam async return` says otherwise); `false` with `UNKNOWN_ROUTE`,
   *   `DELAY_OUT_OF_RANGE` (the timeout), `NO_TRANSACTION`, `SLOTS_EXHAUSTED`, `ALREADY_SUSPENDED`, `ALREADY_ANSWERED`,
   *   `CANCELLED`, `MODE_NO_TM`, `PAYLOAD_TOO_LARGE` (the variables of the call); then nothing has changed, and the operation was
   *   not started
   * @throws TypeError for arguments of a wrong type
   */
  async(operation: Operation, routename: RouteName, options: AsyncOptions = {}): boolean {
    const taken = this.#trySuspend(operation, routename, options);
    if (!taken) return false;
    const { returnValue } = this.runtime.config.async;
    if (returnValue === 0) throw SCRIPT_END;
    return returnValue > 0;
  }

  /**
   * Runs an operation that nothing waits for; the script goes on (OpenSIPS' `launch(operation, report_route, text)`). What becomes
   * of it is reported exactly once, in this same thread and never before the event loop has turned: its value, its error, its
   * deadline, {@link Proxy.cancel}, the end of the proxy, or that there was no slot for it. The report route sees a made-up
   * request, {@link rc}, {@link result} and {@link launchText}. Without a report route the end is only counted.
   *
   * @param operation `(signal) => value or Promise`
   * @param reportRoute a block of `route`; `null` is none
   * @returns `true` when the operation was started; `false` with `SLOTS_EXHAUSTED`, which the report route is told, too, and with
   *   `UNKNOWN_ROUTE`, `DELAY_OUT_OF_RANGE` (the timeout), `PAYLOAD_TOO_LARGE` (the text), `CLOSED`, which are not reported
   * @throws TypeError for arguments of a wrong type
   */
  launch(operation: Operation, reportRoute?: RouteName | null, options: LaunchOptions = {}): boolean {
    this.mustNotBeGivenUp();
    return this.taken(launch(this.runtime, operation, reportRoute, options));
  }

  #trySuspend(operation: Operation, routename: string, options: AsyncOptions): boolean {
    checkOperation(operation);
    checkText(routename, 'routename');
    checkOptions(options, OPTION_NAMES);
    if (this.refusesSuspension()) return false;
    const { channel, config, operations, routeNumbers } = this.runtime;
    const route = routeNumbers.get(routename);
    if (route === undefined) return this.refuse('UNKNOWN_ROUTE', routename);
    const mostMs = timeoutMs(options.timeout, config.tm.maxSuspendMs);
    if (typeof mostMs !== 'number') return this.taken(mostMs);
    const kept = this.keepVariables();
    if (kept !== STATUS.ok) return this.refuseStatus(kept);
    const status = native.operationSuspend(channel, this.index, this.generation, route, mostMs);
    if (status !== STATUS.ok) return this.refuseStatus(status);
    // Before the operation begins, which must find the message inert.
    this.state = RUN_STATE.suspended;
    this.owner = 0;
    this.done();
    operations.begin(this.index, this.generation, null).start(operation);
    return true;
  }
}
