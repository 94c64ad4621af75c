import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** An HTTP server on loopback that does with each request what the test says. */
export class HttpPeer {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  /** All requests, in order of their arrival. */
  readonly requests: Request[] = [];
  /** How many connections there were in all. */
  connections = 0;

  private constructor(answer: (request: Request, response: ServerResponse) => void) {
    this.#server = createServer((incoming, response) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (text: string) => (body += text));
      // One that is given up while its body comes.
      incoming.on('error', () => undefined);
      incoming.on('end', () => {
        const request = { method: incoming.method!, path: incoming.url!, headers: incoming.headers, body };
        this.requests.push(request);
        answer(request, response);
      });
    });
    this.#server.on('connection', (socket) => {
      this.connections += 1;
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  static async start(answer: (request: Request, response: ServerResponse) => void): Promise<HttpPeer> {
    const peer = new HttpPeer(answer);
    peer.#server.listen(0, '127.0.0.1');
    await once(peer.#server, 'listening');
    return peer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
