import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CONTROL_LIMITS } from '../dist/control/protocol.js';
import { runNode } from './support/child.ts';
import { askControl, ControlSocket, socketFolder } from './support/control-socket.ts';
import type { Answer } from './support/control-socket.ts';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { sequence } from './support/random.ts';
import { becomesIdle, RunningProxy, useProxy } from './support/running-proxy.ts';

const book = Notes.forThisFile();
const folder = socketFolder();
let made = 0;
const freshPath = () => join(folder, `${(made += 1)}.sock`);

const definition = `
  asyncWorkersGroup: ['name=busy;workers=1'],
  async requestRoute(msg) {
    if (msg.toUser === 'route') msg.asyncRoute('RESUME', 60);
    if (msg.toUser === 'sooner') msg.asyncRoute('RESUME', 30);
    if (msg.toUser === 'sleep') { await msg.asyncSleep(90); return; }
    if (msg.toUser === 'hold') { await released(); return msg.sendReply(200); }
    msg.sendReply(404);
  },
  route: {
    RESUME(msg) { msg.sendReply(404); },
    SPIN() { note('spins'); spinUntilReleased(); },
    NOTE(msg) { note(msg.asyncData); },
  },`;

const open: ControlSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});
async function connected(path: string): Promise<ControlSocket> {
  const socket = await ControlSocket.open(path);
  open.push(socket);
  return socket;
}

const invalid = (message: string): Answer => ({
  ok: false,
  code: 'SIPASYNC_ERR_INVALID_REQUEST',
  message: `the request to the control socket is not valid: ${message}`,
});
const noJson = invalid('expected a JSON object in one line, as {"command":"ps"}');
const tooLong = invalid('a line takes at most 65536 bytes');

