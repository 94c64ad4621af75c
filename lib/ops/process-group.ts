import { setTimeout as pause } from 'node:timers/promises';

/** How often is looked whether a group has ended; the kernel tells of a child, but not of its children. */
const LOOK_MS = 20;

/** A child that was started `detached`, with all that it has started and that has not left its group. */
export class ProcessGroup {
  readonly #leader: number;

  constructor(leader: number) {
    this.#leader = leader;
  }

  #send(signal: NodeJS.Signals | 0): boolean {
    try {
      return process.kill(-this.#leader, signal);
    } catch (error) {
      // Members that belong to another user are there, but out of reach.
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }

  /**
   * Ends all members: with SIGTERM, and after a grace with SIGKILL what is left of them. A member that has ended and that
   * nobody has asked about is still one for the kernel; where process 1 asks about none, the grace is waited for in vain.
   */
  async end(graceMs: number): Promise<void> {
    const deadlineMs = performance.now() + graceMs;
    this.#send('SIGTERM');
    while (this.#send(0)) {
      if (performance.now() >= deadlineMs) {
        this.#send('SIGKILL');
        return;
      }
      await pause(LOOK_MS);
    }
  }
}
