import type { GroupConfig } from '../config/groups.ts';

/** What the addon takes for "as many as come". */
const UNLIMITED = 0xffff_ffff;

/**
 * How many more tasks of its group a thread has room for: none while it pauses between two batches (`usleep`), and no more
 * than its `concurrency` allows.
 */
export class TaskRoom {
  readonly #pauseMs: number;
  readonly #concurrency: number;
  readonly #countRunning: () => number;
  readonly #goOn: (room: number) => void;
  /** Between two batches: no task is to come, whatever else does. */
  #isPausing = false;
  /** As many asynchronous handlers are going on as may: the next that settles asks for more tasks. */
  #isFull = false;

  /**
   * @param group the group that the thread works for; its pause rounds up to a millisecond, because a loop must go on
   * @param countRunning how many asynchronous handlers are going on
   * @param goOn asks the addon for so many tasks
   */
  constructor(
    group: Pick<GroupConfig, 'usleepUs' | 'concurrency'> | undefined,
    countRunning: () => number,
    goOn: (room: number) => void,
  ) {
    this.#pauseMs = Math.ceil((group?.usleepUs ?? 0) / 1000);
    this.#concurrency = group?.concurrency || UNLIMITED;
    this.#countRunning = countRunning;
    this.#goOn = goOn;
  }

  /** Before the first batch, of which the addon would otherwise decide the size. */
  begin(): void {
    this.#ask();
  }

  /** A batch was run. @returns how many more tasks the addon may bring; 0 is a pause until {@link TaskRoom} asks for more */
  afterBatch(): number {
    if (this.#pauseMs > 0 && !this.#isPausing) {
      this.#isPausing = true;
      setTimeout(() => {
        this.#isPausing = false;
        this.#ask();
      }, this.#pauseMs);
    }
    return this.#left();
  }

  /** An asynchronous handler has settled. */
  afterRun(): void {
    if (this.#isFull) this.#ask();
  }

  #left(): number {
    if (this.#isPausing) return 0;
    if (this.#concurrency === UNLIMITED) return UNLIMITED;
    const room = Math.max(0, this.#concurrency - this.#countRunning());
    this.#isFull = room === 0;
    return room;
  }

  #ask(): void {
    const room = this.#left();
    if (room > 0) this.#goOn(room);
  }
}
