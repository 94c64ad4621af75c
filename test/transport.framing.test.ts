import { describe, expect, it } from 'vitest';
import { Framer } from '../dist/transport/framing.js';
import { sequence } from './support/random.ts';

interface Seen {
  messages: string[];
  pings: number;
  fault: string | null;
  head: string | null;
}

/** Everything that a framer says when the stream comes in these pieces. */
function run(pieces: readonly Buffer[], maxMessageBytes = 65535): Seen & { framer: InstanceType<typeof Framer> } {
  const seen: Seen = { messages: [], pings: 0, fault: null, head: null };
  const framer = new Framer(maxMessageBytes, {
    message(bytes: Buffer) {
      seen.messages.push(bytes.toString('latin1'));
      return true;
    },
    ping() {
      seen.pings += 1;
    },
  });
  for (const piece of pieces) {
    // A copy that is spoilt behind the call, as a socket's buffer may be.
    const bytes = Buffer.from(piece);
    const fault = framer.push(bytes);
    if (fault !== null && seen.fault === null) {
      seen.fault = fault.reason;
      seen.head = fault.head?.toString('latin1') ?? null;
    }
    bytes.fill(0x58);
  }
  return { ...seen, framer };
}
const whole = (text: string, maxMessageBytes?: number) => run([Buffer.from(text, 'latin1')], maxMessageBytes);
const inBytes = (text: string, maxMessageBytes?: number) =>
  run([...Buffer.from(text, 'latin1')].map((byte) => Buffer.of(byte)), maxMessageBytes);

const options = (headers: string, body = '') => `OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n${headers}\r\n${body}`;
const message = (body: string) => options(`Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n`, body);

