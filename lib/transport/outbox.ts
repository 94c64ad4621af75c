import { native } from '../binding.ts';
import type { Connections } from './connections.ts';
import type { Connector } from './connector.ts';
import { isSecure } from './transport.ts';
import type { StreamTransport } from './transport.ts';

const { outgoing: OUTGOING, transports: TRANSPORTS } = native.constants;

/** Messages that are sent before others on the event loop have their turn. */
const MOST_AT_ONCE = 256;

/** Takes what threads have to send by connections, and sends it. */
export class Outbox {
  readonly #channel: number;
  readonly #connections: Connections;
  readonly #connector: Connector;
  readonly #about = new Uint32Array(OUTGOING.words);

  constructor(channel: number, connections: Connections, connector: Connector) {
    this.#channel = channel;
    this.#connections = connections;
    this.#connector = connector;
  }

  /** Sends some of what waits; the addon calls again while something does. */
  readonly send = (): void => {
    for (let left = MOST_AT_ONCE; left > 0 && this.#sendOne(); left -= 1);
  };

  /** Sends all that waits. */
  sendAll(): void {
    while (this.#sendOne());
  }

  #sendOne(): boolean {
    const about = this.#about;
    const taken = native.streamTake(this.#channel, about);
    if (taken === null) return false;
    const nameBytes = about[OUTGOING.nameBytes]!;
    const bytes = nameBytes === 0 ? taken : taken.subarray(nameBytes);
    const connection = this.#connections.ofFlow(about[OUTGOING.flow]!);
    if (connection !== undefined) {
      connection.send(bytes);
      return true;
    }
    // A connection that is gone, or none yet: to where the native layer says (RFC 3261 section 18.2.2 for replies).
    const transport = TRANSPORTS[about[OUTGOING.transport]!] as StreamTransport;
    this.#connector.send(
      {
        transport,
        host: native.streamHost(about),
        port: about[OUTGOING.port]!,
        // Without TLS a connection serves whatever name its place goes by.
        serverName: isSecure(transport) ? taken.toString('latin1', 0, nameBytes) : '',
        socket: about[OUTGOING.socket]!,
      },
      bytes,
    );
    return true;
  }
}
