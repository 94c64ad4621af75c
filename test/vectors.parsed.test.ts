import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { SipClient } from './support/udp-client.ts';
import { all } from './vectors/index.ts';
import { endless } from './vectors/sip-package.ts';

interface ParsingReport {
  /** Messages that the `sip` package parsed, and messages that `msg.parsed` refused. */
  readonly parsed: number;
  readonly refused: number;
  /** What was not as it must be. */
  readonly notes: readonly string[];
  /** What came to uncaughtException or unhandledRejection. */
  readonly escaped: readonly string[];
  readonly prototype: boolean;
  readonly polluted: number;
  readonly inherited: boolean;
}

const file = fileURLToPath(new URL('fixtures/parsing.proxy.mjs', import.meta.url));

describe('msg.parsed and msg.raw of every vector', () => {
  let proxy: ProxyProcess;
  let client: SipClient;
  beforeAll(async () => {
    proxy = await ProxyProcess.start(file);
    client = await SipClient.open({ port: proxy.port });
  });
  afterAll(() => client.close());

  async function report(): Promise<ParsingReport> {
    const answer = await client.request({ method: 'OPTIONS', user: 'report' }).final();
    return JSON.parse(decodeURIComponent(answer.header('x-report'))) as ParsingReport;
  }

  it('give an object or throw NOT_INDEXED, and nothing escapes later', { timeout: 60_000 }, async () => {
    for (const { bytes } of all) {
      client.send(Buffer.from(bytes, 'latin1'));
      await client.request({ method: 'OPTIONS', user: 'settle' }).final();
    }
    client.send(Buffer.from(endless, 'latin1'));
    const seen = await report();
    expect(seen).toMatchObject({ notes: [], escaped: [], prototype: true, polluted: 0, inherited: false });
    // Of the good ones most are parsed, of those that were made for the parser few.
    expect(seen.parsed).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(50);
    // Some of RFC 4475 are retransmissions of others here: the same method, the same Via.
    const routed = all.filter(({ udp }) => udp.is === 'route').map(({ name, bytes }) => {
      const via = /^via:.*branch=z9hG4bK[^;\s]+.*$/im.exec(bytes)?.[0] ?? name;
      return `${/^\s*(\S+)/.exec(bytes)?.[1]} ${via}`;
    });
    expect(seen.parsed + seen.refused).toBe(new Set(routed).size);
  });

  it('leave the process as it was', async () => {
    expect(await proxy.stop()).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
  });
});
