import { afterEach, describe, expect, it, vi } from 'vitest';
import { SipAsyncError } from 'sip-async';
import { sleep, usleep } from 'sip-async/ops';
import { aborted, Attempt, codeOf, run } from './support/attempt.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** Time that stands still but for the test. */
function stopTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
}

describe('sleep and usleep', () => {
  it.each([
    ['sleep(0.05)', sleep(0.05), 50],
    ['usleep(20000)', usleep(20_000), 20],
    ['usleep(1)', usleep(1), 0.001],
  ])('%s is never early', async (_, operation, ms) => {
    for (let round = 0; round < 5; round += 1) {
      const beganMs = performance.now();
      expect(await run(operation)).toBeUndefined();
      expect(performance.now() - beganMs).toBeGreaterThanOrEqual(ms);
    }
  });

  it('of 0 are over at once, without a timer', async () => {
    stopTime();
    await run(sleep(0));
    await run(usleep(0));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('take more than the 2^31 ms of a timer', async () => {
    stopTime();
    const seconds = 3 * 2 ** 31 / 1000;
    const sleeper = new Attempt(sleep(seconds));
    await vi.advanceTimersByTimeAsync(seconds * 1000 - 1);
    expect(sleeper.outcome).toBeNull();
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sleeper.outcome).toEqual({ value: undefined });
    expect(vi.getTimerCount()).toBe(0);
    expect(sleeper.listeners).toBe(0);
  });

  it('end at once with their signal, and leave neither timer nor listener', async () => {
    stopTime();
    const sleeper = new Attempt(sleep(100));
    expect([vi.getTimerCount(), sleeper.listeners]).toEqual([1, 1]);
    sleeper.abort(new Error('enough'));
    await expect(sleeper.result).rejects.toMatchObject({
      code: 'SIPASYNC_ERR_ABORTED',
      cause: expect.objectContaining({ message: 'enough' }),
    });
    expect([vi.getTimerCount(), sleeper.listeners]).toEqual([0, 0]);
  });

  it('do not begin after their signal', async () => {
    stopTime();
    expect(await codeOf(aborted(sleep(1)))).toBe('ABORTED');
    expect(await codeOf(aborted(usleep(0)))).toBe('ABORTED');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('give an error of the package on as it is', async () => {
    const reason = new SipAsyncError('SIPASYNC_ERR_CANCELLED', 'gone');
    const sleeper = new Attempt(sleep(100));
    sleeper.abort(reason);
    await expect(sleeper.result).rejects.toBe(reason);
  });

  it('can be used again and again', async () => {
    const operation = usleep(500);
    await Promise.all([run(operation), run(operation)]);
    await run(operation);
  });

  it('one of 1,000 aborted leaves the others alone', async () => {
    stopTime();
    const sleepers = Array.from({ length: 1000 }, () => new Attempt(sleep(2)));
    await vi.advanceTimersByTimeAsync(1000);
    sleepers[500]!.abort();
    expect(await codeOf(sleepers[500]!.result)).toBe('ABORTED');
    expect(sleepers.filter(({ outcome }) => outcome !== null)).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1001);
    expect(sleepers.filter(({ outcome }) => outcome !== null && 'value' in outcome)).toHaveLength(999);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([-1, -0.001, NaN, Infinity])('reject a delay of %s', async (delay) => {
    expect(await codeOf(run(sleep(delay)))).toBe('DELAY_OUT_OF_RANGE');
    expect(await codeOf(run(usleep(delay)))).toBe('DELAY_OUT_OF_RANGE');
  });

  it('throw for what is no number, and reject a call without a signal', async () => {
    expect(() => sleep('2' as unknown as number)).toThrow(TypeError);
    expect(() => usleep(null as unknown as number)).toThrow(TypeError);
    await expect(sleep(1)(undefined as unknown as AbortSignal)).rejects.toThrow(TypeError);
  });
});
