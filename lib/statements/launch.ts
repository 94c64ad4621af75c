import { native } from '../binding.ts';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { errorOfStatus } from '../runtime.ts';
import type { Runtime } from '../runtime.ts';
import { SLOT_KIND } from '../async/data-task.ts';
import { readWaiting } from '../suspended.ts';
import { checkText } from '../tm/arguments.ts';
import { NO_ROUTE } from '../tm/route-type.ts';
import type { Operation } from './operation.ts';
import { checkOperation, checkOptions, timeoutMs } from './options.ts';
import type { LaunchOptions } from './options.ts';

const { status: STATUS, maxDataBytes: MAX_TEXT_BYTES } = native.constants;
const OPTION_NAMES = ['timeout', 'text'];
/** Launches that are looked for at a time. */
const SCAN = 1024;

/** Where the addon writes the handle of a new launch: read at once, so that one serves all. */
const handle = new Uint32Array(2);

/**
 * Starts an operation that no call waits for.
 *
 * @returns why it was not started, or `null`; with `SLOTS_EXHAUSTED` the report route runs all the same
 */
export function launch(
  runtime: Runtime,
  operation: Operation,
  reportRoute: string | null | undefined,
  options: LaunchOptions = {},
): SipAsyncError | null {
  checkOperation(operation);
  if (reportRoute !== undefined && reportRoute !== null) checkText(reportRoute, 'reportRoute');
  checkOptions(options, OPTION_NAMES);
  const { channel, config, routeNumbers, operations } = runtime;
  const route = reportRoute === undefined || reportRoute === null ? NO_ROUTE : routeNumbers.get(reportRoute);
  if (route === undefined) return makeError('UNKNOWN_ROUTE', reportRoute ?? '');
  const mostMs = timeoutMs(options.timeout, config.tm.maxSuspendMs);
  if (typeof mostMs !== 'number') return mostMs;
  const report = { route, text: options.text ?? null };
  const status = native.launchStart(channel, route, mostMs, report.text, handle);
  if (status === STATUS.payloadTooLarge) return makeError('PAYLOAD_TOO_LARGE', `text: at most ${MAX_TEXT_BYTES} bytes`);
  if (status !== STATUS.ok) {
    const error = errorOfStatus(status);
    if (status === STATUS.slotsExhausted) operations.refuse(report, error);
    return error;
  }
  operations.begin(handle[0]!, handle[1]!, report).start(operation);
  return null;
}

/** Reports what no thread is left to report: at the end of a proxy, by its main thread. */
export function reportLeftLaunches(engine: number, runtime: Runtime): void {
  const isLaunch = (kind: number) => kind === SLOT_KIND.launch;
  for (;;) {
    let reported = 0;
    for (const at of readWaiting(engine, SCAN)) {
      if (!isLaunch(at('kind'))) continue;
      const [index, generation] = [at('index'), at('generation')];
      if (native.launchTake(runtime.channel, index, generation) !== STATUS.ok) continue;
      reported += 1;
      const text = native.launchText(runtime.channel, index, generation);
      runtime.report(index, generation, at('route'), { rc: -1, result: makeError('THREAD_ENDED') }, text);
    }
    if (reported === 0) return;
  }
}
