import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { makeError, SipAsyncError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { ControlAnswer, ControlRequest, ControlResults } from './protocol.ts';

/** How long the proxy may take to answer: its event loop may be busy with a route. */
const ANSWER_MS = 10_000;

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; was the proxy started with --control?',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'it belongs to another user',
};

async function* linesOf(socket: Socket): AsyncGenerator<string, void> {
  let parts: string[] = [];
  for await (const chunk of socket as AsyncIterable<string>) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      yield parts.join('') + chunk.slice(start, end);
      parts = [];
      start = end + 1;
    }
    parts.push(chunk.slice(start));
  }
}

function parseAnswer(text: string): ControlAnswer | null {
  try {
    const answer = JSON.parse(text) as Partial<ControlAnswer> | null;
    return typeof answer?.ok === 'boolean' ? (answer as ControlAnswer) : null;
  } catch {
    return null;
  }
}

/** A connection to the control socket of a running proxy. */
export class ControlClient {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<string, void>;

  private constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    this.#lines = linesOf(socket);
  }

  /** @throws SipAsyncError `UNREACHABLE` when no proxy listens there */
  static async open(path: string): Promise<ControlClient> {
    const socket = connect(path).setEncoding('utf8');
    try {
      await once(socket, 'connect');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw makeError('UNREACHABLE', `${path}: ${WORDS[code ?? ''] ?? message}`, error);
    }
    // Errors come to whoever reads the lines; one that comes when nobody does has nobody to tell.
    socket.on('error', () => undefined);
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
    return new ControlClient(path, socket);
  }

  /**
   * Sends a request and waits for its answer. One at a time.
   *
   * @throws SipAsyncError what the proxy refused it with; `UNREACHABLE` when it does not answer, or not as a proxy does
   */
  async ask<Command extends ControlRequest['command']>(
    request: Extract<ControlRequest, { command: Command }>,
  ): Promise<ControlResults[Command]> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    let text: string | void;
    try {
      text = (await this.#lines.next()).value;
    } catch (error) {
      throw makeError('UNREACHABLE', `${this.#path}: ${error instanceof Error ? error.message : String(error)}`, error);
    }
    if (typeof text !== 'string') throw makeError('UNREACHABLE', `${this.#path}: it hung up; the proxy may be closing`);
    const answer = parseAnswer(text);
    if (answer === null) throw makeError('UNREACHABLE', `${this.#path}: what listens there is no sip-async proxy`);
    if (!answer.ok) throw new SipAsyncError(answer.code as ErrorCode, answer.message);
    return answer.result as ControlResults[Command];
  }

  close(): void {
    this.#socket.destroy();
  }
}
