import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runNode } from './support/child.ts';
import { HttpPeer } from './support/http-peer.ts';
import { MariadbServer } from './support/mariadb-server.ts';
import { PostgresServer } from './support/postgres-server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

let folder: string | undefined;
afterEach(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** The package as somebody has it who has not installed any of the packages that are optional. */
function installAlone(): string {
  folder = mkdtempSync(join(tmpdir(), 'sip-async-alone-'));
  const target = join(folder, 'node_modules/sip-async');
  mkdirSync(target, { recursive: true });
  for (const name of ['package.json', 'dist']) cpSync(join(root, name), join(target, name), { recursive: true });
  symlinkSync(join(root, 'build'), join(target, 'build'));
  for (const name of ['undici', 'lru-cache', 'node-gyp-build']) symlinkSync(join(root, 'node_modules', name), join(dirname(target), name));
  return folder;
}

const never = 'const never = () => new AbortController().signal;';

describe('a process', () => {
  let postgres: PostgresServer;
  let mariadb: MariadbServer;
  let peer: HttpPeer;
  beforeAll(async () => {
    [postgres, mariadb, peer] = await Promise.all([
      PostgresServer.start(), MariadbServer.start(), HttpPeer.start((_, response) => response.end('ok')),
    ]);
  }, 120_000);
  afterAll(async () => {
    await Promise.all([postgres.stop(), mariadb.stop(), peer.stop()]);
  }, 60_000);

  /** Runs statements of a module that has everything of `sip-async/ops`. */
  const runOps = (body: string) =>
    runNode(['--input-type=module', '--eval', `import * as ops from 'sip-async/ops';\n${never}\n${body}`], {
      timeoutMs: 60_000,
    });

  const clean = { code: 0, signal: null, stderr: '', timedOut: false };

  it('ends when its operations have, although connections are kept', async () => {
    const urls = JSON.stringify([postgres.url, mariadb.url, 'sqlite::memory:']);
    const ended = await runOps(`
      await Promise.all([
        ops.sleep(0.01)(never()),
        ops.exec('cat', { args: [], input: 'x' })(never()),
        ops.restGet('${peer.url}')(never()),
        ...${urls}.map((url) => ops.query(ops.openDatabase({ url, idleMs: 1e6 }), 'SELECT 1')(never())),
      ]);
      void ops.waitForEvent('a', 'k')(never());
      ops.raise('b', 'k');
      console.log('done');`);
    expect(ended).toMatchObject({ ...clean, stdout: 'done\n' });
  });

  it('ends at once when its operations are aborted', async () => {
    const ended = await runOps(`
      const stop = new AbortController();
      const slow = { '${postgres.url}': 'SELECT pg_sleep(1000)', '${mariadb.url}': 'SELECT SLEEP(1000)' };
      const all = [
        ops.sleep(1000),
        ops.exec('sleep 1000'),
        ops.restGet('http://127.0.0.1:${postgres.port}', { timeoutMs: 0 }),
        ops.waitForEvent('a', 'k'),
        ...Object.entries(slow).map(([url, sql]) => ops.query(ops.openDatabase(url), sql)),
      ].map((operation) => operation(stop.signal).catch(({ code }) => code));
      setTimeout(() => stop.abort(), 300);
      console.log(new Set(await Promise.all(all)));`);
    expect(ended).toMatchObject(clean);
    expect(ended.stdout).toContain('SIPASYNC_ERR_ABORTED');
  });

  it('is not ended by a database that goes away', async () => {
    const second = await PostgresServer.start();
    const body = `
      const db = ops.openDatabase('${second.url}');
      await ops.query(db, 'SELECT 1')(never());
      process.kill(${second.pid}, 'SIGINT');
      while (db.stats().idle > 0) await ops.sleep(0.01)(never());
      console.log(await ops.query(db, 'SELECT 1')(never()).catch(({ code }) => code));`;
    try {
      expect(await runOps(body)).toMatchObject({ ...clean, stdout: 'SIPASYNC_ERR_DATABASE_UNREACHABLE\n' });
    } finally {
      await second.stop();
    }
  });
});

describe('without the optional packages', () => {
  it('everything else works, and a statement says what to install', async () => {
    const cwd = installAlone();
    writeFileSync(join(cwd, 'main.mjs'), `
      import { openDatabase, query, sleep } from 'sip-async/ops';
      ${never}
      await sleep(0)(never());
      for (const url of ['postgres://127.0.0.1/x', 'mysql://127.0.0.1/x', 'sqlite::memory:']) {
        const db = openDatabase(url);
        await query(db, 'SELECT 1')(never()).catch(({ code, message }) => console.log(code, message.split(': ').at(-1)));
        await db.close();
      }`);
    const ended = await runNode(['main.mjs'], { cwd });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout.trimEnd().split('\n')).toEqual(
      ['pg', 'mysql2', 'better-sqlite3'].map((name) => `SIPASYNC_ERR_DRIVER_MISSING npm install ${name}`),
    );
  });
});
