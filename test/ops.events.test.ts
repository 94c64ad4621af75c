import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { startProxy } from 'sip-async';
import { eventWaiters, raise, waitForEvent } from 'sip-async/ops';
import { aborted, Attempt, codeOf } from './support/attempt.ts';
import { proxyFile } from './support/proxy-file.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Step {
  wait?: [name: string, key: string];
  raises?: [name: string, key: string, data: unknown][];
  count?: boolean;
  abort?: boolean;
  block?: Int32Array;
}

/** A thread of the fixture. */
class Thread {
  readonly #worker = new Worker(new URL('fixtures/events.mjs', import.meta.url));
  readonly #said: unknown[] = [];
  #onSaid: (() => void) | undefined;

  constructor() {
    this.#worker.on('message', (message) => {
      this.#said.push(message);
      this.#onSaid?.();
    });
    ends.push(() => this.#worker.terminate());
  }

  static async start(): Promise<Thread> {
    const thread = new Thread();
    expect(await thread.said()).toBe('ready');
    return thread;
  }

  do(step: Step): void {
    this.#worker.postMessage(step);
  }

  async said(): Promise<unknown> {
    while (this.#said.length === 0) await new Promise<void>((resolve) => (this.#onSaid = resolve));
    return this.#said.shift();
  }

  async waits(name: string, key: string): Promise<void> {
    this.do({ wait: [name, key] });
    expect(await this.said()).toBe('waiting');
  }

  async waiters(): Promise<unknown> {
    this.do({ count: true });
    return this.said();
  }
}

