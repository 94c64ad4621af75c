import { native } from './binding.ts';

/** How long `close()` waits by default: less than the 10 s after which supervisors kill. */
const DEFAULT_CLOSE_MS = 8000;
const DRAIN_POLL_MS = 5;

/** The end of a proxy or an engine: it comes once, and no later than the earliest deadline that was asked for. */
export class Closing<Report> {
  readonly #engine: number;
  readonly #close: (closing: Closing<Report>) => Promise<Report>;
  #report: Promise<Report> | undefined;
  #deadlineMs = Infinity;

  /** @param close does it, when it is asked for first */
  constructor(engine: number, close: (closing: Closing<Report>) => Promise<Report>) {
    this.#engine = engine;
    this.#close = close;
  }

  /** @throws TypeError for a `timeoutMs` that is negative or no number */
  begin(options: { timeoutMs?: number } = {}): Promise<Report> {
    const { timeoutMs = DEFAULT_CLOSE_MS } = options;
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs) || timeoutMs < 0) {
      throw new TypeError(`timeoutMs: expected a number of milliseconds, got ${String(timeoutMs)}`);
    }
    this.#deadlineMs = Math.min(this.#deadlineMs, performance.now() + timeoutMs);
    this.#report ??= this.#close(this);
    return this.#report;
  }

  /** Waits until nothing is in a script any more, or the deadline has come; returns how much was at first. */
  async drain(): Promise<number> {
    const open = native.engineInScript(this.#engine);
    while (native.engineInScript(this.#engine) > 0 && performance.now() < this.#deadlineMs) {
      await new Promise((done) => setTimeout(done, DRAIN_POLL_MS));
    }
    return open;
  }
}
