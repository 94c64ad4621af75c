import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import type { Proxy, ProxySettings } from 'sip-async';
import { ControlServer } from '../dist/control/server.js';
import { makeLogger } from '../dist/log.js';
import { Child, ProxyProcess } from './support/child.ts';
import { askControl, ControlSocket, socketFolder } from './support/control-socket.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { ProxyFile, proxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';

const book = Notes.forThisFile();
const sockets = socketFolder();
const silent = makeLogger('silent', 'test');
const noted = new ProxyFile(
  proxySource(`asyncWorkers: 1, async requestRoute(msg) { await released(); msg.sendReply(404); },`, `${notePrelude} note(threadId);`),
);
const plain = proxyFile(`requestRoute(msg) { msg.sendReply(404); },`);
afterAll(() => [noted, plain].forEach((file) => file.remove()));

/** An empty folder, and the path of a socket in it. */
function place(): { folder: string; path: string } {
  const folder = mkdtempSync(join(sockets, 'p'));
  return { folder, path: join(folder, 'c.sock') };
}

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(settings: ProxySettings, file = plain): Promise<Proxy> {
  const proxy = await startProxy(file.url, { listen: 'udp:127.0.0.1:0', ...settings });
  ends.push(() => proxy.close({ timeoutMs: 0 }));
  return proxy;
}

interface Refusal {
  code: string;
  message: string;
  cause: { code: string };
}

function refusalOf(settings: ProxySettings, file = plain): Promise<Refusal> {
  return start(settings, file).then(
    () => Promise.reject(new Error('it started')),
    (error: unknown) => error as Refusal,
  );
}

/** Leaves a socket file behind, as a process does that is killed. */
async function leaveStale(path: string): Promise<void> {
  const child = new Child(process.execPath, [
    '-e', `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`, path,
  ]);
  await child.exited;
  expect(lstatSync(path).isSocket()).toBe(true);
}

/** The same without a process: closing a server whose file was moved leaves the file. */
async function leaveStaleQuickly(path: string): Promise<void> {
  const server = createServer().listen(`${path}.new`);
  await once(server, 'listening');
  renameSync(`${path}.new`, path);
  server.close();
  await once(server, 'close');
}

