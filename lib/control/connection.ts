import type { Socket } from 'node:net';
import { makeError, SipAsyncError } from '../errors.ts';
import { CONTROL_LIMITS } from './protocol.ts';
import type { ControlAnswer } from './protocol.ts';

/** How long a connection that was refused may go on before it is cut: its error line should arrive. */
const LINGER_MS = 1000;
const LINE_END = 0x0a;

function encode(answer: ControlAnswer): string {
  return `${JSON.stringify(answer)}\n`;
}

function refusal({ code, message }: SipAsyncError): string {
  return encode({ ok: false, code, message });
}

/** One connection to the control socket: lines in, lines out, one after the other. */
export class Connection {
  readonly #socket: Socket;
  readonly #perform: (request: Uint8Array) => unknown;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #refused = false;

  /**
   * @param socket paused
   * @param perform gives the result of a request; a SipAsyncError that it throws is the answer
   */
  constructor(socket: Socket, perform: (request: Uint8Array) => unknown) {
    this.#socket = socket;
    this.#perform = perform;
  }

  /** Begins to read. */
  start(): void {
    const socket = this.#socket;
    socket.on('data', (chunk: Buffer) => {
      if (this.#refused) return;
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#pump();
    });
    socket.on('drain', () => this.#pump());
    socket.on('end', () => {
      this.#ended = true;
      this.#pump();
    });
    socket.resume();
  }

  /** Says why, and listens to nothing more. */
  refuse(detail: string): void {
    const socket = this.#socket;
    this.#refused = true;
    this.#received = Buffer.alloc(0);
    socket.end(refusal(makeError('INVALID_REQUEST', detail)));
    // What still comes is thrown away: closing over unread bytes would make the other side fail before it reads the line.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(timer));
  }

  #pump(): void {
    if (this.#refused) return;
    const socket = this.#socket;
    // Who reads slower than it asks is not read from.
    while (!socket.writableNeedDrain) {
      const end = this.#received.indexOf(LINE_END);
      if ((end < 0 ? this.#received.length : end) > CONTROL_LIMITS.lineBytes) {
        this.refuse(`a line takes at most ${CONTROL_LIMITS.lineBytes} bytes`);
        return;
      }
      if (end < 0) {
        if (this.#ended) this.#finish();
        else socket.resume();
        return;
      }
      const request = this.#received.subarray(0, end);
      this.#received = this.#received.subarray(end + 1);
      if (!this.#answer(request)) return;
    }
    socket.pause();
  }

  /** The last line may do without an end. */
  #finish(): void {
    const rest = this.#received;
    this.#received = Buffer.alloc(0);
    if (rest.length === 0 || this.#answer(rest)) this.#socket.end();
  }

  /** Returns false when the connection is no more. */
  #answer(request: Uint8Array): boolean {
    const socket = this.#socket;
    try {
      socket.write(encode({ ok: true, result: this.#perform(request) }));
    } catch (error) {
      if (error instanceof SipAsyncError) socket.write(refusal(error));
      // A mistake of ours costs this connection, never the proxy.
      else socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    return !socket.destroyed;
  }
}
