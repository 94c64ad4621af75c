// Hand-off by proxy.asyncTaskGroupData. A proxy has no way of its own for an answer to a data task; `raise` and `waitForEvent` of
// sip-async/ops are what a program would use.
import { startProxy } from 'sip-async';
import { waitForEvent } from 'sip-async/ops';
import { kAnswer, kGroup } from './task-data.proxy.mjs';

export const name = 'task-data';
export const title = 'sip-async, asyncTaskData';
export const unavailable = () => '';

/** @type {import('../../handoff-main.mjs').Open} */
export async function open({ workers }) {
  const module = new URL('task-data.proxy.mjs', import.meta.url);
  const proxy = await startProxy(module, { asyncWorkersGroup: [{ name: kGroup, workers }], log: 'error' });
  const { signal } = new AbortController();
  return {
    send: (payload) => proxy.asyncTaskGroupData('TASK', kGroup, payload),
    async ask(payload) {
      const answer = waitForEvent(kAnswer, '')(signal);
      if (!proxy.asyncTaskGroupData('ASK', kGroup, payload)) throw new Error(proxy.asyncError?.message);
      return /** @type {number} */ (await answer);
    },
    close: async () => void (await proxy.close({ timeoutMs: 1000 })),
  };
}
