import { native } from './binding.ts';
import { MessageRun } from './message-run.ts';
import { checkText, checkUri, describe, headerLine } from './tm/arguments.ts';
import type { Flags } from './variables/flags.ts';
import { TransactionVariables } from './variables/transaction-variables.ts';
import { ROUTE_TYPE } from './tm/route-type.ts';
import type { MessageChanges } from './variables/transaction-variables.ts';
import type { NestedValue, Variables } from './variables/variables.ts';

const HEADER_NAME = /^[^\s:]+$/;

/**
 * What lives in the transaction and not in a run: AVPs, XAVPs, flags, and the changes of the message. It is kept natively
 * while the call is suspended.
 */
export class MessageVariables extends MessageRun {
  #kept: TransactionVariables | undefined;

  /** Of a branch: begins with what the call had when it was sent on. @internal */
  inherit(stored: Uint8Array): void {
    this.#kept = this.#makeVariables(stored);
  }

  /** @internal */
  protected serializeVariables(): Uint8Array {
    return this.#variables.serialize();
  }

  get #variables(): TransactionVariables {
    this.#kept ??= this.#loadVariables() ?? this.#makeVariables(null);
    return this.#kept;
  }

  #makeVariables(stored: Uint8Array | null): TransactionVariables {
    return TransactionVariables.load(stored, () => this.mustBeLive());
  }

  /** What an earlier run of the call left; `undefined` when that is nothing. */
  #loadVariables(): TransactionVariables | undefined {
    if (!this.isRunHere) return undefined;
    if (this.routeType === ROUTE_TYPE.reply && !this.hasStored) {
      const shared = native.variablesShared(this.runtime.channel, this.index, this.generation);
      return TransactionVariables.ofReply(shared, () => this.mustBeLive());
    }
    if (!this.hasStored) return undefined;
    const stored = native.variablesLoad(this.runtime.channel, this.index, this.generation);
    return stored === null ? undefined : this.#makeVariables(stored);
  }

  /** Before a sleep, during which they must not be read from native memory. @internal */
  protected loadVariables(): void {
    this.#kept ??= this.#loadVariables();
  }

  /** What the script changed in the message. Most do nothing of the kind, and then nothing is made for it. @internal */
  protected get changes(): MessageChanges | undefined {
    this.#kept ??= this.#loadVariables();
    return this.#kept?.changes;
  }

  /** The same at the end of a run, where what nobody has asked for is not loaded any more. @internal */
  protected get changesMade(): MessageChanges | undefined {
    return this.#kept === undefined && !this.hasStored ? undefined : this.changes;
  }

  /** Variables with one or several values for each name (`$avp(name)`); see docs/variables.md for where they live. */
  get avp(): Variables {
    return this.#variables.avp;
  }

  /** Variables whose values may be nested maps (`$xavp(name=>field)`); they live where {@link avp} does. */
  get xavp(): Variables<NestedValue> {
    return this.#variables.xavp;
  }

  /** The message flags 0 to 31 (`setflag`, `isflagset`, `resetflag`); they live where {@link avp} does. */
  get flags(): Flags {
    return this.#variables.flags;
  }

  /** The Request-URI (`$ru`). What is set here is what will be forwarded. @throws TypeError for what is no URI */
  override get ruri(): string | null {
    return this.changes?.ruri ?? super.ruri;
  }
  override set ruri(uri: string) {
    this.change().ruri = checkUri(uri, 'ruri');
  }

  /** Where the message goes regardless of its Request-URI (`$du`); `null` when nothing was set. */
  get du(): string | null {
    return this.changes?.du ?? null;
  }
  set du(uri: string | null) {
    this.change().du = uri === null ? null : checkUri(uri, 'du');
  }

  /** The body as text, `''` when there is none (`$rb`); {@link raw} has the bytes. What is set here will be forwarded. */
  override get body(): string | null {
    const body = this.changes?.body ?? null;
    if (body === null) return super.body;
    return typeof body === 'string' ? body : Buffer.from(body).toString();
  }
  override set body(body: string | Uint8Array) {
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError(`body: expected a string or a Uint8Array, got ${describe(body)}`);
    }
    this.change().body = typeof body === 'string' ? body : Buffer.from(body);
  }

  /**
   * Adds a header line to the message that will be forwarded (`append_hf`). As in Kamailio, it does not show in
   * `header(name)`.
   *
   * @param line one header, with or without the line end
   * @returns `false` with `INVALID_STATUS` when the line holds control characters or is no header
   */
  appendHf(line: string): boolean {
    this.mustBeLive();
    const header = headerLine(line);
    if (header === null) return this.refuse('INVALID_STATUS');
    this.change().appendedLines.push(header);
    return this.done();
  }

  /**
   * Leaves all header lines of this name out of the message that will be forwarded (`remove_hf`). As in Kamailio, they
   * still show in `header(name)`.
   *
   * @param name a header's name, in any case
   * @returns whether the message, as it was received, has such a line; `false` with `INVALID_STATUS` for what is no name
   */
  removeHf(name: string): boolean {
    this.mustBeLive();
    checkText(name, 'name');
    if (!HEADER_NAME.test(name)) return this.refuse('INVALID_STATUS', name);
    this.change().removedNames.push(name);
    this.done();
    return this.header(name) !== null;
  }

  /** @internal */
  protected change(): MessageChanges {
    this.mustBeLive();
    this.#variables.noteChange();
    return this.#variables.changes;
  }

  /** Lines for the next reply that is made here. @internal */
  protected get replyLines(): string {
    return this.changes?.replyLines ?? '';
  }
  protected set replyLines(lines: string) {
    this.change().replyLines = lines;
  }

  /** Whoever goes on with the call finds what was set. @returns a native status @internal */
  protected keepVariables(): number {
    if (this.#kept === undefined || !this.#kept.isChanged) return native.constants.status.ok;
    const status = native.variablesSave(this.runtime.channel, this.index, this.generation, this.#kept.serialize());
    if (status === native.constants.status.ok) this.#kept.noteKept();
    return status;
  }

  /** A reply has set something that the routes after it shall find. @internal */
  protected shareVariables(): void {
    if (this.#kept === undefined || !this.#kept.isChanged) return;
    native.variablesShare(this.runtime.channel, this.index, this.generation, this.#kept.serializeForRequest());
  }
}
