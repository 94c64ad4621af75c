import { isIPv4, isIPv6 } from 'node:net';
import { quote } from '../config/faults.ts';
import { TRANSPORT_NAMES } from './destination.ts';
import type { TransportName } from './destination.ts';

/** What a target says about where to send, before DNS is asked. */
export interface Target {
  /** In lower case, without brackets and without the dot of the root; that of `maddr` if there is one. */
  readonly host: string;
  /** Whether `host` is an IPv4 address, an IPv6 address, or (0) a name. */
  readonly family: 0 | 4 | 6;
  readonly port: number | undefined;
  /** As the target names it; `tcp` and `ws` of a `sips:` URI stand as `tls` and `wss`. */
  readonly transport: TransportName | undefined;
  /** Whether it is a `sips:` URI. */
  readonly secure: boolean;
}

interface HostPort {
  readonly host: string;
  readonly family: 0 | 4 | 6;
  readonly port: number | undefined;
}

const LONGEST_NAME = 253;
const LONGEST_ADDRESS = 45;

// "tel:5551234" is no host named tel.
const FOREIGN_SCHEMES = new Set(
  'cid data dtls fax ftp h323 http https im isbn ldap mailto mid modem pres sctp sms smsto tel tftp urn xmpp'.split(' '),
);

// All of these test one character after the other, so that their time is linear.
const VISIBLE = /^[\x21\x23-\x3b\x3d\x3f-\x7e]+$/; // no control character, space, quote or angle bracket
const BROKEN_ESCAPE = /%(?![\da-f]{2})/i;
const PARAMETER_WORD = /^[\w\-.!~*'()[\]/:&+$%]+$/;
const HEADERS = /^[\w\-.!~*'()[\]/?:+$%&=]+$/;
const LABEL = /^[a-z\d_-]{1,63}$/;
// What the system's functions would take for a number, and so for a part of an IPv4 address: 1, 017, 0x7f.
const NUMBER = /^(\d+|0x[\da-f]*)$/;

/**
 * Whether DNS can be asked for the name; it stands in lower case. An underscore is allowed, as DNS allows it and container
 * networks use it, although RFC 3261 does not.
 */
export function isHostName(name: string): boolean {
  if (name.length > LONGEST_NAME) return false;
  const labels = name.split('.');
  if (NUMBER.test(labels.at(-1)!)) return false;
  return labels.every((label) => LABEL.test(label) && !label.startsWith('-') && !label.endsWith('-'));
}

function isAddress6(text: string): boolean {
  // A zone (%eth0) is of this machine only, and RFC 3261 does not allow it in a URI.
  return text.length <= LONGEST_ADDRESS && isIPv6(text) && !text.includes('%');
}

/** Reads a host without a port. */
function readHost(text: string): { host: string; family: 0 | 4 | 6 } | null {
  if (text.startsWith('[') && text.endsWith(']')) {
    const inner = text.slice(1, -1);
    return isAddress6(inner) ? { host: inner.toLowerCase(), family: 6 } : null;
  }
  if (text.length > LONGEST_NAME + 1) return null;
  if (isIPv4(text)) return { host: text, family: 4 };
  const lower = text.toLowerCase();
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  return isHostName(name) ? { host: name, family: 0 } : null;
}

/** Reads `host` or `host:port`; what is wrong with it comes back as text. */
function readHostPort(text: string): HostPort | string {
  // The colons of an IPv6 address are not that of the port.
  const hostEnd = text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':');
  const hostText = hostEnd <= 0 ? text : text.slice(0, hostEnd);
  const portText = hostEnd <= 0 ? '' : text.slice(hostEnd);
  if (isAddress6(text)) return `an IPv6 address stands in brackets: [${text}]`;
  const host = readHost(hostText);
  if (host === null) return `${quote(hostText)} is neither a host name nor an IP address`;
  if (portText === '') return { ...host, port: undefined };
  const port = /^:\d{1,5}$/.test(portText) ? Number(portText.slice(1)) : 0;
  if (port < 1 || port > 65_535) return `${quote(portText.slice(1))} is no port from 1 to 65535`;
  return { ...host, port };
}

/** The parameters in lower case by name, from `;a=b;c`; what is wrong with them comes back as text. */
function readParameters(text: string): Map<string, string> | string {
  const parameters = new Map<string, string>();
  if (text === '') return parameters;
  for (const parameter of text.slice(1).split(';')) {
    const equals = parameter.indexOf('=');
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    const value = equals < 0 ? '' : parameter.slice(equals + 1);
    if (!PARAMETER_WORD.test(name)) return `${quote(parameter)} is no parameter`;
    if (equals >= 0 && !PARAMETER_WORD.test(value)) return `${quote(parameter)} is no parameter`;
    const key = name.toLowerCase();
    if (parameters.has(key)) return `the parameter ${quote(key)} is there twice`;
    parameters.set(key, value.toLowerCase());
  }
  return parameters;
}

function readTransport(name: string, secure: boolean): { transport: TransportName } | string {
  const transport = TRANSPORT_NAMES.find((known) => known === name);
  if (transport === undefined) return `unsupported transport ${quote(name)}`;
  if (!secure) return { transport };
  // RFC 3261 section 26.2.2: the parameter names what TLS runs over, and that cannot be UDP.
  if (transport === 'udp') return 'a sips URI cannot be reached by udp';
  return { transport: transport === 'tcp' ? 'tls' : transport === 'ws' ? 'wss' : transport };
}

/** Reads what stands behind `sip:` or `sips:` (RFC 3261 section 19.1.1). */
function readSipUri(text: string, secure: boolean): Target | string {
  if (!VISIBLE.test(text)) return 'malformed URI: a host is missing, or there are characters that must be escaped';
  if (BROKEN_ESCAPE.test(text)) return 'malformed URI: a % stands without its two hexadecimal digits';
  const at = text.indexOf('@');
  if (at === 0 || at !== text.lastIndexOf('@')) return 'malformed URI: no user before @, or more than one @';
  const place = text.slice(at + 1);
  const headersAt = place.indexOf('?');
  const beforeHeaders = headersAt < 0 ? place : place.slice(0, headersAt);
  if (headersAt >= 0 && !HEADERS.test(place.slice(headersAt + 1))) return 'malformed URI: the part after ? has no headers';
  const parametersAt = beforeHeaders.indexOf(';');
  const hostPort = readHostPort(parametersAt < 0 ? beforeHeaders : beforeHeaders.slice(0, parametersAt));
  if (typeof hostPort === 'string') return `malformed URI: ${hostPort}`;
  const parameters = readParameters(parametersAt < 0 ? '' : beforeHeaders.slice(parametersAt));
  if (typeof parameters === 'string') return `malformed URI: ${parameters}`;

  const maddr = parameters.get('maddr');
  const host = maddr === undefined ? hostPort : readHost(maddr);
  if (host === null) return `malformed URI: maddr ${quote(maddr!)} is neither a host name nor an IP address`;
  const where = { host: host.host, family: host.family, port: hostPort.port, secure };
  const name = parameters.get('transport');
  if (name === undefined) return { ...where, transport: undefined };
  const read = readTransport(name, secure);
  return typeof read === 'string' ? read : { ...where, ...read };
}

/**
 * Reads where a request is to go: a `sip:` or `sips:` URI, or `host`, `host:port`, `udp:host` or `udp:host:port` (and so for
 * the other transports). An IPv6 address stands in brackets everywhere. What is wrong comes back as text.
 *
 * The user part is not looked at but for its escapes, as it says nothing about where to send; users like `*21#` are common
 * although RFC 3261 wants the `#` escaped. The time is linear in the length of the text.
 */
export function parseTarget(text: string): Target | string {
  const colon = text.startsWith('[') ? -1 : text.indexOf(':');
  const scheme = colon < 0 ? '' : text.slice(0, colon).toLowerCase();
  if (scheme === 'sip' || scheme === 'sips') return readSipUri(text.slice(colon + 1), scheme === 'sips');
  const transport = TRANSPORT_NAMES.find((known) => known === scheme);
  if (FOREIGN_SCHEMES.has(scheme)) return `unsupported scheme ${scheme}`;
  const hostPort = readHostPort(transport === undefined ? text : text.slice(colon + 1));
  if (typeof hostPort === 'string') return `neither a SIP URI nor a host: ${hostPort}`;
  return { ...hostPort, transport, secure: false };
}
