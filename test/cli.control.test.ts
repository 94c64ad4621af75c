import { spawnSync } from 'node:child_process';
import { lstatSync, mkdtempSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProxyStats, SuspendedEntry } from 'sip-async';
import { ProxyProcess, runNode } from './support/child.ts';
import { askControl, socketFolder } from './support/control-socket.ts';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const book = Notes.forThisFile();
const folder = socketFolder();
const path = join(folder, 'c.sock');
const fine = { code: 0, signal: null, stderr: '', timedOut: false };

const run = (line: string, env: NodeJS.ProcessEnv = {}) => runNode([cli, ...line.split(' ')], { env });
const ask = (line: string) => run(`${line} --control ${path}`);

const file = new ProxyFile(
  proxySource(
    `
  asyncWorkersGroup: ['name=busy;workers=1'],
  modparam: { async: { max_sleep: 86400 } },
  async requestRoute(msg) {
    if (msg.toUser === 'route') msg.asyncRoute('RESUME', 600);
    if (msg.toUser === 'sleep') { await msg.asyncSleep(700); return; }
    if (msg.toUser === 'busy') { msg.asyncTaskData('NOTE', 'x'); msg.asyncTaskGroupRoute('SPIN', 'busy'); }
    msg.sendReply(404);
  },
  route: {
    RESUME(msg) { msg.sendReply(404); },
    SPIN(msg) { note('spins'); spinUntilReleased(); msg.sendReply(200); },
    NOTE() {},
  },`,
    notePrelude,
  ),
);

let proxy: ProxyProcess;
let client: SipClient;
beforeAll(async () => {
  proxy = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0', '--control', path] });
  client = await SipClient.open({ port: proxy.port });
});
afterAll(async () => {
  book.release();
  await proxy.stop('SIGKILL');
  await client.close();
  file.remove();
});

/** Makes calls that wait, and resolves when they do. */
async function waiting(...users: string[]): Promise<Transaction[]> {
  const calls = users.map((user) => client.request({ user, autoAck: true }));
  await eventually(async () => ((await listed()).length >= users.length ? true : undefined));
  return calls;
}

async function listed(): Promise<SuspendedEntry[]> {
  const { result } = (await askControl(path, { command: 'ps' })) as { result: { entries: SuspendedEntry[] } };
  return result.entries;
}

async function handleOf(call: Transaction): Promise<string> {
  const entry = (await listed()).find(({ callId }) => callId === call.request.callId);
  return `${entry!.handle.index}:${entry!.handle.label}`;
}

