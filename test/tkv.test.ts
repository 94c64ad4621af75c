import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

const book = Notes.forThisFile();
const prelude = `${notePrelude}
  const seen = (msg) => [msg.atkv.type, msg.atkv.key, msg.atkv.val, msg.atkv.gname, msg.route, msg.asyncGname, msg.asyncData];`;

describe('tkv events', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    asyncTkvGname: 'tkv',
    asyncTkvEvcb: 'core:tkv',
    requestRoute(msg) {
      const before = [msg.atkv.type, msg.atkv.key, msg.atkv.val, msg.atkv.gname];
      const result = msg.asyncTkvEmit(Number(msg.header('X-Type')), msg.callId, msg.toUser);
      msg.appendToReply('X-Result: ' + JSON.stringify([result, msg.asyncError?.code ?? null, before]));
      msg.sendReply(200);
    },
    route: { R(msg) { note(['R', msg.asyncTkvEmit(7, 'from', 'task'), msg.atkv.type]); } },
    eventRoute: {
      'core:tkv'(msg) {
        if (msg.atkv.key === 'throw') throw new Error('thrown');
        note(seen(msg));
        if (msg.atkv.key === 'again') msg.asyncTkvEmit(msg.atkv.type + 1, 'last', '');
        if (msg.atkv.key === 'refused') note([msg.sendReply(200), msg.asyncError.code, msg.asyncTaskRoute('R'), msg.asyncError.code]);
      },
    },`,
    { prelude },
  );

  it('run the event route in their group', async () => {
    const call = running.client.request({ method: 'OPTIONS', user: 'alice', headers: ['X-Type: -12'] });
    expect(JSON.parse((await call.final()).header('x-result'))).toEqual([true, null, [null, null, null, null]]);
    expect(await book.atLeast(1)).toEqual([[-12, call.request.callId, 'alice', 'tkv', 'core:tkv', 'tkv', null]]);
  });

  it.each([
    [0, '', ''],
    [2147483647, 'key', 'value'],
    [-2147483648, 'grüße', '\0 with 🎈 and\nlines'],
    [1, '', 'only a value'],
    [1, 'only a key', ''],
    [1, 'k'.repeat(1024), 'v'.repeat(100_000)],
  ])('carry type, key and value whole: %#', async (type, key, value) => {
    expect(running.proxy.asyncTkvEmit(type, key, value)).toBe(true);
    expect(await book.atLeast(1)).toEqual([[type, key, value, 'tkv', 'core:tkv', 'tkv', null]]);
  });

  it.each([0.5, NaN, Infinity, -Infinity, 2147483648, -2147483649])('refuse %d as a type', async (type) => {
    expect(running.proxy.asyncTkvEmit(type, 'key', 'value')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_OUT_OF_RANGE');
  });

  it.each(['1', null, undefined, {}, true, 1n])('throw a TypeError for a type that is no number: %s', (type) => {
    expect(() => running.proxy.asyncTkvEmit(type as never, '', '')).toThrow(/^type: expected a number, got /);
  });
  it.each([1, null, undefined, {}, Buffer.from('x')])('throw a TypeError for a text that is none: %s', (value) => {
    expect(() => running.proxy.asyncTkvEmit(1, value as never, '')).toThrow(/^key: expected a string, got /);
    expect(() => running.proxy.asyncTkvEmit(1, '', value as never)).toThrow(/^value: expected a string, got /);
  });

  it('refuse more than 1 MiB', () => {
    expect(running.proxy.asyncTkvEmit(1, 'k'.repeat(1 << 19), 'v'.repeat((1 << 19) + 1))).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_PAYLOAD_TOO_LARGE');
  });

  it('come from events and data tasks, too', async () => {
    running.proxy.asyncTkvEmit(1, 'again', '');
    expect(await book.atLeast(2)).toEqual([
      [1, 'again', '', 'tkv', 'core:tkv', 'tkv', null],
      [2, 'last', '', 'tkv', 'core:tkv', 'tkv', null],
    ]);
    running.proxy.asyncTaskData('R', '');
    const entries = await book.atLeast(4);
    expect(entries).toContainEqual(['R', true, null]);
    expect(entries).toContainEqual([7, 'from', 'task', 'tkv', 'core:tkv', 'tkv', null]);
  });

  it('have no transaction', async () => {
    running.proxy.asyncTkvEmit(1, 'refused', '');
    const [, row] = await book.atLeast(2);
    expect(row).toEqual([false, 'SIPASYNC_ERR_NO_TRANSACTION', false, 'SIPASYNC_ERR_NO_TRANSACTION']);
  });

  it('that throw are counted, and the worker lives', async () => {
    const { failed } = running.stats.groups['tkv']!;
    running.proxy.asyncTkvEmit(1, 'throw', '');
    running.proxy.asyncTkvEmit(2, 'behind it', '');
    await book.atLeast(1);
    await eventually(() => running.stats.groups['tkv']!.failed === failed + 1);
    await becomesIdle(running.proxy);
  });
});

describe.each([
  ['no event route', `asyncTkvGname: 'tkv'`],
  ['no group', `asyncTkvEvcb: 'core:tkv'`],
  ['neither', ''],
])('with %s', (_what, settings) => {
  const running = useProxy(
    `${settings === '' ? '' : `${settings},`} requestRoute(msg) { msg.sendReply(404); }, eventRoute: { 'core:tkv'() {} },`,
  );
  it('tkv events are disabled', () => {
    expect(running.proxy.asyncTkvEmit(1, 'key', 'value')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_TKV_DISABLED');
  });
});

describe('a group of the user and an event of the user', () => {
  const running = useProxy(
    `asyncWorkersGroup: 'name=abc;workers=2', asyncTkvGname: 'abc', asyncTkvEvcb: 'my:event',
     requestRoute(msg) { msg.sendReply(404); },
     eventRoute: { 'my:event'(msg) { note(seen(msg)); } },`,
    { prelude },
  );
  it('serve', async () => {
    running.proxy.asyncTkvEmit(3, 'key', 'value');
    expect(await book.atLeast(1)).toEqual([[3, 'key', 'value', 'abc', 'my:event', 'abc', null]]);
  });
});

describe('modparam async mode=1', () => {
  const running = useProxy(
    `asyncWorkers: 1, asyncTkvGname: 'tkv', asyncTkvEvcb: 'core:tkv', modparam: { async: { mode: 1 } },
     route: {
       async R(msg) {
         const out = [];
         for (const [name, ...args] of [['asyncRoute', 'R', 1], ['asyncMsRoute', 'R', 1], ['asyncTaskRoute', 'R'],
           ['asyncTaskGroupRoute', 'R', 'default'], ['asyncSleep', 1], ['asyncMsSleep', 1]]) {
           out.push([await msg[name](...args), msg.asyncError.code]);
         }
         note([msg.asyncData, out]);
       },
     },
     eventRoute: { 'core:tkv'(msg) { note(seen(msg)); } },`,
    { prelude },
  );
  it('needs no socket: data tasks and events work, suspending functions answer MODE_NO_TM', async () => {
    expect(running.proxy.addresses).toEqual([]);
    running.proxy.asyncTaskData('R', 'x');
    const refused = Array.from({ length: 6 }, () => [false, 'SIPASYNC_ERR_MODE_NO_TM']);
    expect(await book.atLeast(1)).toEqual([['x', refused]]);
    running.proxy.asyncTkvEmit(1, 'k', 'v');
    expect((await book.atLeast(2))[1]).toEqual([1, 'k', 'v', 'tkv', 'core:tkv', 'tkv', null]);
    await becomesIdle(running.proxy);
  });
});