describe('the control socket', () => {
  const path = freshPath();
  const running = useProxy(definition, { prelude: notePrelude, overrides: { control: path } });

  it('lists what waits, the soonest first', async () => {
    const socket = await connected(path);
    expect(await socket.ask('{"command":"ps"}')).toEqual({ ok: true, result: { entries: [], more: false } });
    running.proxy.asyncTaskGroupData('SPIN', 'busy', '');
    await book.atLeast(1);
    running.proxy.asyncTaskGroupData('NOTE', 'busy', 'never');
    const calls = ['sleep', 'route', 'sooner'].map((user) => running.client.request({ user, autoAck: true }));
    await eventually(() => running.proxy.suspended().length === 4);

    const { result } = (await socket.ask('{"command":"ps","limit":4}')) as { result: { entries: { dueInMs: number }[]; more: boolean } };
    expect(result.more).toBe(false);
    const byIndex = [...running.proxy.suspended()].sort((a, b) => a.dueInMs - b.dueInMs);
    expect(result.entries).toEqual(byIndex.map((entry) => ({ ...entry, dueInMs: expect.any(Number) as number })));
    expect(result.entries).toMatchObject([
      { kind: 'task', route: 'NOTE', dueInMs: 0 },
      { kind: 'transaction', callId: calls[2]!.request.callId },
      { kind: 'transaction', callId: calls[1]!.request.callId },
      { kind: 'sleep', callId: calls[0]!.request.callId },
    ]);
    expect(await socket.ask('{"command":"ps","limit":3}')).toMatchObject({ ok: true, result: { entries: { length: 3 }, more: true } });

    for (const { handle } of running.proxy.suspended()) {
      expect(await socket.ask(JSON.stringify({ command: 'cancel', handle }))).toEqual({ ok: true, result: true });
      expect(await socket.ask(JSON.stringify({ command: 'cancel', handle }))).toMatchObject({
        ok: false, code: expect.stringMatching(/_STALE_HANDLE$|_NOT_SUSPENDED$/) as string,
      });
    }
    for (const call of calls) expect((await call.final()).status).toBe(487);
    book.release();
    await becomesIdle(running.proxy);
    expect(book.entries).toEqual(['spins']);
  });

  it('gives the figures of the proxy', async () => {
    await running.settle();
    const { result } = await askControl(path, { command: 'stats' });
    expect(result).toEqual(JSON.parse(JSON.stringify(running.stats)));
  });

  it('cuts what callers have made long', async () => {
    const callId = `${'x'.repeat(5000)}@client.invalid`;
    const call = running.client.request({ user: 'route', callId, autoAck: true });
    await eventually(() => running.proxy.suspended().length === 1);
    const { result } = (await askControl(path, { command: 'ps' })) as { result: { entries: { callId: string; handle: unknown }[] } };
    expect(result.entries[0]!.callId).toBe(`${'x'.repeat(256)}...`);
    await askControl(path, { command: 'cancel', handle: result.entries[0]!.handle });
    expect((await call.final()).status).toBe(487);
    await becomesIdle(running.proxy);
  });

  it('leaves asyncError to the program', async () => {
    expect(running.proxy.asyncTaskData('NO_SUCH_ROUTE', '')).toBe(false);
    const refused = await askControl(path, { command: 'cancel', handle: { index: 7, label: 7 } });
    expect(refused).toMatchObject({ ok: false, code: 'SIPASYNC_ERR_STALE_HANDLE' });
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_UNKNOWN_ROUTE');
  });

  it.each<[string, Answer]>([
    ['', noJson],
    [' ', noJson],
    ['ps', noJson],
    ['{"command":"ps"', noJson],
    ['{"command":"ps"}}', noJson],
    ['{command:"ps"}', noJson],
    ['{"command":"ps"}{"command":"ps"}', noJson],
    ['\0', noJson],
    ['GET / HTTP/1.1', noJson],
    ['['.repeat(65_536), noJson],
    [`${'['.repeat(32_768)}${']'.repeat(32_768)}`, invalid('expected a JSON object, got an array')],
    ['null', invalid('expected a JSON object, got null')],
    ['1', invalid('expected a JSON object, got 1')],
    ['"ps"', invalid('expected a JSON object, got the string "ps"')],
    ['["ps"]', invalid('expected a JSON object, got an array')],
    ['{}', invalid('command: expected one of ps, cancel, stats, got nothing')],
    ['{"command":null}', invalid('command: expected one of ps, cancel, stats, got null')],
    ['{"command":["ps"]}', invalid('command: expected one of ps, cancel, stats, got an array')],
    ['{"command":"stat"}', invalid('command: expected one of ps, cancel, stats, got the string "stat", did you mean stats?')],
    ['{"command":"constructor"}', invalid('command: expected one of ps, cancel, stats, got the string "constructor"')],
    ['{"command":"ps","limi":1}', invalid('unknown key "limi", did you mean limit?')],
    ['{"command":"ps","handle":1}', invalid('unknown key "handle"')],
    ['{"command":"stats","limit":1}', invalid('unknown key "limit"')],
    ['{"command":"stats","__proto__":1}', invalid('unknown key "__proto__"')],
    ['{"command":"stats","a\\nb":1}', invalid('unknown key "a\\nb"')],
    ['{"command":"ps","limit":0}', invalid('limit: expected an integer from 1 to 10000, got 0')],
    ['{"command":"ps","limit":10001}', invalid('limit: expected an integer from 1 to 10000, got 10001')],
    ['{"command":"ps","limit":1.5}', invalid('limit: expected an integer from 1 to 10000, got 1.5')],
    ['{"command":"ps","limit":1e999}', invalid('limit: expected an integer from 1 to 10000, got Infinity')],
    ['{"command":"ps","limit":"9"}', invalid('limit: expected an integer from 1 to 10000, got the string "9"')],
    ['{"command":"cancel"}', invalid('expected a handle as {"index":1,"label":1}, got nothing')],
    ['{"command":"cancel","handle":"1:2"}', invalid('expected a handle as {"index":1,"label":1}, got the string "1:2"')],
    ['{"command":"cancel","handle":[1,2]}', invalid('expected a handle as {"index":1,"label":1}, got an array')],
    ['{"command":"cancel","handle":{"index":1}}', invalid('handle.label: expected an integer from 0 to 4294967295, got nothing')],
    ['{"command":"cancel","handle":{"index":-1,"label":1}}', invalid('handle.index: expected an integer from 0 to 4294967295, got -1')],
    ['{"command":"cancel","handle":{"index":1,"label":4294967296}}', invalid('handle.label: expected an integer from 0 to 4294967295, got 4294967296')],
    ['{"command":"cancel","handle":{"index":1,"label":1,"labl":1}}', invalid('unknown key "labl", did you mean label?')],
  ])('answers %j with an error, and goes on', async (line, answer) => {
    const socket = await connected(path);
    expect(await socket.ask(line)).toEqual(answer);
    expect(await socket.ask('{"command":"stats"}')).toMatchObject({ ok: true });
  });

  it('takes no bytes that are no UTF-8', async () => {
    const socket = await connected(path);
    expect(await socket.ask(Buffer.from('{"command":"\xff"}', 'latin1'))).toEqual(noJson);
    expect(await socket.ask('{"command":"stats"}')).toMatchObject({ ok: true });
  });

  it('answers lines that chance has made, each once', { timeout: 60_000 }, async () => {
    const { seed, next } = sequence();
    const requests = [
      '{"command":"ps","limit":3}', '{"command":"cancel","handle":{"index":3,"label":1}}', '{"command":"stats"}',
      `{"command":"ps","limit":${'9'.repeat(400)}}`, '[[[[]]]]', `"${'é'.repeat(3000)}"`,
    ];
    const pieces = ['"', '{', '}', '[', ']', ':', ',', '\\', '\\u0000', '\0', 'null', '1e9', '-', '__proto__', '\xff\xfe', '\r', '\n'];
    const socket = await connected(path);
    let lines = 0;
    for (let round = 0; round < 40; round += 1) {
      const batch: Buffer[] = [];
      for (let i = 0; i < 25; i += 1) {
        let text = requests[next(requests.length)]!;
        for (let change = next(4); change > 0; change -= 1) {
          const at = next(text.length + 1);
          const piece = pieces[next(pieces.length)]!;
          text = [text.slice(0, at), text.slice(0, at) + piece + text.slice(at), text.slice(at)][next(3)]!;
        }
        batch.push(Buffer.from(`${text}\n`, 'latin1'));
      }
      const bytes = Buffer.concat(batch);
      lines += bytes.filter((byte) => byte === 0x0a).length;
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + next(4000);
        socket.send(bytes.subarray(at, at + size));
        at += size;
      }
      const answers = await socket.atLeast(lines);
      expect(answers.length, `seed ${seed}`).toBe(lines);
    }
    const wrong = socket.answers.filter(({ ok, result, code, message }) =>
      ok ? result === undefined : !/^SIPASYNC_ERR_(INVALID_REQUEST|STALE_HANDLE|NOT_SUSPENDED)$/.test(code!) || message!.length > 400);
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect((await running.ask({ method: 'OPTIONS' })).status).toBe(404);
  });

  it('takes a line of 64 KiB and none that is longer', async () => {
    const padded = (bytes: number) => '{"command":"stats"}'.padEnd(bytes, ' ');
    const socket = await connected(path);
    expect(await socket.ask(padded(65_536))).toMatchObject({ ok: true });
    expect(await socket.ask(padded(65_537))).toEqual(tooLong);
    socket.send('{"command":"stats"}\n');
    expect(await socket.closed).toHaveLength(2);
    expect(await askControl(path, { command: 'stats' })).toMatchObject({ ok: true });
  });

  it('stops at a line without end', async () => {
    const socket = await connected(path);
    socket.send('x'.repeat(10_000_000));
    expect(await socket.closed).toEqual([tooLong]);
  });

  it('takes a line in single bytes, and several in one piece', async () => {
    const socket = await connected(path);
    for (const byte of Buffer.from('{"command":"ps"}\r\n')) {
      await new Promise((sent) => socket.socket.write(Buffer.of(byte), sent));
    }
    expect(await socket.atLeast(1)).toEqual([{ ok: true, result: { entries: [], more: false } }]);
    socket.send('{"command":"ps"}\nx\n{"command":"ps"}\n');
    expect((await socket.atLeast(4)).map(({ ok }) => ok)).toEqual([true, true, false, true]);
  });

  it('answers who has ended its side, the last line without an end as well', async () => {
    const socket = await connected(path);
    socket.send('{"command":"ps"}\n{"command":"ps"}');
    socket.end();
    expect((await socket.closed).map(({ ok }) => ok)).toEqual([true, true]);
    const quiet = await connected(path);
    quiet.end();
    expect(await quiet.closed).toEqual([]);
  });

  it('lets go of who breaks off', async () => {
    for (let i = 0; i < 3 * CONTROL_LIMITS.connections; i += 1) {
      const socket = await connected(path);
      socket.send(i % 2 === 0 ? '{"comm' : '{"command":"stats"}\n'.repeat(1000));
      socket.destroy();
    }
    await eventually(async () => (await askControl(path, { command: 'stats' })).ok);
  });

  it('does not read from who does not read', { timeout: 60_000 }, async () => {
    const requests = 20_000;
    const socket = await connected(path);
    socket.socket.pause();
    const request = '{"command":"stats"}\n';
    for (let i = 0; i < requests; i += 100) socket.send(request.repeat(100));
    for (let i = 0; i < 10; i += 1) expect(await askControl(path, { command: 'stats' })).toMatchObject({ ok: true });
    expect(socket.socket.writableLength).toBeGreaterThan(0);
    socket.socket.resume();
    const answers = await new Promise<number>((resolve) => {
      let count = 0;
      socket.socket.on('data', (text: unknown) => {
        count += String(text).split('\n').length - 1;
        if (count === requests) resolve(count);
      });
    });
    expect(answers).toBe(requests);
  });

  it('serves 16 connections and tells the next that there are so many', async () => {
    const sockets = await Promise.all(Array.from({ length: CONTROL_LIMITS.connections }, () => connected(path)));
    for (const socket of sockets) expect(await socket.ask('{"command":"ps"}')).toMatchObject({ ok: true });
    const refused = invalid('at most 16 connections are served at a time');
    const more = await Promise.all(Array.from({ length: 10 }, () => connected(path)));
    for (const socket of more) {
      socket.send('{"command":"ps"}\n');
      expect(await socket.closed).toEqual([refused]);
    }
    for (const socket of sockets) expect(await socket.ask('{"command":"ps"}')).toMatchObject({ ok: true });
    sockets[3]!.destroy();
    await eventually(async () => (await askControl(path, { command: 'ps' })).ok);
  });

  it('survives hundreds of connections that come at once', async () => {
    const sockets = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const socket = await ControlSocket.open(path).catch(() => undefined);
        if (socket !== undefined) open.push(socket);
        return socket;
      }),
    );
    for (const socket of sockets) socket?.send('{"command":"ps"}\n');
    await eventually(() => sockets.flatMap((socket) => socket?.answers ?? []).filter(({ ok }) => ok).length >= CONTROL_LIMITS.connections);
    for (const socket of sockets) socket?.destroy();
    await eventually(async () => (await askControl(path, { command: 'ps' })).ok);
    expect((await running.ask({ method: 'OPTIONS' })).status).toBe(404);
  });

  it('closes connections on which nothing happens', { timeout: 30_000 }, async () => {
    const quiet = await connected(path);
    const partial = await connected(path);
    partial.send('{"command":');
    const deaf = await connected(path);
    deaf.socket.pause();
    deaf.send('{"command":"stats"}\n'.repeat(20_000));
    // Paused, it would not see its own end; that the proxy has let go of it shows in its writing.
    const cut = new Promise((resolve) => deaf.socket.on('error', resolve));
    expect(await Promise.all([quiet.closed, partial.closed])).toEqual([[], []]);
    await cut;
  });
});

