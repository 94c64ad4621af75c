/**
 * The address of a bound socket. It is a string, `udp:127.0.0.1:5060`, as `listen` takes it and the command line prints
 * it, and has its parts as properties.
 */
export class BoundAddress extends String {
  readonly transport: string;
  /** Numeric; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;

  constructor(transport: string, host: string, port: number) {
    super(`${transport}:${host.includes(':') ? `[${host}]` : host}:${port}`);
    this.transport = transport;
    this.host = host;
    this.port = port;
  }

  /** The same as {@link host}, under the name that `socket.address()` gives it. */
  get address(): string {
    return this.host;
  }
}
