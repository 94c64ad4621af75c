import { makeError } from '../errors.ts';
import { checkText, describe } from '../tm/arguments.ts';
import { LONGEST_TIMER_MS, makeOperation, readCount } from './operation.ts';
import type { Operation } from './operation.ts';
import { RestPool, sharedRestPool } from './rest-pool.ts';
import type { RestRequest } from './rest-pool.ts';

/** Options of {@link restGet}, {@link restPost} and {@link restPut}. */
export interface RestOptions {
  /** Header fields of the request. */
  headers?: Readonly<Record<string, string | readonly string[]>>;
  /** What the body is given as: UTF-8 text, the default, the value that its JSON stands for, or bytes. */
  as?: 'text' | 'json' | 'bytes';
  /**
   * How long connecting, request and response may take together, in ms; 20000 by default, as `curl_timeout` of rest_client; 0:
   * no limit.
   */
  timeoutMs?: number;
  /** How long the body of the response may be, in bytes; 1 MiB by default. */
  maxResponseBytes?: number;
  /** Where the connection comes from; by default a pool that all requests of this thread share. */
  pool?: RestPool;
}

/** Options of {@link restPost} and {@link restPut}. */
export interface RestBodyOptions extends RestOptions {
  /** Content-Type of the body; `application/x-www-form-urlencoded` by default, as in rest_client. */
  contentType?: string;
}

/** What a request resolves to, whatever its status is. */
export interface RestResponse<Body = string> {
  /** The status code. Only a request that got no response is an error; 404 and 500 are results. */
  readonly status: number;
  /** Header fields by their name in lower case; a field that came more than once is an array. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Body;
}

type As<Kind extends 'text' | 'json' | 'bytes'> = { as: Kind };

const MAX_RESPONSE_BYTES = 1 << 20;
const TIMEOUT_MS = 20_000;

const CONTENT_TYPE = 'content-type';

function readHeaders(options: RestBodyOptions, hasBody: boolean): Record<string, string | string[]> {
  const { headers = {}, contentType } = options;
  if (typeof headers !== 'object' || headers === null) {
    throw new TypeError(`headers: expected an object, got ${describe(headers)}`);
  }
  const read: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    const isText = typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'));
    if (!isText) throw new TypeError(`headers.${name}: expected a string or an array of strings, got ${describe(value)}`);
    read[name] = typeof value === 'string' ? value : [...value];
  }
  if (contentType !== undefined) checkText(contentType, 'contentType');
  const isNamed = Object.keys(read).some((name) => name.toLowerCase() === CONTENT_TYPE);
  if (hasBody && (contentType !== undefined || !isNamed)) {
    for (const name of Object.keys(read)) if (name.toLowerCase() === CONTENT_TYPE) delete read[name];
    read[CONTENT_TYPE] = contentType ?? 'application/x-www-form-urlencoded';
  }
  return read;
}

function decode(body: Buffer, as: 'text' | 'json' | 'bytes'): unknown {
  if (as === 'bytes') return new Uint8Array(body.buffer, body.byteOffset, body.length);
  const text = body.toString();
  if (as === 'text') return text;
  // A 204 has nothing to say, which is no fault.
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw makeError('INVALID_BODY', cause instanceof Error ? cause.message : undefined, cause);
  }
}

function rest(
  method: RestRequest['method'],
  url: string | URL,
  body: string | Uint8Array | null,
  options: RestBodyOptions,
): Operation<RestResponse<unknown>> {
  if (!(url instanceof URL)) checkText(url, 'url');
  const hasBody = method !== 'GET';
  if (hasBody && typeof body !== 'string' && !(body instanceof Uint8Array)) {
    throw new TypeError(`body: expected a string or a Uint8Array, got ${describe(body)}`);
  }
  const { as = 'text', pool } = options;
  if (as !== 'text' && as !== 'json' && as !== 'bytes') throw new TypeError("as: expected 'text', 'json' or 'bytes'");
  if (pool !== undefined && !(pool instanceof RestPool)) throw new TypeError('pool: expected what openRestPool returns');
  const wanted: RestRequest = {
    method,
    url,
    headers: readHeaders(options, hasBody),
    body,
    timeoutMs: readCount(options.timeoutMs, 'timeoutMs', TIMEOUT_MS, 0, LONGEST_TIMER_MS),
    maxResponseBytes: readCount(options.maxResponseBytes, 'maxResponseBytes', MAX_RESPONSE_BYTES, 0),
  };
  return makeOperation(async (signal) => {
    const { status, headers, body: bytes } = await (pool ?? sharedRestPool()).send(wanted, signal);
    return { status, headers, body: decode(bytes, as) };
  });
}

/**
 * Gets a resource over HTTP or HTTPS (`rest_get` of OpenSIPS' rest_client). A redirect is not followed: it is the response.
 *
 * At most 64 requests of this thread are under way to one server at once, on connections that are kept alive; up to 1024 more
 * wait for one of them. {@link openRestPool} makes a pool with other limits. Nothing blocks: connecting and the look-up of the
 * name do not either.
 *
 * Resolves for every response, whatever its status. Rejects with `REST` when there is none (refused, reset, timed out, no such
 * name, not HTTP; `cause` says more), `POOL_FULL`, `OUTPUT_TOO_LARGE`, `INVALID_BODY` when `as` is `json` and the body is
 * none, `CLOSED`, and with `ABORTED` after its signal: its connection is closed then.
 *
 * @throws TypeError for an argument or option of a wrong type, RangeError for a number out of its range
 */
export function restGet(url: string | URL, options: RestOptions & As<'bytes'>): Operation<RestResponse<Uint8Array>>;
export function restGet<T = unknown>(url: string | URL, options: RestOptions & As<'json'>): Operation<RestResponse<T>>;
export function restGet(url: string | URL, options?: RestOptions & { as?: 'text' }): Operation<RestResponse>;
export function restGet(url: string | URL, options: RestOptions = {}): Operation<RestResponse<unknown>> {
  return rest('GET', url, null, options);
}

/**
 * Posts a body (`rest_post` of OpenSIPS' rest_client); everything else is as for {@link restGet}.
 *
 * @param body text, sent as UTF-8, or bytes
 */
export function restPost(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions & As<'bytes'>,
): Operation<RestResponse<Uint8Array>>;
export function restPost<T = unknown>(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions & As<'json'>,
): Operation<RestResponse<T>>;
export function restPost(
  url: string | URL,
  body: string | Uint8Array,
  options?: RestBodyOptions & { as?: 'text' },
): Operation<RestResponse>;
export function restPost(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions = {},
): Operation<RestResponse<unknown>> {
  return rest('POST', url, body, options);
}

/**
 * Puts a body (`rest_put` of OpenSIPS' rest_client); everything else is as for {@link restGet}.
 *
 * @param body text, sent as UTF-8, or bytes
 */
export function restPut(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions & As<'bytes'>,
): Operation<RestResponse<Uint8Array>>;
export function restPut<T = unknown>(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions & As<'json'>,
): Operation<RestResponse<T>>;
export function restPut(
  url: string | URL,
  body: string | Uint8Array,
  options?: RestBodyOptions & { as?: 'text' },
): Operation<RestResponse>;
export function restPut(
  url: string | URL,
  body: string | Uint8Array,
  options: RestBodyOptions = {},
): Operation<RestResponse<unknown>> {
  return rest('PUT', url, body, options);
}