describe('the file of the control socket', () => {
  it('is there for this user only, and leaves nothing else behind', async () => {
    const { folder, path } = place();
    const umask = process.umask(0);
    try {
      const proxy = await start({ control: path });
      expect(lstatSync(path).mode & 0o7777).toBe(0o600);
      expect(lstatSync(path).isSocket()).toBe(true);
      expect(readdirSync(folder)).toEqual(['c.sock']);
      expect(process.umask(0)).toBe(0);
      await proxy.close();
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      process.umask(umask);
    }
  });

  it('has no other mode at any moment', async () => {
    const { path } = place();
    const umask = process.umask(0);
    // It looks without a pause, and notes every mode that it has seen.
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const watcher = new Worker(
      `const { parentPort, workerData: { stop, path } } = require('node:worker_threads');
       const { lstatSync } = require('node:fs');
       const modes = new Set();
       parentPort.postMessage('ready');
       while (Atomics.load(stop, 0) === 0) {
         const found = lstatSync(path, { throwIfNoEntry: false });
         if (found) modes.add(found.mode & 0o7777);
       }
       parentPort.postMessage([...modes]);`,
      { eval: true, workerData: { stop, path } },
    );
    try {
      await once(watcher, 'message');
      for (let round = 0; round < 50; round += 1) (await ControlServer.open(path, silent)).close();
      const last = await ControlServer.open(path, silent);
      const modes = once(watcher, 'message');
      Atomics.store(stop, 0, 1);
      expect((await modes)[0]).toEqual([0o600]);
      last.close();
    } finally {
      process.umask(umask);
      await watcher.terminate();
    }
  });

  it('is closed to other users', async ({ skip }) => {
    skip(process.getuid?.() !== 0, 'only root can be another user');
    const { folder, path } = place();
    await start({ control: path });
    for (const open of [sockets, folder]) chmodSync(open, 0o755);
    const source = `require('net').connect(process.argv[1]).on('error', ({ code }) => console.log(code))`;
    const asNobody = (file: string) => spawnSync(process.execPath, ['-e', source, file], { uid: 65_534, encoding: 'utf8' });
    expect(asNobody(path)).toMatchObject({ stdout: 'EACCES\n', status: 0 });
    expect(asNobody(join(folder, 'no'))).toMatchObject({ stdout: 'ENOENT\n', status: 0 });
  });

  it('is not made when nobody asks for it', async () => {
    const { folder } = place();
    const child = await ProxyProcess.start(plain.path, { cwd: folder, args: ['--listen', 'udp:127.0.0.1:0'] });
    expect(readdirSync(folder)).toEqual([]);
    expect(await child.stop()).toMatchObject({ code: 0, stderr: '' });
  });

  it('may be named in the module, and relative to the working directory', async () => {
    const { path } = place();
    const file = proxyFile(`control: ${JSON.stringify(relative(process.cwd(), path))}, requestRoute() {},`);
    ends.push(() => file.remove());
    await start({}, file);
    expect(await askControl(path, { command: 'ps' })).toEqual({ ok: true, result: { entries: [], more: false } });
  });

  it('may have a path of 107 bytes', async () => {
    const { folder } = place();
    const path = join(folder, 's'.repeat(106 - folder.length));
    await start({ control: path });
    expect(Buffer.byteLength(path)).toBe(107);
    expect(await askControl(path, { command: 'stats' })).toMatchObject({ ok: true });
  });

  it('replaces what a killed process has left', async () => {
    const { folder, path } = place();
    await leaveStale(path);
    const proxy = await start({ control: path });
    expect(await askControl(path, { command: 'ps' })).toMatchObject({ ok: true });
    expect(readdirSync(folder)).toEqual(['c.sock']);
    await proxy.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is one proxy\'s when several want to replace it at once', async () => {
    const { folder, path } = place();
    for (let round = 0; round < 20; round += 1) {
      await leaveStaleQuickly(path);
      const opened = await Promise.allSettled([1, 2].map(() => ControlServer.open(path, silent)));
      const servers = opened.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
      expect(servers).toHaveLength(1);
      const connection = await ControlSocket.open(path);
      servers[0]!.close();
      await connection.closed;
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('is refused where another proxy listens, which goes on', async () => {
    const { folder, path } = place();
    await start({ control: path });
    const before = lstatSync(path, { bigint: true });
    const refusal = await refusalOf({ control: path });
    expect(refusal).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN', cause: { code: 'EADDRINUSE' } });
    expect(refusal.message).toBe(`the address cannot be bound: control socket ${path}: a running process listens there`);
    expect(lstatSync(path, { bigint: true })).toMatchObject({ ino: before.ino, mtimeNs: before.mtimeNs });
    expect(await askControl(path, { command: 'ps' })).toMatchObject({ ok: true });
    expect(readdirSync(folder)).toEqual(['c.sock']);
  });

  it('is refused where anything else listens', async () => {
    const { path } = place();
    const server = createServer().listen(path);
    ends.push(() => server.close());
    await once(server, 'listening');
    expect(await refusalOf({ control: path })).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN' });
    expect(lstatSync(path).isSocket()).toBe(true);
  });

  it.each([
    ['a file', (path: string) => writeFileSync(path, 'precious')],
    ['an empty file', (path: string) => writeFileSync(path, '')],
    ['a folder', (path: string) => mkdirSync(path)],
    ['a pipe', (path: string) => void spawnSync('mkfifo', [path])],
    ['a link to a file', (path: string) => (writeFileSync(`${path}.to`, 'precious'), symlinkSync(`${path}.to`, path))],
    ['a link to nothing', (path: string) => symlinkSync(`${path}.to`, path)],
  ])('never touches %s', async (_, make) => {
    const { folder, path } = place();
    make(path);
    const files = readdirSync(folder);
    const before = lstatSync(path, { bigint: true });
    expect(await refusalOf({ control: path })).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN', cause: { code: 'EEXIST' } });
    const { ino, mtimeNs, ctimeNs, mode, size } = before;
    expect(lstatSync(path, { bigint: true })).toMatchObject({ ino, mtimeNs, ctimeNs, mode, size });
    expect(readdirSync(folder)).toEqual(files);
  });

  it('never touches a link to a socket, be it in use or left behind', async () => {
    const { folder, path } = place();
    await leaveStale(`${path}.to`);
    symlinkSync(`${path}.to`, path);
    expect(await refusalOf({ control: path })).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN', cause: { code: 'EEXIST' } });
    expect(readdirSync(folder)).toEqual(['c.sock', 'c.sock.to']);
  });

  it('is refused in a folder that is not there, and nothing of the proxy was started', async () => {
    const { folder } = place();
    const path = join(folder, 'no', 'c.sock');
    const refusal = await refusalOf({ control: path }, noted);
    expect(refusal).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN', cause: { code: 'ENOENT' } });
    expect(refusal.message).toContain(path);
    // The main thread has read the module; no worker thread has.
    expect(book.entries).toEqual([0]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is removed when the proxy cannot start', async () => {
    const { folder, path } = place();
    const other = createSocket('udp4');
    other.bind(0, '127.0.0.1');
    await once(other, 'listening');
    ends.push(() => other.close());
    const refusal = await refusalOf({ control: path, listen: `udp:127.0.0.1:${other.address().port}` });
    expect(refusal).toMatchObject({ code: 'SIPASYNC_ERR_LISTEN' });
    expect(refusal.message).toContain('udp:127.0.0.1');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is left alone on close when it is another\'s by then', async () => {
    const { folder, path } = place();
    const proxy = await start({ control: path });
    renameSync(path, `${path}.old`);
    writeFileSync(path, 'precious');
    await proxy.close();
    expect(readFileSync(path, 'utf8')).toBe('precious');
    expect(readdirSync(folder)).toEqual(['c.sock', 'c.sock.old']);
  });

  it('may be gone on close', async () => {
    const { path } = place();
    const proxy = await start({ control: path });
    rmSync(path);
    await expect(proxy.close()).resolves.toMatchObject({ answered: 0 });
  });
});
