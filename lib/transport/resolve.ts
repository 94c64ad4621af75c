import { isIP } from 'node:net';
import { quote } from '../config/faults.ts';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { DEFAULT_PORT, DestinationList, isSecure } from './destination.ts';
import type { Destination, TransportName } from './destination.ts';
import { DnsCache } from './dns-cache.ts';
import type { Answer } from './dns-cache.ts';
import { SRV_PREFIX, srvOrder, usableNaptrs } from './service-records.ts';
import type { SipNaptr } from './service-records.ts';
import { parseTarget } from './sip-uri.ts';
import type { Target } from './sip-uri.ts';

/** What a {@link Resolver} can use, and how long it may take. */
export interface ResolverOptions {
  /**
   * The DNS servers to ask, as `dns.Resolver.setServers` takes them: `'192.0.2.53'`, `'192.0.2.53:5353'`. By default those of
   * `/etc/resolv.conf`, as it was when the resolver was made.
   */
  readonly servers?: readonly string[] | undefined;
  /**
   * Whether the name service of the system (`/etc/hosts`, search domains, mDNS) is asked for addresses as well. By default
   * only if no `servers` are given.
   */
  readonly systemNames?: boolean | undefined;
  /** How long one resolution may take in all, in milliseconds; 5000 by default. */
  readonly timeoutMs?: number | undefined;
  /** How long an answer is kept whose TTL is not known (NAPTR, SRV, names of the system); 30000 by default, 0 keeps none. */
  readonly cacheTtlMs?: number | undefined;
  /** What the proxy can send by, in order of preference. */
  readonly transports: readonly TransportName[];
  /** The address families that the proxy has sockets for; the addresses of a name come in this order. */
  readonly families: readonly (4 | 6)[];
  /** A number from 0 to below 1, for the weights of SRV records; `Math.random` by default. */
  readonly random?: (() => number) | undefined;
  /** The time in milliseconds, for the age of what is kept; `performance.now` by default. */
  readonly now?: (() => number) | undefined;
}

/** Where to send, or why nowhere. */
export type Resolution =
  | {
      readonly ok: true;
      /** In the order to try, from 1 to 8 of them. */
      readonly destinations: readonly Destination[];
    }
  | {
      readonly ok: false;
      /** Code `RESOLVE`, or `CLOSED` after `close()`. */
      readonly error: SipAsyncError;
    };

/** A resolution that waits for DNS. */
interface Run {
  readonly target: Target;
  /** What has been found so far; it counts when the time is over. */
  readonly found: DestinationList;
  /** How many more names may be looked up for their addresses. */
  placesLeft: number;
  /** Measured with `performance.now`. */
  readonly endsAtMs: number;
  isOver: boolean;
}

/** A name whose addresses are wanted. */
interface Place {
  readonly transport: TransportName;
  readonly name: string;
  readonly port: number;
}

/** Why a target led nowhere. */
interface Failure {
  readonly detail: string;
  readonly cause?: unknown;
}

// However many records there are, the addresses of this many names are looked up in one resolution, and so many at a time.
const MOST_PLACES = 16;
const PLACES_AT_A_TIME = 4;
// NAPTR, SRV and addresses follow one another; one that gets no answer must leave time for the next.
const SHARE_OF_ONE_STEP = 0.3;
const SHARE_OF_LAST_STEP = 0.9;

/**
 * Finds where a request goes, as RFC 3263 section 4 says for clients.
 *
 * - An address goes without DNS. The transport is that of `transport=`, else UDP (TCP if the proxy has no UDP), and TLS for
 *   `sips:`; the port is the given one, else 5060, 5061 for TLS, 80 and 443 for WebSocket.
 * - A name with a port is looked up for its addresses (A, AAAA) only.
 * - A name with `transport=` is looked up for SRV records of that transport; WebSocket has none.
 * - Any other name is looked up for NAPTR records, and without them for the SRV records of all transports of the proxy, in its
 *   order of preference.
 * - Where there are no SRV records, the addresses of the name count, with the default port.
 * - `maddr` stands for the host in all of this.
 *
 * A NAPTR or SRV query that fails or takes more than three tenths of `timeoutMs` counts as one without records, as there
 * are servers that do not know these types. But records that lead nowhere end the resolution: the addresses of the name itself
 * would go past what its owner has set up. The same holds for SRV records with the target `.`, which say that there is no
 * such service. Of NAPTR records, those of the lowest order that lead somewhere count (RFC 3403 section 4.1), several of one
 * order by preference.
 *
 * With `systemNames`, a name of one label (`localhost`, `pbx`) is looked up with the functions of the system alone, and any
 * other name if DNS has no address for it. So a name with a dot stands in `/etc/hosts` to effect only if DNS does not know it:
 * the system's look-ups hold a thread each and cannot be called off, and must not hang on what a stranger's URI names.
 */
export class Resolver {
  readonly #transports: readonly TransportName[];
  readonly #families: readonly (4 | 6)[];
  readonly #systemNames: boolean;
  readonly #timeoutMs: number;
  readonly #stepMs: number;
  readonly #random: () => number;
  readonly #cache: DnsCache;
  /** What ends each resolution under way, at `close()`. */
  readonly #pending = new Set<(resolution: Resolution) => void>();
  #isClosed = false;

