import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { describe } from '../tm/arguments.ts';
import { LONGEST_TIMER_MS, onAbort, readCount, stoppedBy, wordsOf } from './operation.ts';
import { Turns } from './turns.ts';

type Connector = buildConnector.connector;

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

/** One connection to a server, made with the first request; it has one request at a time. */
class HttpConnection {
  readonly #client: Client;
  #socket: Socket | undefined;

  /** @param onClosed called each time the connection is closed; the next request would make it anew */
  constructor(origin: string, connector: Connector, keepAliveMs: number, onClosed: () => void) {
    this.#client = new Client(origin, {
      // A client does not tell of a connection that is being made, and would go on making it for nobody. The connector returns
      // the socket, which its type leaves out; without one, connectTimeoutMs ends what was given up.
      connect: (options, callback) => {
        this.#socket = connector(options, callback) as unknown as Socket | undefined;
      },
      keepAliveTimeout: keepAliveMs,
      // One deadline for all of a request is in RestPool.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#client.on('disconnect', onClosed);
  }

  /** Rejects with the reason of the signal, or with what undici says. */
  async exchange(target: URL, wanted: RestRequest, ending: AbortController): Promise<RawResponse> {
    const { method, headers, body, maxResponseBytes } = wanted;
    const path = target.pathname + target.search;
    const response = await this.#client.request({ path, method, headers, body, signal: ending.signal });
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
  }

  /** Closes it at once, also while it is being made. */
  async destroy(): Promise<void> {
    const error = new Error('given up');
    this.#socket?.destroy(error);
    await this.#client.destroy(error);
  }
}

/** One server: its turns, and its connections that nobody uses. */
interface Origin {
  readonly turns: Turns;
  readonly idle: HttpConnection[];
}

/** Connections to HTTP servers that are kept alive between requests. Made by {@link openRestPool}. */
export class RestPool {
  readonly #connector: Connector;
  readonly #connections: number;
  readonly #maxQueue: number;
  readonly #keepAliveMs: number;
  /** One that has neither requests nor connections is forgotten. */
  readonly #origins = new Map<string, Origin>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(options: RestPoolOptions = {}) {
    this.#connections = readCount(options.connections, 'connections', 64, 1, 65_535);
    this.#maxQueue = readCount(options.maxQueue, 'maxQueue', 1024, 0);
    this.#keepAliveMs = readCount(options.keepAliveMs, 'keepAliveMs', 4000, 1, LONGEST_TIMER_MS);
    const { tls } = options;
    if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
      throw new TypeError(`tls: expected an object, got ${describe(tls)}`);
    }
    const timeout = readCount(options.connectTimeoutMs, 'connectTimeoutMs', 20_000, 1, LONGEST_TIMER_MS);
    this.#connector = buildConnector({ ...tls, timeout });
  }

  /** What is going on, over all origins. */
  stats(): { running: number; queued: number; idle: number } {
    const stats = { running: 0, queued: 0, idle: 0 };
    for (const { turns, idle } of this.#origins.values()) {
      stats.running += turns.running;
      stats.queued += turns.queued;
      stats.idle += idle.length;
    }
    return stats;
  }

  /** Refuses what waits and what comes with `CLOSED`, lets what is under way end, and closes the connections. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const origins = [...this.#origins.values()];
    const unused = origins.flatMap(({ idle }) => idle.splice(0));
    await Promise.all([...unused.map((connection) => connection.destroy()), ...origins.map(({ turns }) => turns.close())]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  async send(wanted: RestRequest, signal: AbortSignal): Promise<RawResponse> {
    const target = originOf(wanted.url);
    if (this.#closing !== undefined) throw makeError('CLOSED');
    const name = target.origin;
    let origin = this.#origins.get(name);
    if (origin === undefined) {
      origin = { turns: new Turns(this.#connections, this.#maxQueue), idle: [] };
      this.#origins.set(name, origin);
    }
    const { turns } = origin;
    await turns.take(signal);
    try {
      // The signal may have aborted since the turn was given.
      if (signal.aborted) throw stoppedBy(signal);
      return await this.#exchange(name, origin, target, wanted, signal);
    } finally {
      turns.give();
      this.#forget(name, origin);
    }
  }

  #forget(name: string, { turns, idle }: Origin): void {
    if (turns.running === 0 && idle.length === 0) this.#origins.delete(name);
  }

  async #exchange(
    name: string,
    origin: Origin,
    target: URL,
    wanted: RestRequest,
    signal: AbortSignal,
  ): Promise<RawResponse> {
    const { timeoutMs } = wanted;
    const { idle } = origin;
    const connection = idle.pop() ?? this.#connect(name, origin);
    const ending = new AbortController();
    const end = (error: SipAsyncError) => {
      ending.abort(error);
      void connection.destroy();
    };
    const stopListening = onAbort(signal, () => end(stoppedBy(signal)));
    const tooLate = () => end(makeError('REST', `no complete response within ${timeoutMs} ms`));
    const timer = timeoutMs === 0 ? undefined : setTimeout(tooLate, timeoutMs);
    try {
      const response = await connection.exchange(target, wanted, ending);
      if (this.#closing === undefined) idle.push(connection);
      else await connection.destroy();
      return response;
    } catch (cause) {
      await connection.destroy();
      throw ending.signal.aborted ? ending.signal.reason : failure(cause);
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }

  #connect(name: string, origin: Origin): HttpConnection {
    const { idle } = origin;
    const connection = new HttpConnection(name, this.#connector, this.#keepAliveMs, () => {
      const index = idle.indexOf(connection);
      if (index >= 0) idle.splice(index, 1);
      this.#forget(name, origin);
    });
    return connection;
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
