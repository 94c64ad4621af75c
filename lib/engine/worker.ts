import { workerData } from 'node:worker_threads';
import { makeLogger } from '../log.ts';
import type { Place } from '../workers/place.ts';
import { takeSeat } from '../workers/seat.ts';
import type { EngineConfig } from './config.ts';
import { isEngineRoutes } from './routes.ts';
import { TaskRunner } from './runner.ts';
import { makeEngineRuntime } from './runtime.ts';
import { EngineTasks } from './tasks.ts';

/** What a worker thread of an engine is given. */
export interface EngineWorkerInput {
  engine: number;
  config: EngineConfig;
  place: Place;
}

// The first thing a worker thread of an engine runs.
const { engine, config, place } = workerData as EngineWorkerInput;

await takeSeat(engine, place, async () => {
  const { default: routes } = (await import(config.groups[place.group]!.moduleUrl!)) as { default: unknown };
  if (!isEngineRoutes(routes)) throw new TypeError('the module does not export what defineEngineRoutes returns');
  const runtime = makeEngineRuntime(config, place.group, routes, makeLogger(config.log, place.name));
  const runner = new TaskRunner(runtime, place.group, new EngineTasks(runtime));
  return { runtime, runner, close: () => runner.abandonAll() };
});
