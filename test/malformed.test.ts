import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';

const definition = `
  requestRoute(msg) {
    if (msg.toUser === 'suspend') msg.asyncMsRoute('RESUME', 20);
    msg.appendToReply('X-Body: ' + msg.body?.length);
    msg.sendReply(404);
  },
  route: { RESUME(msg) { msg.sendReply(404); } },`;

type Change = (lines: string[], find: (name: string) => number) => void;

/** The lines of a good OPTIONS with one thing changed. */
function changed(own: string, callId: string, change: Change): string {
  const lines = [
    'OPTIONS sip:alice@127.0.0.1 SIP/2.0', `Via: SIP/2.0/UDP ${own};branch=z9hG4bK${token()};rport`, 'Max-Forwards: 70',
    'From: <sip:a@b.invalid>;tag=1', 'To: <sip:alice@b.invalid>', `Call-ID: ${callId}`, 'CSeq: 1 OPTIONS',
    'Content-Length: 0', '', '',
  ];
  change(lines, (name) => lines.findIndex((line) => line.startsWith(name)));
  return lines.join('\r\n');
}

const set = (name: string, line: string): Change => (lines, find) => void (lines[find(name)] = line);
const add = (...more: string[]): Change => (lines) => void lines.splice(3, 0, ...more);
const drop = (name: string): Change => (lines, find) => void lines.splice(find(name), 1);
const start = (line: string): Change => (lines) => void (lines[0] = line);

