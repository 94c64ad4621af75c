import { parameter } from './sip-message.ts';
import type { SipMessage } from './sip-message.ts';
import { newBranch } from './sip-request.ts';
import type { Request, RequestOptions } from './sip-request.ts';

const uriIn = (contact: string) => /<([^>]+)>/.exec(contact)![1]!;

/** What a request of the caller within the dialog has: the route set is what the 2xx says, the other way round. */
export function within(invite: Request, final: SipMessage, options: RequestOptions): RequestOptions {
  const { callId, fromTag, fromUser, toUser } = invite;
  const routes = [...(final.headers.get('record-route') ?? [])].reverse().map((route) => `Route: ${route}`);
  return {
    callId, fromTag, fromUser, toUser, toTag: parameter(final.header('to'), 'tag'),
    ruri: uriIn(final.header('contact')), headers: routes, ...options,
  };
}

/** A request of the callee within the dialog of an INVITE that it got; `via` is the value of its Via without a branch. */
export function backward(invite: SipMessage, tag: string, method: string, via: string): string {
  const routes = invite.headers.get('record-route')!.map((route) => `Route: ${route}`);
  return [
    `${method} ${uriIn(invite.header('contact'))} SIP/2.0`,
    `Via: ${via};branch=${newBranch()}`,
    'Max-Forwards: 70',
    ...routes,
    `From: ${invite.header('to')};tag=${tag}`,
    `To: ${invite.header('from')}`,
    `Call-ID: ${invite.header('call-id')}`,
    `CSeq: 9 ${method}`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}
