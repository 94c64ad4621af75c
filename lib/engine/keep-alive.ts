import { native } from '../binding.ts';

/** How often is looked whether the worker threads have ended their tasks; nothing tells this thread. */
const LOOK_MS = 100;

/** Keeps the process alive while an engine has tasks, as a timer of Node's own does, and no longer. */
export class KeepAlive {
  readonly #engine: number;
  readonly #channel: number;
  readonly #hasWorkers: boolean;
  #isHeld = true;
  #looks: NodeJS.Timeout | undefined;

  /** @param hasWorkers whether tasks can end in another thread than this */
  constructor(engine: number, channel: number, hasWorkers: boolean) {
    this.#engine = engine;
    this.#channel = channel;
    this.#hasWorkers = hasWorkers;
    this.look();
  }

  /** There is a task now. */
  hold(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    native.channelRef(this.#channel, true);
    if (this.#hasWorkers) this.#looks = setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** Tasks have ended; perhaps all have. */
  look(): void {
    if (!this.#isHeld || native.engineInScript(this.#engine) > 0) return;
    this.#isHeld = false;
    native.channelRef(this.#channel, false);
    clearInterval(this.#looks);
  }

  /** The engine is gone. */
  end(): void {
    clearInterval(this.#looks);
    this.#isHeld = false;
  }
}
