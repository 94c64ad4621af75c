// What is used of the npm package `sip`, with the types it does not bring. Its own transport and transaction layer are left
// out: they write each reply anew for every retransmission and send none of their own accord before the route has replied.
import { createRequire } from 'node:module';

/**
 * @typedef {object} Via
 * @property {string} version
 * @property {string} protocol
 * @property {string} host
 * @property {number} [port]
 * @property {Record<string, string | number | null>} params
 */

/** @typedef {{ name?: string, uri: string, params: Record<string, string | null> }} NameAddr */

/**
 * @typedef {{ via: Via[], to: NameAddr, from: NameAddr, 'call-id': string, cseq: { seq: number, method: string } } &
 *   Record<string, any>} Headers
 */

/**
 * @typedef {object} SipMessage a request has `method` and `uri`, a response `status` and `reason`
 * @property {string} [method]
 * @property {string} [uri]
 * @property {number} [status]
 * @property {string} [reason]
 * @property {string} [version]
 * @property {Headers} headers
 * @property {string} [content]
 */

/**
 * @type {{
 *   parse(text: string): SipMessage | undefined,
 *   stringify(message: SipMessage): string,
 *   makeResponse(request: SipMessage, status: number, reason: string): SipMessage,
 * }}
 */
const sip = createRequire(import.meta.url)('sip');

export const { stringify, makeResponse } = sip;

/**
 * @param {string} text
 * @returns {SipMessage | undefined} nothing for what is no SIP message or lacks a header that every message has
 */
export function parse(text) {
  try {
    const message = sip.parse(text);
    const headers = message?.headers;
    const complete = headers?.via?.[0]?.host && headers.to && headers.from && headers['call-id'] && headers.cseq;
    return complete ? message : undefined;
  } catch {
    return undefined;
  }
}
