import { Agent, request } from 'undici';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { describe } from '../tm/arguments.ts';
import { LONGEST_TIMER_MS, onAbort, readCount, stoppedBy, wordsOf } from './operation.ts';
import { Turns } from './turns.ts';

/** Options of {@link openRestPool}. */
export interface RestPoolOptions {
  /** How many requests are under way to one origin (scheme, host and port) at once, each on its connection; 64 by default. */
  connections?: number;
  /** How many more may wait for a connection to that origin before the next gets `POOL_FULL`; 1024 by default. */
  maxQueue?: number;
  /** How long making a connection may take, in ms; 20000 by default, as `connection_timeout` of rest_client. */
  connectTimeoutMs?: number;
  /** How long a connection is kept open unused, in ms, if the server does not ask for less; 4000 by default. */
  keepAliveMs?: number;
  /** What `https` is made with, as for `tls.connect` of Node. */
  tls?: {
    ca?: string | Buffer;
    cert?: string | Buffer;
    key?: string | Buffer;
    rejectUnauthorized?: boolean;
  };
}

/** What a request is, once its options are read. @internal */
export interface RestRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly url: string | URL;
  readonly headers: Record<string, string | string[]>;
  readonly body: string | Uint8Array | null;
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
}

/** What came back, with the body as it is. @internal */
export interface RawResponse {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

function originOf(url: string | URL): URL {
  const target = URL.canParse(url.toString()) ? new URL(url) : null;
  if (target === null || (target.protocol !== 'http:' && target.protocol !== 'https:')) {
    // Its text is not repeated: it may hold a password.
    throw makeError('REST', 'the URL is not one of http or https');
  }
  return target;
}

function failure(cause: unknown): SipAsyncError {
  return makeError('REST', wordsOf(cause), cause);
}

/** Connections to HTTP servers that are kept alive between requests. Made by {@link openRestPool}. */
export class RestPool {
  readonly #agent: Agent;
  readonly #connections: number;
  readonly #maxQueue: number;
  /** By origin; one that nobody uses is forgotten. */
  readonly #turns = new Map<string, Turns>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(options: RestPoolOptions = {}) {
    this.#connections = readCount(options.connections, 'connections', 64, 1, 65_535);
    this.#maxQueue = readCount(options.maxQueue, 'maxQueue', 1024, 0);
    const { tls } = options;
    if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
      throw new TypeError(`tls: expected an object, got ${describe(tls)}`);
    }
    this.#agent = new Agent({
      connections: this.#connections,
      pipelining: 1,
      connect: { ...tls, timeout: readCount(options.connectTimeoutMs, 'connectTimeoutMs', 20_000, 1, LONGEST_TIMER_MS) },
      keepAliveTimeout: readCount(options.keepAliveMs, 'keepAliveMs', 4000, 1, LONGEST_TIMER_MS),
      // One deadline for all of a request is in `send`.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** What is going on, over all origins. */
  stats(): { running: number; queued: number } {
    const all = [...this.#turns.values()];
    return {
      running: all.reduce((sum, { running }) => sum + running, 0),
      queued: all.reduce((sum, { queued }) => sum + queued, 0),
    };
  }

  /** Refuses what waits and what comes with `CLOSED`, lets what is under way end, and closes the connections. */
  close(): Promise<void> {
    this.#closing ??= Promise.all([...this.#turns.values()].map((turns) => turns.close())).then(() => this.#agent.close());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  async send(wanted: RestRequest, signal: AbortSignal): Promise<RawResponse> {
    const target = originOf(wanted.url);
    if (this.#closing !== undefined) throw makeError('CLOSED');
    const { origin } = target;
    let turns = this.#turns.get(origin);
    if (turns === undefined) this.#turns.set(origin, (turns = new Turns(this.#connections, this.#maxQueue)));
    await turns.take(signal);
    try {
      // The signal may have aborted since the turn was given.
      if (signal.aborted) throw stoppedBy(signal);
      return await this.#exchange(target, wanted, signal);
    } finally {
      turns.give();
      if (turns.running === 0) this.#turns.delete(origin);
    }
  }

  async #exchange(target: URL, wanted: RestRequest, signal: AbortSignal): Promise<RawResponse> {
    const { method, headers, body, timeoutMs, maxResponseBytes } = wanted;
    const ending = new AbortController();
    const stopListening = onAbort(signal, () => ending.abort(stoppedBy(signal)));
    const tooLate = () => ending.abort(makeError('REST', `no complete response within ${timeoutMs} ms`));
    const timer = timeoutMs === 0 ? undefined : setTimeout(tooLate, timeoutMs);
    try {
      const response = await request(target, { dispatcher: this.#agent, method, headers, body, signal: ending.signal });
      const chunks: Buffer[] = [];
      let leftBytes = maxResponseBytes;
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        leftBytes -= chunk.length;
        // What follows is not read: the connection is given up.
        if (leftBytes < 0) ending.abort(makeError('OUTPUT_TOO_LARGE', `${maxResponseBytes} bytes`));
        ending.signal.throwIfAborted();
        chunks.push(chunk);
      }
      return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
    } catch (cause) {
      throw ending.signal.aborted ? ending.signal.reason : failure(cause);
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }
}

/**
 * Opens a pool of its own for `restGet`, `restPost` and `restPut`, where other limits are wanted than those that all other
 * requests of this thread share. It costs nothing until it is used.
 *
 * @throws TypeError for an option of a wrong type, RangeError for a number out of its range
 */
export function openRestPool(options: RestPoolOptions = {}): RestPool {
  return new RestPool(options);
}

let shared: RestPool | undefined;

/** The pool of this thread. */
export function sharedRestPool(): RestPool {
  shared ??= new RestPool();
  return shared;
}
