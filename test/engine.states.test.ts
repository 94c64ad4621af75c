import { afterEach, describe, expect, it } from 'vitest';
import { createEngine } from 'sip-async/engine';
import type { Engine, EngineOptions, Handle, SuspendOptions } from 'sip-async/engine';
import { eventually } from './support/eventually.ts';
import { NotingEngine, nothingLive, workerModule } from './fixtures/engine-runs.ts';

const MAX_SLEEP_MS = 10_000;
const MiB = 1024 * 1024;

let noting: NotingEngine;
afterEach(() => noting.stop());

async function start(options: EngineOptions = {}): Promise<Engine> {
  noting = await new NotingEngine().start({ maxSleepMs: MAX_SLEEP_MS, ...options });
  return noting.engine;
}

const codeOf = (engine: Engine) => engine.asyncError?.code.replace('SIPASYNC_ERR_', '') ?? null;

/** What an engine can be in when a function is called. */
const ENGINE_STATES: [string, (engine: Engine) => Promise<unknown>][] = [
  ['new', async () => undefined],
  ['with tasks', async () => {
    noting.suspend('waits', 'NOTE');
    noting.suspend('runs', 'GATE', 0);
    await eventually(() => noting.runsOf('runs').length === 1);
  }],
  ['closing', async (engine) => {
    noting.suspend('waits', 'NOTE');
    void engine.close({ timeoutMs: 10_000 });
  }],
  ['closed', (engine) => engine.close({ timeoutMs: 0 })],
];

describe.each(ENGINE_STATES)('an engine that is %s: suspend', (state, reach) => {
  const isOpen = state === 'new' || state === 'with tasks';

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a number', 5],
    ['a boolean', true],
    ['a bigint', 5n],
    ['a symbol', Symbol('x')],
    ['an object', {}],
    ['an array', [1, 2]],
    ['an ArrayBuffer', new ArrayBuffer(4)],
    ['a DataView', new DataView(new ArrayBuffer(4))],
    ['a Uint16Array', new Uint16Array(4)],
    ['a String object', Object('x')],
    ['a function', () => 'x'],
  ])('throws TypeError for %s as payload', async (_, payload) => {
    const engine = await start();
    await reach(engine);
    expect(() => engine.suspend(payload as string, { route: 'NOTE' })).toThrow(TypeError);
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'NOTE'],
    ['a number', 5],
    ['an object without a route', {}],
    ['a number as route', { route: 5 }],
    ['null as route', { route: null }],
    ['a numeric string as delayMs', { route: 'NOTE', delayMs: '5' }],
    ['null as delayMs', { route: 'NOTE', delayMs: null }],
    ['a bigint as delayMs', { route: 'NOTE', delayMs: 5n }],
    ['a number as group', { route: 'NOTE', group: 1 }],
    ['null as group', { route: 'NOTE', group: null }],
    ['a misspelt delayMs', { route: 'NOTE', delayMS: 5 }],
    ['seconds', { route: 'NOTE', seconds: 5 }],
  ])('throws TypeError for %s as options', async (_, options) => {
    const engine = await start();
    await reach(engine);
    expect(() => engine.suspend('x', options as SuspendOptions)).toThrow(TypeError);
  });

  it.each<[string, string | Uint8Array, SuspendOptions, string]>([
    ['an unknown route', 'x', { route: 'NOTHING' }, 'UNKNOWN_ROUTE'],
    ['a route that every object has', 'x', { route: 'toString' }, 'UNKNOWN_ROUTE'],
    ['a route of another group', 'x', { route: 'ECHO' }, 'UNKNOWN_ROUTE'],
    ['an unknown group', 'x', { route: 'NOTE', group: 'nowhere' }, 'UNKNOWN_GROUP'],
    ['a group of no name', 'x', { route: 'NOTE', group: '' }, 'UNKNOWN_GROUP'],
    ['a negative delay', 'x', { route: 'NOTE', delayMs: -1 }, 'DELAY_OUT_OF_RANGE'],
    ['half a millisecond', 'x', { route: 'NOTE', delayMs: 0.5 }, 'DELAY_OUT_OF_RANGE'],
    ['NaN', 'x', { route: 'NOTE', delayMs: NaN }, 'DELAY_OUT_OF_RANGE'],
    ['Infinity', 'x', { route: 'NOTE', delayMs: Infinity }, 'DELAY_OUT_OF_RANGE'],
    ['too long a delay', 'x', { route: 'NOTE', delayMs: MAX_SLEEP_MS + 1 }, 'DELAY_OUT_OF_RANGE'],
    ['a delay beyond 32 bits', 'x', { route: 'NOTE', delayMs: 2 ** 32 + 1 }, 'DELAY_OUT_OF_RANGE'],
    ['more than 1 MiB of bytes', new Uint8Array(MiB + 1), { route: 'NOTE' }, 'PAYLOAD_TOO_LARGE'],
    ['more than 1 MiB of letters', 'x'.repeat(MiB + 1), { route: 'NOTE' }, 'PAYLOAD_TOO_LARGE'],
    ['fewer letters that take more than 1 MiB', 'ü'.repeat(MiB / 2 + 1), { route: 'NOTE' }, 'PAYLOAD_TOO_LARGE'],
  ])('returns false for %s, and nothing has changed', async (_, payload, options, code) => {
    const engine = await start({ groups: [{ name: 'far', workers: 1, module: workerModule }] });
    await reach(engine);
    const before = noting.live();
    expect(engine.suspend(payload, options)).toBe(false);
    expect(['CLOSED', code]).toContain(codeOf(engine)); // whichever comes first where both hold
    if (isOpen) expect(codeOf(engine)).toBe(code);
    expect(noting.live()).toEqual(before);
  });

  it.each([undefined, 0, -0, 1, MAX_SLEEP_MS])('takes a delay of %o', async (delayMs) => {
    const engine = await start();
    await reach(engine);
    const handle = engine.suspend('x', { route: 'NOTE', ...(delayMs === undefined ? {} : { delayMs }) });
    if (isOpen) expect(handle).toEqual({ index: expect.any(Number), label: expect.any(Number) });
    else expect(handle).toBe(false);
    expect(codeOf(engine)).toBe(isOpen ? null : 'CLOSED');
  });
});

