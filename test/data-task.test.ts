import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';

const prelude = `${notePrelude}
  const shown = (data) => typeof data === 'string' ? ['text', data.length, data.slice(0, 40)]
    : data === null ? null : ['bytes', data.length, data.toString('hex', 0, 20), Buffer.isBuffer(data)];
  const code = (msg) => msg.asyncError?.code ?? null;
  const attempt = (action) => {
    try { return action(); } catch (error) { return error.code ?? String(error); }
  };`;

const book = Notes.forThisFile();
const noted = (count: number) => book.atLeast(count);

const definition = `
  asyncWorkers: 2,
  asyncWorkersGroup: ['name=one;workers=1', 'name=full;workers=1;nonblock=1;maxqueue=1'],
  async requestRoute(msg) {
    const [what, ...args] = JSON.parse(Buffer.from(msg.header('X-Call'), 'base64').toString());
    const data = args.map((one) => typeof one === 'object' ? new Uint8Array(one.bytes) : one);
    const result = attempt(() => msg[what](...data));
    msg.appendToReply('X-Result: ' + JSON.stringify([result, code(msg)]));
    msg.sendReply(200);
  },
  route: {
    NOTE(msg) { note([shown(msg.asyncData), msg.asyncGname, msg.route, threadId > 0]); },
    async LATER(msg) { await null; note([shown(msg.asyncData), msg.asyncGname]); },
    FAKED(msg) {
      note([msg.method, msg.isRequest, typeof msg.ruri, typeof msg.callId, msg.srcIp, msg.headers('Via').length,
        msg.body, Buffer.isBuffer(msg.raw), msg.parsed.method, msg.atkv.type, msg.var, msg.header('X')]);
    },
    async REFUSED(msg) {
      const out = [];
      for (const [name, ...args] of [['asyncRoute', 'NOTE', 1], ['asyncMsRoute', 'NOTE', 1], ['asyncTaskRoute', 'NOTE'],
        ['asyncTaskGroupRoute', 'NOTE', 'one'], ['asyncSleep', 1], ['asyncMsSleep', 1], ['tNewtran'], ['sendReply', 200],
        ['tReply', 200], ['slSendReply', 200], ['slReplyError']]) {
        out.push([name, await attempt(() => msg[name](...args)), code(msg)]);
      }
      note(out);
    },
    EXIT(msg) { note('exits'); msg.exit(); },
    DROP(msg) { note('drops'); msg.drop(); },
    THROW() { note('throws'); throw new Error('thrown'); },
    async REJECT() { note('rejects'); throw new Error('thrown'); },
    CHAIN(msg) {
      const left = Number(msg.asyncData);
      if (left === 0) note('end');
      else if (!msg.asyncTaskGroupData('CHAIN', 'one', String(left - 1))) note(code(msg));
    },
    async BLOCK() { note('blocks'); await released(); },
    SPIN() { note('spins'); spinUntilReleased(); },
    AVP(msg) { note([msg.avp.get('a'), msg.flags.value, msg.var.a ?? null]); msg.avp.set('a', 1); msg.flags.set(3); msg.var.a = 1; },
  },`;

