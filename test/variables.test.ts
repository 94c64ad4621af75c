import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

const prelude = `
  const attempt = (action) => {
    try { return action() ?? null; } catch (error) { return error.constructor.name + ': ' + error.message; }
  };
  const plain = (value) => value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value;
  const shown = (msg) => JSON.stringify({
    avp: Object.fromEntries(msg.avp.names().map((name) => [name, msg.avp.getAll(name).map(plain)])),
    xavp: Object.fromEntries(msg.xavp.names().map((name) => [name, msg.xavp.getAll(name)])),
    flags: msg.flags.value, ruri: msg.ruri, du: msg.du, body: msg.body, var: msg.var,
  });
  const tell = (msg, what) => { msg.appendToReply('X-Result: ' + JSON.stringify(what)); msg.sendReply(200); };`;

const settings = `
  asyncWorkers: 2,
  asyncWorkersGroup: ['name=other;workers=2'],
  modparam: { async: { workers: 2 } },`;

describe('what a script sets in the transaction', () => {
  const running = useProxy(
    `${settings}
    requestRoute(msg) {
      msg.avp.set('text', 'grüße').add('many', 1).add('many', true).add('many', 'newest').set('bytes', new Uint8Array([0, 255]));
      msg.avp.set('gone', 1); msg.avp.delete('gone');
      msg.xavp.set('caller', { id: 7, name: 'x', deep: { deeper: [].length, ok: true } }).add('caller', new Map([['id', 8]]));
      msg.flags.set(0).set(31).set(5).delete(5);
      msg.ruri = 'sip:changed@example.com'; msg.du = 'sip:10.0.0.1:5070'; msg.body = 'new body';
      msg.var.x = 'mine';
      msg.appendToReply('X-First: from requestRoute');
      msg.asyncMsRoute('ONE', 10);
    },
    route: {
      ONE(msg) {
        msg.var.first = shown(msg);
        msg.avp.add('many', threadId).delete('text');
        msg.flags.set(1);
        msg.asyncTaskGroupRoute('TWO', 'other');
      },
      TWO(msg) { msg.asyncTaskRoute('THREE'); },
      async THREE(msg) {
        const slept = msg.asyncMsSleep(5);
        msg.var.many = msg.avp.getAll('many').length;
        await slept;
        msg.avp.set('last', 'THREE').set('during', msg.var.many);
        msg.asyncMsRoute('END', 5);
      },
      END(msg) { tell(msg, JSON.parse(shown(msg))); },
    },`,
    { prelude },
  );

  it('is there after five suspensions on other threads, and var is not', async () => {
    const answer = await running.ask({ body: 'old body' });
    expect(answer.header('x-first')).toBe('from requestRoute');
    const result = JSON.parse(answer.header('x-result')) as { avp: Record<string, unknown[]> };
    const [thread, ...older] = result.avp['many']!;
    expect(thread).toBeGreaterThan(0);
    expect(older).toEqual(['newest', true, 1]);
    expect({ ...result, avp: { ...result.avp, many: null } }).toEqual({
      avp: { many: null, bytes: [{ hex: '00ff' }], last: ['THREE'], during: [4] },
      xavp: { caller: [{ id: 8 }, { id: 7, name: 'x', deep: { deeper: 0, ok: true } }] },
      flags: 2 ** 31 + 3,
      ruri: 'sip:changed@example.com',
      du: 'sip:10.0.0.1:5070',
      body: 'new body',
      var: {},
    });
    await becomesIdle(running.proxy);
  });

  it('belongs to its call only', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => running.ask({})));
    for (const answer of answers) {
      const { avp } = JSON.parse(answer.header('x-result')) as { avp: Record<string, unknown[]> };
      expect(avp['many']).toHaveLength(4);
      expect(avp['last']).toEqual(['THREE']);
    }
    await becomesIdle(running.proxy);
  });
});

