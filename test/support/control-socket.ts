import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { eventually } from './eventually.ts';

/** One answer of a control socket. */
export interface Answer {
  readonly ok: boolean;
  readonly result?: unknown;
  readonly code?: string;
  readonly message?: string;
}

/** What a request gets that is not valid. */
export function invalidRequest(detail: string): Answer {
  const message = `the request to the control socket is not valid: ${detail}`;
  return { ok: false, code: 'SIPASYNC_ERR_INVALID_REQUEST', message };
}

/** A folder for sockets with a short path, which is gone after the tests of the file. */
export function socketFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sip-async-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A connection to a control socket that sends exactly what a test tells it to. */
export class ControlSocket {
  readonly socket: Socket;
  /** Resolves when the connection is no more, with what was received. */
  readonly closed: Promise<Answer[]>;
  #text = '';

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => (this.#text += text));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => socket.once('close', () => resolve(this.answers)));
  }

  static async open(path: string): Promise<ControlSocket> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new ControlSocket(socket);
  }

  /** Every whole line that has come. */
  get answers(): Answer[] {
    return this.#text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Answer);
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** All answers, once there are so many. */
  async atLeast(count: number, timeoutMs = 5000): Promise<Answer[]> {
    await eventually(() => this.answers.length >= count, { timeoutMs });
    return this.answers;
  }

  /** Sends a line and waits for the next answer. */
  async ask(line: string | Uint8Array): Promise<Answer> {
    const before = this.answers.length;
    this.send(line);
    this.send('\n');
    return (await this.atLeast(before + 1))[before]!;
  }

  /** Sends no more. What is answered still comes. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Asks one thing over a connection of its own. */
export async function askControl(path: string, request: unknown): Promise<Answer> {
  const socket = await ControlSocket.open(path);
  try {
    return await socket.ask(JSON.stringify(request));
  } finally {
    socket.destroy();
  }
}