describe('waitForEvent', () => {
  it('resolves to the data of the next event of its name and key', async () => {
    const [first, second, other] = ['k', 'k', 'other'].map((key) => new Attempt(waitForEvent('a', key)));
    raise('a', 'x', 'not for them');
    raise('b', 'k', 'not for them');
    raise('ak', '', 'not for them');
    raise('a', 'k', { contact: 'sip:x' });
    raise('a', 'k', 'too late');
    expect(await first!.result).toEqual({ contact: 'sip:x' });
    expect(await second!.result).toEqual({ contact: 'sip:x' });
    expect(eventWaiters()).toBe(1);
    raise('a', 'other');
    expect(await other!.result).toBeUndefined();
    expect([first!, second!, other!].map(({ listeners }) => listeners)).toEqual([0, 0, 0]);
    expect(eventWaiters()).toBe(0);
  });

  it('gives each waiter a copy of its own', async () => {
    const data = { list: [1] };
    const waiters = [1, 2].map(() => new Attempt(waitForEvent<typeof data>('copy', 'k')));
    raise('copy', 'k', data);
    data.list.push(2);
    const [first, second] = await Promise.all(waiters.map(({ result }) => result));
    expect([first, second]).toEqual([{ list: [1] }, { list: [1] }]);
    expect(first!.list).not.toBe(second!.list);
  });

  it('is gone at once when its signal aborts', async () => {
    expect(await codeOf(aborted(waitForEvent('a', 'k')))).toBe('ABORTED');
    const waiter = new Attempt(waitForEvent('a', 'k'));
    expect([eventWaiters(), waiter.listeners]).toEqual([1, 1]);
    waiter.abort();
    expect([eventWaiters(), waiter.listeners]).toEqual([0, 0]);
    raise('a', 'k', 'nobody');
    expect(await codeOf(waiter.result)).toBe('ABORTED');
  });

  it('one of 1,000 aborted leaves the others alone', async () => {
    const waiters = Array.from({ length: 1000 }, (_, number) => new Attempt(waitForEvent('many', String(number))));
    waiters[500]!.abort();
    for (let number = 0; number < 1000; number += 1) raise('many', String(number), number);
    const told = await Promise.allSettled(waiters.map(({ result }) => result));
    expect(told.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    for (const [number, outcome] of told.entries()) {
      if (number !== 500) expect(outcome).toEqual({ status: 'fulfilled', value: number });
    }
    expect(eventWaiters()).toBe(0);
  });

  it('throws for names and data that cannot be used, and tells nobody', async () => {
    expect(() => waitForEvent(1 as never, 'k')).toThrow(TypeError);
    expect(() => waitForEvent('a', null as never)).toThrow(TypeError);
    expect(() => raise('a', 1 as never)).toThrow(TypeError);
    const waiter = new Attempt(waitForEvent('a', 'k'));
    expect(() => raise('a', 'k', () => undefined)).toThrow(TypeError);
    expect(eventWaiters()).toBe(1);
    waiter.abort();
    expect(await codeOf(waiter.result)).toBe('ABORTED');
  });
});

describe('raise', () => {
  it('reaches waiters in all threads', async () => {
    const threads = await Promise.all([Thread.start(), Thread.start(), Thread.start()]);
    for (const thread of threads) await thread.waits('reg', 'alice');
    const own = new Attempt(waitForEvent('reg', 'alice'));
    threads[0]!.do({ raises: [['reg', 'alice', { contact: 'sip:a' }]] });
    expect(await own.result).toEqual({ contact: 'sip:a' });
    for (const thread of threads) {
      expect(await thread.said()).toEqual({ told: { contact: 'sip:a' } });
      expect(await thread.waiters()).toEqual({ waiters: 0 });
    }
  });

  it('loses nothing: 2,000 waiters in 4 threads, each told what is its own', async () => {
    const threads = await Promise.all(Array.from({ length: 4 }, () => Thread.start()));
    const count = 500;
    for (const [number, thread] of threads.entries()) {
      for (let i = 0; i < count; i += 1) thread.do({ wait: [`thread ${number}`, String(i)] });
      for (let i = 0; i < count; i += 1) expect(await thread.said()).toBe('waiting');
    }
    // Each thread raises what the next one waits for.
    for (const [number, thread] of threads.entries()) {
      const name = `thread ${(number + 1) % threads.length}`;
      thread.do({ raises: Array.from({ length: count }, (_, i) => [name, String(i), i]) });
    }
    for (const thread of threads) {
      const told: unknown[] = [];
      for (let i = 0; i < count; i += 1) told.push(await thread.said());
      // In the order in which the one thread raised them.
      expect(told).toEqual(Array.from({ length: count }, (_, i) => ({ told: i })));
      expect(await thread.waiters()).toEqual({ waiters: 0 });
    }
  });

  it('is not heard by who begins to wait while it is on its way', async () => {
    const thread = await Thread.start();
    await thread.waits('early', 'k');
    const block = new Int32Array(new SharedArrayBuffer(4));
    // The thread cannot listen: what is raised now lies in its queue, behind the steps that make it wait once more.
    thread.do({ block });
    thread.do({ wait: ['early', 'k'] });
    raise('early', 'k', 'first');
    Atomics.store(block, 0, 1);
    Atomics.notify(block, 0);
    const said = [await thread.said(), await thread.said()];
    expect(said).toContainEqual({ told: 'first' });
    expect(said).toContainEqual('waiting');
    expect(await thread.waiters()).toEqual({ waiters: 1 });
    raise('early', 'k', 'second');
    expect(await thread.said()).toEqual({ told: 'second' });
  });

  it('does not reach a waiter of another thread that gave up', async () => {
    const thread = await Thread.start();
    await thread.waits('gone', 'k');
    thread.do({ abort: true });
    expect(await thread.said()).toEqual({ code: 'SIPASYNC_ERR_ABORTED' });
    raise('gone', 'k');
    expect(await thread.waiters()).toEqual({ waiters: 0 });
  });

  it('is there on a proxy, too', async () => {
    const file = proxyFile("listen: ['udp:127.0.0.1:0'], requestRoute(msg) { msg.drop(); },");
    ends.push(() => file.remove());
    const proxy = await startProxy(file.url);
    ends.push(() => proxy.close());
    const thread = await Thread.start();
    await thread.waits('proxy', 'k');
    const own = new Attempt(waitForEvent('proxy', 'k'));
    proxy.raise('proxy', 'k', 7);
    expect(await own.result).toBe(7);
    expect(await thread.said()).toEqual({ told: 7 });
    expect(() => proxy.raise(1 as never, 'k')).toThrow(TypeError);
  });

  it('keeps neither a thread nor a process alive', async () => {
    const source = `
      const { workerData } = require('node:worker_threads');
      import(workerData).then(({ raise, waitForEvent }) => {
        void waitForEvent('a', 'k')(new AbortController().signal);
        raise('b', 'k');
      });`;
    const worker = new Worker(source, { eval: true, workerData: import.meta.resolve('sip-async/ops') });
    expect(await once(worker, 'exit')).toEqual([0]);
  });
});
