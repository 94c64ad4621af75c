import * as z from 'zod';
import type { TlsSettings } from '../define-proxy.ts';
import { isSecure } from '../transport/transport.ts';
import type { Faults, Path } from './faults.ts';
import { DEFAULTS, LIMITS } from './limits.ts';
import type { ListenAddress } from './listen.ts';
import { flag, integer, oneOf, text } from './read.ts';

/** What connections may take: times in milliseconds, `null` for no limit. */
export interface StreamConfig {
  maxConnections: number;
  maxConnectionsPerSource: number | null;
  idleMs: number;
  connectMs: number;
  handshakeMs: number;
  messageMs: number;
  sendBufferBytes: number;
}

/** Certificates and how they are checked; `key`, `cert` and `ca` are PEM text or paths. */
export interface TlsConfig {
  key: string | null;
  cert: string | null;
  ca: string | null;
  requestCert: boolean;
  verifyServer: boolean;
  minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** The settings of connections, for the schema of a definition. */
export const streamShape = {
  maxConnections: integer(LIMITS.maxConnections).optional(),
  maxConnectionsPerSource: integer(LIMITS.maxConnections).optional(),
  connectionIdle: integer(LIMITS.connectionSeconds).optional(),
  connectTimeout: integer(LIMITS.connectionSeconds).optional(),
  handshakeTimeout: integer(LIMITS.connectionSeconds).optional(),
  messageTimeout: integer(LIMITS.connectionSeconds).optional(),
  connectionSendBuffer: integer(LIMITS.connectionSendBytes).optional(),
  tls: z
    .strictObject({
      key: text('a private key as PEM text, or the path of one').optional(),
      cert: text('certificates as PEM text, or the path of them').optional(),
      ca: text('certificates as PEM text, or the path of them').optional(),
      requestCert: flag().optional(),
      verifyServer: flag().optional(),
      minVersion: oneOf(['TLSv1.2', 'TLSv1.3']).optional(),
    } satisfies Record<keyof TlsSettings, z.ZodType>)
    .optional(),
};

type StreamSettings = Partial<z.output<z.ZodObject<typeof streamShape>>>;

/** Fills in what the settings leave open. */
export function streamConfig(settings: StreamSettings): StreamConfig {
  return {
    maxConnections: settings.maxConnections ?? DEFAULTS.maxConnections,
    maxConnectionsPerSource: settings.maxConnectionsPerSource ?? null,
    idleMs: 1000 * (settings.connectionIdle ?? DEFAULTS.connectionIdle),
    connectMs: 1000 * (settings.connectTimeout ?? DEFAULTS.connectTimeout),
    handshakeMs: 1000 * (settings.handshakeTimeout ?? DEFAULTS.handshakeTimeout),
    messageMs: 1000 * (settings.messageTimeout ?? DEFAULTS.messageTimeout),
    sendBufferBytes: settings.connectionSendBuffer ?? DEFAULTS.connectionSendBuffer,
  };
}

/** The same for `tls`; `null` when there is none. */
export function tlsConfig(settings: StreamSettings['tls']): TlsConfig | null {
  if (settings === undefined) return null;
  const { key, cert, ca, requestCert, verifyServer, minVersion } = settings;
  return {
    key: key ?? null,
    cert: cert ?? null,
    ca: ca ?? null,
    requestCert: Boolean(requestCert),
    verifyServer: Boolean(verifyServer ?? true),
    minVersion: minVersion ?? 'TLSv1.2',
  };
}

/** Refuses what `tls` and the addresses say together. */
export function checkTls(
  tls: TlsConfig | null,
  tlsPath: Path,
  listen: readonly ListenAddress[],
  listenPath: Path,
  faults: Faults,
): void {
  if (tls !== null) {
    if ((tls.key === null) !== (tls.cert === null)) faults.add(tlsPath, 'key and cert belong together');
    if (tls.requestCert && tls.ca === null) {
      faults.add([...tlsPath, 'requestCert'], 'needs ca, the certificates that clients are checked against');
    }
  }
  const secure = listen.find(({ transport }) => isSecure(transport));
  if (secure !== undefined && (tls === null || (tls.key === null && tls.cert === null))) {
    faults.add(listenPath, `transport ${secure.transport} needs tls.key and tls.cert`);
  }
}
