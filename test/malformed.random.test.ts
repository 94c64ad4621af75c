import { describe, expect, it } from 'vitest';
import { sequence } from './support/random.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

/** Pieces that mean something to a reader of SIP. */
const pieces = [
  '\r\n', '\r\n ', '\n', '\r', '\0', ' ', '\t', ':', ';', ',', '"', '\\', '<', '>', '@', '%', '%00', '[', ']', '=', '?',
  '\xff', 'Via:', 'v:', 'From:', 'CSeq:', 'Content-Length: 99999', 'l: 0', 'SIP/2.0', 'INVITE', 'ACK', 'CANCEL', 'sip:',
  ';tag=', ';branch=', ';rport', 'z9hG4bK', '4294967296', 'a'.repeat(300), ';;;;', '"\\"', '<<<<', '__proto__',
];

describe('messages that chance has changed', () => {
  const running = useProxy(
    `
    async requestRoute(msg) {
      try { void msg.parsed; } catch (error) { if (error.code === undefined) throw error; }
      for (const name of ['Via', 'From', 'Contact', 'X']) void msg.headers(name);
      if (msg.cseq % 2) await msg.asyncMsSleep(1);
      msg.sendReply(404, msg.toUser?.slice(0, 50).replace(/[^ -~]/g, '') ?? '');
    },`,
    { overrides: { modparam: { tm: { retr_timer1: 10, retr_timer2: 40 } } } },
  );

  it('neither end nor stall the proxy', { timeout: 60_000 }, async () => {
    const { seed, next } = sequence();
    const { client } = running;
    const methods = ['INVITE', 'OPTIONS', 'ACK', 'CANCEL', 'BYE', 'FOO'];
    for (let round = 0; round < 100; round += 1) {
      for (let i = 0; i < 50; i += 1) {
        let text = client.build({
          method: methods[next(methods.length)]!,
          cseq: next(1000),
          headers: ['Contact: "A, B" <sip:a@b.invalid>;q=1', 'Route: <sip:r.invalid;lr>'],
          body: 'v=0\r\n',
        });
        for (let change = 0; change <= next(4); change += 1) {
          const at = next(text.length);
          const kind = next(4);
          const piece = pieces[next(pieces.length)]!;
          if (kind === 0) text = text.slice(0, at);
          else if (kind === 1) text = text.slice(0, at) + piece + text.slice(at);
          else if (kind === 2) text = text.slice(0, at) + piece + text.slice(at + next(20));
          else text = text.slice(0, at) + text.slice(Math.min(at, next(text.length)));
        }
        client.send(Buffer.from(text, 'latin1'));
      }
      await running.settle();
    }
    const { transport } = running.stats;
    expect(transport.received, `seed ${seed}`).toBeGreaterThanOrEqual(5100);
    expect(Object.keys(transport.malformed).length, `seed ${seed}`).toBeGreaterThan(8);
    expect((await running.ask({})).status).toBe(404);
    await becomesIdle(running.proxy, 20_000);
    // Whatever was answered was answered with SIP, and nothing that came in went out as a line of its own.
    expect(client.garbage, `seed ${seed}`).toEqual([]);
  });
});
