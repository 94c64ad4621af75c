import { Framer } from './framing.ts';
import type { FramingReason } from './framing.ts';
import type { Link } from './link.ts';
import type { StreamTransport } from './transport.ts';

const PONG = Buffer.from('\r\n');
const PING = '\r\n\r\n';

/** How long a connection may take to send what waits once it was told to end. */
const LINGER_MS = 2000;

/** How long a connection that cannot be read any further waits for the replies to what came before. */
const LAST_REPLIES_MS = 500;

/** What a connection tells those who have it. */
export interface ConnectionOwner {
  readonly maxMessageBytes: number;
  readonly sendBufferBytes: number;
  /** A whole message. */
  received(connection: Connection, bytes: Buffer): void;
  /** Nothing can be cut out of it any more; `head` is what can be answered. The connection ends behind this. */
  broken(connection: Connection, reason: FramingReason, head: Buffer | null): void;
  /** A keep-alive came, and is answered. */
  keptAlive(connection: Connection): void;
  /** The peer takes nothing. */
  stalled(connection: Connection): void;
  closed(connection: Connection): void;
}

/** Where a connection stands. */
export interface ConnectionPlace {
  readonly flow: number;
  readonly transport: StreamTransport;
  /** The number of the listener that its messages belong to. */
  readonly socket: number;
  /** Under which it can be found for another message to the same place. */
  readonly key: string;
}

/** An open connection that SIP messages come and go by. */
export class Connection {
  readonly place: ConnectionPlace;
  readonly link: Link;
  readonly #owner: ConnectionOwner;
  readonly #framer: Framer | null;
  /** When something last came or went, and since when a message has been incomplete; `performance.now()`. */
  #activeMs = performance.now();
  #isProbed = false;
  #partialSinceMs: number | null = null;
  #linger: NodeJS.Timeout | undefined;
  /** When a whole message last came; `performance.now()`. */
  #messageMs = -Infinity;
  /** What comes is not read any more. */
  #isBroken = false;
  #ended = false;
  #closed = false;

  constructor(place: ConnectionPlace, link: Link, owner: ConnectionOwner) {
    this.place = place;
    this.link = link;
    this.#owner = owner;
    const sink = {
      message: (bytes: Buffer) => {
        this.#partialSinceMs = null;
        this.#messageMs = performance.now();
        owner.received(this, bytes);
        return !this.#ended;
      },
      ping: () => this.#answerPing(),
    };
    this.#framer = link.isStream ? new Framer(owner.maxMessageBytes, sink) : null;
  }

  /** Begins to read. */
  begin(): void {
    this.link.listen({
      bytes: (bytes) => this.#read(bytes),
      alive: () => this.#touch(),
      broken: () => this.#break('garbage', null),
      close: () => this.#onClose(),
    });
  }

  get activeMs(): number {
    return this.#activeMs;
  }
  get partialSinceMs(): number | null {
    return this.#partialSinceMs;
  }

  /** Asks for a sign of life, once for each time of silence. */
  probe(): void {
    if (this.#isProbed) return;
    this.#isProbed = true;
    this.link.probe();
  }

  /** Whether messages can be sent by it. */
  get isOpen(): boolean {
    return !this.#ended;
  }
  /** Whether requests can be sent by it: their replies come back. */
  get isShared(): boolean {
    return !this.#ended && !this.#isBroken;
  }

  send(bytes: Buffer): void {
    if (this.#ended) return;
    this.#touch();
    this.link.send(bytes);
    if (this.link.waitingBytes > this.#owner.sendBufferBytes) {
      this.#owner.stalled(this);
      this.destroy();
    }
  }

  /** Sends what waits and closes; a peer that does not take it is not waited for long. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => this.link.destroy(), LINGER_MS);
    this.link.end();
  }

  destroy(): void {
    this.#ended = true;
    this.link.destroy();
  }

  #touch(): void {
    this.#activeMs = performance.now();
    this.#isProbed = false;
  }

  #read(bytes: Buffer): void {
    if (this.#ended || this.#isBroken) return;
    this.#touch();
    if (this.#framer === null) {
      this.#readMessage(bytes);
      return;
    }
    const fault = this.#framer.push(bytes);
    if (fault !== null) {
      this.#break(fault.reason, fault.head);
    } else if (!this.#framer.isPartial) {
      this.#partialSinceMs = null;
    } else {
      this.#partialSinceMs ??= this.#activeMs;
    }
  }

  #break(reason: FramingReason, head: Buffer | null): void {
    if (this.#ended || this.#isBroken) return;
    this.#isBroken = true;
    this.#partialSinceMs = null;
    this.#owner.broken(this, reason, head);
    // The messages in front of it are as good as any, and their routes may not have run yet.
    if (performance.now() - this.#messageMs >= LAST_REPLIES_MS) {
      this.end();
      return;
    }
    this.link.pause();
    this.#linger = setTimeout(() => {
      this.link.resume();
      this.end();
    }, LAST_REPLIES_MS);
  }

  /** Of a link that has its own framing: one message, or the keep-alive of a client that sends it here, too. */
  #readMessage(bytes: Buffer): void {
    if (bytes.length <= PING.length && /^[\r\n]*$/.test(bytes.toString('latin1'))) {
      if (bytes.length === PING.length) this.#answerPing();
    } else {
      this.#owner.received(this, bytes);
    }
  }

  #answerPing(): void {
    this.#owner.keptAlive(this);
    this.send(PONG);
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended = true;
    clearTimeout(this.#linger);
    this.#owner.closed(this);
  }
}
