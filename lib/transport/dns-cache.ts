import { Resolver as DnsResolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import { sipNaptrs, sipSrvs } from './service-records.ts';
import type { SipNaptr, SipSrv } from './service-records.ts';
import { SystemNames } from './system-names.ts';

/** What a look-up gave; never an empty list of records. */
export type Answer<T> =
  | { readonly ok: true; readonly records: readonly T[] }
  | {
      readonly ok: false;
      /** `absent`: there are no such records. The other two say nothing about whether there are. */
      readonly reason: 'absent' | 'failed' | 'time-out';
      readonly cause?: unknown;
    };

export interface DnsCacheOptions {
  /** The DNS servers to ask, as `dns.Resolver.setServers` takes them; those of the system by default. */
  readonly servers: readonly string[] | undefined;
  /** How long what asks may wait; Node repeats its queries accordingly. */
  readonly timeoutMs: number;
  /** How long records are kept whose TTL Node does not tell. */
  readonly cacheTtlMs: number;
  /** The time in milliseconds, for the age of records. */
  readonly now: () => number;
}

interface Found<T> {
  readonly records: readonly T[];
  readonly ttlMs: number;
}

const MOST_ENTRIES = 4096;
const MOST_IN_FLIGHT = 1024;
const MOST_ADDRESSES = 16;
const FAILURE_TTL_MS = 5000;
// A TTL of years must not outlive the error that it may be.
const LONGEST_TTL_MS = 3_600_000;
const TRIES = 2;
const ABSENT_CODES = new Set(['ENODATA', 'ENOTFOUND']);

const TIMED_OUT = { ok: false, reason: 'time-out' } as const;
const TOO_MANY = { ok: false, reason: 'failed', cause: new Error(`${MOST_IN_FLIGHT} look-ups are under way`) } as const;

/**
 * Asks DNS, and keeps what it said. Two that ask for the same at a time share one query, with the limit of the first. Nothing
 * rejects.
 *
 * Bounded are: the number of answers kept, the records of each, the queries under way and the time of each. Addresses are
 * kept for as long as their TTL says, at most an hour; Node does not tell that of other records. Failures are kept for 5 s,
 * so that a name that does not work costs no query for each call.
 *
 * A query under way keeps the process alive, as Node has no way to prevent it: until its limit (of the last one, if there are
 * several), or until `close()`. What the system was asked for keeps it alive for as long as the system takes.
 */
export class DnsCache {
  readonly #dns: DnsResolver;
  readonly #system = new SystemNames();
  readonly #kept: LRUCache<string, Answer<unknown>>;
  readonly #inFlight = new Map<string, Promise<Answer<unknown>>>();
  readonly #options: DnsCacheOptions;
  /** Queries that nobody waits for any more, but that Node still repeats. */
  #givenUp = 0;
  #isClosed = false;

  constructor(options: DnsCacheOptions) {
    this.#options = options;
    // The first repetition must come before the limit of any look-up, or one lost datagram would be a failure.
    this.#dns = new DnsResolver({ timeout: Math.max(1, Math.ceil(options.timeoutMs / 5)), tries: TRIES });
    if (options.servers !== undefined) this.#dns.setServers(options.servers);
    this.#kept = new LRUCache({ max: MOST_ENTRIES, ttlResolution: 0, perf: { now: options.now } });
  }

  /** The NAPTR records of a name that lead to SIP. */
  naptr(name: string, limitMs: number): Promise<Answer<SipNaptr>> {
    return this.#lookUp(`NAPTR ${name}`, limitMs, async () => ({
      records: sipNaptrs(await this.#dns.resolveNaptr(name)),
      ttlMs: this.#options.cacheTtlMs,
    }));
  }

  srv(name: string, limitMs: number): Promise<Answer<SipSrv>> {
    return this.#lookUp(`SRV ${name}`, limitMs, async () => ({
      records: sipSrvs(await this.#dns.resolveSrv(name)),
      ttlMs: this.#options.cacheTtlMs,
    }));
  }

  /** The IPv4 or IPv6 addresses of a name (A, AAAA). */
  addresses(name: string, family: 4 | 6, limitMs: number): Promise<Answer<string>> {
    return this.#lookUp(`${family} ${name}`, limitMs, async () => {
      const found = await (family === 4 ? this.#dns.resolve4(name, { ttl: true }) : this.#dns.resolve6(name, { ttl: true }));
      const records = found.filter(({ address }) => isIP(address) === family).slice(0, MOST_ADDRESSES);
      const ttlMs = 1000 * records.reduce((least, { ttl }) => Math.min(least, ttl), LONGEST_TTL_MS / 1000);
      return { records: records.map(({ address }) => address), ttlMs };
    });
  }

  /** The addresses of both families that the system has for a name. */
  systemAddresses(name: string, limitMs: number): Promise<Answer<string>> {
    return this.#lookUp(`system ${name}`, limitMs, async (isWanted) => {
      const records = await this.#system.addresses(name, isWanted);
      return { records: records.slice(0, 2 * MOST_ADDRESSES), ttlMs: this.#options.cacheTtlMs };
    });
  }

  /** Calls off what is under way; that ends as `failed`, or never where the system is asked. */
  close(): void {
    this.#isClosed = true;
    this.#system.close();
    this.#dns.cancel();
    this.#kept.clear();
  }

  #lookUp<T>(key: string, limitMs: number, ask: (isWanted: () => boolean) => Promise<Found<T>>): Promise<Answer<T>> {
    const kept = this.#kept.get(key);
    // The key names the kind of the records.
    if (kept !== undefined) return Promise.resolve(kept as Answer<T>);
    const inFlight = this.#inFlight.get(key);
    if (inFlight !== undefined) return inFlight as Promise<Answer<T>>;
    if (this.#isClosed || this.#inFlight.size >= MOST_IN_FLIGHT) return Promise.resolve(TOO_MANY);
    const answer = new Promise<Answer<T>>((resolve) => {
      let isOver = false;
      const end = (result: Answer<T>, ttlMs: number) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(limit);
        this.#inFlight.delete(key);
        if (ttlMs > 0 && !this.#isClosed) this.#kept.set(key, result, { ttl: ttlMs });
        resolve(result);
      };
      const limit = setTimeout(() => {
        end(TIMED_OUT, FAILURE_TTL_MS);
        this.#givenUp += 1;
        this.#dropGivenUp();
      }, limitMs).unref();
      ask(() => !isOver && !this.#isClosed)
        .then(
          ({ records, ttlMs }) => {
            if (records.length > 0) end({ ok: true, records }, Math.min(ttlMs, LONGEST_TTL_MS));
            else end({ ok: false, reason: 'absent' }, FAILURE_TTL_MS);
          },
          (cause: unknown) => end({ ok: false, reason: reasonOf(cause), cause }, FAILURE_TTL_MS),
        )
        .finally(() => this.#dropGivenUp())
        .catch(() => {});
    });
    this.#inFlight.set(key, answer);
    return answer;
  }

  /** Ends the queries that have passed their limit, which can be done only for all queries at once. */
  #dropGivenUp(): void {
    if (this.#givenUp === 0 || this.#inFlight.size > 0) return;
    this.#givenUp = 0;
    this.#dns.cancel();
  }
}

function reasonOf(error: unknown): 'absent' | 'failed' | 'time-out' {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (ABSENT_CODES.has(code)) return 'absent';
  return code === 'ETIMEOUT' ? 'time-out' : 'failed';
}
