import { parentPort } from 'node:worker_threads';
import { native } from '../binding.ts';
import type { FromWorker, Place, ToWorker } from './place.ts';

/** What a worker thread does once it has loaded its module. */
export interface SeatedRunner {
  readonly records: Uint32Array;
  readonly onBatch: (count: number) => number;
  /** The channel is open. */
  begin(): void;
}

/** A runner with what the messages of the main thread mean to it. */
export interface Seated {
  readonly runtime: { channel: number };
  readonly runner: SeatedRunner;
  /** Before the channel is closed. */
  close(): void;
}

/**
 * Runs a worker thread in its place, from the load of its module until the main thread ends it, and tells the main thread
 * whether it is ready or why not.
 */
export async function takeSeat(engine: number, place: Place, load: () => Promise<Seated>): Promise<void> {
  const port = parentPort!;
  const say = (message: FromWorker): void => port.postMessage(message);
  try {
    const { runtime, runner, close } = await load();
    const { thread, group, worker } = place;
    runtime.channel = native.channelOpen(engine, thread, group, worker, runner.records, runner.onBatch);
    runner.begin();
    port.on('message', (message: ToWorker) => {
      if (message.type === 'listen') {
        native.channelListen(runtime.channel);
        return;
      }
      close();
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
}
