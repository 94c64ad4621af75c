import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { htable, shv, startProxy } from 'sip-async';
import type { HashTableOptions, Proxy } from 'sip-async';
import { runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { SipClient } from './support/udp-client.ts';

const THREADS = 4;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Job {
  name: string;
  job: 'count' | 'claim' | 'churn';
  times?: number;
  options?: HashTableOptions;
}

/** Threads of the fixture, all with the table open. */
async function startThreads(job: Job): Promise<Worker[]> {
  const url = new URL('fixtures/shared-counter.mjs', import.meta.url);
  return Promise.all(
    Array.from({ length: THREADS }, async (_, number) => {
      const worker = new Worker(url, { workerData: { ...job, number } });
      ends.push(() => worker.terminate());
      await once(worker, 'message');
      return worker;
    }),
  );
}

async function runThreads(job: Job): Promise<unknown[]> {
  const workers = await startThreads(job);
  const results = workers.map((worker) => once(worker, 'message').then(([result]) => result as unknown));
  for (const worker of workers) worker.postMessage('go');
  return Promise.all(results);
}

describe('worker threads', () => {
  it('lose no count of a table or a variable', async () => {
    const times = 21_000;
    await runThreads({ name: 'counted', job: 'count', times });
    const table = htable('counted');
    expect(new Map(table)).toEqual(new Map(Array.from({ length: 7 }, (_, i) => [`counter ${i}`, (THREADS * times) / 7])));
    expect(shv.get('counted')).toBe(THREADS * times);
  });

  it('win each key once', async () => {
    const times = 10_000;
    const won = (await runThreads({ name: 'claimed', job: 'claim', times })) as number[];
    expect(won.reduce((sum, one) => sum + one)).toBe(times);
    const owners = Array.from(htable('claimed'), ([, owner]) => owner as number);
    expect(won).toEqual(Array.from({ length: THREADS }, (_, number) => owners.filter((owner) => owner === number).length));
  });

  it('find the table of whichever thread was first', async () => {
    await runThreads({ name: 'made in a thread', job: 'count', times: 1, options: { maxEntries: 5 } });
    expect(() => htable('made in a thread', { maxEntries: 6 })).toThrow('maxEntries 5, not 6');
    expect(htable('made in a thread', { maxEntries: 5 }).get('counter 0')).toBe(THREADS);
  });

  it('leave the table whole when they are ended in the middle of it', async () => {
    const name = 'torn';
    const table = htable(name, { maxEntries: 600 });
    for (let i = 0; i < 100; i += 1) table.set(`stable ${i}`, i);
    for (let round = 0; round < 3; round += 1) {
      const before = (table.get('churned') ?? 0) as number;
      const workers = await startThreads({ name, job: 'churn' });
      for (const worker of workers) worker.postMessage('go');
      await eventually(() => (table.get('churned') as number) > before + 2000);
      // Every look, while they change it, has what stays exactly once.
      for (let look = 0; look < 20; look += 1) {
        const stable = [...table.keys()].filter((key) => key.startsWith('stable'));
        expect(stable).toHaveLength(100);
        expect(new Set(stable).size).toBe(100);
      }
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    const stats = table.stats();
    expect(stats.entries).toBe([...table].length);
    expect(stats.entries).toBeLessThanOrEqual(600);
    table.clear();
    expect(table.stats()).toMatchObject({ entries: 0, bytes: 0 });
    expect(table.set('after', 1)).toBe(true);
  });
});

/** Counts each call where it comes in and where it is resumed, by thread. */
const counting = `
import { threadId } from 'node:worker_threads';
import { defineProxy, htable, shv } from 'sip-async';

const calls = htable('calls', { expireMs: 3_600_000 });
const seen = htable('seen');
export default defineProxy({
  listen: 'udp:127.0.0.1:0',
  children: 2,
  asyncWorkers: 3,
  requestRoute(msg) {
    if (!seen.setIfAbsent(msg.callId, true)) seen.inc('twice');
    calls.inc('received');
    msg.asyncTaskRoute('RESUME');
  },
  route: {
    RESUME(msg) {
      calls.inc('resumed');
      calls.inc('thread ' + threadId);
      shv.inc('resumed');
      msg.appendToReply('X-Count: ' + calls.inc('numbered'));
      msg.sendReply(404);
    },
  },
});
`;

describe('proxies of one process', () => {
  it('count every call of all their workers exactly', { timeout: 60_000 }, async () => {
    const file = new ProxyFile(counting);
    ends.push(() => file.remove());
    const running: { proxy: Proxy; client: SipClient }[] = [];
    for (let i = 0; i < 2; i += 1) {
      const proxy = await startProxy(file.url);
      ends.push(() => proxy.close({ timeoutMs: 0 }));
      const client = await SipClient.open(proxy.addresses[0]!);
      ends.push(() => client.close());
      running.push({ proxy, client });
    }
    const perProxy = 1000;
    const numbers: number[] = [];
    await Promise.all(
      running.map(async ({ client }) => {
        for (let sent = 0; sent < perProxy; sent += 50) {
          const calls = Array.from({ length: 50 }, () => client.request({ method: 'OPTIONS', retransmit: true }));
          for (const call of calls) numbers.push(Number((await call.final(20_000)).header('x-count')));
        }
      }),
    );

    const total = 2 * perProxy;
    const table = htable('calls');
    expect(table.get('received')).toBe(total);
    expect(table.get('resumed')).toBe(total);
    expect(shv.get('resumed')).toBe(total);
    // Each answer has a number of its own, so no two threads ever got the same.
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, i) => i + 1));
    expect(htable('seen').get('twice')).toBeNull();
    expect(htable('seen').size).toBe(total);
    const threads = [...table].filter(([key]) => key.startsWith('thread '));
    expect(threads.length).toBeGreaterThan(2);
    expect(threads.reduce((sum, [, count]) => sum + (count as number), 0)).toBe(total);

    // What a proxy leaves in a table stays when its threads are gone.
    await running[0]!.proxy.close({ timeoutMs: 0 });
    expect((await running[1]!.client.request({ method: 'OPTIONS' }).final()).header('x-count')).toBe(String(total + 1));
    await running[1]!.proxy.close({ timeoutMs: 0 });
    expect(table.get('numbered')).toBe(total + 1);
  });
});

describe('a process', () => {
  it('makes as many tables as there can be and no more', async () => {
    const ended = await runNode([
      '--input-type=module',
      '-e',
      `import { htable } from 'sip-async';
       for (let i = 0; i < 1023; i += 1) htable('table ' + i).set('key', i);
       for (let i = 0; i < 1023; i += 1) if (htable('table ' + i).get('key') !== i) throw new Error('mixed up');
       try { htable('one more'); } catch (error) { console.log(error.code, error.message); }`,
    ]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toBe(
      'SIPASYNC_ERR_CONFIG the configuration is not valid: there are 1023 tables already, which is the most there can be\n',
    );
  });

  it('ends at once although threads use its tables', async () => {
    const url = new URL('fixtures/shared-counter.mjs', import.meta.url);
    const ended = await runNode([
      '--input-type=module',
      '-e',
      `import { once } from 'node:events';
       import { Worker } from 'node:worker_threads';
       import { htable } from 'sip-async';
       const options = { workerData: { name: 'busy', job: 'churn' }, execArgv: [] };
       for (let i = 0; i < 3; i += 1) {
         const worker = new Worker(new URL(${JSON.stringify(url.href)}), options);
         await once(worker, 'message');
         worker.postMessage('go');
       }
       while (!(htable('busy').get('churned') > 1000)) await new Promise(setImmediate);
       process.exit(7);`,
    ]);
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });
});
