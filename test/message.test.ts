import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy, waitTimerMs } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';

const getters = [
  'method', 'ruri', 'status', 'reason', 'callId', 'cseq', 'fromUri', 'fromUser', 'fromTag', 'toUri', 'toUser', 'toTag',
  'contact', 'userAgent', 'body', 'srcIp', 'srcPort', 'proto', 'isRequest',
];

/** A reply tells what the route has read: as JSON, in one header, escaped because a header holds no line ends. */
const prelude = `
  const kept = [];
  const notes = [];
  function attempt(action) {
    try { return action(); } catch (error) { return error.code; }
  }
  function read(msg) {
    const all = Object.fromEntries(${JSON.stringify(getters)}.map((name) => [name, msg[name]]));
    const names = (msg.header('X-Names') ?? 'X-Nothing').split(',');
    all.header = Object.fromEntries(names.map((name) => [name, msg.header(name)]));
    all.headers = Object.fromEntries(names.map((name) => [name, msg.headers(name)]));
    all.raw = msg.raw?.toString('base64') ?? null;
    all.rawIsBuffer = Buffer.isBuffer(msg.raw);
    all.parsed = attempt(() => msg.parsed);
    all.sameParsed = attempt(() => msg.parsed === msg.parsed);
    return all;
  }
  function tell(msg, value) {
    msg.appendToReply('X-Read: ' + encodeURIComponent(JSON.stringify(value)));
    msg.sendReply(404);
  }`;

const definition = `
  asyncWorkersGroup: ['name=abc;workers=1'],
  async requestRoute(msg) {
    if (msg.header('X-Do') === 'notes') return tell(msg, notes.splice(0));
    if (msg.header('X-Do') === 'worker') msg.asyncTaskRoute('READ');
    if (msg.header('X-Do') === 'sleep') await msg.asyncMsSleep(5);
    if (msg.header('X-Do') === 'keep') {
      kept.push(msg);
      setTimeout(() => notes.push(...kept.splice(0).map(read)), Number(msg.header('X-After')));
      return msg.sendReply(404);
    }
    tell(msg, read(msg));
  },
  route: { READ(msg) { tell(msg, read(msg)); } },`;

type Reading = Record<string, unknown>;

/** Sends the bytes and reads what the route has read of them. */
async function readingOf({ client }: RunningProxy, raw: string, at = client.strays.length): Promise<Reading> {
  client.send(raw);
  const answer = (await eventually(() => client.strays.slice(at).find((stray) => stray.status === 404)))!;
  return JSON.parse(decodeURIComponent(answer.header('x-read'))) as Reading;
}

const bytes = (text: string) => Buffer.from(text, 'utf8').toString('base64');

