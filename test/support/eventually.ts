import { setTimeout as sleep } from 'node:timers/promises';

export interface EventuallyOptions {
  timeoutMs?: number;
  intervalMs?: number;
}

/**
 * Waits until `check` returns something truthy and resolves to it. After the deadline it rejects, with what the last
 * check threw or returned, so that a failed wait says how far things had come.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 10 }: EventuallyOptions = {},
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await check();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadlineMs) {
      if (last instanceof Error) throw last;
      throw new Error(`still ${JSON.stringify(last)} after ${timeoutMs} ms: ${check.toString()}`);
    }
    await sleep(intervalMs);
  }
}
