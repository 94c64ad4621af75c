/** The transports of SIP that a destination can have. */
export type TransportName = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

/** An address that a request can be sent to. */
export interface Destination {
  readonly transport: TransportName;
  /** Numeric; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The port where none is given: RFC 3261 section 19.1.2, RFC 7118 section 5 for WebSocket. */
export const DEFAULT_PORT = { udp: 5060, tcp: 5060, tls: 5061, ws: 80, wss: 443 } as const satisfies Record<
  TransportName,
  number
>;

/** The names of all transports, in no order of preference. */
export const TRANSPORT_NAMES = Object.keys(DEFAULT_PORT) as readonly TransportName[];

/** Whether nobody on the way can read the message, as a `sips:` URI demands. */
export function isSecure(transport: TransportName): boolean {
  return transport === 'tls' || transport === 'wss';
}

/** The destinations in the order in which they are to be tried: none twice, and never more than {@link MOST}. */
export class DestinationList {
  /** RFC 3263 has no bound; a caller would not wait for a ninth attempt. */
  static readonly MOST = 8;
  readonly #list: Destination[] = [];

  get all(): readonly Destination[] {
    return this.#list;
  }

  get isFull(): boolean {
    return this.#list.length >= DestinationList.MOST;
  }

  add(transport: TransportName, host: string, port: number): void {
    const same = (other: Destination) => other.transport === transport && other.host === host && other.port === port;
    if (!this.isFull && !this.#list.some(same)) this.#list.push({ transport, host, port });
  }
}