describe('sip-async ps, cancel and stats', () => {
  it('say when nothing waits', async () => {
    expect(await ask('ps')).toEqual({
      ...fine, stdout: 'HANDLE  KIND  STATE  DUE IN  ROUTE  GROUP  METHOD  CALL-ID\nnothing waits\n',
    });
  });

  it('show calls, sleepers and tasks, and end them', async () => {
    // The worker of the group takes the first call at once, so the data tasks and the second call wait.
    const first = client.request({ user: 'busy', autoAck: true });
    await book.atLeast(1);
    const [route, sleep, second] = await waiting('route', 'sleep', 'busy');
    await eventually(async () => (await listed()).length === 4);

    const ps = await ask('ps');
    expect(ps).toMatchObject(fine);
    const lines = ps.stdout.split('\n');
    expect(lines[0]).toMatch(/^HANDLE +KIND +STATE +DUE IN +ROUTE +GROUP +METHOD +CALL-ID$/);
    const cells = lines.slice(1, 5).map((line) => line.split(/ +/).slice(1));
    // Which of the two that are due stands first depends on their slots.
    expect(cells.slice(0, 2)).toContainEqual(['transaction', 'queued', 'now', 'SPIN', 'busy', 'INVITE', second!.request.callId]);
    expect(cells.slice(0, 2)).toContainEqual(['task', 'queued', 'now', 'NOTE', 'busy', '-', '-']);
    expect(cells.slice(2)).toEqual([
      ['transaction', 'suspended', expect.stringMatching(/^(600\.0|59\d\.\d)s$/), 'RESUME', 'async:workers', 'INVITE', route!.request.callId],
      ['sleep', 'suspended', expect.stringMatching(/^(700\.0|69\d\.\d)s$/), '-', '-', 'INVITE', sleep!.request.callId],
    ]);
    expect(lines[5]).toMatch(/^4 waiting: .*; 2 queued, 2 suspended$/);
    expect(lines.slice(6)).toEqual(['']);

    const two = await ask('ps --limit 2');
    expect(two).toMatchObject(fine);
    expect(two.stdout.split('\n').slice(3)).toEqual([
      expect.stringMatching(/^2 listed: /), 'there is more: --limit takes up to 10000', '',
    ]);

    const json = await run('ps --json', { SIP_ASYNC_CONTROL: path });
    expect(json).toMatchObject(fine);
    const listing = JSON.parse(json.stdout) as { entries: SuspendedEntry[]; more: boolean };
    expect(listing).toMatchObject({ more: false, entries: [{}, {}, { callId: route!.request.callId }, { kind: 'sleep' }] });

    const stats = await ask('stats');
    expect(stats).toMatchObject(fine);
    expect(stats.stdout).toMatch(/^transactions\n {2}active +4 +suspended +3\n/);
    expect(stats.stdout).toMatch(/^ {2}busy +1 +0 +2 /m);

    // All that wait, one of them twice.
    const handles = listing.entries.map(({ handle }) => `${handle.index}:${handle.label}`);
    const cancelled = await ask(`cancel ${handles.join(' ')}`);
    expect(cancelled).toEqual({ ...fine, stdout: handles.map((handle) => `${handle} cancelled\n`).join('') });
    for (const call of [route!, sleep!, second!]) expect((await call.final()).status).toBe(487);
    expect(first.finals).toEqual([]);
    book.release();
    expect((await first.final()).status).toBe(200);
    await eventually(async () => (await listed()).length === 0);
  });

  it('tell which handles were refused and why, and exit with 1', async () => {
    const [one, two] = await waiting('route', 'route');
    const handles = [await handleOf(one!), await handleOf(two!)];
    const ended = await ask(`cancel ${handles[0]} 100000:7 ${handles[1]}`);
    expect(ended).toEqual({
      ...fine,
      code: 1,
      stdout: [
        `${handles[0]} cancelled\n`,
        '100000:7 refused: SIPASYNC_ERR_STALE_HANDLE: the handle belongs to a transaction or task that has ended or gone on\n',
        `${handles[1]} cancelled\n`,
      ].join(''),
    });
    for (const call of [one!, two!]) expect((await call.final()).status).toBe(487);
  });

  it('give the figures as JSON', async () => {
    const ended = await ask('stats --json');
    expect(ended).toMatchObject(fine);
    const stats = JSON.parse(ended.stdout) as ProxyStats;
    expect(Object.keys(stats)).toEqual([
      'transactions', 'branches', 'timers', 'tasks', 'operations', 'groups', 'transport', 'memory',
    ]);
    expect(stats.groups['busy']).toMatchObject({ workers: 1, queued: 0 });
  });

  it('end quietly when nobody reads on', () => {
    const shell = spawnSync('sh', ['-c', 'set -e; "$0" "$1" stats --control "$2" | true', process.execPath, cli, path], { encoding: 'utf8' });
    expect(shell).toMatchObject({ status: 0, stderr: '' });
  });

  it.for([80, 120])('fit into a terminal of %d columns', async (columns, { skip }) => {
    skip(spawnSync('script', ['--version']).error !== undefined, 'this machine has no script(1) to make a terminal');
    const [call] = await waiting('route');
    const command = `stty cols ${columns}; "${process.execPath}" "${cli}" ps --control "${path}"`;
    const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' });
    expect(status).toBe(0);
    const lines = stdout.replaceAll('\r', '').split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines[1]!.includes('…')).toBe(columns === 80);
    expect(await ask(`cancel ${await handleOf(call!)}`)).toMatchObject(fine);
  });

  it.each([
    ['ps', 'ps needs the control socket of a running proxy: --control PATH, or SIP_ASYNC_CONTROL'],
    ['ps --control c --limit none', '--limit: expected an integer from 1 to 10000, got none'],
    ['cancel --control c', 'cancel needs handles, as sip-async ps prints them: sip-async cancel INDEX:LABEL'],
    ['cancel one --control c', 'expected a handle as INDEX:LABEL, got one'],
    ['stats --contrl c', 'unknown option --contrl, did you mean --control?'],
    ['sttas --control c', 'unknown command sttas, did you mean stats?'],
  ])('refuse "%s" with exit code 2', async (line, fault) => {
    expect(await run(line, { SIP_ASYNC_CONTROL: '' })).toEqual({
      ...fine, code: 2, stdout: '', stderr: `sip-async: ${fault}\ntry: sip-async --help\n`,
    });
  });
});

