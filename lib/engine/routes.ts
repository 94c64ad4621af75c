import { makeError } from '../errors.ts';
import type { Task } from './task.ts';

/**
 * The code of a route of an engine. It may be synchronous or `async`; what it returns is not looked at. When it throws,
 * that is logged and counted, and the thread lives on.
 *
 * @param payload what `suspend` was given: a string, or a copy of the bytes
 */
export type EngineRoute = (payload: string | Buffer, task: Task) => unknown;

/** Route blocks by name. */
export type EngineRoutes = Readonly<Record<string, EngineRoute>>;

// Registered, so that a module may import another copy of the package than the one that runs it.
const BRAND = Symbol.for('sip-async.EngineRoutes');

/**
 * Marks an object as the routes of a worker group and gives it its types. A module whose default export it is can be named
 * as the `module` of a group; every worker thread of the group loads it.
 *
 * @example
 * ```js
 * export default defineEngineRoutes({
 *   LOOKUP(payload, task) { task.engine.continue(JSON.parse(payload).handle); },
 * });
 * ```
 *
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG` when it is given something else than an object
 */
export function defineEngineRoutes<Routes extends EngineRoutes>(routes: Routes): Routes {
  if (typeof routes !== 'object' || routes === null || Array.isArray(routes)) {
    throw makeError('CONFIG', 'defineEngineRoutes takes one object, as in defineEngineRoutes({ NAME(payload, task) {} })');
  }
  // A frozen object is a good habit, and cannot be marked itself.
  const marked = Object.isExtensible(routes) ? routes : { ...routes };
  return Object.defineProperty(marked, BRAND, { value: true });
}

/** Whether {@link defineEngineRoutes} made this value, in whichever copy of the package. */
export function isEngineRoutes(value: unknown): value is EngineRoutes {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, BRAND);
}
