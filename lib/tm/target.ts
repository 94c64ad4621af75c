import { checkText } from './arguments.ts';

const TRANSPORT = /^(udp|tcp|tls|ws|wss):(.+)$/i;
// What cannot be in a host, a port or a URI, and would let a target break out of its place.
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\s<>"\u0000-\u001f\u007f]/;

/**
 * The SIP URI that a target stands for: one is one already, `udp:host:port` names the transport, `host:port` does not.
 *
 * @throws TypeError for what is none of these
 */
export function targetUri(target: unknown): string {
  checkText(target, 'target');
  if (target === '' || FORBIDDEN.test(target)) {
    throw new TypeError(`target: expected a SIP URI, 'udp:host:port' or 'host:port', got ${JSON.stringify(target)}`);
  }
  if (/^sips?:/i.test(target)) return target;
  const named = TRANSPORT.exec(target);
  // "tls:5061" is a host named tls only to somebody who means to be misunderstood.
  return named === null ? `sip:${target}` : `sip:${named[2]};transport=${named[1]!.toLowerCase()}`;
}
