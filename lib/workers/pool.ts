import { Worker } from 'node:worker_threads';
import { native } from '../binding.ts';
import { makeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { FromWorker, Place, ToWorker } from './place.ts';

/** How long a worker may take to end by itself on close. */
const GRACE_MS = 1000;
/** A worker that lived shorter than this is replaced only after a pause, so that one that dies at once does not spin. */
const SHORT_LIFE_MS = 1000;

/** What the threads of a pool run. */
export interface PoolProgram {
  readonly engine: number;
  /** The module that each thread begins with. */
  readonly entry: URL;
  /** What a thread finds as its `workerData`. */
  readonly inputFor: (place: Place) => object;
  /** Whether threads that run keep the process alive; while they start and end they always do. */
  readonly keepAlive: boolean;
}

/** The worker threads of an engine. One that dies is replaced, and what it was running has ended: a call is answered 500. */
export class WorkerPool {
  readonly #program: PoolProgram;
  readonly #logger: Logger;
  readonly #workers = new Map<number, Worker>();
  /** Threads that have a socket to read. */
  readonly #receivers = new Set<Worker>();
  readonly #retries = new Set<NodeJS.Timeout>();
  #listening = false;
  #closing = false;

  constructor(program: PoolProgram, logger: Logger) {
    this.#program = program;
    this.#logger = logger;
  }

  /** Starts a thread for each place. @throws SipAsyncError `WORKER_FAILED` when one cannot load the module */
  async start(places: readonly Place[]): Promise<void> {
    await Promise.all(places.map((place) => this.#spawn(place)));
  }

  /** Tells the receivers to read their sockets; one that is replaced later is told at once. */
  listen(): void {
    this.#listening = true;
    for (const worker of this.#receivers) this.#tell(worker, { type: 'listen' });
  }

  /** Ends all threads; those that do not end by themselves are ended. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const retry of this.#retries) clearTimeout(retry);
    await Promise.all([...this.#workers.values()].map((worker) => this.#end(worker)));
  }

  #tell(worker: Worker, message: ToWorker): void {
    worker.postMessage(message);
  }

  async #end(worker: Worker): Promise<void> {
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.ref();
    this.#tell(worker, { type: 'close' });
    const timer = setTimeout(() => void worker.terminate(), GRACE_MS);
    await ended;
    clearTimeout(timer);
  }

  #spawn(place: Place): Promise<void> {
    const startedMs = performance.now();
    const worker = new Worker(this.#program.entry, {
      workerData: this.#program.inputFor(place),
      name: `sip-async ${place.name}`,
    });
    this.#workers.set(place.thread, worker);
    if (place.group < 0) this.#receivers.add(worker);
    return new Promise((resolve, reject) => {
      let ready = false;
      let lastError: unknown;
      const fail = (detail: string, cause: unknown) => reject(makeError('WORKER_FAILED', `${place.name}: ${detail}`, cause));
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          ready = true;
          if (this.#listening && place.group < 0) this.#tell(worker, { type: 'listen' });
          if (!this.#program.keepAlive && !this.#closing) worker.unref();
          resolve();
        } else {
          fail(message.message, Object.assign(new Error(message.message), { stack: message.stack }));
        }
      });
      worker.on('error', (error) => {
        lastError = error;
        fail(error instanceof Error ? error.message : String(error), error);
      });
      worker.on('exit', (code) => {
        if (this.#workers.get(place.thread) === worker) this.#workers.delete(place.thread);
        this.#receivers.delete(worker);
        fail(`ended with code ${code} while it was being started`, lastError);
        if (ready && !this.#closing) this.#replace(place, code, lastError, performance.now() - startedMs);
      });
    });
  }

  #replace(place: Place, code: number, error: unknown, lifeMs: number): void {
    const answered = native.engineThreadGone(this.#program.engine, place.thread);
    this.#logger.error({ worker: place.name, code, err: error, answered }, 'a worker thread ended; starting another');
    const again = () => {
      this.#spawn(place).catch((fault: unknown) => {
        if (this.#closing) return;
        this.#logger.error({ worker: place.name, err: fault }, 'the worker thread could not be started');
        this.#later(again);
      });
    };
    if (lifeMs < SHORT_LIFE_MS) this.#later(again);
    else again();
  }

  #later(action: () => void): void {
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      action();
    }, SHORT_LIFE_MS);
    if (!this.#program.keepAlive) timer.unref();
    this.#retries.add(timer);
  }
}