/** What is sent, the reason it is counted under, and the status it is answered with, 0 for silence. */
const cases: [name: string, change: Change, reason: string, status: number][] = [
  ['no start line', start('\0\0\0\0'), 'badStartLine', 0],
  ['one word', start('OPTIONS'), 'badStartLine', 0],
  ['two words', start('OPTIONS sip:alice@127.0.0.1'), 'badStartLine', 0],
  ['a method that is no token', start('OPT(IONS sip:alice@127.0.0.1 SIP/2.0'), 'badStartLine', 0],
  ['another protocol', start('OPTIONS sip:alice@127.0.0.1 HTTP/1.1'), 'badStartLine', 400],
  ['a control byte in the start line', start('OPTIONS sip:alice\x01@127.0.0.1 SIP/2.0'), 'badUri', 400],
  ['white space behind the version', start('OPTIONS sip:alice@127.0.0.1 SIP/2.0 '), 'badStartLine', 400],
  ['SIP/3.0', start('OPTIONS sip:alice@127.0.0.1 SIP/3.0'), 'badVersion', 505],
  ['SIP/2.1', start('OPTIONS sip:alice@127.0.0.1 SIP/2.1'), 'badVersion', 505],
  ['a status line with a word for a code', start('SIP/2.0 OK OK'), 'badStartLine', 0],
  ['a status line with 99', start('SIP/2.0 099 OK'), 'badStartLine', 0],
  ['a response of another version', start('SIP/3.0 200 OK'), 'badVersion', 0],
  ['a space in the URI', start('OPTIONS sip:al ice@127.0.0.1 SIP/2.0'), 'badUri', 400],
  ['no scheme', start('OPTIONS alice SIP/2.0'), 'badUri', 400],
  ['a scheme and nothing else', start('OPTIONS sip: SIP/2.0'), 'badUri', 400],
  ['angles around the URI', start('OPTIONS <sip:alice@127.0.0.1> SIP/2.0'), 'badUri', 400],
  ['no empty line', (lines) => void lines.splice(-2, 2, ''), 'noHeaderEnd', 400],
  ['an end within a header', (lines) => void lines.splice(-3, 3, 'Content-Le'), 'noHeaderEnd', 400],
  ['a line without a colon', add('nonsense'), 'badHeader', 400],
  ['a line that begins with a colon', add(': value'), 'badHeader', 400],
  ['a name with a space in it', add('X Y: value'), 'badHeader', 400],
  ['a NUL in a header', add('X: a\0b'), 'badHeader', 400],
  ['an escape character in a header', add('X: \x1b[2J'), 'badHeader', 400],
  ['a bare CR in a header', add('X: a\rY: b'), 'badHeader', 400],
  ['300 headers', add(...Array.from({ length: 300 }, (_, i) => `X-${i}: y`)), 'tooManyHeaders', 400],
  ['a header of 9,000 bytes', add(`X: ${'y'.repeat(9000)}`), 'tooLarge', 513],
  ['a header of 9,000 folds', add(`X: ${'y\r\n '.repeat(9000)}y`), 'tooLarge', 513],
  ['no Via', drop('Via'), 'missingHeader', 0],
  ['no From', drop('From'), 'missingHeader', 0],
  ['no To', drop('To'), 'missingHeader', 0],
  ['no Call-ID', drop('Call-ID'), 'missingHeader', 0],
  ['no CSeq', drop('CSeq'), 'missingHeader', 0],
  ['two of From', add('f: <sip:x@y.invalid>;tag=2'), 'repeatedHeader', 400],
  ['two of To', add('To: <sip:x@y.invalid>'), 'repeatedHeader', 400],
  ['two of CSeq', add('CSeq: 2 OPTIONS'), 'repeatedHeader', 400],
  ['two of Content-Length', add('l: 0'), 'repeatedHeader', 400],
  ['two of Max-Forwards', add('Max-Forwards: 1'), 'repeatedHeader', 400],
  ['a Via of another protocol', set('Via', 'Via: HTTP/1.1/UDP a.invalid'), 'badVia', 0],
  ['a Via without a host', set('Via', 'Via: SIP/2.0/UDP ;branch=z9hG4bK1'), 'badVia', 0],
  ['an empty Via', set('Via', 'Via:'), 'badVia', 0],
  ['a bracket that does not close', set('Via', 'Via: SIP/2.0/UDP [::1;branch=z9hG4bK1'), 'badVia', 0],
  ['a From that does not close', set('From', 'From: <sip:a@b.invalid;tag=1'), 'badFromTo', 400],
  ['a quote that does not close', set('From', 'From: "a <sip:a@b.invalid>;tag=1'), 'badFromTo', 400],
  ['a To that is no address', set('To', 'To: ;;;'), 'badFromTo', 400],
  ['an empty To', set('To', 'To:'), 'badFromTo', 0],
  ['an empty Call-ID', set('Call-ID', 'Call-ID:'), 'badCallId', 0],
  ['a CSeq without a number', set('CSeq', 'CSeq: OPTIONS'), 'badCseq', 400],
  ['a CSeq without a method', set('CSeq', 'CSeq: 1'), 'badCseq', 400],
  ['a CSeq beyond 32 bits', set('CSeq', 'CSeq: 4294967296 OPTIONS'), 'badCseq', 400],
  ['a negative CSeq', set('CSeq', 'CSeq: -1 OPTIONS'), 'badCseq', 400],
  ['a CSeq of another method', set('CSeq', 'CSeq: 1 INVITE'), 'methodMismatch', 400],
  ['more Content-Length than body', set('Content-Length', 'Content-Length: 1'), 'badContentLength', 400],
  ['a negative Content-Length', set('Content-Length', 'Content-Length: -1'), 'badContentLength', 400],
  ['a Content-Length without end', set('Content-Length', `l: ${'9'.repeat(30)}`), 'badContentLength', 400],
  ['a Max-Forwards of 256', set('Max-Forwards', 'Max-Forwards: 256'), 'badMaxForwards', 400],
  ['a Max-Forwards that is none', set('Max-Forwards', 'Max-Forwards: many'), 'badMaxForwards', 400],
];

/** Everything that came with this Call-ID, as status numbers. */
function answersTo({ client }: RunningProxy, callId: string): number[] {
  return client.strays.filter((stray) => stray.header('call-id') === callId).map((stray) => stray.status);
}

async function expectHealthy(running: RunningProxy): Promise<void> {
  const final = await running.ask({ user: 'suspend' });
  expect(final.status).toBe(404);
}

