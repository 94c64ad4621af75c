import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { createSecureContext, createServer } from 'node:tls';
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls';
import { Faults } from '../config/faults.ts';
import type { TlsConfig } from '../config/streams.ts';

/** Certificates as they are used: PEM text, checked. */
export interface TlsMaterial {
  readonly context: SecureContextOptions;
  readonly requestCert: boolean;
  readonly verifyServer: boolean;
}

/** What outgoing connections go by when there is no `tls`. */
export const DEFAULT_TLS: TlsMaterial = { context: { minVersion: 'TLSv1.2' }, requestCert: false, verifyServer: true };

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Reads the files of a `tls` setting and tries what is in them.
 *
 * @throws SipAsyncError `CONFIG`, with a line for each file that cannot be read or used
 */
export async function loadTls(config: TlsConfig | null): Promise<TlsMaterial> {
  if (config === null) return DEFAULT_TLS;
  const faults = new Faults();
  const context: SecureContextOptions = { minVersion: config.minVersion };
  for (const name of ['key', 'cert', 'ca'] as const) {
    const value = config[name];
    if (value === null) continue;
    try {
      context[name] = value.includes('-----BEGIN') ? value : await readFile(value, 'utf8');
      // A key is only good together with its certificate.
      if (name !== 'key') createSecureContext({ [name]: context[name] });
    } catch (error) {
      faults.add(['tls', name], messageOf(error));
    }
  }
  faults.throwIfAny();
  try {
    createSecureContext(context);
  } catch (error) {
    faults.add(['tls', 'key'], messageOf(error));
  }
  faults.throwIfAny();
  return { context, requestCert: config.requestCert, verifyServer: config.verifyServer };
}

/** Does the TLS handshake, as the server, on connections that others accept. */
export class TlsGate {
  readonly #server: Server;

  constructor(material: TlsMaterial, onOpen: (socket: TLSSocket) => void) {
    this.#server = createServer({
      ...material.context,
      requestCert: material.requestCert,
      rejectUnauthorized: material.requestCert,
    });
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => socket.destroy());
      onOpen(socket);
    });
    // Whoever accepted the connection counts it, and sees it close.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Takes over a connection that nothing was read from. */
  accept(carrier: Socket): void {
    this.#server.emit('connection', carrier);
  }
}
