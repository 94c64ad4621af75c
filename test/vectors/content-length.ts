import { closed, dropped, incomplete, refused, request, route, vectors, withLines } from './vector.ts';
import type { Row } from './vector.ts';

const length = (value: string | null, body = 'body') => request({ length: value, body, more: ['Content-Type: text/plain'] });
/** Where a message ends cannot be told any more, nor where the next begins. */
const cut = closed(400);
/** It can be told, but nobody waits for that. */
const tooLong = closed(513);

const rows: Row[] = [
  ['as long as the body', length('4'), route],
  ['with zeros before it', length('00000000004'), route],
  ['compact', request({ length: null, more: ['l: 4'], body: 'body' }), route],
  ['in a fold', request({ length: null, more: ['Content-Length:\r\n 4\r\n '], body: 'body' }), route],
  ['none: all that follows is the body', length(null), route, cut],
  ['none and no body', length(null, ''), route, cut],
  ['shorter than the datagram', length('2'), route, [route, incomplete]],
  ['0, and the start of another behind it', request({ body: '', length: '0\r\n\r\nOPTIONS sip:b@c.invalid SIP/2.0' }), route,
    [route, closed()]],
  ['longer than the datagram', length('5'), refused('badContentLength'), incomplete],
  ['the largest', length('4294967295'), refused('badContentLength'), tooLong],
  ['one more than the largest', length('4294967296'), refused('badContentLength'), tooLong],
  ['beyond 64 bits', length('18446744073709551620'), refused('badContentLength'), tooLong],
  ['a thousand digits', length('9'.repeat(1000)), refused('badContentLength'), tooLong],
  ['negative', length('-1'), refused('badContentLength'), cut],
  ['negative zero', length('-0'), refused('badContentLength'), cut],
  ['with a plus', length('+4'), refused('badContentLength'), cut],
  ['in hexadecimal', length('0x4'), refused('badContentLength'), cut],
  ['in scientific notation', length('4e0'), refused('badContentLength'), cut],
  ['with a point', length('4.0'), refused('badContentLength'), cut],
  ['a word', length('abc'), refused('badContentLength'), cut],
  ['empty', length(''), refused('badContentLength'), cut],
  ['two numbers', length('4 4'), refused('badContentLength'), cut],
  ['a list', length('4, 4'), refused('badContentLength'), cut],
  ['a parameter', length('4;x=y'), refused('badContentLength'), cut],
  ['in Arabic-Indic digits', length('\xd9\xa4'), refused('badContentLength'), cut],
  ['two that are equal', withLines('Content-Length: 0'), refused('repeatedHeader'), cut],
  ['two that differ', request({ more: ['Content-Length: 2', 'Content-Type: text/plain'], body: 'body' }),
    refused('repeatedHeader'), cut],
  ['one long and one compact', withLines('l: 0'), refused('repeatedHeader'), cut],
  ['a NUL', length('4\0'), refused('badHeader'), cut],
  ['in a response, longer than the datagram', request({ start: 'SIP/2.0 200 OK', length: '5', body: 'body' }),
    dropped('badContentLength'), incomplete],
  ['a body of NULs', length('8', '\0'.repeat(8)), route],
  ['a body that looks like headers', length('30', '\r\nVia: x\r\n\r\nContent-Length: 5\r\n'), route],
];

export const contentLength = vectors('Content-Length', rows);
