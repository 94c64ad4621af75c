import { closed, dropped, goodVia, incomplete, keepAlive, refused, request, route, vectors, withLines } from './vector.ts';
import type { Build, Row } from './vector.ts';

/** The largest datagram over IPv4. */
const largest = 65_507;

/** A good message that a further line, made of a unit over and over, fills up to the largest size. */
const filled = (name: string, unit: string, end = ''): Build => () => {
  const room = largest - request({ more: [`${name}: ${end}`] })().replaceAll('{id}', 'limits-00').length - 2;
  return withLines(`${name}: ${unit.repeat(Math.floor(room / unit.length))}${end}`)();
};
/** The same over many lines, each just within the limit, in a body's stead. */
const lines = (count: number, line: (number: number) => string) => withLines(...Array.from({ length: count }, (_, i) => line(i)));

const rows: Row[] = [
  ['a line of 8,192 bytes', withLines(`X: ${'y'.repeat(8187)}`), route],
  ['a line of 8,193 bytes', withLines(`X: ${'y'.repeat(8188)}`), refused('tooLarge', 513)],
  ['folds of 8,192 bytes in all', withLines(`X: ${'y\r\n '.repeat(2046)}yyy`), route],
  ['folds of 8,193 bytes in all', withLines(`X: ${'y\r\n '.repeat(2046)}yyyy`), refused('tooLarge', 513)],
  ['256 header lines', lines(249, (i) => `X-${i}: y`), route],
  ['257 header lines', lines(250, (i) => `X-${i}: y`), refused('tooManyHeaders')],
  ['5,000 header lines', lines(5000, () => 'X: y'), refused('tooManyHeaders')],
  ['13,000 empty headers', lines(13_000, () => 'X:'), refused('tooManyHeaders')],
  ['the largest body', () => {
    const head = request({ length: '65000', more: ['Content-Type: text/plain'] })().replaceAll('{id}', 'limits-00');
    return request({ body: 'x'.repeat(largest - head.length), more: ['Content-Type: text/plain'] })();
  }, route],
  ['250 lines of 250 bytes', lines(240, (i) => `X-${i}: ${'y'.repeat(250)}`), route],
  ['65,000 bytes in one line', filled('X', 'y'), refused('tooLarge', 513)],
  ['all commas', filled('Contact', ','), refused('tooLarge', 513)],
  ['all quotes', filled('Contact', '"'), refused('tooLarge', 513)],
  ['all backslashes in a quote', filled('Contact', '\\', '"'), refused('tooLarge', 513)],
  ['all folds', filled('X', '\r\n '), refused('tooLarge', 513)],
  ['all angles', filled('Contact', '<'), refused('tooLarge', 513)],
  ['all semicolons', filled('Contact', ';'), refused('tooLarge', 513)],
  ['all colons', filled('X', ':'), refused('tooLarge', 513)],
  ['all spaces', filled('X', ' '), refused('tooLarge', 513)],
  ['all tabs', filled('X', '\t'), refused('tooLarge', 513)],
  ['all NULs', filled('X', '\0'), refused('tooLarge', 513)],
  ['all percent signs', filled('X', '%'), refused('tooLarge', 513)],
  ['all no-break spaces', filled('X', '\xa0'), refused('tooLarge', 513)],
  // A reply has the Vias of its request, and for these there is no room in one.
  ['all Vias in one line', filled('Via', 'SIP/2.0/UDP h;branch=z9hG4bK1, ', 'SIP/2.0/UDP h'), dropped('tooLarge')],
  ['all Vias without a comma at the end', filled('Via', 'SIP/2.0/UDP h,'), dropped('tooLarge')],
  ['commas in the first Via', request({ via: `${goodVia}${','.repeat(60_000)}` }), refused('tooLarge', 513)],
  ['all commas in a From', request({ from: `${','.repeat(60_000)}<sip:a@b.invalid>` }), refused('tooLarge', 513)],
  ['all quotes in a From', request({ from: `${'"'.repeat(60_000)}<sip:a@b.invalid>` }), refused('tooLarge', 513)],
  ['all angles in a To', request({ to: '<'.repeat(60_000) }), refused('tooLarge', 513)],
  ['all parameters in a To', request({ to: `<sip:a@b.invalid>${';a=b'.repeat(15_000)}` }), refused('tooLarge', 513)],
  ['8,000 commas in a line', withLines(`Contact: ${','.repeat(8000)}`), route],
  ['8,000 quotes in a line', withLines(`Contact: ${'"'.repeat(8000)}`), route],
  ['8,000 angles in a line', withLines(`Contact: ${'<'.repeat(8000)}`), route],
  ['a Contact with 8,000 spaces in angles', withLines(`Contact: <${' '.repeat(8000)}`), route],
  ['7 lines of 8,000 commas', lines(7, () => `Contact: ${','.repeat(8000)}`), route],
  ['7 lines of 8,000 quotes', lines(7, () => `Record-Route: ${'"'.repeat(8000)}`), route],
  ['7 lines of 8,000 angles', lines(7, () => `Route: ${'<'.repeat(8000)}`), route],
  ['7 lines of 2,000 folds', lines(7, () => `X: ${'y\r\n '.repeat(2000)}y`), route],
  ['65,507 bytes of x', () => 'x'.repeat(largest), dropped('tooLarge'), closed()],
  ['65,507 spaces', () => ' '.repeat(largest), dropped('tooLarge'), closed()],
  ['65,507 bytes of line ends and an x', () => `${'\r\n'.repeat(32_753)}x`, dropped('badStartLine'), [keepAlive, incomplete]],
  ['65,507 bytes of x and colons by the line', () => 'x:\r\n'.repeat(16_376), dropped('badStartLine'), closed()],
  ['65,507 line feeds behind a start line', () => `OPTIONS sip:a@b.invalid SIP/2.0\r\n${'\n'.repeat(65_000)}`,
    dropped('missingHeader'), closed()],
  ['65,507 bytes of method', () => `${'M'.repeat(65_000)} sip:a@b.invalid SIP/2.0\r\n\r\n`, dropped('tooLarge'), closed()],
  ['65,507 spaces in a start line', () => `OPTIONS${' '.repeat(65_000)}SIP/2.0\r\n\r\n`, dropped('tooLarge'), closed()],
];

export const limits = vectors('limits', rows);
