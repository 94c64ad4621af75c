/** Why a stream cannot be cut any further. */
export type FramingReason = 'garbage' | 'tooLarge' | 'noContentLength' | 'badContentLength';

/** The end of a stream's messages: what was wrong, and what is left to answer. */
export interface FramingFault {
  readonly reason: FramingReason;
  /** The headers of the message, the empty line included, if they were there. They are only valid for the moment. */
  readonly head: Buffer | null;
}

/** What a framer has to give. */
export interface FramerSink {
  /** A whole message. The bytes are only valid for the moment. Returns whether to go on. */
  message(bytes: Buffer): boolean;
  /** A keep-alive that wants an answer (RFC 5626 section 4.4.1). */
  ping(): void;
}

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);

/** A start line that is longer is none; the native index draws the same line. */
const MAX_START_LINE_BYTES = 8192;
const LEAST_HELD_BYTES = 1024;

// A version at the end of a request line, or at the beginning of a status line. Which one it is does not matter here.
const REQUEST_LINE_END = /^[^\r\n]* SIP\/\d+\.\d+[ \t]*\r?$/i;
const STATUS_LINE_START = /^SIP\/\d+\.\d+ /i;
const VERSION_BYTES = 32;

// Long and compact form, folded or not (RFC 3261 section 7.3.1). Each line end is either in front of a name or a fold, so
// that there is one way only to match and the cost is linear.
const CONTENT_LENGTH = /\n(?:content-length|l)[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)/gi;

/** The bytes of the body that these headers announce, or what is wrong with them. */
function contentLength(head: string): number | FramingReason {
  let found: string | undefined;
  for (const [, value] of head.matchAll(CONTENT_LENGTH)) {
    // The second may be the one that somebody behind us believes.
    if (found !== undefined) return 'badContentLength';
    found = value!.trim();
  }
  if (found === undefined) return 'noContentLength';
  // However many digits: zeros before it change nothing, and one that is beyond all numbers is too long like any other.
  return /^\d+$/.test(found) ? Number(found) : 'badContentLength';
}

/**
 * Cuts a stream into SIP messages by Content-Length (RFC 3261 section 18.3). Each byte is looked at and copied a bounded
 * number of times however the stream comes in pieces, and never more is held than the longest message and one piece. What is
 * not SIP is noticed at its first line.
 */
export class Framer {
  readonly #maxMessageBytes: number;
  readonly #sink: FramerSink;
  /** What came of a message that is not whole yet lies in #held from #start to #end. */
  #held: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** Of the present message: bytes that hold no end of the headers; the start line was seen; whole length, 0 if unknown. */
  #scanned = 0;
  #started = false;
  #total = 0;
  /** Bytes of CR LF CR LF that were seen between messages. */
  #keepAlive = 0;
  #fault: FramingFault | null = null;
  #stopped = false;

