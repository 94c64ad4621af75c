import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../binding.ts';
import { isProxyDefinition } from '../define-proxy.ts';
import { makeLogger } from '../log.ts';
import { makeRuntime } from '../runtime.ts';
import { Script } from '../script.ts';
import type { FromWorker, ToWorker, WorkerInput } from './place.ts';

// The first thing a worker thread runs: it loads the proxy's module, as the main thread did, and takes its place.
const { engine, moduleUrl, config, place } = workerData as WorkerInput;
const port = parentPort!;

function say(message: FromWorker): void {
  port.postMessage(message);
}

try {
  const { default: definition } = (await import(moduleUrl)) as { default: unknown };
  if (!isProxyDefinition(definition)) throw new TypeError('the module does not export what defineProxy returns');
  const runtime = makeRuntime(definition, config, makeLogger(config.log, place.name), place.group);
  const script = new Script(runtime, config.groups[place.group]);
  const { thread, group, worker } = place;
  runtime.channel = native.channelOpen(engine, thread, group, worker, script.records, script.onBatch);
  script.begin();
  port.on('message', (message: ToWorker) => {
    if (message.type === 'listen') {
      native.channelListen(runtime.channel);
    } else {
      runtime.closeResolver();
      native.channelClose(runtime.channel);
      // The thread ends by itself now, unless the module keeps it alive; then the main thread ends it.
      port.close();
    }
  });
  say({ type: 'ready' });
} catch (error) {
  const fault = error instanceof Error ? error : new Error(String(error));
  say({ type: 'failed', message: fault.message, stack: fault.stack ?? '' });
  port.close();
}
