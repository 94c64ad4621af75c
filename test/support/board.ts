import { BroadcastChannel } from 'node:worker_threads';
import { afterAll, beforeAll } from 'vitest';

/**
 * For a proxy module: `post(key, entry)` from any thread of this process, and `opened`, a promise that the test keeps.
 * Quicker than notes, for the tests that need thousands of them.
 */
export const boardPrelude = `
  const board = new BroadcastChannel(process.env.BOARD);
  board.unref();
  const post = (key, entry) => board.postMessage([key, entry]);
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  board.onmessage = ({ data }) => data === 'open' && open();
  void post, opened;`;

/** What the routes of all threads posted, by key. */
export class Board {
  readonly entries = new Map<string, unknown[]>();
  readonly #channel: BroadcastChannel;

  private constructor(name: string) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = (message: unknown) => {
      const { data } = message as { data: unknown };
      if (!Array.isArray(data)) return;
      const [key, entry] = data as [string, unknown];
      this.entries.set(key, [...(this.entries.get(key) ?? []), entry]);
    };
  }

  /** Makes a board for the file that calls; its modules find it by the environment. */
  static forThisFile(): Board {
    const name = `sip-async-board-${process.pid}`;
    const board = new Board(name);
    beforeAll(() => {
      process.env['BOARD'] = name;
    });
    afterAll(() => board.#channel.close());
    return board;
  }

  of(key: string): unknown[] {
    return this.entries.get(key) ?? [];
  }

  /** Keeps `opened` of every module that is loaded by now. */
  open(): void {
    this.#channel.postMessage('open');
  }
}
