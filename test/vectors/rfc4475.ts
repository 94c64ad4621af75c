import { readFileSync } from 'node:fs';
import { closed, dropped, incomplete, refused, route, strayResponse } from './vector.ts';
import type { Outcome, Vector } from './vector.ts';

/** One of the 49 messages of RFC 4475, whose bytes are in the folder rfc4475. */
export interface TortureVector extends Vector {
  /** Of RFC 4475. */
  readonly section: string;
  /** Where what we do is not what the RFC would rather see done: why. */
  readonly why?: string;
}

type TortureRow = readonly [name: string, section: string, udp: Outcome, more?: Pick<Vector, 'tcp'> & { why?: string }];

const isForTheScript = 'what to do about it is the route\'s choice; the transaction layer forwards nothing by itself';

const rows: TortureRow[] = [
  ['wsinv', '3.1.1.1', route],
  ['intmeth', '3.1.1.2', route],
  ['esc01', '3.1.1.3', route],
  ['escnull', '3.1.1.4', route],
  ['esc02', '3.1.1.5', route],
  ['lwsdisp', '3.1.1.6', route],
  ['longreq', '3.1.1.7', route],
  // Both messages of it, and what is left of the second's body, which is longer than its Content-Length.
  ['dblreq', '3.1.1.8', route, { tcp: [route, route, closed()] }],
  ['semiuri', '3.1.1.9', route],
  ['transports', '3.1.1.10', route],
  ['mpart01', '3.1.1.11', route],
  ['unreason', '3.1.1.12', strayResponse],
  ['noreason', '3.1.1.13', strayResponse],
  ['badinv01', '3.1.2.1', refused('badVia')],
  ['clerr', '3.1.2.2', refused('badContentLength'), { tcp: incomplete }],
  ['ncl', '3.1.2.3', refused('badContentLength'), { tcp: closed(400) }],
  ['scalar02', '3.1.2.4', refused('badCseq')],
  ['scalarlg', '3.1.2.5', dropped('badCseq')],
  ['quotbal', '3.1.2.6', refused('badFromTo')],
  ['ltgtruri', '3.1.2.7', refused('badUri')],
  ['lwsruri', '3.1.2.8', refused('badUri')],
  ['lwsstart', '3.1.2.9', refused('badUri')],
  ['trws', '3.1.2.10', refused('badStartLine')],
  ['escruri', '3.1.2.11', route, {
    why: 'headers in a request URI may be refused or left alone; they are part of the text and nobody here obeys them',
  }],
  ['baddate', '3.1.2.12', route, { why: 'a proxy has no use for Date, and what it does not read it does not refuse' }],
  ['regbadct', '3.1.2.13', route, { why: 'only a registrar reads the Contact of a REGISTER' }],
  ['badaspec', '3.1.2.14', refused('badFromTo')],
  ['baddn', '3.1.2.15', route, { why: 'the RFC lets an element infer the quotes that are missing, and such names are common' }],
  ['badvers', '3.1.2.16', refused('badVersion', 505)],
  ['mismatch01', '3.1.2.17', refused('methodMismatch')],
  ['mismatch02', '3.1.2.18', refused('methodMismatch')],
  ['bigcode', '3.1.2.19', dropped('badStartLine')],
  ['badbranch', '3.2.1', route],
  ['insuf', '3.3.1', dropped('missingHeader'), {
    why: 'the RFC asks for 400, but a reply takes From, To and Call-ID from its request, and these are what is missing',
  }],
  ['unkscm', '3.3.2', route, { why: `416 is for who must forward to such a URI: ${isForTheScript}` }],
  ['novelsc', '3.3.3', route, { why: `416 is for who must forward to such a URI: ${isForTheScript}` }],
  ['unksm2', '3.3.4', route],
  ['bext01', '3.3.5', route, { why: `420 for an unknown Proxy-Require: ${isForTheScript}, as it is in Kamailio` }],
  ['invut', '3.3.6', route],
  ['regaut01', '3.3.7', route],
  ['multi01', '3.3.8', refused('repeatedHeader')],
  ['mcl01', '3.3.9', refused('repeatedHeader'), { tcp: closed(400) }],
  ['bcast', '3.3.10', strayResponse],
  ['zeromf', '3.3.11', route, { why: `483 is for who forwards: ${isForTheScript}` }],
  ['cparam01', '3.3.12', route],
  ['cparam02', '3.3.13', route],
  ['regescrt', '3.3.14', route],
  ['sdp01', '3.3.15', route],
  ['inv2543', '3.4.1', route, { tcp: closed(400) }],
];

export const rfc4475: TortureVector[] = rows.map(([name, section, udp, more]) => ({
  name: `RFC 4475: ${name}`,
  section,
  bytes: readFileSync(new URL(`./rfc4475/${name}.dat`, import.meta.url), 'latin1'),
  udp,
  ...more,
}));
