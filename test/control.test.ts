import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CONTROL_LIMITS } from '../dist/control/protocol.js';
import { runNode } from './support/child.ts';
import { askControl, ControlSocket, invalidRequest, socketFolder } from './support/control-socket.ts';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
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
    const refused = invalidRequest('at most 16 connections are served at a time');
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
