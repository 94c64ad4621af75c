import { answered, dropped, refused, request, route, vectors, withLines } from './vector.ts';
import type { Row } from './vector.ts';

const cseq = (value: string | null) => request({ cseq: value });
const hops = (value: string | null) => request({ maxForwards: value });
const callId = (value: string | null) => request({ callId: value });

const cseqRows: Row[] = [
  ['0', cseq('0 OPTIONS'), route],
  ['zeros before it', cseq('0000000000000001 OPTIONS'), route],
  ['the largest', cseq('4294967295 OPTIONS'), route],
  ['a fold in the middle', cseq('1\r\n OPTIONS'), route],
  ['a tab in the middle', cseq('1\tOPTIONS'), route],
  ['none', cseq(null), dropped('missingHeader')],
  ['an empty one', cseq(''), dropped('badCseq')],
  ['beyond 32 bits', cseq('4294967296 OPTIONS'), refused('badCseq')],
  ['beyond 64 bits', cseq('18446744073709551617 OPTIONS'), refused('badCseq')],
  ['a thousand digits', cseq(`${'9'.repeat(1000)} OPTIONS`), refused('badCseq')],
  ['negative', cseq('-1 OPTIONS'), refused('badCseq')],
  ['with a plus', cseq('+1 OPTIONS'), refused('badCseq')],
  ['in hexadecimal', cseq('0x1 OPTIONS'), refused('badCseq')],
  ['with a point', cseq('1.0 OPTIONS'), refused('badCseq')],
  ['in Arabic-Indic digits', cseq('\xd9\xa1 OPTIONS'), refused('badCseq')],
  ['a number and no method', cseq('1'), refused('badCseq')],
  ['a method and no number', cseq('OPTIONS'), refused('badCseq')],
  ['the other way round', cseq('OPTIONS 1'), refused('badCseq')],
  ['nothing between them', cseq('1OPTIONS'), refused('badCseq')],
  ['a word behind them', cseq('1 OPTIONS x'), refused('badCseq')],
  ['a parameter', cseq('1 OPTIONS;x=y'), refused('badCseq')],
  ['a method that is no token', cseq('1 OPT@IONS'), refused('badCseq')],
  ['another method', cseq('1 INVITE'), refused('methodMismatch')],
  ['the method in lower case', cseq('1 options'), refused('methodMismatch')],
  ['a prefix of the method', cseq('1 OPTION'), refused('methodMismatch')],
  ['another unknown method', request({ method: 'FOO', cseq: '1 BAR' }), refused('methodMismatch')],
  ['two', withLines('CSeq: 2 OPTIONS'), refused('repeatedHeader')],
  ['two that are equal', withLines('CSeq: 1 OPTIONS'), refused('repeatedHeader')],
  ['a NUL', cseq('1 OPTIONS\0'), dropped('badHeader')],
];

const numberRows: Row[] = [
  ['Max-Forwards of 0', hops('0'), route],
  ['Max-Forwards of 255', hops('255'), route],
  ['Max-Forwards with zeros before it', hops('00070'), route],
  ['no Max-Forwards, as in RFC 2543', hops(null), route],
  ['Max-Forwards of 256', hops('256'), refused('badMaxForwards')],
  ['Max-Forwards of -1', hops('-1'), refused('badMaxForwards')],
  ['Max-Forwards beyond 64 bits', hops('18446744073709551686'), refused('badMaxForwards')],
  ['an empty Max-Forwards', hops(''), refused('badMaxForwards')],
  ['a Max-Forwards of two numbers', hops('1 2'), refused('badMaxForwards')],
  ['a list of Max-Forwards', hops('1, 2'), refused('badMaxForwards')],
  ['a Max-Forwards that is a word', hops('many'), refused('badMaxForwards')],
  ['two of Max-Forwards', withLines('max-forwards: 69'), refused('repeatedHeader')],
  ['an Expires of a hundred digits, which no proxy reads', withLines(`Expires: 1${'0'.repeat(100)}`), route],
  ['a q of 17, which no proxy reads', withLines('Contact: <sip:a@b.invalid>;q=17.0.1'), route],
  ['an RSeq of -1, which no proxy reads', withLines('RSeq: -1'), route],

  ['a Call-ID that is one word', callId('{id}'), route],
  ['a Call-ID of all characters', callId('{id}!%*_+`\'~()<>:\\"/[]?{}@,;='), route],
  ['a Call-ID of 8,000 bytes', callId(`{id}${'x'.repeat(8000)}`), route],
  ['no Call-ID', callId(null), dropped('missingHeader')],
  ['an empty Call-ID', callId(''), dropped('badCallId')],
  ['a Call-ID of two words', callId('{id} two'), refused('badCallId')],
  ['a Call-ID with a fold', callId('{id}\r\n two'), refused('badCallId')],
  ['a Call-ID in UTF-8', callId('{id}\xc3\xa4'), refused('badCallId')],
  ['a Call-ID with a NUL', callId('{id}\0'), dropped('badHeader')],
  ['two Call-IDs', withLines('i: other'), refused('repeatedHeader')],

  ['an ACK that belongs to nothing', request({ method: 'ACK' }), route],
  ['a malformed ACK, which gets no answer', request({ method: 'ACK', maxForwards: 'x' }), dropped('badMaxForwards')],
  ['a CANCEL that belongs to nothing', request({ method: 'CANCEL' }), answered(481)],
  ['a malformed CANCEL', request({ method: 'CANCEL', maxForwards: 'x' }), refused('badMaxForwards')],
  ['a BYE that belongs to nothing', request({ method: 'BYE', to: '<sip:alice@proxy.invalid>;tag=x' }), route],
];

export const cseqVectors = vectors('CSeq', cseqRows);
export const numbers = vectors('numbers', numberRows);
