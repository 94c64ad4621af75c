import { lookup } from 'node:dns/promises';

/** A look-up that stands in line for its turn. */
interface Waiting {
  readonly isWanted: () => boolean;
  readonly begin: () => void;
}

/**
 * What the name service of the system knows about a name: `/etc/hosts`, the search domains of `resolv.conf`, mDNS and so on.
 *
 * Each look-up holds a thread of the pool that file and crypto functions need as well, for as long as the system takes, and
 * cannot be called off. So never more than two go on at a time.
 */
export class SystemNames {
  static readonly MOST = 2;
  #running = 0;
  #waiting: Waiting[] = [];

  /**
   * The addresses of a name, in the order that the system gives.
   *
   * @param isWanted asked when the turn of the look-up has come; without a `true` it is left out and never settles
   */
  addresses(name: string, isWanted: () => boolean): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        this.#running += 1;
        lookup(name, { all: true, order: 'verbatim' })
          .then((found) => resolve(found.map(({ address }) => address)), reject)
          .finally(() => this.#ended())
          .catch(reject);
      };
      if (this.#running < SystemNames.MOST) begin();
      else this.#waiting.push({ isWanted, begin });
    });
  }

  /** Forgets what stands in line. */
  close(): void {
    this.#waiting = [];
  }

  #ended(): void {
    this.#running -= 1;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (!next.isWanted()) continue;
      next.begin();
      return;
    }
  }
}
