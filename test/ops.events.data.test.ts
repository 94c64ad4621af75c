import { createSecretKey } from 'node:crypto';
import { once } from 'node:events';
import { BlockList } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventWaiters, raise, waitForEvent } from 'sip-async/ops';
import { Attempt, codeOf } from './support/attempt.ts';

class Contact {
  readonly uri = 'sip:a';
  readonly list = [1, { two: 2 }];
  get length() {
    return this.uri.length;
  }
}

const memory = new ArrayBuffer(16);
const itself: { me?: object; list: object[] } = { list: [] };
itself.me = itself;
itself.list.push(itself);
const twice = { one: 1 };

const carried: [kind: string, data: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a boolean', true],
  ['negative zero', -0],
  ['no number', NaN],
  ['a large number', 2 ** 60],
  ['a bigint', 2n ** 70n],
  ['no text', ''],
  ['text of Latin-1', 'Zo\u00eb\0'],
  ['any text', '\u65e5\u672c \u{1f4de}'],
  ['a lone surrogate', 'a\ud800b'],
  ['a long text', 'sip:'.repeat(262_144)],
  ['bytes', new Uint8Array([1, 2, 255])],
  ['no bytes', new Uint8Array(0)],
  ['a piece of a buffer', new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
  ['a megabyte', new Uint8Array(1_048_576).fill(7)],
  ['a megabyte in an object', { body: new Uint8Array(1_048_576).fill(7) }],
  ['numbers of a typed array', new Float64Array([0.5, -1])],
  ['two views of one memory', { a: new Uint8Array(memory), b: new Float64Array(memory, 8) }],
  ['an array with a hole', [1, , 3]], // eslint-disable-line no-sparse-arrays
  ['a date', new Date(1e12)],
  ['an expression', /a+/gi],
  ['a map', new Map<unknown, unknown>([['k', { deep: [1] }], [1, new Set([2])]])],
  ['an error', new RangeError('beyond')],
  ['an object of a class', new Contact()],
  ['one that holds itself', itself],
  ['one that is there twice', [twice, twice]],
  ['one without a prototype', Object.assign(Object.create(null), { a: 1 })],
];

const detached = new Uint8Array(4);
structuredClone(detached, { transfer: [detached.buffer] });

// A module without anything in it. The types of Node have no WebAssembly.
const { Module } = (globalThis as unknown as { WebAssembly: { Module: new (code: Uint8Array) => object } }).WebAssembly;

const refused: [kind: string, data: unknown][] = [
  ['a function', () => undefined],
  ['a symbol', Symbol('x')],
  ['a promise in an array', [Promise.resolve()]],
  ['a proxy', new Proxy({}, {})],
  ['detached memory', detached],
  ['shared memory', new SharedArrayBuffer(8)],
  ['bytes of shared memory', new Uint8Array(new SharedArrayBuffer(8))],
  ['bytes of shared memory in an object', { bytes: new Uint8Array(new SharedArrayBuffer(8)) }],
  ['a WebAssembly module', { module: new Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])) }],
  ['a key', createSecretKey(Buffer.from('secret'))],
  ['a blob', new Blob(['x'])],
  ['a blob in an array', [[new Blob(['x'])]]],
  ['a blob in a map', new Map([['k', { blob: new Blob(['x']) }]])],
  ['a blob in an object of a class', Object.assign(new Contact(), { blob: new Blob(['x']) })],
  ['a blob as the cause of an error', new Error('x', { cause: new Blob(['x']) })],
  ['a list of addresses', { list: new BlockList() }],
  ['a port', new MessageChannel().port1],
  ['a getter that throws', { get no() { throw new Error('no'); } }],
];

describe('the data of an event', () => {
  let thread: Worker;
  const ask = async (step: object) => {
    thread.postMessage(step);
    const [said] = (await once(thread, 'message')) as [unknown];
    return said;
  };

  beforeAll(async () => {
    thread = new Worker(new URL('fixtures/events.mjs', import.meta.url));
    await once(thread, 'message');
  });
  afterAll(async () => void (await thread.terminate()));

  it.each(carried)('is copied: %s', async (_kind, data) => {
    await ask({ wait: ['data', 'k'] });
    const own = [1, 2].map(() => new Attempt(waitForEvent('data', 'k')));
    const other = once(thread, 'message');
    raise('data', 'k', data);
    const copies = await Promise.all(own.map(({ result }) => result));
    const [{ told }] = (await other) as [{ told: unknown }];
    const expected: unknown = structuredClone(data);
    // Their classes, too, and holes and the sign of zero.
    expect([...copies, told].map((copy) => isDeepStrictEqual(copy, expected))).toEqual([true, true, true]);
    if (typeof data !== 'object' || data === null) return;
    expect(copies[0]).not.toBe(data);
    expect(copies[0]).not.toBe(copies[1]);
  });

  it('keeps what is there twice, and memory that two views share, as one', async () => {
    const own = new Attempt(waitForEvent<[{ a: Uint8Array; b: Float64Array }, object, object]>('data', 'k'));
    raise('data', 'k', [{ a: new Uint8Array(memory), b: new Float64Array(memory, 8) }, twice, twice]);
    const [views, one, other] = await own.result;
    expect(views.a.buffer).toBe(views.b.buffer);
    expect(one).toBe(other);
  });

  it('is written by one who was told without another seeing it', async () => {
    for (const data of [new Uint8Array([1, 2]), { bytes: new Uint8Array([1, 2]) }]) {
      const waiters = [1, 2].map(() => new Attempt(waitForEvent<Uint8Array | { bytes: Uint8Array }>('data', 'k')));
      raise('data', 'k', data);
      const [first, second] = await Promise.all(waiters.map(({ result }) => result));
      (first instanceof Uint8Array ? first : first!.bytes).fill(9);
      expect(second).toEqual(data);
    }
  });

  it.each(refused)('is refused, and nobody told: %s', async (_kind, data) => {
    const waiter = new Attempt(waitForEvent('data', 'k'));
    expect(() => raise('data', 'k', data)).toThrow(/^data: ./);
    expect(() => raise('data', 'nobody waits', data)).toThrow(TypeError);
    expect(eventWaiters()).toBe(1);
    waiter.abort();
    expect(await codeOf(waiter.result)).toBe('ABORTED');
  });
});
