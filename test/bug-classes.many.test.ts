import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { pipeline } from './support/pipeline.ts';
import { sequence } from './support/random.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction } from './support/udp-client.ts';

const distinctFinals = (call: Transaction) => [...new Set(call.finals.map(({ status }) => status))];

describe('many calls at once', () => {
  const running = useProxy(
    `
    children: 2,
    asyncWorkers: 2,
    asyncWorkersGroup: ['name=work;workers=2'],
    modparam: { async: { workers: 2 } },
    requestRoute: (msg) => next(msg),
    route: { NEXT: (msg) => next(msg) },`,
    {
      prelude: `
      const delay = (msg) => 1 + (msg.cseq * 7 + (msg.avp.get('left') ?? 0)) % 9;
      async function next(msg) {
        const left = msg.avp.get('left') ?? 4;
        if (left === 0) { msg.sendReply(404); return; }
        msg.avp.set('left', left - 1).set('filler', new Uint8Array((msg.cseq * 977 + left * 4099) % 60_000));
        const step = (msg.cseq + left) % 5;
        if (step === 0) msg.asyncMsRoute('NEXT', delay(msg));
        if (step === 1) msg.asyncTaskRoute('NEXT');
        if (step === 2) msg.sendReply(183);
        if (step === 3 && !await msg.asyncMsSleep(delay(msg))) return;
        msg.asyncTaskGroupRoute('NEXT', 'work');
      }`,
    },
  );

  it('12.6: thousands of suspensions with variables, some cut short, free all that they held', async () => {
    const { seed, next } = sequence();
    expect(running.stats.memory).toMatchObject({ slotsInUse: 0, payloadBlocks: 0 });
    const calls = await pipeline(1500, 60, async (cseq) => {
      const call = running.client.request({ cseq, autoAck: true });
      if (next(3) === 0) {
        await call.provisional();
        call.cancel();
      }
      await call.final();
      return call;
    });
    for (const call of calls) expect([[404], [487]], `seed ${seed}`).toContainEqual(distinctFinals(call));
    await becomesIdle(running.proxy);
  });

  it('12.9: CANCEL, resumption, replies and repeated requests at the same time lock nothing up', async () => {
    const { seed, next } = sequence();
    const clients = await Promise.all(Array.from({ length: 6 }, () => SipClient.open(running.proxy.addresses[0]!)));
    const calls = await pipeline(900, 90, async (cseq) => {
      const call = clients[cseq % clients.length]!.request({ cseq, autoAck: true });
      await call.provisional();
      const cancelled = next(2) === 0;
      for (let i = next(3); i > 0; i -= 1) {
        await wait(next(6));
        call.resend();
      }
      if (cancelled) {
        await wait(next(25));
        const cancelling = call.cancel();
        cancelling.resend();
        expect((await cancelling.final()).status, `seed ${seed}`).toBe(200);
      }
      await call.final();
      return { call, cancelled };
    });
    await becomesIdle(running.proxy);
    for (const { call, cancelled } of calls) {
      const allowed = cancelled ? [[404], [487]] : [[404]];
      expect(allowed, `seed ${seed}, call ${call.request.cseq}`).toContainEqual(distinctFinals(call));
      expect(new Set(call.finals.map(({ raw }) => raw)).size, `seed ${seed}`).toBe(1);
    }
    await Promise.all(clients.map((client) => client.close()));
  });
});