/** Scripts that run in requestRoute and tell what they evaluate to. */
const cases: [script: string, expected: unknown][] = [
  ["msg.avp.get('none')", null],
  ["msg.avp.getAll('none')", []],
  ["msg.avp.has('none')", false],
  ["msg.avp.delete('none')", false],
  ["msg.avp.names()", []],
  ["msg.avp.set('a', 1).get('a')", 1],
  ["msg.avp.set('a', 1).add('a', 2).get('a')", 2],
  ["msg.avp.set('a', 1).add('a', 2).getAll('a')", [2, 1]],
  ["msg.avp.add('a', 1).set('a', 2).getAll('a')", [2]],
  ["msg.avp.set('', '').has('')", true],
  ["msg.avp.set('__proto__', 1).get('__proto__')", 1],
  ["msg.avp.set('a', 1).delete('a')", true],
  ["(msg.avp.set('a', 1), msg.xavp.get('a'))", null],
  ["msg.avp.set('a', NaN).get('a')", null], // as JSON has it
  ["{ const b = Buffer.from('x'); msg.avp.set('a', b); b[0] = 0; return msg.avp.get('a').toString(); }", 'x'],
  ["{ msg.avp.set('a', Buffer.from('x')); msg.avp.get('a')[0] = 0; return msg.avp.get('a').toString(); }", 'x'],
  ["msg.avp.set('a', null)", 'TypeError: a: expected a string, number, boolean or bytes, got null'],
  ["msg.avp.set('a', undefined)", 'TypeError: a: expected a string, number, boolean or bytes, got undefined'],
  ["msg.avp.set('a', {})", 'TypeError: a: expected a string, number, boolean or bytes, got object'],
  ["msg.avp.set('a', [1])", 'TypeError: a: expected a string, number, boolean or bytes, got an array'],
  ["msg.avp.add('a', 1n)", 'TypeError: a: expected a string, number, boolean or bytes, got bigint'],
  ["msg.avp.get(1)", 'TypeError: name: expected a string, got number'],
  ["msg.avp.set(null, 1)", 'TypeError: name: expected a string, got null'],
  ["msg.avp.delete()", 'TypeError: name: expected a string, got undefined'],
  ["msg.xavp.set('a', { b: { c: 1 } }).get('a').b.c", 1],
  ["msg.xavp.set('a', 'plain').get('a')", 'plain'],
  ["msg.xavp.set('a', Object.create(null)).get('a')", {}],
  ["{ const x = { b: 1 }; msg.xavp.set('a', x); x.b = 2; return msg.xavp.get('a').b; }", 1],
  ["{ 'use strict'; msg.xavp.set('a', { b: 1 }); msg.xavp.get('a').b = 2; }", expect.stringMatching(/^TypeError: Cannot assign/)],
  ["{ msg.xavp.set('a', { b: Buffer.from('x') }); msg.xavp.get('a').b[0] = 0; return msg.xavp.get('a').b.toString(); }", 'x'],
  ["msg.xavp.set('a', { b: null })", 'TypeError: a.b: expected a string, number, boolean or bytes, got null'],
  ["msg.xavp.set('a', { b: [1] })", 'TypeError: a.b: expected a plain object or a Map, got an array'],
  ["msg.xavp.set('a', new Date())", 'TypeError: a: expected a plain object or a Map, got an instance'],
  ["msg.xavp.set('a', new Map([[1, 2]]))", 'TypeError: a: expected names that are strings, got number'],
  ["{ const loop = {}; loop.a = loop; msg.xavp.set('a', loop); }", expect.stringMatching(/nested deeper than 16 levels$/)],
  ["msg.flags.get(3)", false],
  ["msg.flags.set(3).get(3)", true],
  ["msg.flags.set(3).set(3, false).value", 0],
  ["msg.flags.set(3).delete(3)", true],
  ["msg.flags.delete(3)", false],
  ["msg.flags.set(32)", 'RangeError: flag: expected 0 to 31, got 32'],
  ["msg.flags.set(-1)", 'RangeError: flag: expected 0 to 31, got -1'],
  ["msg.flags.get(0.5)", 'RangeError: flag: expected 0 to 31, got 0.5'],
  ["msg.flags.set('3')", 'TypeError: flag: expected a number, got string'],
  ["{ msg.ruri = 'sip:x@y'; return msg.ruri; }", 'sip:x@y'],
  ["{ msg.ruri = ''; }", 'TypeError: ruri: expected a URI, got ""'],
  ["{ msg.ruri = 'sip:x@y\\r\\nEvil: 1'; }", expect.stringMatching(/^TypeError: ruri: expected a URI/)],
  ["{ msg.ruri = null; }", 'TypeError: ruri: expected a string, got null'],
  ["msg.du", null],
  ["{ msg.du = 'sip:x'; msg.du = null; return msg.du; }", null],
  ["{ msg.du = 'not a uri'; }", 'TypeError: du: expected a URI, got "not a uri"'],
  ["msg.body", 'old body'],
  ["{ msg.body = Buffer.from('x'); return msg.body; }", 'x'],
  ["{ msg.body = 1; }", 'TypeError: body: expected a string or a Uint8Array, got number'],
  ["msg.appendHf('X-New: 1')", true],
  ["msg.appendHf('X-New: 1\\r\\n')", true],
  ["(msg.appendHf('X-New: 1'), msg.header('X-New'))", null],
  ["msg.appendHf('no header')", false],
  ["[msg.appendHf('X: a\\r\\nEvil: 1'), msg.asyncError.code]", [false, 'SIPASYNC_ERR_INVALID_STATUS']],
  ["msg.appendHf(1)", 'TypeError: line: expected a string, got number'],
  ["msg.removeHf('From')", true],
  ["(msg.removeHf('From'), typeof msg.header('From'))", 'string'],
  ["[msg.removeHf('X-None'), msg.asyncError]", [false, null]],
  ["[msg.removeHf('a b'), msg.asyncError.code]", [false, 'SIPASYNC_ERR_INVALID_STATUS']],
  ["msg.removeHf(1)", 'TypeError: name: expected a string, got number'],
];

