/**
 * Tells a server to stop working on statements whose connection was dropped: it would notice only when it has a result to send.
 * One further connection does so for all that have come together, so that a thousand statements that end at once do not become
 * a thousand connections.
 */
export class Canceller {
  readonly #cancel: (sessions: readonly number[]) => Promise<void>;
  #waiting: number[] = [];
  #work: Promise<void> | undefined;

  /** @param cancel cancels what these sessions of the server do, on a connection that it makes and ends */
  constructor(cancel: (sessions: readonly number[]) => Promise<void>) {
    this.#cancel = cancel;
  }

  add(session: number): void {
    this.#waiting.push(session);
    this.#work ??= this.#run().finally(() => (this.#work = undefined));
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      // A server that cannot be reached has nothing to be told; it will find the connection closed.
      await this.#cancel(this.#waiting.splice(0)).catch(() => undefined);
    }
  }

  async settled(): Promise<void> {
    await this.#work;
  }
}
