import type { GroupDefinition } from '../define-proxy.ts';
import type { LogLevel } from '../config/limits.ts';
import type { EngineRoutes } from './routes.ts';

/** A worker group whose routes run in threads of their own. */
export interface EngineGroupDefinition extends GroupDefinition {
  /**
   * The module that exports the group's routes, by URL or path: its default export is what `defineEngineRoutes` returns. It
   * is loaded once in the thread that makes the engine, for the names of its routes, and in every worker.
   */
  module: URL | string;
}

/** What `createEngine` takes. */
export interface EngineOptions {
  /** Routes of the group `local`: they run in the thread that makes the engine, where the objects of another stack live. */
  routes?: EngineRoutes;
  /** How the group `local` takes its tasks, as in {@link EngineGroupDefinition}. */
  local?: Pick<GroupDefinition, 'nonblock' | 'usleep' | 'maxQueue' | 'concurrency'>;
  /** Worker groups. The name `local` is taken. */
  groups?: readonly EngineGroupDefinition[];
  /** Tasks that may wait or run at a time, 1 to 16,777,216. The default is 262,144. */
  maxSuspended?: number;
  /** The longest `delayMs`, 1 to 31,536,000,000 (a year). The default is a day, because more is most often a slip. */
  maxSleepMs?: number;
  /** How long a suspension without `delayMs` waits for `continue`, 1 to 2,147,483,647 ms. The default is 300000. */
  maxSuspendMs?: number;
  /** How much is logged, as JSON lines on standard error. The default is `silent`. */
  log?: LogLevel;
}
