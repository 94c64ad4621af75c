import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../binding.ts';
import { makeLogger } from '../log.ts';
import type { FromWorker, Place, ToWorker } from '../workers/place.ts';
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

// The first thing a worker thread runs: it loads the module of its group and takes its place.
const { engine, config, place } = workerData as EngineWorkerInput;
const port = parentPort!;

function say(message: FromWorker): void {
  port.postMessage(message);
}

try {
  const { default: routes } = (await import(config.groups[place.group]!.moduleUrl!)) as { default: unknown };
  if (!isEngineRoutes(routes)) throw new TypeError('the module does not export what defineEngineRoutes returns');
  const runtime = makeEngineRuntime(config, place.group, routes, makeLogger(config.log, place.name));
  const runner = new TaskRunner(runtime, place.group, new EngineTasks(runtime));
  const { thread, group, worker } = place;
  runtime.channel = native.channelOpen(engine, thread, group, worker, runner.records, runner.onBatch);
  runner.begin();
  port.on('message', (message: ToWorker) => {
    if (message.type !== 'close') return;
    runner.abandonAll();
    native.channelClose(runtime.channel);
    // The thread ends by itself now, unless the module keeps it alive; then the main thread ends it.
    port.close();
  });
  say({ type: 'ready' });
} catch (error) {
  const fault = error instanceof Error ? error : new Error(String(error));
  say({ type: 'failed', message: fault.message, stack: fault.stack ?? '' });
  port.close();
}