describe('close', () => {
  async function started(): Promise<{ running: RunningProxy; path: string }> {
    const path = freshPath();
    const running = new RunningProxy(definition, { prelude: notePrelude, overrides: { control: path } });
    await running.start();
    return { running, path };
  }
  const isThere = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

  it('cuts connections of every kind, and does not wait for them', async () => {
    const { running, path } = await started();
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connected(path)));
    sockets[1]!.send('{"command":');
    sockets[2]!.end();
    sockets[3]!.send('x'.repeat(70_000));
    await sockets[4]!.ask('{"command":"ps"}');
    await running.stop();
    await Promise.all(sockets.map(({ closed }) => closed));
    expect(isThere(path)).toBe(false);
    await expect(ControlSocket.open(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('gives up the place at once, and serves who is there until the calls have ended', async () => {
    const { running, path } = await started();
    const socket = await connected(path);
    const call = running.client.request({ user: 'hold' });
    await eventually(() => running.stats.transactions.inScript === 1);
    const closing = running.proxy.close();
    expect(isThere(path)).toBe(false);
    const next = new RunningProxy(definition, { prelude: notePrelude, overrides: { control: path } });
    await next.start();
    expect(await socket.ask('{"command":"stats"}')).toMatchObject({ result: { transactions: { inScript: 1 } } });
    expect(await askControl(path, { command: 'stats' })).toMatchObject({ result: { transactions: { inScript: 0 } } });
    book.release();
    expect((await call.final()).status).toBe(200);
    await closing;
    await socket.closed;
    expect(isThere(path)).toBe(true);
    await Promise.all([running.stop(), next.stop()]);
    expect(isThere(path)).toBe(false);
  });

  it('of one proxy leaves the socket of the other', async () => {
    const one = await started();
    const two = await started();
    one.running.client.request({ user: 'route', autoAck: true });
    await eventually(() => one.running.proxy.suspended().length === 1);
    expect(await askControl(one.path, { command: 'ps' })).toMatchObject({ result: { entries: { length: 1 } } });
    expect(await askControl(two.path, { command: 'ps' })).toMatchObject({ result: { entries: { length: 0 } } });
    await one.running.stop();
    expect(await askControl(two.path, { command: 'ps' })).toMatchObject({ ok: true });
    await two.running.stop();
  });
});

describe('the socket and its connections', () => {
  it('do not keep a process alive', async () => {
    const path = JSON.stringify(freshPath());
    const source = `
      import { connect } from 'node:net';
      import { once } from 'node:events';
      import { ControlServer } from ${JSON.stringify(new URL('../dist/control/server.js', import.meta.url).href)};
      const control = await ControlServer.open(${path}, { debug() {}, info() {}, warn() {}, error() {} });
      control.serve({ suspended: () => [], cancel: () => null, stats: () => ({}) });
      const socket = connect(${path});
      await once(socket, 'connect');
      socket.write('{"command":"ps"}\\n');
      const [answer] = await once(socket, 'data');
      process.stdout.write(String(answer));
      socket.unref();`;
    const ended = await runNode(['--input-type=module', '-e', source], { cwd: fileURLToPath(new URL('..', import.meta.url)) });
    expect(ended).toEqual({ code: 0, signal: null, stdout: '{"ok":true,"result":{"entries":[],"more":false}}\n', stderr: '', timedOut: false });
  });
});
