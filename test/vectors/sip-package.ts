import { closed, dropped, refused, request, route, vectors, withLines } from './vector.ts';
import type { Row } from './vector.ts';

// What ends or stalls a process that hands its messages to the `sip` package as they come. All of it reaches the route,
// unless the index refuses it, and `msg.parsed` throws NOT_INDEXED or gives an object there.
const via = (value: string) => request({ via: value });
const good = 'SIP/2.0/UDP client.invalid;branch=z9hG4bK{id};rport';

const rows: Row[] = [
  ['a Via parameter __proto__ without a value', via(`${good};__proto__`), route],
  ['a Via parameter __proto__ with a value', via(`${good};__proto__=x`), route],
  ['a Via parameter constructor', via(`${good};constructor`), route],
  ['a Via parameter hasOwnProperty', via(`${good};hasOwnProperty`), route],
  ['a Via parameter hasOwnProperty with a value', via(`${good};hasOwnProperty=1`), route],
  ['a Via parameter toString', via(`${good};toString=1`), route],
  ['a Via parameter __defineGetter__', via(`${good};__defineGetter__`), route],
  ['a lower Via with __proto__', withLines('Via: SIP/2.0/UDP h;__proto__'), route],
  ['a From parameter __proto__', request({ from: '<sip:a@b.invalid>;__proto__;tag=1' }), route],
  ['a To parameter __PROTO__', request({ to: '<sip:a@b.invalid>;__PROTO__=x' }), route],
  ['a Contact parameter __proto__', withLines('Contact: <sip:a@b.invalid>;__proto__'), route],
  ['a URI parameter __proto__', request({ uri: 'sip:a@b.invalid;__proto__' }), route],
  ['a URI header __proto__', request({ uri: 'sip:a@b.invalid?__proto__=x' }), route],
  ['a credential __proto__', withLines('Authorization: Digest __proto__="x"'), route],
  ['a challenge constructor', withLines('WWW-Authenticate: Digest constructor=x, realm="y"'), route],
  ['a request URI with a port of 99999', request({ uri: 'sip:a@b.invalid:99999' }), refused('badUri')],
  ['a Contact with a port of 99999', withLines('Contact: <sip:a@b.invalid:99999>'), route],
  ['a Route with a port of 99999', withLines('Route: <sip:b.invalid:99999;lr>'), route],
  ['a Record-Route of http', withLines('Record-Route: <http://x>'), route],
  ['a Record-Route of a star', withLines('Record-Route: *'), route],
  ['an empty Record-Route', withLines('Record-Route:'), route],
  ['a Record-Route of commas', withLines('Record-Route: ,,,'), route],
  ['a Path of IPv6', withLines('Path: <sip:[::1];lr>'), route],
  ['a Route without angles', withLines('Route: sip:h.invalid;lr'), route],
  ['a Route that is a word', withLines('Route: x'), route],
  ['a To of an angle and 1,000 spaces', request({ to: `<${' '.repeat(1000)}` }), refused('badFromTo')],
  ['a To of an angle and 4,000 spaces', request({ to: `<${' '.repeat(4000)}` }), refused('badFromTo')],
  ['a Contact of an angle and 4,000 spaces', withLines(`Contact: <${' '.repeat(4000)}`), route],
  ['a Contact of an angle in quotes and 4,000 spaces', withLines(`Contact: "<${' '.repeat(4000)}" <sip:a@b.invalid>`), route],
  ['a Refer-To of an angle and 4,000 spaces', withLines(`Refer-To: <${' '.repeat(4000)}`), route],
  ['8,000 spaces in a value', withLines(`Subject: a${' '.repeat(8000)}b`), route],
  ['60,000 bytes of white space over lines', withLines(...Array<string>(7).fill(`X: a${' '.repeat(8000)}b`)), route],
  ['60,000 bytes of folds over lines', withLines(...Array<string>(8).fill(`X: a${'\r\n '.repeat(2500)}b`)), route],
  ['60,000 spaces in one line', withLines(`X: a${' '.repeat(60_000)}b`), refused('tooLarge', 513)],
  ['credentials of 8,000 letters', withLines(`Authorization: Digest ${'a'.repeat(8000)}`), route],
  ['twenty lines of credentials', withLines(...Array<string>(20).fill(`Authorization: Digest a="${'b'.repeat(2000)}"`)), route],
  ['a Content-Length of letters', request({ length: 'abc' }), refused('badContentLength'), closed(400)],
  ['a header name with an escaped line end', withLines('X%0d%0aY: z'), route],
  ['a header name with an escape of four digits', withLines('X%u000d%u000aY: z'), route],
  ['a method with an escaped line end', request({ method: 'OPTIONS%0d%0aX:' }), dropped('badStartLine')],
  ['a method with an escaped line end and no colon', request({ method: 'OPTIONS%0d%0aX' }), route],
  ['a header named constructor', withLines('constructor: x'), route],
  ['a header named __proto__', withLines('__proto__: x'), route],
  ['a header named prototype', withLines('prototype: x'), route],
  ['a header named hasOwnProperty', withLines('hasOwnProperty: x'), route],
  ['a header named toString', withLines('tostring: x'), route],
  ['a header named valueOf', withLines('ValueOf: x'), route],
  ['a header named e', withLines('e: gzip'), route],
  ['a Contact of a star', withLines('Contact: *'), route],
  ['a Contact of a star in a REGISTER', request({ method: 'REGISTER', more: ['Contact: *'] }), route],
  ['a Contact of two stars', request({ method: 'REGISTER', more: ['Contact: *', 'Contact: *'] }), route],
  ['a header whose name is a number', withLines('0: x'), route],
  ['a header named length', withLines('length: 5'), route],
  ['a bare line feed, which that parser takes for text', withLines('X: a\nY: b'), route],
  ['a quoted line end', withLines('X: "a\\\r\n b"'), route],
  ['128 values in a Contact', withLines(`Contact: ${Array<string>(128).fill('<sip:a@b.invalid>').join(',')}`), route],
  ['400 values in a Contact', withLines(`Contact: ${Array<string>(400).fill('<sip:a@b.invalid>').join(',')}`), route],
];

/** Many messages in one datagram: the package's stream parser takes a stack frame for each. */
export const endless = `x\r\n\r\n`.repeat(11_990);

export const sipPackage = vectors('sip package', rows);
