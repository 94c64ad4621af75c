import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, ProxyProcess, runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { SipClient } from './support/udp-client.ts';

const example = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

interface Line {
  atMs: number;
  text: string;
}

/** How long an answer may take beyond its time on a machine that is busy with other things. */
const SLACK_MS = 1500;

let proxy: ProxyProcess | undefined;
afterEach(async () => {
  await proxy?.stop('SIGKILL');
  proxy = undefined;
});

async function start(name: string): Promise<ProxyProcess> {
  proxy = await ProxyProcess.start(example(name), { args: ['--listen', 'udp:127.0.0.1:0'] });
  return proxy;
}

/** What call.mjs prints: a time and what was sent or came. */
async function call(port: number, ...args: string[]): Promise<Line[]> {
  const ended = await runNode([example('call.mjs'), `udp:127.0.0.1:${port}`, ...args]);
  expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
  return ended.stdout.trimEnd().split('\n').map((line) => {
    const [, seconds, text] = /^ *(\d+\.\d{3}) s {2}(.*)$/.exec(line) ?? [];
    expect(text, line).toBeDefined();
    return { atMs: Math.round(Number(seconds) * 1000), text: text! };
  });
}

function expectTimes(lines: readonly Line[], ms: number): void {
  const [, trying, final] = lines as [Line, Line, Line];
  expect(trying.atMs).toBeLessThan(ms / 2);
  expect(final.atMs).toBeGreaterThanOrEqual(ms);
  expect(final.atMs).toBeLessThan(ms + SLACK_MS);
}

describe('examples', () => {
  it('are all run here', () => {
    const names = ['async-ms-route.mjs', 'async-sleep.mjs', 'call.mjs', 'resume.mjs', 'sipjs-engine.mjs'];
    expect(readdirSync(example('.')).sort()).toEqual(names);
  });

  it('resume.mjs answers an INVITE after 4 s from a worker thread', async () => {
    const { port } = await start('resume.mjs');
    const lines = await call(port);
    expect(lines.map(({ text }) => text)).toEqual([
      `--> INVITE sip:alice@127.0.0.1:${port}`,
      '<-- SIP/2.0 100 Trying',
      expect.stringMatching(/^<-- SIP\/2\.0 404 Not Found {2}X-Thread: [1-9]\d*$/),
    ]);
    expectTimes(lines, 4000);
  });

  it('resume.mjs answers anything else at once', async () => {
    const { port } = await start('resume.mjs');
    const lines = await call(port, 'alice', 'OPTIONS');
    expect(lines.map(({ text }) => text)).toEqual([
      `--> OPTIONS sip:alice@127.0.0.1:${port}`,
      '<-- SIP/2.0 405 Method Not Allowed',
    ]);
    expect(lines[1]!.atMs).toBeLessThan(SLACK_MS);
  });

  it('resume.mjs answers many at the same time', async () => {
    const { port } = await start('resume.mjs');
    const calls = await Promise.all(Array.from({ length: 5 }, (_, i) => call(port, `caller${i}`)));
    for (const lines of calls) expectTimes(lines, 4000);
  });

  it('async-sleep.mjs goes on after 2 s with its local variables', async () => {
    const { port } = await start('async-sleep.mjs');
    const lines = await call(port);
    expect(lines.slice(1).map(({ text }) => text)).toEqual([
      '<-- SIP/2.0 100 Trying',
      '<-- SIP/2.0 404 Not Found  X-Caller: caller',
    ]);
    expectTimes(lines, 2000);
    expect((await call(port, 'alice', 'OPTIONS')).at(-1)!.text).toBe('<-- SIP/2.0 405 Method Not Allowed');
  });

  it.each([
    ['alice', 250],
    ['700', 700],
  ])('async-ms-route.mjs answers sip:%s after %i ms', async (user, ms) => {
    const { port } = await start('async-ms-route.mjs');
    const lines = await call(port, user);
    expect(lines.slice(1).map(({ text }) => text)).toEqual(['<-- SIP/2.0 100 Trying', '<-- SIP/2.0 404 Not Found']);
    expectTimes(lines, ms);
  });

  it('async-ms-route.mjs says why it refuses a delay', async () => {
    const { port } = await start('async-ms-route.mjs');
    const lines = await call(port, '30001');
    expect(lines.at(-1)!.text).toBe('<-- SIP/2.0 500 Not Suspended  X-Error: SIPASYNC_ERR_DELAY_OUT_OF_RANGE');
  });

  it('call.mjs refuses what is no address', async () => {
    const ended = await runNode([example('call.mjs'), 'nowhere']);
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: 'expected an address as udp:127.0.0.1:5060, got nowhere\n' });
  });

  describe('sipjs-engine.mjs', () => {
    let child: Child;
    let port: number;

    async function startSipJs(delayMs: number): Promise<void> {
      child = new Child(process.execPath, [example('sipjs-engine.mjs'), '0', String(delayMs)]);
      const listening = () => /^listening on udp:127\.0\.0\.1:(\d+)\n/.exec(child.stdout);
      port = Number((await eventually(listening))![1]);
    }
    afterEach(async () => {
      child.kill('SIGKILL');
      await child.exited;
    });

    it('answers an INVITE when the engine says so, by SIP.js', async () => {
      await startSipJs(2000);
      const lines = await call(port);
      expect(lines.map(({ text }) => text)).toEqual([
        `--> INVITE sip:alice@127.0.0.1:${port}`,
        '<-- SIP/2.0 100 Trying',
        '<-- SIP/2.0 404 Not Found',
      ]);
      expectTimes(lines, 2000);
      expect((await call(port, 'alice', 'OPTIONS')).at(-1)!.text).toBe('<-- SIP/2.0 405 Method Not Allowed');
    });

    it('answers 487 when CANCEL comes first, and nothing later', async () => {
      await startSipJs(30_000);
      const client = await SipClient.open({ host: '127.0.0.1', port });
      const invite = client.request({ autoAck: true });
      await invite.provisional();
      expect((await invite.cancel().final()).status).toBe(200);
      expect((await invite.final()).status).toBe(487);
      await client.close();
      child.kill('SIGTERM');
      expect(await child.ended(5000)).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
    });

    it('answers what waits when it is told to end', async () => {
      await startSipJs(400);
      const client = await SipClient.open({ host: '127.0.0.1', port });
      const invite = client.request({ autoAck: true });
      await invite.provisional();
      child.kill('SIGTERM');
      expect((await invite.final()).status).toBe(404);
      await client.close();
      expect(await child.ended(5000)).toMatchObject({ code: 0, signal: null, stderr: '', timedOut: false });
    });
  });
});
