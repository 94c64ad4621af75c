import { isIPv4, isIPv6 } from 'node:net';
import type { Faults, Path } from './faults.ts';
import { describeValue, mismatch, quote } from './faults.ts';
import { LIMITS } from './limits.ts';
import { didYouMean } from './nearest.ts';

/** A socket to be bound; an IPv6 host stands without its brackets, port 0 means any free port. */
export interface ListenAddress {
  transport: 'udp';
  host: string;
  port: number;
}

const SHAPE = "an address as 'udp:127.0.0.1:5060' or 'udp:[::1]:5060'";
const LATER_TRANSPORTS = ['tcp', 'tls', 'ws', 'wss'];
const HOSTNAME = /^(?=.{1,253}$)[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*$/i;

/** The host without brackets, or `null` when it is neither an address nor a host name. */
export function bareHost(text: string): string | null {
  if (text.startsWith('[') && text.endsWith(']')) {
    const inner = text.slice(1, -1);
    return isIPv6(inner) ? inner : null;
  }
  // What ends in a number is meant to be an IPv4 address, and 300.1.1.1 is none.
  const looksNumeric = /(^|\.)\d+$/.test(text);
  return (looksNumeric ? isIPv4(text) : HOSTNAME.test(text)) ? text : null;
}

/** Reads one address; what is wrong with it comes back as text. */
export function parseListen(input: unknown): ListenAddress | string {
  if (typeof input !== 'string') return mismatch(SHAPE, input);
  const match = /^([a-z]+):(.*):(\d+)$/is.exec(input);
  const scheme = /^([a-z]+):/i.exec(input)?.[1]?.toLowerCase();
  if (scheme === undefined) return mismatch(SHAPE, input);
  if (LATER_TRANSPORTS.includes(scheme)) return `transport ${scheme} is not supported yet`;
  // Anything before the first colon of "localhost:5060" would pass for a transport.
  if (match === null) return mismatch(SHAPE, input);
  if (scheme !== 'udp') {
    return `unknown transport ${scheme} in ${quote(input)}${didYouMean(scheme, ['udp', ...LATER_TRANSPORTS])}`;
  }
  const hostText = match[2]!;
  const port = Number(match[3]);
  if (isIPv6(hostText)) return `an IPv6 address stands in brackets: udp:[${hostText}]:${match[3]}`;
  const host = bareHost(hostText);
  if (host === null) return `expected a host name or an IP address, got ${describeValue(hostText)}`;
  if (port > LIMITS.port.max) return `expected a port from 0 to ${LIMITS.port.max}, got ${match[3]}`;
  return { transport: 'udp', host, port };
}

/** Reads `listen`: an array of addresses, or a single one. */
export function readListen(input: unknown, path: Path, faults: Faults): ListenAddress[] {
  const list: unknown[] = Array.isArray(input) ? input : [input];
  if (list.length === 0) faults.add(path, 'expected at least one address, got an empty array');
  const addresses: ListenAddress[] = [];
  const taken = new Set<string>();
  for (const [index, entry] of list.entries()) {
    const entryPath = Array.isArray(input) ? [...path, index] : path;
    const address = parseListen(entry);
    if (typeof address === 'string') {
      faults.add(entryPath, address);
      continue;
    }
    const endpoint = `${address.host.toLowerCase()} ${address.port}`;
    // Sockets share their port among the children, so that the kernel would not refuse a doubled one.
    if (address.port !== 0 && taken.has(endpoint)) faults.add(entryPath, 'the address is listed already');
    taken.add(endpoint);
    addresses.push(address);
  }
  return addresses;
}
