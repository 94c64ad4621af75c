import { native } from '../binding.ts';
import { makeLogger } from '../log.ts';
import { groupPlaces } from '../workers/place.ts';
import { WorkerPool } from '../workers/pool.ts';
import { LOCAL_GROUP, readEngineOptions } from './config.ts';
import type { EngineConfig } from './config.ts';
import { Engine } from './engine.ts';
import type { EngineOptions } from './options.ts';
import { makeEngineRuntime } from './runtime.ts';
import type { EngineWorkerInput } from './worker.ts';

/** An engine without sockets; what concerns only messages stands at values that nothing uses. */
function buildEngine(config: EngineConfig): number {
  const engine = native.engineCreate(0, config.maxSuspended, 256, 500, 4000, 5000, false, 0, 0, 0, false, false, false);
  for (const group of config.groups) {
    native.engineAddGroup(engine, group.name, group.workers, group.nonblock, group.usleepUs, group.maxQueue);
  }
  native.engineBuild(engine);
  return engine;
}

/**
 * Makes an engine: the timers, slots and worker groups of this package for the users of another SIP stack, over payloads
 * that it does not look into. Nothing is started before all options were found good.
 *
 * @throws SipAsyncError `CONFIG` with a line for each fault; `WORKER_FAILED` when a worker thread cannot load its module;
 *   `SLOTS_EXHAUSTED` when there is no address space for so many tasks
 *
 * @example
 * ```js
 * const calls = new Map();
 * const engine = await createEngine({
 *   routes: { ANSWER(key) { calls.get(key).res.send(404); calls.delete(key); } },
 * });
 * srf.invite((req, res) => {
 *   const key = req.get('Call-ID');
 *   calls.set(key, { req, res });
 *   engine.suspend(key, { route: 'ANSWER', delayMs: 4000 });
 * });
 * ```
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const config = await readEngineOptions(options);
  const logger = makeLogger(config.log, LOCAL_GROUP);
  const runtime = makeEngineRuntime(config, 0, options.routes ?? {}, logger);
  const engine = buildEngine(config);
  const inputFor = (place: EngineWorkerInput['place']): EngineWorkerInput => ({ engine, config, place });
  const entry = new URL('./worker.js', import.meta.url);
  const pool = new WorkerPool({ engine, entry, inputFor, keepAlive: false }, logger);
  try {
    await pool.start(groupPlaces(config.groups.slice(1), 1, 1));
    native.engineStart(engine);
    return new Engine(engine, runtime, pool);
  } catch (error) {
    await pool.close();
    native.engineStop(engine);
    throw error;
  }
}