describe('a message', () => {
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { retr_timer1: 60_000 } } } });

  const rich = (what: string) =>
    [
      'INVITE sips:%41lice;phone=1@[2001:db8::10]:5071;transport=udp?Subject=x SIP/2.0',
      `v: SIP / 2.0 / UDP ${running.client.address} ;branch=z9hG4bK${token()};rport,` +
        ' SIP/2.0/TCP [2001:db8::9]:5061;branch=z9hG4bK2',
      'VIA: SIP/2.0/UDP third.invalid;branch=z9hG4bK3',
      'mAx-fOrWaRdS : 68',
      'f: "Alice, \\"the\\" <caller>" <sip:al%69ce:pw@[2001:db8::1]:5060;x=y>;a=b;tag=f-tag;c=d',
      't: Bob\r\n\t<tel:+1-212-555;phone-context=x>\r\n ;tag=t-tag',
      `i: ${what}%41@[::1]`,
      'CSeq: 4711  \t INVITE',
      'm: <sip:alice@[2001:db8::1]>;q=0.5,\r\n  <sip:second@example.invalid>',
      'Contact: <sip:third@example.invalid>',
      'uSER-aGENT:\r\n  folded \r\n\tagent/1.0',
      'Subject: one',
      's: two, and more',
      'SUBJECT\t: thrée ☎',
      'X-Empty:',
      'X-Names: Subject,s,x-empty,Via,User-Agent,Nothing,From,l',
      `X-Do: ${what}`,
      'c: text/plain',
      `l: ${Buffer.byteLength('héllo\r\n☎')}`,
      '',
      'héllo\r\n☎',
    ].join('\r\n');

  it.each(['receiver', 'worker', 'sleep'])('gives all that is in it: read in %s', async (what) => {
    const raw = rich(what);
    const reading = await readingOf(running, raw);
    const subjects = ['one', 'two, and more', 'thrée ☎'];
    const [top = ''] = /(?<=v: ).*/.exec(raw) ?? [];
    expect(reading).toMatchObject({
      method: 'INVITE',
      isRequest: true,
      status: null,
      reason: null,
      ruri: 'sips:%41lice;phone=1@[2001:db8::10]:5071;transport=udp?Subject=x',
      callId: `${what}%41@[::1]`,
      cseq: 4711,
      fromUri: 'sip:al%69ce:pw@[2001:db8::1]:5060;x=y',
      fromUser: 'al%69ce',
      fromTag: 'f-tag',
      toUri: 'tel:+1-212-555;phone-context=x',
      toUser: '+1-212-555',
      toTag: 't-tag',
      contact: '<sip:alice@[2001:db8::1]>;q=0.5, <sip:second@example.invalid>',
      userAgent: 'folded agent/1.0',
      body: 'héllo\r\n☎',
      srcIp: '127.0.0.1',
      srcPort: running.client.port,
      proto: 'udp',
      header: {
        Subject: 'one',
        s: 'one',
        'x-empty': '',
        Via: top,
        'User-Agent': 'folded agent/1.0',
        Nothing: null,
        From: '"Alice, \\"the\\" <caller>" <sip:al%69ce:pw@[2001:db8::1]:5060;x=y>;a=b;tag=f-tag;c=d',
        l: String(Buffer.byteLength('héllo\r\n☎')),
      },
      headers: {
        Subject: subjects,
        s: subjects,
        'x-empty': [''],
        Via: [top, 'SIP/2.0/UDP third.invalid;branch=z9hG4bK3'],
        Nothing: [],
      },
      raw: bytes(raw),
      rawIsBuffer: true,
    });
  });

  it('reads null for what is not there, and an empty body as an empty string', async () => {
    const raw = [
      'FOO tel:+1 SIP/2.0',
      `Via: SIP/2.0/UDP ${running.client.address};rport`,
      'From: sip:127.0.0.1',
      'To: <sip:host.invalid>',
      'Call-ID: bare',
      'CSeq: 0 FOO',
      '\r\n',
    ].join('\r\n');
    expect(await readingOf(running, raw)).toMatchObject({
      method: 'FOO', ruri: 'tel:+1', cseq: 0, callId: 'bare', fromUri: 'sip:127.0.0.1', fromUser: null, fromTag: null,
      toUri: 'sip:host.invalid', toUser: null, toTag: null, contact: null, userAgent: null, body: '', raw: bytes(raw),
    });
  });

  it('keeps every byte of a body in raw', async () => {
    const body = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const head = running.client.build({ method: 'MESSAGE', body: 'x'.repeat(256) }).slice(0, -256);
    const raw = Buffer.concat([Buffer.from(head), body]);
    const at = running.client.strays.length;
    running.client.send(raw);
    const answer = (await eventually(() => running.client.strays[at]))!;
    const reading = JSON.parse(decodeURIComponent(answer.header('x-read'))) as Reading;
    expect(reading['raw']).toBe(raw.toString('base64'));
  });

  it('parsed is what the sip package makes of it, made once', async () => {
    const { parse } = createRequire(import.meta.url)('sip') as { parse: (text: string) => unknown };
    const raw = running.client.build({ body: 'v=0\r\n', headers: ['Route: <sip:a.invalid;lr>', 'Subject: parsed'] });
    const reading = await readingOf(running, raw);
    expect(reading['parsed']).toEqual(JSON.parse(JSON.stringify(parse(raw))));
    expect(reading['parsed']).toMatchObject({ method: 'INVITE', headers: { subject: 'parsed', cseq: { seq: 1 } } });
    expect(reading['sameParsed']).toBe(true);
  });

  it.each([
    ['a name that every object has', '__proto__: polluted'],
    ['such a name as a parameter', 'Contact: <sip:a@b.invalid>;__proto__=1'],
    ['an escape in a name', 'X%41: y'],
    ['a Route that is none', 'Route: nonsense'],
    ['white space without end', `Subject: a${' '.repeat(200)}b`],
    ['an angle that does not close', 'Contact: <sip:a@b.invalid'],
  ])('parsed is refused, and the rest can be read: %s', async (_name, line) => {
    const reading = await readingOf(running, running.client.build({ method: 'OPTIONS', user: 'bob', headers: [line] }));
    expect(reading['parsed']).toBe('SIPASYNC_ERR_NOT_INDEXED');
    expect(reading['toUser']).toBe('bob');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('a message that is kept beyond its call', () => {
  const running = useProxy(definition, { prelude });

  it.each([
    ['in its wait time', 20],
    ['when its slot is free', 20 + 2 * waitTimerMs],
    ['when its slot is taken again', 20 + 2 * waitTimerMs],
  ])('reads as nothing: %s', async (name, afterMs) => {
    const { client } = running;
    const headers = ['X-Do: keep', `X-After: ${afterMs}`];
    await Promise.all([1, 2, 3].map(() => client.request({ method: 'OPTIONS', headers }).final()));
    if (name.includes('taken')) {
      await becomesIdle(running.proxy);
      const calls = Array.from({ length: 50 }, () => client.request({ headers: ['X-Do: worker'], autoAck: true }));
      await Promise.all(calls.map((call) => call.final()));
    }
    const notes: Reading[] = [];
    await eventually(async () => {
      const answer = await client.request({ method: 'OPTIONS', headers: ['X-Do: notes'] }).final();
      notes.push(...(JSON.parse(decodeURIComponent(answer.header('x-read'))) as Reading[]));
      return notes.length === 3;
    });
    for (const { header, headers: lines, ...reading } of notes) {
      const gone = Object.fromEntries([...getters, 'raw'].map((getter) => [getter, null]));
      const constant = { method: 'OPTIONS', isRequest: true, proto: null, rawIsBuffer: false };
      const stale = { parsed: 'SIPASYNC_ERR_STALE_HANDLE', sameParsed: 'SIPASYNC_ERR_STALE_HANDLE' };
      expect(reading).toEqual({ ...gone, ...constant, ...stale, cseq: null, srcPort: null });
      expect(header).toEqual({ 'X-Nothing': null });
      expect(lines).toEqual({ 'X-Nothing': [] });
    }
  });
});

describe('many calls at once', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=abc;workers=2', 'name=def;workers=2'],
    async requestRoute(msg) {
      if (Object.keys(msg.var).length !== 0) throw new Error('a variable of another run');
      msg.var.seen = seen(msg);
      const own = msg.var.seen;
      await msg.asyncMsSleep(1 + msg.cseq % 7);
      if (msg.var.seen !== own || seen(msg) !== own) throw new Error('another call');
      msg.asyncTaskGroupRoute('FIRST', msg.cseq % 2 ? 'abc' : 'def');
    },
    route: {
      async FIRST(msg) {
        if (Object.keys(msg.var).length !== 0) throw new Error('a variable of another run');
        const own = msg.var.seen = seen(msg);
        await msg.asyncMsSleep(1 + msg.cseq % 11);
        if (msg.var.seen !== own || seen(msg) !== own) throw new Error('another call');
        msg.asyncMsRoute('SECOND', 1 + msg.cseq % 20);
      },
      SECOND(msg) {
        if (Object.keys(msg.var).length !== 0) throw new Error('a variable of another run');
        msg.appendToReply('X-Seen: ' + seen(msg));
        msg.sendReply(404);
      },
    },`,
    {
      prelude: `
      const seen = (msg) => [msg.callId, msg.cseq, msg.fromTag, msg.toUser, msg.body, msg.header('X-Own')].join(' ');`,
    },
  );

  it('never see each other', async () => {
    const calls = Array.from({ length: 500 }, (_, i) => {
      const method = i % 3 ? 'INVITE' : 'MESSAGE';
      const own = token();
      return running.client.request({
        method, cseq: i, user: `u${i}`, body: own.repeat(1 + (i % 40)), headers: [`X-Own: ${own}`], autoAck: true,
      });
    });
    const finals = await Promise.all(calls.map((call) => call.final(15_000)));
    finals.forEach((final, i) => {
      const { callId, cseq, fromTag, toUser, body, headers } = calls[i]!.request;
      expect(final.header('x-seen')).toBe([callId, cseq, fromTag, toUser, body, headers[0]!.slice(7)].join(' '));
    });
    await becomesIdle(running.proxy);
    expect(running.stats.transactions.completed).toBe(500);
  });
});
