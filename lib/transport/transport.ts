/** The transports that `listen` takes. */
export const TRANSPORTS = ['udp', 'tcp', 'tls', 'ws', 'wss'] as const;

/** How a message travels. */
export type Transport = (typeof TRANSPORTS)[number];

/** A transport with connections. */
export type StreamTransport = Exclude<Transport, 'udp'>;

/** Whether the transport is encrypted, and so wants a certificate. */
export function isSecure(transport: Transport): boolean {
  return transport === 'tls' || transport === 'wss';
}