describe('without a proxy that answers', () => {
  const unreachable = (where: string, why: string) => ({
    ...fine,
    code: 1,
    stdout: '',
    stderr: `sip-async: SIPASYNC_ERR_UNREACHABLE: no proxy answers on this control socket: ${where}: ${why}\n`,
  });

  it.each(['ps', 'stats --json', 'cancel 1:1'])('%s says that there is no socket', async (line) => {
    const nowhere = join(folder, 'no.sock');
    expect(await run(`${line} --control ${nowhere}`)).toEqual(
      unreachable(nowhere, 'there is no such file; was the proxy started with --control?'),
    );
  });

  it.each(['ps', 'stats', 'cancel 1:1'])('%s says that nobody listens', async (line) => {
    const file = join(mkdtempSync(join(folder, 'f')), 'file');
    writeFileSync(file, '');
    expect(await run(`${line} --control ${file}`)).toEqual(unreachable(file, 'nobody listens there'));
  });

  it.each([
    ['hangs up', (socket: NodeJS.WritableStream) => socket.end(), 'it hung up; the proxy may be closing'],
    ['says something else', (socket: NodeJS.WritableStream) => socket.write('220 mail ESMTP\n'), 'what listens there is no sip-async proxy'],
    ['says null', (socket: NodeJS.WritableStream) => socket.write('null\n'), 'what listens there is no sip-async proxy'],
  ])('ps says so when what listens %s', async (_, greet, why) => {
    const other = join(mkdtempSync(join(folder, 'o')), 'o.sock');
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => greet(socket));
    }).listen(other);
    await once(server, 'listening');
    expect(await run(`ps --control ${other}`)).toEqual(unreachable(other, why));
    server.close();
  });
});

describe('sip-async run --control', () => {
  it('removes the socket when it has drained', async () => {
    const own = join(folder, 'own.sock');
    const started = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0', `--control=${own}`] });
    expect(lstatSync(own).mode & 0o777).toBe(0o600);
    expect(await started.stop()).toEqual({ ...fine, stdout: `listening on udp:127.0.0.1:${started.port}\n` });
    expect(lstatSync(own, { throwIfNoEntry: false })).toBeUndefined();
  });

  it('fails where another proxy listens, with exit code 1', async () => {
    expect(await run(`run ${file.path} --listen udp:127.0.0.1:0 --control ${path}`)).toEqual({
      ...fine,
      code: 1,
      stdout: '',
      stderr: `sip-async: SIPASYNC_ERR_LISTEN: the address cannot be bound: control socket ${path}: a running process listens there\n`,
    });
    expect(await ask('ps')).toMatchObject(fine);
  });

  it('is not what SIP_ASYNC_CONTROL asks for', async () => {
    const own = join(folder, 'env.sock');
    const started = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0'], env: { SIP_ASYNC_CONTROL: own } });
    expect(lstatSync(own, { throwIfNoEntry: false })).toBeUndefined();
    expect(await started.stop()).toMatchObject(fine);
  });
});