it('a suspension that succeeds clears asyncError, and so do continue and cancel', async () => {
  const engine = await start();
  expect(engine.asyncError).toBe(null);
  for (const succeed of [
    () => noting.suspend('x', 'NOTE', 5000),
    () => engine.continue(noting.suspend('x', 'NOTE', 5000)),
    () => engine.cancel(noting.suspend('x', 'NOTE', 5000)),
  ]) {
    expect(engine.suspend('x', { route: 'NOTHING' })).toBe(false);
    expect(codeOf(engine)).toBe('UNKNOWN_ROUTE');
    succeed();
    expect(engine.asyncError).toBe(null);
  }
});

describe('when all slots are taken', () => {
  it('suspend returns false with SLOTS_EXHAUSTED until one is free', async () => {
    const engine = await start({ maxSuspended: 3 });
    const handles = [noting.suspend('a', 'NOTE', 5000), noting.suspend('b', 'NOTE'), noting.suspend('c', 'NOTE', 5000)];
    for (const delayMs of [0, 1]) {
      expect(engine.suspend('d', { route: 'NOTE', delayMs })).toBe(false);
      expect(codeOf(engine)).toBe('SLOTS_EXHAUSTED');
    }
    expect(engine.cancel(handles[1]!)).toBe(true);
    const again = noting.suspend('d', 'NOTE', 5000);
    expect(again).not.toEqual(handles[1]);
    expect(engine.continue(handles[1]!)).toBe(false);
    expect(codeOf(engine)).toBe('STALE_HANDLE');
  });
});

it('an engine without routes of its own has no workers in the group local', async () => {
  const engine = await createEngine({ groups: [{ name: 'far', workers: 1, module: workerModule }] });
  noting = new NotingEngine();
  expect(engine.suspend('x', { route: 'ECHO' })).toBe(false);
  expect(codeOf(engine)).toBe('NO_WORKERS');
  await engine.close();
});

