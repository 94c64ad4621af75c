import { workerData } from 'node:worker_threads';
import { isProxyDefinition } from '../define-proxy.ts';
import { makeLogger } from '../log.ts';
import { makeRuntime } from '../runtime.ts';
import { Script } from '../script.ts';
import type { WorkerInput } from './place.ts';
import { takeSeat } from './seat.ts';

// The first thing a worker thread of a proxy runs: it loads the proxy's module, as the main thread did.
const { engine, moduleUrl, config, place } = workerData as WorkerInput;

await takeSeat(engine, place, async () => {
  const { default: definition } = (await import(moduleUrl)) as { default: unknown };
  if (!isProxyDefinition(definition)) throw new TypeError('the module does not export what defineProxy returns');
  const runtime = makeRuntime(definition, config, makeLogger(config.log, place.name), place.group);
  const runner = new Script(runtime, config.groups[place.group]);
  const close = () => {
    runtime.operations.close();
    runtime.closeResolver();
  };
  return { runtime, runner, close };
});
