import type { Faults, Path } from './faults.ts';
import { describeValue, mismatch } from './faults.ts';
import { didYouMean } from './nearest.ts';
import { isRecord } from './read.ts';

/** The members of a definition that hold named route blocks. */
export const ROUTE_TABLES = ['route', 'failureRoute', 'onreplyRoute', 'branchRoute', 'eventRoute'] as const;

/** The members of a definition that hold code. */
export const ROUTE_KEYS = ['requestRoute', 'replyRoute', ...ROUTE_TABLES] as const;

/** The events that the proxy itself raises; `asyncTkvEvcb` may name one more. */
export const KNOWN_EVENTS = ['core:tkv', 'core:pre-routing', 'tm:local-request', 'tm:canceled'] as const;

/** The names of all route blocks. The functions stay in the module, which every thread loads for itself. */
export interface RouteNames {
  route: string[];
  failureRoute: string[];
  onreplyRoute: string[];
  branchRoute: string[];
  eventRoute: string[];
  requestRoute: boolean;
  replyRoute: boolean;
}

/** Reads one table of route blocks. @returns their names */
export function readTable(input: unknown, path: Path, faults: Faults): string[] {
  if (input === undefined) return [];
  if (!isRecord(input)) {
    faults.add(path, mismatch('an object of functions', input));
    return [];
  }
  for (const [name, handler] of Object.entries(input)) {
    if (name === '') faults.add([...path, name], 'a route needs a name that is not empty');
    if (typeof handler !== 'function') faults.add([...path, name], mismatch('a function', handler));
  }
  // A name whose value is no function is still the name that others meant to refer to.
  return Object.keys(input);
}

/** Reads the route blocks of a definition. */
export function readRoutes(definition: Record<string, unknown>, faults: Faults): RouteNames {
  const { requestRoute, replyRoute } = definition;
  for (const [name, handler] of Object.entries({ requestRoute, replyRoute })) {
    if (handler !== undefined && typeof handler !== 'function') faults.add([name], mismatch('a function', handler));
  }
  const [route, failureRoute, onreplyRoute, branchRoute, eventRoute] = ROUTE_TABLES.map((table) =>
    readTable(definition[table], [table], faults),
  ) as [string[], string[], string[], string[], string[]];
  const has = { requestRoute: requestRoute !== undefined, replyRoute: replyRoute !== undefined };
  return { route, failureRoute, onreplyRoute, branchRoute, eventRoute, ...has };
}

/** Refuses event routes that no event will ever run. */
export function checkEvents(eventRoute: readonly string[], tkvEvent: string | null, faults: Faults): void {
  const known: string[] = [...KNOWN_EVENTS];
  if (tkvEvent !== null) known.push(tkvEvent);
  for (const name of eventRoute) {
    if (name === '' || known.includes(name)) continue;
    const hint = didYouMean(name, known) || `, expected one of ${known.join(', ')}`;
    faults.add(['eventRoute', name], `unknown event${hint}`);
  }
}

/** Refuses a tkv event that has no route. */
export function checkTkvEvent(
  tkvEvent: string,
  eventRoute: readonly string[],
  path: readonly string[],
  faults: Faults,
): void {
  if (eventRoute.includes(tkvEvent)) return;
  const hint = didYouMean(tkvEvent, eventRoute);
  faults.add(path, `expected the name of an eventRoute, got ${describeValue(tkvEvent)}${hint}`);
}