/** How a handle comes to be in each state, and what continue and cancel then say. */
const HANDLE_STATES: [string, (engine: Engine) => Promise<Handle> | Handle, string | null, string | null][] = [
  ['timed', () => noting.suspend('it', 'NOTE', 5000), null, null],
  ['open', () => noting.suspend('it', 'NOTE'), null, null],
  ['queued at once', () => noting.suspend('it', 'NOTE', 0), 'NOT_SUSPENDED', null],
  ['continued, and queued', (engine) => {
    const handle = noting.suspend('it', 'NOTE', 5000);
    engine.continue(handle);
    return handle;
  }, 'NOT_SUSPENDED', null],
  ['running', async () => {
    const handle = noting.suspend('it', 'GATE', 0);
    await eventually(() => noting.runsOf('it').length === 1);
    return handle;
  }, 'NOT_SUSPENDED', 'NOT_SUSPENDED'],
  ['ended', async () => {
    const handle = noting.suspend('it', 'NOTE', 0);
    await noting.idle();
    return handle;
  }, 'STALE_HANDLE', 'STALE_HANDLE'],
  ['ended by a throw', async () => {
    const handle = noting.suspend('it', 'THROW', 0);
    await noting.idle();
    return handle;
  }, 'STALE_HANDLE', 'STALE_HANDLE'],
  ['cancelled', (engine) => {
    const handle = noting.suspend('it', 'NOTE', 5000);
    engine.cancel(handle);
    return handle;
  }, 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of a slot that is used again', async (engine) => {
    const handle = noting.suspend('it', 'NOTE', 0);
    await noting.idle();
    const next = noting.suspend('next', 'NOTE', 5000);
    expect(next.index).toBe(handle.index);
    expect(next.label).not.toBe(handle.label);
    expect(engine.suspended()).toHaveLength(1);
    return handle;
  }, 'STALE_HANDLE', 'STALE_HANDLE'],
  ['that never was', () => ({ index: 77, label: 3 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of the next life of a slot', () => {
    const { index, label } = noting.suspend('it', 'NOTE', 5000);
    return { index, label: label + 1 };
  }, 'STALE_HANDLE', 'STALE_HANDLE'],
  ['beyond all slots', () => ({ index: 0xffff_ffff, label: 0 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of no slot: negative', () => ({ index: -1, label: 0 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of no slot: fractional', () => ({ index: 0.5, label: 0 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of no slot: NaN', () => ({ index: NaN, label: 0 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['of no slot: beyond 32 bits', () => ({ index: 2 ** 32, label: 2 ** 32 }), 'STALE_HANDLE', 'STALE_HANDLE'],
  ['waiting in an engine that drains', (engine) => {
    const handle = noting.suspend('it', 'NOTE', 5000);
    void engine.close({ timeoutMs: 10_000 });
    return handle;
  }, null, null],
  ['of an engine that is closed', async (engine) => {
    const handle = noting.suspend('it', 'NOTE', 5000);
    await engine.close({ timeoutMs: 0 });
    return handle;
  }, 'CLOSED', 'CLOSED'],
];

describe.each(HANDLE_STATES)('a handle %s', (_, reach, continueCode, cancelCode) => {
  it(`continue: ${continueCode ?? 'true'}`, async () => {
    const engine = await start();
    const handle = await reach(engine);
    expect(engine.continue(handle)).toBe(continueCode === null);
    expect(codeOf(engine)).toBe(continueCode);
    // Once only, whatever it was.
    if (continueCode === null) expect(engine.continue(handle)).toBe(false);
  });

  it(`cancel: ${cancelCode ?? 'true'}`, async () => {
    const engine = await start();
    const handle = await reach(engine);
    const ranBefore = noting.runsOf('it').length;
    expect(engine.cancel(handle)).toBe(cancelCode === null);
    expect(codeOf(engine)).toBe(cancelCode);
    expect(engine.cancel(handle)).toBe(false);
    if (cancelCode !== null) return;
    // What was cancelled does not run any more.
    noting.open();
    await noting.idle();
    expect(noting.runsOf('it')).toHaveLength(ranBefore);
    // Its entry stays in the queue until somebody comes upon it.
    await eventually(() => noting.live()['queued'] === 0);
    expect(noting.live()).toEqual(nothingLive);
  });
});

describe.each(['continue', 'cancel'] as const)('%s', (name) => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['false, which suspend returns when it fails', false],
    ['a number', 5],
    ['a string', '0:0'],
    ['an empty object', {}],
    ['a handle without a label', { index: 0 }],
    ['a handle of strings', { index: '0', label: '0' }],
    ['a handle of null', { index: null, label: 0 }],
    ['an array', [0, 0]],
  ])('throws TypeError for %s', async (_, handle) => {
    const engine = await start();
    noting.suspend('it', 'NOTE', 5000);
    expect(() => engine[name](handle as Handle)).toThrow(TypeError);
    expect(engine.suspended()).toHaveLength(1);
    await engine.close({ timeoutMs: 0 });
    expect(() => engine[name](handle as Handle)).toThrow(TypeError);
  });
});

it.each([-1, NaN, '5', null])('close() refuses %o as a deadline, and the engine stays open', async (timeoutMs) => {
  const engine = await start();
  expect(() => engine.close({ timeoutMs: timeoutMs as number })).toThrow(TypeError);
  noting.suspend('it', 'NOTE', 0);
  await noting.idle();
  expect(noting.runs).toHaveLength(1);
});