  constructor(maxMessageBytes: number, sink: FramerSink) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#sink = sink;
  }

  /** Whether a message has begun and is not whole yet. */
  get isPartial(): boolean {
    return this.#end > this.#start;
  }

  /** Bytes of memory held for a message that is not whole yet. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** Takes the next bytes of the stream. @returns what is wrong with it; behind a fault, or when the sink has had enough, nothing is taken any more */
  push(chunk: Buffer): FramingFault | null {
    if (this.#fault !== null || this.#stopped) return this.#fault;
    if (!this.isPartial) {
      const at = this.#cut(chunk, 0);
      this.#hold(chunk.subarray(at));
    } else {
      this.#hold(chunk);
      this.#start = this.#cut(this.#held.subarray(0, this.#end), this.#start);
    }
    if (!this.isPartial || this.#fault !== null) this.#release();
    return this.#fault;
  }

  #release(): void {
    this.#held = EMPTY;
    this.#start = 0;
    this.#end = 0;
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0 || this.#fault !== null) return;
    const kept = this.#end - this.#start;
    const wanted = kept + bytes.length;
    if (this.#end + bytes.length > this.#held.length) {
      if (wanted > this.#held.length) {
        // Twice as much each time, so that bytes are moved twice on average.
        const roomier = Buffer.allocUnsafeSlow(Math.max(LEAST_HELD_BYTES, 2 * this.#held.length, wanted));
        this.#held.copy(roomier, 0, this.#start, this.#end);
        this.#held = roomier;
      } else {
        this.#held.copyWithin(0, this.#start, this.#end);
      }
      this.#start = 0;
      this.#end = kept;
    }
    bytes.copy(this.#held, this.#end);
    this.#end += bytes.length;
  }

  /** Gives away the messages that are whole. @returns where the first that is not begins */
  #cut(bytes: Buffer, at: number): number {
    let pinged = false;
    while (at < bytes.length) {
      if (this.#scanned === 0) {
        const byte = bytes[at]!;
        if (byte === CR || byte === LF) {
          at += 1;
          // One answer for all that come at once: nobody is owed as many packets as he sends lines.
          if (this.#isKeepAlive(byte) && !pinged) {
            pinged = true;
            this.#sink.ping();
          }
          continue;
        }
        this.#keepAlive = 0;
        // The first byte of a method or of "SIP": neither a TLS handshake nor a binary protocol begins so.
        if (byte <= 0x20 || byte >= 0x7f) return this.#fail('garbage', bytes.length);
      }
      if (this.#total === 0 && !this.#readHead(bytes, at)) return this.#fault === null ? at : bytes.length;
      if (bytes.length - at < this.#total) return at;
      const message = bytes.subarray(at, at + this.#total);
      at += this.#total;
      this.#scanned = 0;
      this.#started = false;
      this.#total = 0;
      if (!this.#sink.message(message)) {
        this.#stopped = true;
        return bytes.length;
      }
    }
    return at;
  }

  /** Follows the line ends between messages. @returns whether this one completes CR LF CR LF */
  #isKeepAlive(byte: number): boolean {
    const expected = this.#keepAlive % 2 === 0 ? CR : LF;
    if (byte !== expected) this.#keepAlive = byte === CR ? 1 : 0;
    else this.#keepAlive += 1;
    if (this.#keepAlive < 4) return false;
    this.#keepAlive = 0;
    return true;
  }

  /** Looks for the empty line and reads the length. @returns whether the length is known now */
  #readHead(bytes: Buffer, at: number): boolean {
    for (let from = at + this.#scanned; ; ) {
      const lf = bytes.indexOf(LF, from);
      if (lf < 0) {
        this.#scanned = bytes.length - at;
        const limit = this.#started ? this.#maxMessageBytes : Math.min(MAX_START_LINE_BYTES, this.#maxMessageBytes);
        if (this.#scanned > limit) this.#fail(this.#started ? 'tooLarge' : 'garbage', 0);
        return false;
      }
      if (!this.#started && !this.#readStartLine(bytes, at, lf)) return false;
      const next = bytes[lf + 1] === CR ? lf + 2 : lf + 1;
      if (next >= bytes.length) {
        this.#scanned = lf - at;
        if (this.#scanned > this.#maxMessageBytes) this.#fail('tooLarge', 0);
        return false;
      }
      if (bytes[next] === LF) return this.#readLength(bytes.subarray(at, next + 1));
      from = lf + 1;
    }
  }

  #readStartLine(bytes: Buffer, at: number, lf: number): boolean {
    if (lf - at <= MAX_START_LINE_BYTES) {
      const end = bytes.toString('latin1', Math.max(at, lf - VERSION_BYTES), lf);
      const begin = bytes.toString('latin1', at, Math.min(lf, at + VERSION_BYTES));
      this.#started = REQUEST_LINE_END.test(end) || STATUS_LINE_START.test(begin);
    }
    if (!this.#started) this.#fail('garbage', 0);
    return this.#started;
  }

  #readLength(head: Buffer): boolean {
    if (head.length > this.#maxMessageBytes) {
      this.#fail('tooLarge', 0);
      return false;
    }
    const length = contentLength(head.toString('latin1'));
    if (typeof length !== 'number') this.#fail(length, 0, head);
    else if (head.length + length > this.#maxMessageBytes) this.#fail('tooLarge', 0, head);
    else this.#total = head.length + length;
    return this.#total !== 0;
  }

  #fail(reason: FramingReason, at: number, head: Buffer | null = null): number {
    this.#fault = { reason, head };
    return at;
  }
}
