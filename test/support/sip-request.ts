import { randomBytes } from 'node:crypto';

/** What a test may say about a request; everything left out gets a fresh or a usual value. */
export interface RequestOptions {
  /** `INVITE` when not given. */
  method?: string;
  /** User part of the request URI. */
  user?: string;
  /** Parameters of the request URI, with the leading semicolon: `;d=500`. */
  params?: string;
  /** The whole request URI, in place of user, target and params. */
  ruri?: string;
  /** Host and port in Via; the client's own address when not given. */
  sentBy?: string;
  branch?: string;
  /** The whole value of the top Via, in place of sentBy and branch. */
  via?: string;
  callId?: string;
  cseq?: number;
  fromUser?: string;
  fromTag?: string;
  toUser?: string;
  toTag?: string;
  maxForwards?: number;
  /** The URI in Contact; the client's own address when not given. */
  contact?: string;
  /** Whole extra header lines, without line ends. */
  headers?: readonly string[];
  body?: string;
  contentType?: string;
}

/** A request with all values settled, from which ACK, CANCEL and in-dialog requests are made. */
export type Request = Required<Omit<RequestOptions, 'user' | 'params'>>;

export const token = (): string => randomBytes(8).toString('hex');

/** A branch as RFC 3261 wants it: with the magic cookie. */
export const newBranch = (): string => `z9hG4bK${token()}`;

/** Settles every value of a request that goes from `own` to `target`, both written `host:port`. */
export function settleRequest(options: RequestOptions, own: string, target: string): Request {
  const { user = 'alice', params = '', ...given } = options;
  const sentBy = given.sentBy ?? own;
  const branch = given.branch ?? newBranch();
  return {
    method: 'INVITE',
    ruri: `sip:${user}@${target}${params}`,
    via: `SIP/2.0/UDP ${sentBy};branch=${branch};rport`,
    callId: `${token()}@client.invalid`,
    cseq: 1,
    fromUser: 'caller',
    fromTag: token(),
    toUser: user,
    toTag: '',
    maxForwards: 70,
    contact: `sip:${given.fromUser ?? 'caller'}@${sentBy}`,
    headers: [],
    body: '',
    contentType: 'text/plain',
    ...given,
    sentBy,
    branch,
  };
}

/** The bytes of a request as text, with the mandatory headers of RFC 3261 section 8.1.1. */
export function formatRequest(request: Request): string {
  const contact = ['INVITE', 'SUBSCRIBE', 'REFER', 'UPDATE'].includes(request.method);
  const lines = [
    `${request.method} ${request.ruri} SIP/2.0`,
    `Via: ${request.via}`,
    `Max-Forwards: ${request.maxForwards}`,
    `From: <sip:${request.fromUser}@client.invalid>;tag=${request.fromTag}`,
    `To: <sip:${request.toUser}@proxy.invalid>${request.toTag ? `;tag=${request.toTag}` : ''}`,
    `Call-ID: ${request.callId}`,
    `CSeq: ${request.cseq} ${request.method}`,
    ...(contact ? [`Contact: <${request.contact}>`] : []),
    ...request.headers,
    ...(request.body ? [`Content-Type: ${request.contentType}`] : []),
    `Content-Length: ${Buffer.byteLength(request.body)}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${request.body}`;
}

/** The ACK for a final response: within the INVITE's transaction for a refusal, on its own for a 2xx. */
export function ackFor(invite: Request, final: { status: number; toTag: string; contact: string }): Request {
  const ack: Request = { ...invite, method: 'ACK', toTag: final.toTag, body: '' };
  if (final.status >= 300) return ack;
  const branch = newBranch();
  const ruri = /<([^>]+)>/.exec(final.contact)?.[1] ?? invite.ruri;
  return { ...ack, ruri, branch, via: `SIP/2.0/UDP ${invite.sentBy};branch=${branch};rport` };
}

/** The CANCEL of a request: same Via, URI, Call-ID and CSeq number, no tag in To. */
export function cancelFor(invite: Request): Request {
  return { ...invite, method: 'CANCEL', toTag: '', body: '' };
}
