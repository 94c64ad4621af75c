import { eventually } from './eventually.ts';

/** An operation that a route has started and that the test ends. */
export interface HeldOperation {
  readonly signal: AbortSignal;
  resolve(value?: unknown): void;
  reject(error: unknown): void;
}

interface Shared {
  heldOperations?: Map<string, HeldOperation[]>;
}

/**
 * For a proxy module: `held(key)` is an operation that goes on until the test ends it. In the main thread only, whose global
 * object the module shares with the test.
 */
export const heldPrelude = `
  const heldOperations = (globalThis.heldOperations ??= new Map());
  const held = (key) => (signal) => new Promise((resolve, reject) => {
    heldOperations.set(key, [...(heldOperations.get(key) ?? []), { signal, resolve, reject }]);
  });
  void held;`;

/** The operations that were started with this key, in their order. */
export const heldOf = (key: string): readonly HeldOperation[] => (globalThis as Shared).heldOperations?.get(key) ?? [];

/** The only operation of this key, once it was started. */
export async function heldOne(key: string): Promise<HeldOperation> {
  await eventually(() => heldOf(key).length > 0);
  return heldOf(key)[0]!;
}

/** Code for a proxy's module: `operations` of every kind by name, and what its routes need to tell of them. */
export const operationsPrelude = `
  const code = (msg) => msg.asyncError?.code.slice(13) ?? null;
  const thrown = new Error('thrown');
  const later = (ms, value) => new Promise((done) => setTimeout(done, ms, value));
  const text = (value) => value instanceof Error ? (value.code?.slice(13) ?? value.message) : value === undefined ? 'undefined' : value;
  const operations = {
    value: () => 'value',
    nothing: () => undefined,
    throws: () => { throw thrown; },
    promise: async () => 'promised',
    rejects: () => Promise.reject(thrown),
    thenable: () => ({ then(resolve) { resolve('thenable'); } }),
    'bad-thenable': () => ({ get then() { throw thrown; } }),
    turn: () => new Promise((resolve) => setImmediate(resolve, 'turned')),
    late: () => later(5, 'late'),
    'late-throws': () => later(5).then(() => { throw thrown; }),
    never: () => new Promise(() => undefined),
    obedient: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  };`;
