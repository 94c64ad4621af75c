import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';

const definition = `
  requestRoute(msg) {
    if (msg.toUser === 'late') return msg.asyncMsSleep(50).then(() => msg.sendReply(404));
    return msg.sendReply(404);
  },`;

/** One token an hour would be best; one a second is the least, and the tests are over before it comes. */
const burst = 20;

describe('maxRequestsPerSource', () => {
  const running = useProxy(definition, { overrides: { maxRequestsPerSource: { rate: 1, burst } } });
  const { stats } = { stats: () => running.stats.transport };

  it('drops and counts what is over it, and answers nothing to that', async () => {
    const { client } = running;
    const count = 200;
    const before = stats().received;
    for (let i = 0; i < count; i += 1) client.send(client.build({ method: 'OPTIONS' }));
    // What comes in by another address is not held up by it.
    const other = await SipClient.open(running.proxy.addresses[0]!);
    await expect.poll(() => stats().received).toBe(before + count);
    const { limited } = stats();
    // A token a second may have come meanwhile.
    expect(limited).toBeGreaterThanOrEqual(count - burst - 10);
    expect(limited).toBeLessThanOrEqual(count - burst);
    await expect.poll(() => client.strays.length).toBe(count - limited);
    expect(client.strays.every(({ status }) => status === 404)).toBe(true);
    expect(stats().refused).toBe(0);
    await other.close();
  });

  it('does not answer malformed requests over it, nor a CANCEL of nothing', async () => {
    const { client } = running;
    const seen = client.strays.length;
    const before = stats();
    for (let i = 0; i < 100; i += 1) {
      client.send(client.build({ method: 'OPTIONS', headers: ['nonsense'] }));
      client.send(client.build({ method: 'CANCEL' }));
    }
    await expect.poll(() => stats().received).toBe(before.received + 200);
    // The counters of what they are move all the same.
    expect(stats().malformed['badHeader']).toBe(100);
    const limited = stats().limited - before.limited;
    expect(limited).toBeGreaterThanOrEqual(190);
    await expect.poll(() => client.strays.length).toBe(seen + 200 - limited);
  });

  it('is the sum of nothing: all of it was dropped or answered', async () => {
    await becomesIdle(running.proxy);
  });
});

describe('what belongs to a known call', () => {
  const running = useProxy(definition, { overrides: { maxRequestsPerSource: { rate: 1, burst: 1 } } });

  it('is not counted: retransmissions, CANCEL, ACK', async () => {
    const { client } = running;
    const call = client.request({ method: 'INVITE', user: 'late' });
    for (let i = 0; i < 20; i += 1) call.resend();
    expect((await call.final()).status).toBe(404);
    for (let i = 0; i < 20; i += 1) call.resend();
    call.ack();
    // Its transaction is over soon; until then this one finds it.
    const cancel = call.cancel();
    expect((await cancel.final()).status).toBe(200);
    const { transport } = running.stats;
    expect(transport.limited).toBe(0);
    expect(transport.retransmissionsAbsorbed).toBe(40);
  });
});

describe('without a limit', () => {
  const running = useProxy(definition);

  it('nothing is dropped', async () => {
    const { client } = running;
    for (let i = 0; i < 500; i += 1) client.send(client.build({ method: 'OPTIONS' }));
    await expect.poll(() => client.strays.length).toBe(500);
    expect(running.stats.transport.limited).toBe(0);
  });
});

describe('the limits of a message', () => {
  const running = useProxy(definition, { overrides: { maxHeaders: 16, maxLineBytes: 300, maxVias: 2 } });
  const status = async (headers: string[]) => {
    const { client } = running;
    const seen = client.strays.length;
    client.send(client.build({ method: 'OPTIONS', headers }));
    await expect.poll(() => client.strays.length).toBe(seen + 1);
    return client.strays.at(-1)!;
  };

  it('are those of the settings', async () => {
    // Seven headers are there without these.
    expect((await status(Array<string>(9).fill('X: y'))).status).toBe(404);
    expect((await status(Array<string>(10).fill('X: y'))).reason).toBe('Bad Request (tooManyHeaders)');
    expect((await status([`X: ${'y'.repeat(295)}`])).status).toBe(404);
    expect((await status([`X: ${'y'.repeat(296)}`])).status).toBe(513);
    expect((await status(['Via: SIP/2.0/UDP h'])).status).toBe(404);
    expect((await status(['Via: SIP/2.0/UDP h, SIP/2.0/UDP h'])).reason).toBe('Bad Request (tooManyVias)');
    expect(running.stats.transport.malformed).toEqual({ tooManyHeaders: 1, tooLarge: 1, tooManyVias: 1 });
  });
});
