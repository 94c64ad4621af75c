import { isIP, isIPv6 } from 'node:net';
import * as z from 'zod';
import type { Faults, Path } from './faults.ts';
import { mismatch } from './faults.ts';
import { bareHost } from './listen.ts';
import { LIMITS } from './limits.ts';
import { integer, readObject, text } from './read.ts';

/** A host, with a port or for any. */
export interface HostAndPort {
  host: string;
  /** 0: any. */
  port: number;
}

/** Name servers to ask in place of the system's, and how long. */
export interface DnsConfig {
  servers?: string[];
  timeoutMs?: number;
}

const ALIAS = "a host or host:port, as 'sip.example.com:5060'";

/** Reads one alias; `null` when it is none. */
function parseAlias(input: unknown): HostAndPort | null {
  if (typeof input !== 'string') return null;
  const match = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(input);
  const host = match === null ? null : bareHost(match[1]!);
  if (match === null || host === null) return null;
  const port = match[2] === undefined ? 0 : Number(match[2]);
  if (match[2] !== undefined && (port < 1 || port > LIMITS.port.max)) return null;
  return { host, port };
}

/** Reads `alias`: an array of names, or a single one. */
export function readAliases(input: unknown, path: Path, faults: Faults): HostAndPort[] {
  const list: unknown[] = Array.isArray(input) ? input : [input];
  return list.flatMap((entry, index) => {
    const alias = parseAlias(entry);
    if (alias !== null) return [alias];
    faults.add(Array.isArray(input) ? [...path, index] : path, mismatch(ALIAS, entry));
    return [];
  });
}

/** Reads `advertise`: a host without a port. */
export function readAdvertise(input: unknown, path: Path, faults: Faults): string | null {
  const host = typeof input === 'string' ? bareHost(input) : null;
  if (host === null) faults.add(path, mismatch('a host name or an IP address, without a port', input));
  return host !== null && isIPv6(host) ? `[${host}]` : host;
}

const dnsSchema = z.strictObject({
  servers: z.array(text("the address of a name server, as '192.0.2.53' or '192.0.2.53:5353'")).optional(),
  timeout: integer(LIMITS.dnsTimeoutMs).optional(),
});

/** Reads `dns`. */
export function readDns(input: unknown, path: Path, faults: Faults): DnsConfig {
  const { servers, timeout } = readObject(dnsSchema, input, path, faults) as z.output<typeof dnsSchema>;
  for (const [index, server] of (servers ?? []).entries()) {
    const bare = /^\[(.+)\](?::\d{1,5})?$/.exec(server)?.[1] ?? /^([^:]+)(?::\d{1,5})?$/.exec(server)?.[1] ?? server;
    if (isIP(bare) === 0) faults.add([...path, 'servers', index], mismatch('the IP address of a name server', server));
  }
  return { ...(servers && { servers }), ...(timeout !== undefined && { timeoutMs: timeout }) };
}
