import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { sequence } from './support/random.ts';

const callsPerSecond = 200;
const seconds = 5;
const maxDelayMs = 800;

const definition = `
  modparam: { async: { workers: 1 } },
  asyncWorkers: 2,
  asyncWorkersGroup: ['name=abc;workers=2'],
  async requestRoute(msg) {
    const delayMs = Number(/;d=(\\d+)/.exec(msg.ruri)[1]);
    if (msg.toUser === 'route') msg.asyncMsRoute('RESUME', delayMs);
    if (msg.toUser === 'group') msg.asyncTaskGroupRoute('WAIT', 'abc');
    if (msg.toUser === 'sleep') {
      await msg.asyncMsSleep(delayMs);
      msg.sendReply(404);
    }
  },
  route: {
    WAIT(msg) { msg.asyncMsRoute('RESUME', Number(/;d=(\\d+)/.exec(msg.ruri)[1])); },
    RESUME(msg) { msg.sendReply(404); },
  },`;

describe(`${callsPerSecond} calls a second for ${seconds} s with random delays`, () => {
  // A client that is kept from its ACK for half a second is not what this is about.
  const running = useProxy(definition, { overrides: { modparam: { tm: { retr_timer1: 3000 } } } });

  it('are each answered once, none early, and nothing is left', { timeout: 60_000 }, async () => {
    const { seed, next } = sequence();
    const total = callsPerSecond * seconds;
    const calls: { call: ReturnType<typeof running.client.request>; delayMs: number }[] = [];
    const startedMs = performance.now();
    while (calls.length < total) {
      const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * callsPerSecond));
      while (calls.length < due) {
        const delayMs = 1 + next(maxDelayMs);
        const user = ['route', 'group', 'sleep'][next(3)]!;
        const method = next(4) === 0 ? 'OPTIONS' : 'INVITE';
        const call = running.client.request({ method, user, params: `;d=${delayMs}`, autoAck: true });
        calls.push({ call, delayMs });
      }
      await new Promise((done) => setTimeout(done, 5));
    }
    const finals = await Promise.all(calls.map(({ call }) => call.final(20_000)));

    for (const [i, { call, delayMs }] of calls.entries()) {
      expect(call.elapsedMs(finals[i]!), `seed ${seed}, call ${i}`).toBeGreaterThanOrEqual(delayMs);
    }
    await becomesIdle(running.proxy, 20_000);
    for (const [i, { call }] of calls.entries()) {
      const statuses = call.responses.map((response) => response.status);
      const expected = call.request.method === 'INVITE' ? [100, 404] : [404];
      expect(statuses, `seed ${seed}, call ${i}`).toEqual(expected);
    }
    const { transactions, timers, transport } = running.stats;
    expect(transactions).toMatchObject({ completed: total, cancelled: 0, timedOut: 0 });
    expect(timers).toMatchObject({ fired: total, cancelled: 0 });
    expect(transport).toMatchObject({ refused: 0, sendFailed: 0, repliesNotKept: 0, malformed: {} });
    expect(running.client.strays).toEqual([]);
  });
});
