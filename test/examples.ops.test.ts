import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { openDatabase, query } from 'sip-async/ops';
import { run } from './support/attempt.ts';
import { Child, ProxyProcess, runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { PostgresServer } from './support/postgres-server.ts';
import { freeTcpPort } from './support/server-process.ts';

const example = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(name: string, env: NodeJS.ProcessEnv): Promise<ProxyProcess> {
  const proxy = await ProxyProcess.start(example(name), { args: ['--listen', 'udp:127.0.0.1:0'], env });
  ends.push(() => proxy.stop('SIGKILL'));
  return proxy;
}

/** @returns the last line of what call.mjs prints, in ms and as text */
async function call(port: number, user = 'alice'): Promise<{ atMs: number; text: string }> {
  const ended = await runNode([example('call.mjs'), `udp:127.0.0.1:${port}`, user]);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  const [, seconds, text] = /^ *(\d+\.\d{3}) s {2}(.*)$/.exec(ended.stdout.trimEnd().split('\n').at(-1)!)!;
  return { atMs: Math.round(Number(seconds) * 1000), text: text! };
}

describe('credit.mjs', () => {
  it('logs the credit of the caller', async () => {
    const proxy = await start('credit.mjs', {});
    expect((await call(proxy.port)).text).toBe('<-- SIP/2.0 404 Not Found');
    await eventually(() => proxy.child.stdout.includes('credit of caller: 7\n'));
  });

  it('asks PostgreSQL, and refuses who has no credit', async () => {
    const server = await PostgresServer.start();
    ends.push(() => server.stop());
    const db = openDatabase(server.url);
    ends.push(() => db.close());
    await run(query(db, 'CREATE TABLE users (uid text PRIMARY KEY, credit int NOT NULL)'));
    const proxy = await start('credit.mjs', { DATABASE_URL: server.url });
    expect((await call(proxy.port)).text).toBe('<-- SIP/2.0 403 Forbidden');
    await run(query(db, "INSERT INTO users VALUES ('caller', 0)"));
    expect((await call(proxy.port)).text).toBe('<-- SIP/2.0 402 Payment Required');
    await run(query(db, 'UPDATE users SET credit = 7'));
    expect((await call(proxy.port)).text).toBe('<-- SIP/2.0 404 Not Found');
    await eventually(() => proxy.child.stdout.endsWith('caller: none\ncredit of caller: 0\ncredit of caller: 7\n'));
  });

  it('logs the error of a database that cannot be reached', async () => {
    const proxy = await start('credit.mjs', { DATABASE_URL: `postgres://127.0.0.1:${await freeTcpPort()}/x` });
    expect((await call(proxy.port)).text).toBe('<-- SIP/2.0 500 Server Internal Error');
    await eventually(() => /credit of caller: no connection to the database .*ECONNREFUSED/.test(proxy.child.stderr));
  });
});

describe('shaper.mjs', () => {
  it('lets calls through at the rate of the bucket', async () => {
    const bucket = new Child(process.execPath, [example('bucket.mjs')], { env: { PORT: '0', RATE: '2' } });
    ends.push(() => {
      bucket.kill('SIGKILL');
      return bucket.ended(10_000);
    });
    const url = await eventually(() => /^listening on (\S+)$/m.exec(bucket.stdout)?.[1]);
    const { port } = await start('shaper.mjs', { BUCKET_URL: url! });
    const beganMs = performance.now();
    const calls = await Promise.all(['a', 'b', 'c'].map((user) => call(port, user)));
    expect(calls.map(({ text }) => text)).toEqual(Array(3).fill('<-- SIP/2.0 404 Not Found'));
    expect((await call(port, 'd')).text).toBe('<-- SIP/2.0 404 Not Found');
    // Drops leak 500 ms apart, so the last of four waits until 1500 ms after the first, whenever it came.
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(1500);
  });

  it('refuses nobody because the bucket cannot be asked', async () => {
    const { port, child } = await start('shaper.mjs', { BUCKET_URL: `http://127.0.0.1:${await freeTcpPort()}/` });
    expect((await call(port)).text).toBe('<-- SIP/2.0 404 Not Found');
    await eventually(() => child.stderr.includes('the bucket did not say'));
  });
});
