/**
 * The short names of everything that can go wrong, each with the sentence a user reads when no detail is given.
 * `docs/errors.md` has one row for each; a test holds the two against each other.
 */
export const ERROR_TEXT = {
  UNKNOWN_ROUTE: 'no route block of this name is defined',
  UNKNOWN_GROUP: 'no worker group of this name is defined',
  GROUP_FULL: 'the worker group has as many tasks waiting as its maxQueue allows',
  NO_WORKERS: 'there are no workers that could run the task',
  MS_TIMER_DISABLED: 'the millisecond functions are switched off (modparam async ms_timer is 0)',
  DELAY_OUT_OF_RANGE: 'the delay is not within the allowed range, or no whole number',
  NO_TRANSACTION: 'the message has no transaction and cannot be given one',
  SLOTS_EXHAUSTED: 'all slots are taken (maxTransactions, or maxSuspended of an engine)',
  ALREADY_SUSPENDED: 'the transaction is suspended already',
  NOT_SUSPENDED: 'the transaction or task is not suspended',
  STALE_HANDLE: 'the handle belongs to a transaction or task that has ended or gone on',
  CANCELLED: 'the transaction was cancelled',
  TIMEOUT: 'the operation was not over in time',
  THREAD_ENDED: 'the thread that waited for the operation has ended',
  ALREADY_ANSWERED: 'the transaction has its final reply already',
  MODE_NO_TM: 'transactions are switched off (modparam async mode is 1)',
  TKV_DISABLED: 'tkv events are switched off (asyncTkvGname and asyncTkvEvcb are not both set)',
  OUT_OF_RANGE: 'a number is not a whole number within the allowed range',
  PAYLOAD_TOO_LARGE: 'the data is larger than a slot can keep',
  SUSPENDED: 'the script gave this message up when it suspended, exited or dropped; nothing more can be done with it',
  CONFIG: 'the configuration is not valid',
  CLOSED: 'the proxy, engine, database or pool is closed',
  INVALID_STATUS: 'the reply code is not within 100..699, or the reason or header line holds control characters',
  UNROUTABLE: 'the request cannot be sent there: no address in the URI, or no socket of the proxy that reaches it',
  TOO_MANY_HOPS: 'the request may be sent on no further (Max-Forwards is 0)',
  LOOP_DETECTED: 'the request has been here before, unchanged',
  WRONG_ROUTE: 'the function is not allowed in this kind of route',
  LISTEN: 'the address cannot be bound',
  WORKER_FAILED: 'a worker thread could not load the module of its routes',
  NOT_INDEXED: 'the message is not well-formed enough to be parsed as a whole',
  INVALID_REQUEST: 'the request to the control socket is not valid',
  RESOLVE: 'no address to send to can be found for the target',
  UNREACHABLE: 'no proxy answers on this control socket',
  ABORTED: 'the operation was ended by its signal',
  POOL_FULL: 'as many requests wait for a connection as the pool allows',
  OUTPUT_TOO_LARGE: 'more came back than the operation allows',
  EXEC: 'the command cannot be started',
  REST: 'the HTTP request got no response',
  INVALID_BODY: 'the body of the response is not JSON',
  DRIVER_MISSING: 'the package of this kind of database cannot be loaded',
  DATABASE_UNREACHABLE: 'no connection to the database can be made',
  QUERY: 'the database did not carry out the statement',
  ADDON: 'the native addon cannot be loaded',
} as const satisfies Record<string, string>;

/** A code without its prefix, as {@link makeError} takes it. */
export type ErrorName = keyof typeof ERROR_TEXT;

/** What `code` of a {@link SipAsyncError} can be; every value has a row in `docs/errors.md`. */
export type ErrorCode = `SIPASYNC_ERR_${ErrorName}`;

// Registered, so that two copies of the package in one process recognise each other's errors.
const BRAND = Symbol.for('sip-async.SipAsyncError');

/**
 * The one error class of the package. Tell errors apart by `code`, never by `message`.
 *
 * `instanceof` also holds for an error made by another copy of the package in the same process.
 *
 * @example
 * ```js
 * try {
 *   await startProxy(new URL('./proxy.mjs', import.meta.url));
 * } catch (error) {
 *   if (error instanceof SipAsyncError && error.code === 'SIPASYNC_ERR_LISTEN') console.error(error.cause);
 * }
 * ```
 */
export class SipAsyncError extends Error {
  /** What went wrong, as a stable word. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get [BRAND](): true {
    return true;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // A subclass must not claim every error of its parent.
    if (this !== SipAsyncError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}

// On the prototype, as in the built-in errors, so that it is not printed as a property of each error.
Object.defineProperty(SipAsyncError.prototype, 'name', {
  value: 'SipAsyncError',
  configurable: true,
  writable: true,
});

/**
 * Makes the error of a short name: `makeError('UNKNOWN_ROUTE', 'RESUM')`.
 *
 * @param name the code without its prefix
 * @param detail what the default sentence cannot know; it is put behind it
 * @param cause the error that led to this one
 */
export function makeError(name: ErrorName, detail?: string, cause?: unknown): SipAsyncError {
  const text = ERROR_TEXT[name];
  const message = detail === undefined ? text : `${text}: ${detail}`;
  return new SipAsyncError(`SIPASYNC_ERR_${name}`, message, cause === undefined ? undefined : { cause });
}
