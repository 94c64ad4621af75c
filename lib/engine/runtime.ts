import type { Logger } from '../log.ts';
import type { EngineConfig } from './config.ts';
import type { EngineRoute, EngineRoutes } from './routes.ts';

/** Where a task can go: a group, by name. */
export interface Target {
  /** The group's number. */
  readonly group: number;
  /** Numbers of its routes, by name. */
  readonly routes: ReadonlyMap<string, number>;
}

/** What one thread of an engine knows. */
export interface EngineRuntime {
  /** The native channel of this thread. */
  channel: number;
  readonly config: EngineConfig;
  readonly logger: Logger;
  readonly targets: ReadonlyMap<string, Target>;
  /** The group that this thread works for. */
  readonly groupName: string;
  /** Handlers of this thread by route number. One that the module has not made in this thread is not there. */
  readonly handlers: readonly (EngineRoute | undefined)[];
}

export function makeEngineRuntime(config: EngineConfig, group: number, routes: EngineRoutes, logger: Logger): EngineRuntime {
  const numbers = new Map(config.routes.map((name, number) => [name, number]));
  const targets = config.groups.map(({ name, routes: names }, number): [string, Target] => [
    name,
    { group: number, routes: new Map(names.map((route) => [route, numbers.get(route)!])) },
  ]);
  return {
    channel: -1,
    config,
    logger,
    targets: new Map(targets),
    groupName: config.groups[group]!.name,
    handlers: config.routes.map((name) => (Object.hasOwn(routes, name) ? routes[name] : undefined)),
  };
}
