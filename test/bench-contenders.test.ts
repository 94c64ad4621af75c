import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as kamailio from '../bench/contenders/kamailio.mjs';
import * as pureJs from '../bench/contenders/pure-js.mjs';
import * as sipAsync from '../bench/contenders/sip-async.mjs';
import { pickCores } from '../bench/machine.mjs';
import type { Server } from '../bench/server-process.mjs';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

// A benchmark compares servers that do the same; here it is seen that they do.
const routes = ['direct', 'msroute', 'task', 'data', 'relay'];
const core = pickCores().server;

describe.each([sipAsync, pureJs, kamailio])('the proxy of $name', (contender) => {
  const missing = contender.unavailable({});
  let server: Server | undefined;
  let client: SipClient;
  let callee: SipCallee;

  beforeAll(async () => {
    if (missing !== '') return;
    callee = await SipCallee.open();
    callee.on('OPTIONS', [404]);
    callee.on('INVITE', [404]);
    server = await contender.start({ core, relayTo: callee.port });
    client = await SipClient.open({ port: server.port });
  });
  afterAll(async () => {
    await client?.close();
    await callee?.close();
    await server?.stop();
  });

  describe.each(routes)('on route %s', (user) => {
    it.skipIf(missing !== '').each(['OPTIONS', 'INVITE'])('answers %s once with 404', async (method) => {
      const call = client.request({ method, user, autoAck: true });
      const final = await call.final();
      expect(final.status).toBe(404);
      expect(final.header('to')).toMatch(/;tag=/);
      // The ACK of an INVITE is on its way before this, and a retransmission of either gets no route a second time.
      if (method === 'OPTIONS') {
        call.resend();
        await expect.poll(() => call.finals.length).toBe(2);
        expect(call.finals[1]?.header('to')).toBe(final.header('to'));
      }
      if (user === 'relay') {
        const callId = final.header('call-id');
        expect(callee.of(method, callId)).not.toHaveLength(0);
        if (method === 'INVITE') await expect.poll(() => callee.of('ACK', callId).length).toBe(1);
      }
    });
  });

  it.skipIf(missing !== '')('confirms an INVITE that waits, absorbs its retransmission and waits as long as asked', async () => {
    const call = client.request({ user: 'msdelay', params: ';d=400', autoAck: true });
    expect((await call.provisional()).status).toBe(100);
    call.resend();
    const final = await call.final();
    expect(final.status).toBe(404);
    expect(call.elapsedMs(final)).toBeGreaterThan(390);
    expect(call.finals).toHaveLength(1);
  });

  it.skipIf(missing !== '')('repeats its answer to an INVITE until the ACK comes', async () => {
    const call = client.request({ user: 'direct' });
    await call.final();
    await expect.poll(() => call.finals.length, { timeout: 3000 }).toBe(2);
    call.ack();
  });

  it.skipIf(missing !== '')('refuses a route that there is not', async () => {
    expect((await client.request({ method: 'OPTIONS', user: 'nobody' }).final()).status).toBe(400);
  });

  it.skipIf(contender.unavailable({ tkv: true }) !== '')('emits an event and answers', async () => {
    const own = await contender.start({ core, tkv: true });
    const caller = await SipClient.open({ port: own.port });
    try {
      expect((await caller.request({ method: 'OPTIONS', user: 'tkv' }).final()).status).toBe(404);
    } finally {
      await caller.close();
      await own.stop();
    }
  });

  it.skipIf(contender.unavailable({ handOver: true }) !== '')('answers what was handed over to the group', async () => {
    const own = await contender.start({ core, handOver: true });
    const caller = await SipClient.open({ port: own.port });
    try {
      for (const method of ['OPTIONS', 'INVITE']) {
        expect((await caller.request({ method, user: 'direct', autoAck: true }).final()).status).toBe(404);
      }
    } finally {
      await caller.close();
      await own.stop();
    }
  });
});

describe('the pure-js proxy', () => {
  it('answers 487 for a suspended INVITE that is cancelled, and 200 for the CANCEL', async () => {
    const server = await pureJs.start({ core });
    const client = await SipClient.open({ port: server.port });
    try {
      const call = client.request({ user: 'msdelay', params: ';d=5000', autoAck: true });
      await call.provisional();
      expect((await call.cancel().final()).status).toBe(200);
      expect((await call.final()).status).toBe(487);
    } finally {
      await client.close();
      await server.stop();
    }
  });
});