describe('a script', () => {
  const bodies = cases.map(([script]) => (script.startsWith('{') ? script : `{ return ${script}; }`));
  const running = useProxy(
    `${settings}
    requestRoute(msg) { tell(msg, attempt(() => scripts[msg.cseq](msg))); },
    route: {},`,
    { prelude: `${prelude}\n  const scripts = [${bodies.map((body) => `(msg) => ${body}`).join(',\n')}];` },
  );
  it.each(cases.map(([script, expected], cseq) => [script, expected, cseq] as const))('%s', async (_script, expected, cseq) => {
    const answer = await running.ask({ cseq, body: 'old body' });
    expect(JSON.parse(answer.header('x-result'))).toEqual(expected);
  });
});

describe('variables of more than 1 MiB', () => {
  const running = useProxy(
    `${settings}
    requestRoute(msg) {
      msg.avp.set('large', 'x'.repeat(1 << 20));
      const refused = [msg.asyncMsRoute('R', 1), msg.asyncError.code, msg.asyncTaskRoute('R'), msg.asyncError.code];
      msg.avp.set('large', 'x'.repeat((1 << 20) - 1000)).set('refused', refused.join());
      msg.asyncMsRoute('R', 1);
    },
    route: { R(msg) { tell(msg, [msg.avp.get('refused'), msg.avp.get('large').length]); } },`,
    { prelude },
  );
  it('are refused when the call is to be suspended, and nothing has changed', async () => {
    const answer = await running.ask({});
    const code = 'SIPASYNC_ERR_PAYLOAD_TOO_LARGE';
    expect(JSON.parse(answer.header('x-result'))).toEqual([`false,${code},false,${code}`, (1 << 20) - 1000]);
    await becomesIdle(running.proxy);
  });
});

describe('a message that was given up', () => {
  const running = useProxy(
    `
    asyncWorkers: 2,
    modparam: { async: { return: 1 } },
    requestRoute(msg) {
      msg.avp.set('a', 1);
      const avp = msg.avp;
      msg.asyncMsRoute('R', 50);
      notes = [() => { msg.ruri = 'sip:x@y'; }, () => { msg.du = 'sip:x'; }, () => { msg.body = ''; }, () => msg.appendHf('X: 1'),
        () => msg.removeHf('X'), () => msg.avp.set('a', 2), () => avp.add('a', 2), () => avp.delete('a'),
        () => msg.flags.set(1), () => msg.xavp.set('a', 2), () => msg.appendToReply('X: 1')].map((action) => {
          try { return String(action()); } catch (error) { return error.code; }
        });
    },
    route: { R(msg) { tell(msg, [msg.avp.getAll('a'), msg.flags.value, msg.xavp.get('a')]); } },
    eventRoute: {},`,
    { prelude: `${prelude}\n  let notes;\n  globalThis.givenUpNotes = () => notes;` },
  );
  it('cannot be changed, and its call goes on as it was', async () => {
    const answer = await running.ask({});
    expect(JSON.parse(answer.header('x-result'))).toEqual([[1], 0, null]);
    const notes = (globalThis as never as { givenUpNotes: () => string[] }).givenUpNotes();
    expect(notes).toEqual(Array.from({ length: 11 }, () => 'SIPASYNC_ERR_SUSPENDED'));
  });
});
