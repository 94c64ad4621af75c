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