describe('a malformed message', () => {
  const running = useProxy(definition);

  it.each(cases)('is counted by its reason: %s', async (_name, change, reason, status) => {
    const before = running.stats.transport.malformed;
    const callId = `${token()}@malformed.invalid`;
    running.client.send(Buffer.from(changed(running.client.address, callId, change), 'latin1'));
    await running.settle();
    const { malformed } = running.stats.transport;
    expect(malformed).toEqual({ ...before, [reason]: (before[reason] ?? 0) + 1 });
    expect(answersTo(running, callId)).toEqual(status ? [status] : []);
    if (status === 400) {
      expect(running.client.strays.at(-1)?.reason).toBe(`Bad Request (${reason})`);
    }
    expect(running.client.garbage).toEqual([]);
  });

  it('of every kind was among them', () => {
    const kinds = new Set(cases.map(([, , reason]) => reason));
    expect(new Set(Object.keys(running.stats.transport.malformed))).toEqual(kinds);
    expect(kinds.size).toBe(16);
  });

  it('is not answered when it is an ACK', async () => {
    const callId = `${token()}@ack.invalid`;
    const ack = changed(running.client.address, callId, (lines) => {
      lines[0] = 'ACK sip:a lice@127.0.0.1 SIP/2.0';
      lines[6] = 'CSeq: 1 ACK';
    });
    const { badUri = 0 } = running.stats.transport.malformed;
    running.client.send(ack);
    await running.settle();
    expect(running.stats.transport.malformed['badUri']).toBe(badUri + 1);
    expect(answersTo(running, callId)).toEqual([]);
  });

  it('leaves nothing behind, and a call goes on as ever', async () => {
    await expectHealthy(running);
    await becomesIdle(running.proxy);
  });
});

describe('what is no request', () => {
  const running = useProxy(definition);

  it('keep-alives and empty datagrams are neither answered nor faults', async () => {
    const { keepAlives } = running.stats.transport;
    for (const bytes of ['\r\n\r\n', '\r\n', '\n', '\r\n'.repeat(1000), '']) running.client.send(bytes);
    await running.settle();
    expect(running.stats.transport.keepAlives).toBe(keepAlives + 5);
    expect(running.stats.transport.malformed).toEqual({});
    expect(running.client.strays).toEqual([]);
    await expectHealthy(running);
  });

  it('line ends in front of a request are skipped', async () => {
    running.client.send(`\r\n\r\n${running.client.build({ method: 'OPTIONS' })}`);
    await eventually(() => running.client.strays.at(-1)?.status === 404);
  });

  it('responses that nobody waits for are counted and dropped', async () => {
    const { strayResponses } = running.stats.transport;
    const seen = running.client.strays.length;
    const request = running.client.build({});
    running.client.send(request.replace(/^.*/, 'SIP/2.0 200 OK'));
    running.client.send(request.replace(/^.*/, 'SIP/2.0 699 '));
    await running.settle();
    expect(running.stats.transport.strayResponses).toBe(strayResponses + 2);
    expect(running.client.strays).toHaveLength(seen);
  });
});

describe('a large message', () => {
  const running = useProxy(definition);
  const small = useProxy(definition, { overrides: { maxMessageBytes: 2048 } });
  // The largest datagram that UDP over IPv4 takes.
  const largest = 65_507;

  it.each([1500, 9000, 60_000, largest])('of %i bytes is a message like any other', async (size) => {
    for (const user of ['alice', 'suspend']) {
      const { client } = running;
      const callId = token();
      const build = (padding: string) =>
        client.build({ method: 'MESSAGE', user, callId, headers: [`X: ${padding}`], body: 'x'.repeat(size - 1000) });
      const raw = build('y'.repeat(size - build('').length));
      expect(raw).toHaveLength(size);
      client.send(raw);
      const answer = (await eventually(() => client.strays.find((stray) => stray.header('call-id') === callId)))!;
      if (user === 'alice') expect(answer.header('x-body')).toBe(String(size - 1000));
      expect(answer.status).toBe(404);
    }
  });

  it('beyond maxMessageBytes is counted and dropped', async () => {
    small.client.send(small.client.build({ method: 'MESSAGE', body: 'x'.repeat(2048) }));
    small.client.send(Buffer.alloc(largest, 'x'));
    await small.settle();
    expect(small.stats.transport.malformed).toEqual({ tooLarge: 2 });
    expect(small.client.strays).toEqual([]);
    await expectHealthy(small);
  });
});