describe.each([
  ['in one piece', whole],
  ['byte by byte', inBytes],
])('a stream that comes %s', (_name, read) => {
  it.each([
    ['the long name', 'Content-Length: 4\r\n'],
    ['the compact name', 'l: 4\r\n'],
    ['any case', 'cOnTent-lENGTH:4\r\n'],
    ['the compact name in capitals', 'L : 4\r\n'],
    ['white space', 'Content-Length \t:  4 \t\r\n'],
    ['a folded line', 'Content-Length:\r\n 4\r\n'],
    ['a line folded twice', 'Content-Length:\r\n \r\n\t4\r\n'],
    ['zeroes in front', 'Content-Length: 0004\r\n'],
    ['more digits than any length needs', `Content-Length: ${'0'.repeat(400)}4\r\n`],
    ['other headers around', 'Subject: l: 9\r\nX-Content-Length: 7\r\nContent-Length: 4\r\nLx: 8\r\n'],
    ['a folded line that looks like one', 'Subject: x\r\n Content-Length: 9\r\nl: 4\r\n'],
    ['bare line feeds', 'Content-Length: 4\n'],
  ])('is cut by %s', (_what, headers) => {
    const one = options(headers, 'body');
    const two = message('');
    expect(read(one + two + one)).toMatchObject({ messages: [one, two, one], fault: null });
  });

  it('may hold responses, and bodies with anything in them', () => {
    const response = 'SIP/2.0 200 OK\r\nl: 31\r\n\r\n\r\n\r\nOPTIONS x SIP/2.0\r\n\0\xff\r\n\r\n\r\n';
    expect(read(response + response).messages).toEqual([response, response]);
  });

  it('may begin messages with line ends, and asks for an answer to two of them', () => {
    const one = message('x');
    expect(read(`\r\n${one}\r\n\r\n${one}\r\n\n\r\r\n${one}`)).toMatchObject({ messages: [one, one, one], pings: 1 });
    expect(read('\r\n\r\n').pings).toBe(1);
    expect(read('\r\n')).toMatchObject({ pings: 0, fault: null });
  });

  it.each([
    ['nothing of the kind', options('Subject: x\r\n'), 'noContentLength'],
    ['a word', options('Content-Length: abc\r\n'), 'badContentLength'],
    ['a sign', options('Content-Length: -1\r\n'), 'badContentLength'],
    ['hexadecimal', options('Content-Length: 0x10\r\n'), 'badContentLength'],
    ['a fraction', options('Content-Length: 1.5\r\n'), 'badContentLength'],
    ['nothing behind the name', options('Content-Length:\r\n'), 'badContentLength'],
    ['two numbers', options('Content-Length: 1, 1\r\n'), 'badContentLength'],
    ['two lines', options('Content-Length: 1\r\nl: 1\r\n'), 'badContentLength'],
    ['more than may come', options('Content-Length: 65535\r\n'), 'tooLarge'],
    ['far more than may come', options('Content-Length: 4294967299\r\n'), 'tooLarge'],
    ['what comes to 0 in 64 bits', options('Content-Length: 18446744073709551616\r\n'), 'tooLarge'],
    ['more than any number', options(`Content-Length: 1${'0'.repeat(400)}\r\n`), 'tooLarge'],
  ])('ends with %s for a length, and the headers are there to be answered', (_what, text, fault) => {
    const before = message('before');
    expect(read(`${before}${text}behind`)).toMatchObject({ messages: [before], fault, head: text });
  });

  it.each([
    ['a TLS handshake', '\x16\x03\x01\x02\x00\x01'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a request line without a version', 'OPTIONS sip:a@b\r\nl: 0\r\n\r\n'],
    ['a header without a start line', 'l: 0\r\n\r\n'],
    ['a NUL', '\0'],
    ['a space', ' OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n\r\n'],
    ['a line without end', 'x'.repeat(8193)],
  ])('ends at %s', (_what, text) => {
    const before = message('before');
    expect(read(before + text)).toMatchObject({ messages: [before], fault: 'garbage', head: null });
  });

  it('ends at headers without end', () => {
    const endless = `OPTIONS sip:a@b SIP/2.0\r\n${'Subject: x\r\n'.repeat(400)}`;
    expect(read(endless, 4096)).toMatchObject({ messages: [], fault: 'tooLarge', head: null });
    expect(read(`OPTIONS sip:a@b SIP/2.0\r\nSubject: ${'x'.repeat(5000)}`, 4096).fault).toBe('tooLarge');
  });

  it('takes the longest message and none that is longer', () => {
    const head = options('l: 100\r\n');
    const body = 'b'.repeat(100);
    expect(read(head + body, head.length + 100).messages).toEqual([head + body]);
    expect(read(head + body, head.length + 99)).toMatchObject({ messages: [], fault: 'tooLarge' });
  });
});

describe('Framer', () => {
  it('says nothing more behind a fault, and holds nothing', () => {
    const { messages, framer } = run([Buffer.from('garbage\r\n'), Buffer.from(message('x'))]);
    expect(messages).toEqual([]);
    expect(framer.heldBytes).toBe(0);
  });

  it('gives nothing more to a sink that has had enough', () => {
    let count = 0;
    const framer = new Framer(65535, { message: () => (count += 1) < 2, ping() {} });
    framer.push(Buffer.from(message('x').repeat(5)));
    framer.push(Buffer.from(message('x')));
    expect(count).toBe(2);
  });

  it('asks once for all keep-alives that come together', () => {
    expect(run([Buffer.from('\r\n\r\n'.repeat(1000))]).pings).toBe(1);
    expect(run([Buffer.from('\r\n\r\n'), Buffer.from('\r\n\r'), Buffer.from('\n')]).pings).toBe(2);
  });

  it('holds what a message takes and gives it back', () => {
    const text = message('x'.repeat(3000));
    const { framer } = run([Buffer.from(text.slice(0, 100))]);
    expect(framer.heldBytes).toBeLessThanOrEqual(1024);
    expect(framer.isPartial).toBe(true);
    framer.push(Buffer.from(text.slice(100, 2500)));
    expect(framer.heldBytes).toBeLessThanOrEqual(8192);
    framer.push(Buffer.from(text.slice(2500)));
    expect(framer.heldBytes).toBe(0);
    expect(framer.isPartial).toBe(false);
  });

  // Looking at what is held once more for each byte would take minutes here.
  it.each([
    ['a long body', (bytes: number) => message('x'.repeat(bytes))],
    ['a long header', (bytes: number) => options(`Subject: ${'x'.repeat(bytes)}\r\nl: 0\r\n`)],
    ['many lines', (bytes: number) => options(`${'a:\r\n'.repeat(bytes / 4)}l: 0\r\n`)],
    ['many folds', (bytes: number) => options(`l:${'\r\n '.repeat(bytes / 3)}0\r\n`)],
    ['nearly the name', (bytes: number) => options(`${'content-length\r\n'.repeat(bytes / 16)}l: 0\r\n`)],
  ])('takes its time by the byte for %s', { timeout: 20_000 }, (_what, make) => {
    const bytes = Buffer.from(make(1_000_000));
    let whole = false;
    const framer = new Framer(2_000_000, { message: (got) => (whole = got.equals(bytes)), ping() {} });
    for (let at = 0; at < bytes.length; at += 1) framer.push(bytes.subarray(at, at + 1));
    expect(whole).toBe(true);
  });

  it('cuts any stream as a naive reader of the whole text does, however it comes', () => {
    const random = sequence();
    const pick = <T>(list: readonly T[]): T => list[random.next(list.length)]!;
    const names = ['Content-Length', 'content-length', 'l', 'L'];
    const between = ['', '', '\r\n', '\r\n\r\n', '\r\n\r\n\r\n'];
    const broken = ['garbage\r\n\r\n', options('Subject: none\r\n'), options('l: x\r\n'), '\x01'];
    for (let round = 0; round < 300; round += 1) {
      let text = '';
      const expected: string[] = [];
      let ends = false;
      for (let count = random.next(12); count > 0 && !ends; count -= 1) {
        text += pick(between);
        ends = random.next(20) === 0;
        if (ends) {
          text += pick(broken);
        } else {
          const body = Array.from({ length: random.next(pick([3, 50, 3000])) }, () => pick(['a', '\r', '\n', '\0', 'l: 3'])).join('');
          const one = options(`Subject: ${'s'.repeat(random.next(60))}\r\n${pick(names)}:${pick(['', ' ', '\r\n '])}${body.length}\r\n`, body);
          expected.push(one);
          text += one;
        }
      }
      const bytes = Buffer.from(text, 'latin1');
      const pieces: Buffer[] = [];
      const most = pick([1, 2, 7, 300, 5000, 100_000]);
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + random.next(most);
        pieces.push(bytes.subarray(at, at + size));
        at += size;
      }
      const seen = run(pieces);
      expect(seen.messages, `SIP_ASYNC_SEED=${random.seed}, round ${round}`).toEqual(expected);
      expect(seen.fault !== null, `SIP_ASYNC_SEED=${random.seed}, round ${round}`).toBe(ends);
      expect(seen.framer.isPartial).toBe(false);
    }
  });
});
