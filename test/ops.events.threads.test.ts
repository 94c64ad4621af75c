import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { eventWaiters, raise, waitForEvent } from 'sip-async/ops';
import { Attempt, run } from './support/attempt.ts';
import { runNode } from './support/child.ts';

const threads: Worker[] = [];
afterEach(async () => {
  await Promise.all(threads.splice(0).map((thread) => thread.terminate()));
});

function start(workerData: { raises?: string[]; waits?: string[] }): Worker {
  const thread = new Worker(new URL('fixtures/event-storm.mjs', import.meta.url), { workerData });
  threads.push(thread);
  return thread;
}

describe('events between threads', () => {
  it('come in the order of who raises them, while threads that raise come and go', async () => {
    const names = ['one', 'two'];
    for (let lap = 0; lap < 6; lap += 1) {
      const raisers = names.map((name) => start({ raises: [name] }));
      for (const name of names) {
        let last = 0;
        for (let i = 0; i < 50; i += 1) {
          const { number, text } = await run(waitForEvent<{ number: number; text: string }>(name, 'k'));
          expect(number).toBeGreaterThan(last);
          expect(text).toHaveLength(200);
          last = number;
        }
      }
      // In the middle of it.
      await Promise.all(raisers.map((thread) => thread.terminate()));
    }
    expect(eventWaiters()).toBe(0);
  });

  it('do not mind threads that end while they are told', async () => {
    const names = ['a', 'b', 'c'];
    const own = new Attempt(waitForEvent('last', 'k'));
    start({ raises: names });
    for (let lap = 0; lap < 8; lap += 1) {
      const waiters = [start({ waits: names }), start({ waits: names })];
      const heard = waiters.map(async (thread) => {
        const seen = new Set<unknown>();
        while (seen.size < 4) seen.add(((await once(thread, 'message')) as [unknown])[0]);
        return [...seen].sort();
      });
      expect(await Promise.all(heard)).toEqual([['a', 'b', 'c', 'waiting'], ['a', 'b', 'c', 'waiting']]);
      const exits = waiters.map((thread) => once(thread, 'exit'));
      // One is ended, one ends by itself.
      void waiters[0]!.terminate();
      waiters[1]!.postMessage('exit');
      await Promise.all(exits);
    }
    raise('last', 'k', 'still here');
    expect(await own.result).toBe('still here');
  });

  it('are told once each: 3 threads that raise, 3 that wait, 200 events from each to each', async () => {
    const fixture = new URL('fixtures/events.mjs', import.meta.url);
    const all = Array.from({ length: 3 }, () => new Worker(fixture));
    threads.push(...all);
    await Promise.all(all.map((thread) => once(thread, 'message')));
    const count = 200;
    const heard = all.map((thread) => {
      const told: [number, number][] = [];
      let waiting = 0;
      const done = new Promise<void>((resolve, reject) => {
        thread.on('error', reject);
        thread.on('message', (message: 'waiting' | { told: [number, number] }) => {
          if (message !== 'waiting') told.push(message.told);
          else waiting += 1;
          if (told.length === all.length * count) resolve();
        });
      });
      const ready = async () => {
        while (waiting < all.length * count) await once(thread, 'message');
      };
      return { told, done, ready };
    });
    for (const thread of all) {
      for (let from = 0; from < all.length; from += 1) {
        for (let i = 0; i < count; i += 1) thread.postMessage({ wait: [`from ${from}`, String(i)] });
      }
    }
    await Promise.all(heard.map(({ ready }) => ready()));
    for (const [from, thread] of all.entries()) {
      thread.postMessage({ raises: Array.from({ length: count }, (_, i) => [`from ${from}`, String(i), [from, i]]) });
    }
    await Promise.all(heard.map(({ done }) => done));
    for (const { told } of heard) {
      for (let from = 0; from < all.length; from += 1) {
        expect(told.filter(([raiser]) => raiser === from)).toEqual(Array.from({ length: count }, (_, i) => [from, i]));
      }
    }
  });

  it('do not pile up before a thread that is stuck', async () => {
    const thread = new Worker(new URL('fixtures/events.mjs', import.meta.url));
    threads.push(thread);
    await once(thread, 'message');
    thread.postMessage({ wait: ['stuck', 'k'] });
    await once(thread, 'message');
    const block = new Int32Array(new SharedArrayBuffer(4));
    thread.postMessage({ block });
    const said = once(thread, 'message');
    const before = process.memoryUsage().rss;
    const data = { number: 0, bytes: new Uint8Array(10_000) };
    // 1 GB, of which it wants the first 10 kB.
    for (let i = 1; i <= 100_000; i += 1) raise('stuck', 'k', { ...data, number: i });
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
    Atomics.store(block, 0, 1);
    Atomics.notify(block, 0);
    expect(await said).toEqual([{ told: { ...data, number: 1 } }]);
    thread.postMessage({ count: true });
    expect(await once(thread, 'message')).toEqual([{ waiters: 0 }]);
  });

  it.each([{}, { SIP_ASYNC_NO_UV: '1' }])('end with the process, whoever raises or waits meanwhile: %o', async (env) => {
    const storm = JSON.stringify(new URL('fixtures/event-storm.mjs', import.meta.url));
    const body = `
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      import { raise, waitForEvent } from 'sip-async/ops';
      const start = (workerData) => new Worker(new URL(${storm}), { workerData, execArgv: [] });
      const { signal } = new AbortController();
      raise('up', 'k', 'nobody listens yet');
      const raiser = start({ raises: ['up', 'down'] });
      const waiter = start({ waits: ['down'] });
      for (let i = 0; i < 100; i += 1) await waitForEvent('up', 'k')(signal);
      await once(waiter, 'message');
      void waitForEvent('up', 'k')(signal);
      console.log('done');
      process.exit(0);`;
    const ended = await runNode(['--input-type=module', '--eval', body], { env });
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout: 'done\n' });
  });
});
