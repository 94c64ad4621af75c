import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { SipAsyncError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ProxyStats } from '../stats.ts';
import type { Handle, SuspendedEntry } from '../suspended.ts';
import { Connection } from './connection.ts';
import { CONTROL_LIMITS, makeListing, parseRequest } from './protocol.ts';
import type { ControlResults } from './protocol.ts';
import { SocketFile } from './socket-file.ts';

/** What the control socket looks into. */
export interface ControlTarget {
  suspended(limit: number): SuspendedEntry[];
  /** @returns why it was refused, or `null` */
  cancel(handle: Handle): SipAsyncError | null;
  stats(): ProxyStats;
}

/** With those that are being refused; any further one is closed without a word. */
const MOST_SOCKETS = 4 * CONTROL_LIMITS.connections;

/** A Unix socket on which a proxy tells what it does: one JSON object a line, asked and answered in turn. */
export class ControlServer {
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #sockets = new Set<Socket>();
  #served = 0;
  #file: SocketFile | undefined;
  #target: ControlTarget | undefined;

  private constructor(logger: Logger) {
    this.#logger = logger;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = MOST_SOCKETS;
  }

  /**
   * Binds the socket. Who connects waits for {@link serve}.
   *
   * @throws SipAsyncError `LISTEN` when there is something at the path that no dead process has left, or it cannot be made
   */
  static async open(path: string, logger: Logger): Promise<ControlServer> {
    const control = new ControlServer(logger);
    control.#file = await SocketFile.listen(control.#server, path);
    // Not before, for a failure to bind goes to whoever awaits it.
    control.#server.on('error', (err) => logger.error({ err }, 'the control socket could not take a connection'));
    control.#server.unref();
    return control;
  }

  /** Answers from now on. */
  serve(target: ControlTarget): void {
    this.#target = target;
    for (const socket of this.#sockets) this.#admit(socket, target);
  }

  /** Removes the socket, so that the next proxy can have its place; who is connected stays. */
  withdraw(): void {
    try {
      this.#file?.remove();
    } catch (err) {
      this.#logger.warn({ err }, 'the control socket could not be removed');
    }
    this.#server.close();
  }

  /** Withdraws and cuts all connections. */
  close(): void {
    this.withdraw();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.unref();
    socket.on('error', (err) => this.#logger.debug({ err }, 'a control connection broke'));
    socket.on('close', () => this.#sockets.delete(socket));
    socket.setTimeout(CONTROL_LIMITS.idleMs, () => socket.destroy());
    if (this.#target !== undefined) this.#admit(socket, this.#target);
  }

  #admit(socket: Socket, target: ControlTarget): void {
    const connection = new Connection(socket, (request) => this.#perform(request, target));
    if (this.#served >= CONTROL_LIMITS.connections) {
      connection.refuse(`at most ${CONTROL_LIMITS.connections} connections are served at a time`);
      return;
    }
    this.#served += 1;
    socket.on('close', () => (this.#served -= 1));
    connection.start();
  }

  #perform(line: Uint8Array, target: ControlTarget): ControlResults[keyof ControlResults] {
    const request = parseRequest(line);
    switch (request.command) {
      case 'ps':
        // One more than is wanted tells whether there is more.
        return makeListing(target.suspended(request.limit + 1), request.limit);
      case 'cancel': {
        const reason = target.cancel(request.handle);
        if (reason !== null) throw reason;
        this.#logger.info({ handle: request.handle }, 'cancelled from the control socket');
        return true;
      }
      case 'stats':
        return target.stats();
    }
  }
}