  /** Throws what `dns.Resolver.setServers` throws if `servers` has no valid addresses. */
  constructor(options: ResolverOptions) {
    const { servers, timeoutMs = 5000, cacheTtlMs = 30_000 } = options;
    this.#transports = options.transports;
    this.#families = options.families;
    this.#systemNames = options.systemNames ?? servers === undefined;
    this.#timeoutMs = timeoutMs;
    this.#stepMs = timeoutMs * SHARE_OF_ONE_STEP;
    this.#random = options.random ?? Math.random;
    this.#cache = new DnsCache({ servers, timeoutMs, cacheTtlMs, now: options.now ?? (() => performance.now()) });
  }

  /**
   * Finds the destinations of a target.
   *
   * Nothing is thrown, and the promise never rejects. It settles within `timeoutMs`: with what was found by then, if that is
   * anything. The timer for that does not keep the process alive. The order of SRV records of one priority is drawn anew each
   * time, from cached records too.
   *
   * @param uri a `sip:` or `sips:` URI, or `host`, `host:port`, `udp:host`, `udp:host:port` (and so for `tcp`, `tls`, `ws`,
   *   `wss`); an IPv6 address stands in brackets
   * @returns at once if no name has to be looked up, else a promise
   */
  resolve(uri: string): Resolution | Promise<Resolution> {
    if (this.#isClosed) return { ok: false, error: makeError('CLOSED') };
    const target = parseTarget(uri);
    if (typeof target === 'string') return failure(uri, { detail: target });
    if (target.transport !== undefined && !this.#transports.includes(target.transport)) {
      return failure(uri, nothingInCommon(target));
    }
    if (target.family !== 0) return this.#numeric(uri, target, target.family);
    return new Promise((resolve) => {
      const endsAtMs = performance.now() + this.#timeoutMs;
      const run: Run = { target, found: new DestinationList(), placesLeft: MOST_PLACES, endsAtMs, isOver: false };
      const end = (resolution: Resolution) => {
        if (run.isOver) return;
        run.isOver = true;
        clearTimeout(limit);
        this.#pending.delete(end);
        resolve(resolution);
      };
      const endWith = (why: Failure | null) => {
        const destinations = run.found.all;
        end(destinations.length > 0 ? { ok: true, destinations } : failure(uri, why ?? NOTHING_FOUND));
      };
      const tooLate = { detail: `DNS gave no answer within ${this.#timeoutMs} ms` };
      const limit = setTimeout(endWith, this.#timeoutMs, tooLate).unref();
      this.#pending.add(end);
      this.#byName(run).then(endWith, (cause: unknown) => endWith({ detail: 'the look-up failed', cause }));
    });
  }

  /** Ends every resolution under way with the code `CLOSED`, and all that come later. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const end of this.#pending) end({ ok: false, error: makeError('CLOSED') });
    this.#cache.close();
  }

  #numeric(uri: string, target: Target, family: 4 | 6): Resolution {
    const transport = this.#defaultTransport(target);
    if (transport === null) return failure(uri, nothingInCommon(target));
    if (!this.#families.includes(family)) return failure(uri, { detail: `the proxy has no socket for IPv${family}` });
    const port = target.port ?? DEFAULT_PORT[transport];
    return { ok: true, destinations: [{ transport, host: target.host, port }] };
  }

  /** The transport where neither the target nor DNS names one. */
  #defaultTransport({ transport, secure }: Target): TransportName | null {
    if (transport !== undefined) return transport;
    const possible: TransportName[] = secure ? ['tls'] : ['udp', 'tcp'];
    return possible.find((name) => this.#transports.includes(name)) ?? null;
  }

  /** Fills the list of the run; what comes back is why nothing was found, if nothing was. */
  async #byName(run: Run): Promise<Failure | null> {
    const { host, port, transport, secure } = run.target;
    if (port !== undefined || this.#isSystemName(host)) return this.#byHost(run);
    if (transport === undefined) {
      const naptrs = await this.#cache.naptr(host, this.#stepMs);
      if (naptrs.ok) return this.#byNaptr(run, naptrs.records);
    }
    const possible = transport === undefined ? this.#transports.filter((name) => !secure || isSecure(name)) : [transport];
    const queries = possible.flatMap((name) => {
      const prefix = SRV_PREFIX[name];
      return prefix === undefined ? [] : [this.#placesOfSrv(run, name, prefix + host)];
    });
    const answers = (await Promise.all(queries)).filter((places) => places !== null);
    return answers.length > 0 ? this.#byPlaces(run, answers.flat()) : this.#byHost(run);
  }

  async #byHost(run: Run): Promise<Failure | null> {
    const transport = this.#defaultTransport(run.target);
    if (transport === null) return nothingInCommon(run.target);
    const { host, port = DEFAULT_PORT[transport] } = run.target;
    // The last step; it ends a little before the run, so that the addresses of one family count if the other gets no answer.
    const limitMs = Math.max(0, (run.endsAtMs - performance.now()) * SHARE_OF_LAST_STEP);
    return this.#byPlaces(run, [{ transport, name: host, port }], limitMs);
  }

  /** The alternatives of one order are tried together, by preference; those of the next only if they lead nowhere. */
  async #byNaptr(run: Run, records: readonly SipNaptr[]): Promise<Failure | null> {
    const usable = usableNaptrs(records, this.#transports, run.target.secure);
    if (usable.length === 0) return nothingInCommon(run.target);
    let first: Failure | null = null;
    for (const order of new Set(usable.map((record) => record.order))) {
      const queries = usable
        .filter((record) => record.order === order)
        .map(({ hasSrv, transport, name }) =>
          hasSrv ? this.#placesOfSrv(run, transport, name) : [{ transport, name, port: DEFAULT_PORT[transport] }],
        );
      const places = (await Promise.all(queries)).flatMap((found) => found ?? []);
      const why = await this.#byPlaces(run, places);
      if (why === null || run.isOver || run.placesLeft === 0) return why;
      first ??= why;
    }
    return first;
  }

  /** Where the SRV records of a name lead, in the order to try; `null` if there are none. */
  async #placesOfSrv(run: Run, transport: TransportName, name: string): Promise<Place[] | null> {
    if (run.isOver) return [];
    const answer = await this.#cache.srv(name, this.#stepMs);
    if (!answer.ok) return null;
    return srvOrder(answer.records, this.#random)
      .filter((record) => record.name !== '')
      .map((record) => ({ transport, name: record.name, port: record.port }));
  }

  /** Adds the addresses of the places to the list of the run; what comes back is why it is still empty, if it is. */
  async #byPlaces(run: Run, places: readonly Place[], limitMs = this.#stepMs): Promise<Failure | null> {
    let why: Failure | null = null;
    for (let begin = 0; begin < places.length && run.placesLeft > 0; begin += PLACES_AT_A_TIME) {
      if (run.isOver || run.found.isFull) break;
      const some = places.slice(begin, begin + Math.min(PLACES_AT_A_TIME, run.placesLeft));
      run.placesLeft -= some.length;
      const answers = await Promise.all(some.map(({ name }) => this.#addresses(run, name, limitMs)));
      for (const [index, answer] of answers.entries()) {
        const { transport, name, port } = some[index]!;
        if (answer.ok) for (const host of answer.records) run.found.add(transport, host, port);
        else why ??= whyNot(name, answer);
      }
    }
    return run.found.all.length > 0 ? null : (why ?? NOT_OFFERED);
  }

  /** The addresses of a name, ordered by family. */
  async #addresses(run: Run, name: string, limitMs: number): Promise<Answer<string>> {
    let failed: Answer<string> | undefined;
    if (!this.#isSystemName(name)) {
      // There are servers that answer no AAAA query at all; IPv4 must not wait long for them.
      const limit6Ms = this.#families.length > 1 ? Math.min(limitMs, this.#stepMs) : limitMs;
      const queries = this.#families.map((family) => this.#cache.addresses(name, family, family === 6 ? limit6Ms : limitMs));
      const answers = await Promise.all(queries);
      const records = answers.flatMap((answer) => (answer.ok ? answer.records : []));
      if (records.length > 0) return { ok: true, records };
      failed = answers.find((answer) => !answer.ok && answer.reason !== 'absent') ?? answers[0];
    }
    if (this.#systemNames && !run.isOver) {
      const answer = await this.#cache.systemAddresses(name, limitMs);
      if (!answer.ok) return failed ?? answer;
      const records = this.#families.flatMap((family) => answer.records.filter((address) => isIP(address) === family));
      if (records.length > 0) return { ok: true, records };
    }
    return failed ?? { ok: false, reason: 'absent' };
  }

  /** Whether only the system is asked: a name of one label has no zone of its own. */
  #isSystemName(name: string): boolean {
    return this.#systemNames && !name.includes('.');
  }
}

const NOTHING_FOUND: Failure = { detail: 'nothing was found' };
const NOT_OFFERED: Failure = { detail: 'DNS says that the service is not offered, or names no host for it' };

function nothingInCommon({ transport, secure }: Target): Failure {
  if (transport !== undefined) return { detail: `no transport in common: the proxy has no ${transport}` };
  return { detail: `no transport in common: the proxy has none for a ${secure ? 'sips' : 'sip'} URI to this host` };
}

function whyNot(name: string, answer: Answer<string> & { ok: false }): Failure {
  const code = answer.cause instanceof Error && 'code' in answer.cause ? String(answer.cause.code) : undefined;
  const { cause } = answer;
  if (answer.reason === 'time-out') return { detail: `DNS gave no answer for ${name} in time`, cause };
  if (answer.reason === 'failed') return { detail: `DNS failed for ${name} (${code ?? 'too many look-ups'})`, cause };
  if (code === 'ENOTFOUND') return { detail: `no such name: ${name}`, cause };
  return { detail: `${name} has no address of a family that the proxy has a socket for`, cause };
}

function failure(text: string, { detail, cause }: Failure): Resolution {
  return { ok: false, error: makeError('RESOLVE', `${quote(text)}: ${detail}`, cause) };
}
