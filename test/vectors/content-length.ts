import { dropped, refused, request, route, vectors, withLines } from './vector.ts';
import type { Row, StreamOutcome } from './vector.ts';

const length = (value: string | null, body = 'body') => request({ length: value, body, more: ['Content-Type: text/plain'] });
/** Where a message ends cannot be told any more, nor where the next begins. */
const closed: StreamOutcome = { is: 'closed', status: 400 };
const incomplete: StreamOutcome = { is: 'incomplete' };

const rows: Row[] = [
  ['as long as the body', length('4'), route],
  ['with zeros before it', length('00000000004'), route],
  ['compact', request({ length: null, more: ['l: 4'], body: 'body' }), route],
  ['in a fold', request({ length: null, more: ['Content-Length:\r\n 4\r\n '], body: 'body' }), route],
  ['none: all that follows is the body', length(null), route, closed],
  ['none and no body', length(null, ''), route, closed],
  ['shorter than the datagram', length('2'), route, { is: 'route' }],
  ['0, and a whole message behind it', request({ body: '', length: '0\r\n\r\nOPTIONS sip:b@c.invalid SIP/2.0' }), route],
  ['longer than the datagram', length('5'), refused('badContentLength'), incomplete],
  ['the largest', length('4294967295'), refused('badContentLength'), { is: 'closed', status: 513 }],
  ['one more than the largest', length('4294967296'), refused('badContentLength'), closed],
  ['beyond 64 bits', length('18446744073709551620'), refused('badContentLength'), closed],
  ['a thousand digits', length('9'.repeat(1000)), refused('badContentLength'), closed],
  ['negative', length('-1'), refused('badContentLength'), closed],
  ['negative zero', length('-0'), refused('badContentLength'), closed],
  ['with a plus', length('+4'), refused('badContentLength'), closed],
  ['in hexadecimal', length('0x4'), refused('badContentLength'), closed],
  ['in scientific notation', length('4e0'), refused('badContentLength'), closed],
  ['with a point', length('4.0'), refused('badContentLength'), closed],
  ['a word', length('abc'), refused('badContentLength'), closed],
  ['empty', length(''), refused('badContentLength'), closed],
  ['two numbers', length('4 4'), refused('badContentLength'), closed],
  ['a list', length('4, 4'), refused('badContentLength'), closed],
  ['a parameter', length('4;x=y'), refused('badContentLength'), closed],
  ['in Arabic-Indic digits', length('\xd9\xa4'), refused('badContentLength'), closed],
  ['two that are equal', withLines('Content-Length: 0'), refused('repeatedHeader'), closed],
  ['two that differ', request({ more: ['Content-Length: 2', 'Content-Type: text/plain'], body: 'body' }),
    refused('repeatedHeader'), closed],
  ['one long and one compact', withLines('l: 0'), refused('repeatedHeader'), closed],
  ['a NUL', length('4\0'), refused('badHeader'), closed],
  ['in a response, longer than the datagram', request({ start: 'SIP/2.0 200 OK', length: '5', body: 'body' }),
    dropped('badContentLength'), incomplete],
  ['a body of NULs', length('8', '\0'.repeat(8)), route],
  ['a body that looks like headers', length('30', '\r\nVia: x\r\n\r\nContent-Length: 5\r\n'), route],
];

export const contentLength = vectors('Content-Length', rows);