describe('data tasks', () => {
  const running = useProxy(definition, { prelude });
  const call = async (...args: unknown[]): Promise<unknown> => {
    const text = Buffer.from(JSON.stringify(args, (_, value: unknown) =>
      value instanceof Uint8Array ? { bytes: [...value] } : value)).toString('base64');
    const answer = await running.ask({ method: 'OPTIONS', headers: [`X-Call: ${text}`] });
    return JSON.parse(answer.header('x-result'));
  };

  it('run the route in a worker with the text', async () => {
    expect(await call('asyncTaskData', 'NOTE', 'hello')).toEqual([true, null]);
    expect(await noted(1)).toEqual([[['text', 5, 'hello'], 'default', 'NOTE', true]]);
  });

  it('run in the group that is named', async () => {
    expect(await call('asyncTaskGroupData', 'NOTE', 'one', 'hello')).toEqual([true, null]);
    expect(await noted(1)).toEqual([[['text', 5, 'hello'], 'one', 'NOTE', true]]);
  });

  it('carry bytes as they are', async () => {
    expect(await call('asyncTaskData', 'NOTE', new Uint8Array([0, 255, 10, 13, 0]))).toEqual([true, null]);
    expect(await noted(1)).toEqual([[['bytes', 5, '00ff0a0d00', true], 'default', 'NOTE', true]]);
  });

  it('come from the proxy, too', async () => {
    expect(running.proxy.asyncTaskData('NOTE', 'grüße\0')).toBe(true);
    expect(running.proxy.asyncError).toBeNull();
    expect(running.proxy.asyncTaskGroupData('NOTE', 'one', Buffer.alloc(0))).toBe(true);
    const seen = await noted(2);
    expect(seen).toContainEqual([['text', 6, 'grüße\0'], 'default', 'NOTE', true]);
    expect(seen).toContainEqual([['bytes', 0, '', true], 'one', 'NOTE', true]);
  });

  it('serve asynchronous handlers', async () => {
    running.proxy.asyncTaskGroupData('LATER', 'one', 'later');
    expect(await noted(1)).toEqual([[['text', 5, 'later'], 'one']]);
  });

  it.each([
    ['', 'text', 0],
    ['x'.repeat(1 << 20), 'text', 1 << 20],
    [new Uint8Array(1 << 20), 'bytes', 1 << 20],
  ])('take up to 1 MiB (%#)', async (data, kind, length) => {
    expect(running.proxy.asyncTaskData('NOTE', data)).toBe(true);
    const [[[gotKind, gotLength]]] = (await noted(1)) as [[[string, number]]];
    expect([gotKind, gotLength]).toEqual([kind, length]);
  });

  it.each([['x'.repeat((1 << 20) + 1)], [new Uint8Array((1 << 20) + 1)], ['ü'.repeat(600_000)]])(
    'refuse more (%#)',
    (data) => {
      expect(running.proxy.asyncTaskData('NOTE', data)).toBe(false);
      expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_PAYLOAD_TOO_LARGE');
      expect(running.stats.tasks.active).toBe(0);
    },
  );

  it.each([
    [['asyncTaskData', 'NOWHERE', 'x'], 'UNKNOWN_ROUTE'],
    [['asyncTaskData', '', 'x'], 'UNKNOWN_ROUTE'],
    [['asyncTaskData', 'toString', 'x'], 'UNKNOWN_ROUTE'],
    [['asyncTaskGroupData', 'NOTE', 'nobody', 'x'], 'UNKNOWN_GROUP'],
    [['asyncTaskGroupData', 'NOTE', '', 'x'], 'UNKNOWN_GROUP'],
    [['asyncTaskGroupData', 'NOTE', 'async:workers', 'x'], 'UNKNOWN_GROUP'],
    [['asyncTkvEmit', 1, 'key', 'value'], 'TKV_DISABLED'],
  ])('are refused with a code: %j', async (args, name) => {
    expect(await call(...args)).toEqual([false, `SIPASYNC_ERR_${name}`]);
    const [what, ...rest] = args as [string, ...unknown[]];
    const direct = running.proxy as never as Record<string, (...args: unknown[]) => unknown>;
    expect(direct[what]!(...rest)).toBe(false);
    expect(running.proxy.asyncError?.code).toBe(`SIPASYNC_ERR_${name}`);
    expect(running.stats.tasks.active).toBe(0);
  });

  it('show a made-up request', async () => {
    running.proxy.asyncTaskData('FAKED', '');
    expect(await noted(1)).toEqual([
      ['OPTIONS', true, 'string', 'string', '127.0.0.1', 1, '', true, 'OPTIONS', null, {}, null],
    ]);
  });

  it('have no transaction: what needs one is refused', async () => {
    running.proxy.asyncTaskData('REFUSED', '');
    const [rows] = (await noted(1)) as [[string, unknown, string][]];
    expect(rows).toHaveLength(11);
    for (const [, result, code] of rows) expect([result, code]).toEqual([false, 'SIPASYNC_ERR_NO_TRANSACTION']);
  });

  it.each(['EXIT', 'DROP', 'THROW', 'REJECT'])('end by %s and are over', async (route) => {
    const { done, failed } = running.stats.groups['one']!;
    expect(running.proxy.asyncTaskGroupData(route, 'one', '')).toBe(true);
    await noted(1);
    const threw = route === 'THROW' || route === 'REJECT';
    await eventually(() => running.stats.tasks.active === 0);
    expect(running.stats.groups['one']).toMatchObject({ done: done + (threw ? 0 : 1), failed: failed + (threw ? 1 : 0) });
  });

  it('may start tasks themselves', async () => {
    running.proxy.asyncTaskData('CHAIN', '200');
    expect(await noted(1)).toEqual(['end']);
  });

  it('see nothing of one another', async () => {
    for (let i = 0; i < 4; i += 1) running.proxy.asyncTaskGroupData('AVP', 'one', '');
    expect(await noted(4)).toEqual(Array.from({ length: 4 }, () => [null, 0, null]));
  });

  it('are refused by a full group with nonblock=1, and by no other', async () => {
    book.hold();
    expect(running.proxy.asyncTaskGroupData('SPIN', 'full', '')).toBe(true);
    await noted(1);
    expect(running.proxy.asyncTaskGroupData('NOTE', 'full', '1')).toBe(true);
    expect(running.proxy.asyncTaskGroupData('NOTE', 'full', '2')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_GROUP_FULL');
    expect(running.stats.groups['full']).toMatchObject({ queued: 1, refused: 1 });
    expect(running.proxy.asyncTaskGroupData('NOTE', 'one', '3')).toBe(true);
    book.release();
    await noted(3);
    expect(book.entries).not.toContainEqual([['text', 1, '2'], 'full', 'NOTE', true]);
  });

  it('leave nothing behind', async () => {
    for (let i = 0; i < 5000; i += 1) {
      if (!running.proxy.asyncTaskData('DROP', Buffer.alloc(i))) throw running.proxy.asyncError!;
    }
    await noted(5000);
    await becomesIdle(running.proxy);
    expect(running.stats.tasks).toMatchObject({ active: 0, dropped: 0 });
  });
});

const text = (value: string) => [value, /^data: expected a string or a Uint8Array, got /] as const;
describe('a wrong type throws a TypeError', () => {
  const running = useProxy(`asyncWorkers: 1, requestRoute(msg) { msg.sendReply(404); }, route: { R() {} },`);
  it.each([undefined, null, 1, true, {}, [], 1n, Symbol('x'), () => 1, new ArrayBuffer(4), new Uint16Array(2)])(
    'as data: %s',
    (data) => {
      expect(() => running.proxy.asyncTaskData('R', data as never)).toThrow(TypeError);
      expect(() => running.proxy.asyncTaskData('R', data as never)).toThrow(text('')[1]);
      expect(() => running.proxy.asyncTaskGroupData('R', 'default', data as never)).toThrow(text('')[1]);
    },
  );
  it.each([undefined, null, 1, {}, []])('as a name: %s', (name) => {
    expect(() => running.proxy.asyncTaskData(name as never, '')).toThrow(/^routename: expected a string, got /);
    expect(() => running.proxy.asyncTaskGroupData('R', name as never, '')).toThrow(/^groupname: expected a string, got /);
  });
});

describe('without groups', () => {
  const running = useProxy(`requestRoute(msg) { msg.sendReply(404); }, route: { R() {} },`);
  it('data tasks are refused with NO_WORKERS', () => {
    expect(running.proxy.asyncTaskData('R', '')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_NO_WORKERS');
  });
});

describe('as many tasks as maxTransactions', () => {
  const running = useProxy(
    `asyncWorkers: 1, maxTransactions: 3, requestRoute(msg) { msg.sendReply(404); },
     route: { async HOLD() { await released(); } },`,
    { prelude },
  );
  it('are taken, no more, and calls have their own', async () => {
    book.hold();
    for (let i = 0; i < 3; i += 1) expect(running.proxy.asyncTaskData('HOLD', 'x')).toBe(true);
    expect(running.proxy.asyncTaskData('HOLD', 'x')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_SLOTS_EXHAUSTED');
    expect((await running.ask({})).status).toBe(404);
    book.release();
    await eventually(() => running.stats.tasks.active === 0);
    expect(running.proxy.asyncTaskData('HOLD', 'x')).toBe(true);
    await becomesIdle(running.proxy);
  });
});

describe('closing', () => {
  const source = `asyncWorkers: 1, requestRoute(msg) { msg.sendReply(404); },
    route: {
      async HOLD() { note('holds'); await released(); },
      SPIN() { note('spins'); spinUntilReleased(); },
      NOTE() { note('done'); },
    },`;

  it('waits for tasks that are queued and running', async () => {
    book.hold();
    const running = new RunningProxy(source, { prelude });
    await running.start();
    running.proxy.asyncTaskData('SPIN', '');
    await noted(1);
    for (let i = 0; i < 10; i += 1) running.proxy.asyncTaskData('NOTE', '');
    const closing = running.proxy.close();
    book.release();
    expect(await closing).toEqual({ drained: 11, answered: 0, dropped: 0 });
    expect(book.entries.filter((note) => note === 'done')).toHaveLength(10);
    expect(running.proxy.asyncTaskData('NOTE', '')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_CLOSED');
    expect(running.proxy.stats().tasks).toEqual({ active: 0, done: 11, dropped: 0 });
    await running.client.close();
    running.file.remove();
  });

  it('drops at the deadline what has not begun, and says how many', async () => {
    book.hold();
    const running = new RunningProxy(source, { prelude });
    await running.start();
    running.proxy.asyncTaskData('SPIN', '');
    await noted(1);
    for (let i = 0; i < 10; i += 1) running.proxy.asyncTaskData('NOTE', '');
    const closing = running.proxy.close({ timeoutMs: 0 });
    book.release();
    expect(await closing).toMatchObject({ answered: 0, dropped: 10 });
    expect(book.entries).toEqual(['spins']);
    await running.client.close();
    running.file.remove();
  });
});
