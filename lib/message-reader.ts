import { createRequire } from 'node:module';
import { native } from './binding.ts';
import { makeError } from './errors.ts';
import type { Runtime } from './runtime.ts';
import { checkText } from './tm/arguments.ts';
import type { Transport } from './transport/transport.ts';

const { field: FIELD, number: NUMBER, methods: METHODS, transports: TRANSPORTS } = native.constants;

/** A SIP message whole, as the `sip` package's `parse` gives it. */
export type ParsedMessage = Record<string, unknown>;
let parseWhole: ((text: string) => ParsedMessage | undefined) | undefined;

/**
 * The reading half of a message: a handle whose properties are read from the native index when they are asked for.
 * Nothing is parsed before. What is not in the message, and everything once the call has ended, reads as `null`.
 */
export class MessageReader {
  /** The slot; with {@link generation} what Kamailio calls (tindex, tlabel). */
  readonly index: number;
  /** The slot's generation: tells this call from all others that use the slot before and after it. */
  readonly generation: number;
  /** @internal */
  protected readonly runtime: Runtime;
  /** @internal */
  protected readonly methodNumber: number;
  /** 1 while this thread alone has the message, so that reading needs no lock; 0 otherwise. @internal */
  protected owner: 0 | 1 = 1;
  #parsed: ParsedMessage | undefined;

  /** @internal */
  constructor(runtime: Runtime, index: number, generation: number, methodNumber: number) {
    this.runtime = runtime;
    this.index = index;
    this.generation = generation;
    this.methodNumber = methodNumber;
  }

  #string(field: number): string | null {
    return native.messageString(this.runtime.channel, this.index, this.generation, this.owner, field);
  }
  /** @internal */
  protected textOf(field: number): string | null {
    return this.#string(field);
  }
  #number(field: number): number | null {
    return native.messageNumber(this.runtime.channel, this.index, this.generation, this.owner, field);
  }

  /** The method, as `INVITE` (`$rm`). */
  get method(): string {
    return METHODS[this.methodNumber] || (this.#string(FIELD.method) ?? '');
  }
  /** The Request-URI as it was received (`$ru`). */
  get ruri(): string | null {
    return this.#string(FIELD.ruri);
  }
  /** The status of a reply; `null` for a request (`$rs`). */
  get status(): number | null {
    return null;
  }
  /** The reason phrase of a reply; `null` for a request (`$rr`). */
  get reason(): string | null {
    return null;
  }
  /** Whether this is a request and no reply. */
  get isRequest(): boolean {
    return true;
  }
  /** `$ci` */
  get callId(): string | null {
    return this.#string(FIELD.callId);
  }
  /** The CSeq number (`$cs`). */
  get cseq(): number | null {
    return this.#number(NUMBER.cseq);
  }
  /** The URI of From (`$fu`). */
  get fromUri(): string | null {
    return this.#string(FIELD.fromUri);
  }
  /** The user in the URI of From (`$fU`). */
  get fromUser(): string | null {
    return this.#string(FIELD.fromUser);
  }
  /** `$ft` */
  get fromTag(): string | null {
    return this.#string(FIELD.fromTag);
  }
  /** The URI of To (`$tu`). */
  get toUri(): string | null {
    return this.#string(FIELD.toUri);
  }
  /** The user in the URI of To (`$tU`). */
  get toUser(): string | null {
    return this.#string(FIELD.toUser);
  }
  /** `$tt`; `null` outside a dialog. */
  get toTag(): string | null {
    return this.#string(FIELD.toTag);
  }
  /** The value of the first Contact line (`$ct`). */
  get contact(): string | null {
    return this.#string(FIELD.contact);
  }
  /** `$ua` */
  get userAgent(): string | null {
    return this.#string(FIELD.userAgent);
  }
  /** The body as text, `''` when there is none (`$rb`); {@link raw} has the bytes. */
  get body(): string | null {
    return this.#string(FIELD.body);
  }
  /** The address the message came from (`$si`). */
  get srcIp(): string | null {
    return this.#string(FIELD.srcIp);
  }
  /** The port the message came from (`$sp`). */
  get srcPort(): number | null {
    return this.#number(NUMBER.srcPort);
  }
  /** The transport it came by (`$proto`), as `tcp`. */
  get proto(): Transport | null {
    const number = this.#number(NUMBER.transport);
    return number === null ? null : TRANSPORTS[number]!;
  }
  /** A copy of the message as it was received; `null` once the call has ended (`$mb`). */
  get raw(): Buffer | null {
    return native.messageRaw(this.runtime.channel, this.index, this.generation, this.owner);
  }

  /** The value of the first header line of this name, in any case, long or compact (`$hdr(name)`); `null` if none. */
  header(name: string): string | null {
    checkText(name, 'name');
    return native.messageHeader(this.runtime.channel, this.index, this.generation, this.owner, name, 0);
  }

  /** The values of all header lines of this name, from the top. Several values on one line stay together. */
  headers(name: string): string[] {
    checkText(name, 'name');
    const values: string[] = [];
    for (;;) {
      const { channel } = this.runtime;
      const value = native.messageHeader(channel, this.index, this.generation, this.owner, name, values.length);
      if (value === null) return values;
      values.push(value);
    }
  }

  /**
   * The whole message parsed by the `sip` package, on the first use.
   *
   * @throws SipAsyncError `SIPASYNC_ERR_NOT_INDEXED` when the message holds what that parser cannot be trusted with;
   *   `SIPASYNC_ERR_STALE_HANDLE` when the call has ended
   */
  get parsed(): ParsedMessage {
    if (this.#parsed !== undefined) return this.#parsed;
    const raw = this.raw;
    if (raw === null) throw makeError('STALE_HANDLE');
    if (!native.messageIsTame(this.runtime.channel, this.index, this.generation, this.owner)) {
      throw makeError('NOT_INDEXED');
    }
    // Loaded on the first use: most proxies never need it.
    parseWhole ??= (createRequire(import.meta.url)('sip') as { parse: typeof parseWhole }).parse!;
    let parsed: ParsedMessage | undefined;
    try {
      // Not beyond the body: with a Content-Length of 0 that parser takes all the rest for one.
      parsed = parseWhole(raw.toString('utf8', 0, this.#number(NUMBER.end) ?? raw.length));
    } catch (cause) {
      throw makeError('NOT_INDEXED', undefined, cause);
    }
    if (parsed === undefined) throw makeError('NOT_INDEXED');
    this.#parsed = parsed;
    return parsed;
  }
}
