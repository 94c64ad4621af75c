import * as z from 'zod';
import { Faults, mismatch, pathText } from '../config/faults.ts';
import { checkGroupNames, plainGroup, readGroups } from '../config/groups.ts';
import type { GroupConfig } from '../config/groups.ts';
import { DEFAULTS, LIMITS, LOG_LEVELS } from '../config/limits.ts';
import type { LogLevel } from '../config/limits.ts';
import { flag, integer, isRecord, oneOf, readObject } from '../config/read.ts';
import { readTable } from '../config/routes.ts';
import { makeError } from '../errors.ts';
import { moduleUrl } from '../workers/module-url.ts';
import type { EngineOptions } from './options.ts';
import { isEngineRoutes } from './routes.ts';

/** The group of the thread that makes the engine. */
export const LOCAL_GROUP = 'local';

/** A group of an engine. */
export interface EngineGroupConfig extends GroupConfig {
  /** The module of its routes; `null` for the group `local`. */
  moduleUrl: string | null;
  /** The names of its routes. */
  routes: string[];
}

/** Checked options with every default filled in. They hold no function, so that threads can be sent them. */
export interface EngineConfig {
  /** The group `local` first, then the others in order. */
  groups: EngineGroupConfig[];
  /** The names of all routes; their positions are the numbers by which the addon knows them. */
  routes: string[];
  maxSuspended: number;
  maxSleepMs: number;
  maxSuspendMs: number;
  log: LogLevel;
}

const DEFAULT_SLEEP_MS = 86_400_000;

const localShape = {
  nonblock: flag().optional(),
  usleep: integer(LIMITS.groupUsleepUs).optional(),
  maxQueue: integer(LIMITS.groupMaxQueue).optional(),
  concurrency: integer(LIMITS.groupConcurrency).optional(),
};

const optionsSchema = z.strictObject({
  // These have readers of their own.
  routes: z.unknown().optional(),
  groups: z.unknown().optional(),
  local: z.strictObject(localShape).optional(),
  maxSuspended: integer(LIMITS.maxTransactions).optional(),
  maxSleepMs: integer({ min: 1, max: LIMITS.maxSleepSeconds.max * 1000 }).optional(),
  maxSuspendMs: integer(LIMITS.maxSuspendMs).optional(),
  log: oneOf(LOG_LEVELS).optional(),
} satisfies Record<keyof EngineOptions, z.ZodType>);

/** The groups of `groups`, with the URLs of their modules; what is faulty is left out. */
function readWorkerGroups(input: unknown, faults: Faults): EngineGroupConfig[] {
  if (input === undefined) return [];
  if (!Array.isArray(input)) {
    faults.add(['groups'], mismatch('an array of groups', input));
    return [];
  }
  const modules: unknown[] = [];
  const definitions = input.map((group: unknown, index) => {
    if (!isRecord(group)) return group;
    const { module, ...definition } = group;
    modules[index] = module;
    return definition;
  });
  const entries = readGroups(definitions, ['groups'], faults);
  checkGroupNames(entries, 0, faults);
  return entries.map(({ config, name, path }, index) => {
    if (name === LOCAL_GROUP) {
      faults.add([...path, 'name'], `the name ${LOCAL_GROUP} is reserved for the thread that makes the engine`);
    }
    const module = modules[index];
    const isModule = (typeof module === 'string' && module !== '') || module instanceof URL;
    if (isRecord(input[index]) && !isModule) faults.add([...path, 'module'], mismatch('the URL or path of a module', module));
    return { ...config, moduleUrl: isModule ? moduleUrl(module) : null, routes: [] };
  });
}

async function loadRoutes(group: EngineGroupConfig, index: number, faults: Faults): Promise<void> {
  const url = group.moduleUrl!;
  const path = ['groups', index, 'module'];
  let routes: unknown;
  try {
    ({ default: routes } = (await import(url)) as { default?: unknown });
  } catch (cause) {
    throw makeError('CONFIG', `${pathText(path)}: ${url} cannot be loaded: ${String(cause)}`, cause);
  }
  if (!isEngineRoutes(routes)) {
    faults.add(path, `expected a module whose default export defineEngineRoutes has made, got ${url}`);
    return;
  }
  group.routes = readTable(routes, [...path, 'default'], faults);
  if (group.routes.length === 0) faults.add(path, 'expected at least one route');
}

/**
 * Checks the options as a whole, loads the modules of the groups, and fills in the defaults. Nothing is started.
 *
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG`, one error whose message lists every fault in a line of its own
 */
export async function readEngineOptions(options: unknown): Promise<EngineConfig> {
  const faults = new Faults();
  const values = readObject(optionsSchema, options, ['options'], faults);
  const own = isRecord(options) ? options : {};
  const localRoutes = readTable(own['routes'], ['routes'], faults);
  const workerGroups = readWorkerGroups(own['groups'], faults);
  if (isRecord(options) && localRoutes.length === 0 && workerGroups.length === 0) {
    faults.add(['routes'], 'expected at least one route, here or in the module of a group');
  }
  faults.throwIfAny();
  for (const [index, group] of workerGroups.entries()) await loadRoutes(group, index, faults);
  faults.throwIfAny();

  const { local = {} } = values;
  const localGroup: EngineGroupConfig = {
    ...plainGroup(LOCAL_GROUP, 1),
    nonblock: Boolean(local.nonblock),
    usleepUs: local.usleep ?? 0,
    maxQueue: local.maxQueue ?? DEFAULTS.groupMaxQueue,
    concurrency: local.concurrency ?? 0,
    moduleUrl: null,
    routes: localRoutes,
  };
  const groups = [localGroup, ...workerGroups];
  return {
    groups,
    routes: [...new Set(groups.flatMap((group) => group.routes))],
    maxSuspended: values.maxSuspended ?? DEFAULTS.maxTransactions,
    maxSleepMs: values.maxSleepMs ?? DEFAULT_SLEEP_MS,
    maxSuspendMs: values.maxSuspendMs ?? DEFAULTS.maxSuspendMs,
    log: values.log ?? DEFAULTS.log,
  };
}
