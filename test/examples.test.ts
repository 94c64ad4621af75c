import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Child, ProxyProcess, runNode } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

const example = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

interface Line {
  atMs: number;
  text: string;
}

let proxy: ProxyProcess | undefined;
afterEach(async () => {
  await proxy?.stop('SIGKILL');
  proxy = undefined;
});

async function start(name: string, env: NodeJS.ProcessEnv = {}): Promise<ProxyProcess> {
  proxy = await ProxyProcess.start(example(name), { args: ['--listen', 'udp:127.0.0.1:0'], env });
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
  expect(trying.text).toContain('100 Trying');
  expect(final.atMs).toBeGreaterThanOrEqual(ms);
}

describe('examples', () => {
  it('are all run here or in examples.ops.test.ts', () => {
    const names = [
      'async-ms-route.mjs', 'async-sleep.mjs', 'bucket.mjs', 'call.mjs', 'credit.mjs', 'relay.mjs', 'resume.mjs', 'shaper.mjs',
      'sipjs-engine.mjs', 'sworker.mjs', 't-suspend.mjs',
    ];
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

  describe('that send on', () => {
    let client: SipClient;
    let callees: SipCallee[] = [];
    let service: Server;
    const lookedUp: string[] = [];
    beforeEach(async () => {
      callees = await Promise.all([SipCallee.open(), SipCallee.open()]);
      lookedUp.length = 0;
      service = createServer(({ url = '' }, response) => {
        lookedUp.push(url);
        const user = url.replace('/where/', '');
        if (user === 'slow') return;
        response.statusCode = user === 'alice' ? 200 : user === 'broken' ? 500 : 404;
        response.end(user === 'alice' ? callees[0]!.address : '');
      }).listen(0, '127.0.0.1');
      await once(service, 'listening');
    });
    afterEach(async () => {
      await client.close();
      await Promise.all(callees.map((callee) => callee.close()));
      service.closeAllConnections();
      service.close();
    });

    async function relay(withNext = true): Promise<void> {
      const next = withNext ? { RELAY_NEXT: callees[1]!.address } : {};
      const { port } = await start('relay.mjs', { RELAY_TO: callees[0]!.address, ...next });
      client = await SipClient.open({ port });
    }
    async function lookup(): Promise<void> {
      const { port } = service.address() as AddressInfo;
      client = await SipClient.open({ port: (await start('t-suspend.mjs', { LOOKUP_URL: `http://127.0.0.1:${port}/where/` })).port });
    }
    const invite = (user = 'alice') => client.request({ user, autoAck: true });

    it('relay.mjs sends a call on, with its dialog', async () => {
      callees[0]!.on('INVITE', [180, 200]).on('BYE', [200]);
      await relay();
      const call = invite();
      const answer = await call.final();
      expect(call.responses.map(({ status }) => status)).toEqual([100, 180, 200]);
      const route = answer.header('record-route');
      expect(route).toBe(`<sip:127.0.0.1:${proxy!.port};lr>`);
      const { tag } = callees[0]!;
      const headers = [`Route: ${route}`];
      const bye = { method: 'BYE', ruri: callees[0]!.uri, toTag: tag, headers, callId: call.request.callId, cseq: 2 };
      expect((await client.request(bye).final()).status).toBe(200);
      expect((await callees[0]!.request('BYE')).header('route')).toBe('');
      await callees[0]!.request('ACK');
      expect(callees[1]!.requests).toEqual([]);
    });

    it.each([404, 480, 503])('relay.mjs tries the second target after %i', async (status) => {
      callees[0]!.on('INVITE', [status]);
      callees[1]!.on('INVITE', [200]);
      await relay();
      expect((await invite().final()).status).toBe(200);
      expect((await callees[1]!.request('INVITE')).header('x-relayed')).toBe('again');
    });

    it('relay.mjs leaves a busy callee alone, and has no second target unless one is given', async () => {
      callees[0]!.on('INVITE', [486]);
      await relay();
      expect((await invite().final()).status).toBe(486);
      await proxy!.stop('SIGKILL');
      await client.close();
      callees[0]!.on('INVITE', [404]);
      await relay(false);
      expect((await invite().final()).status).toBe(404);
      expect(callees[1]!.requests).toEqual([]);
    });

    it('relay.mjs passes CANCEL on', async () => {
      await relay();
      const call = invite();
      const request = await callees[0]!.request('INVITE');
      callees[0]!.answer(request, 180);
      await call.response(({ status }) => status === 180, 5000);
      callees[0]!.on('CANCEL', (cancel, callee) => {
        callee.answer(cancel, 200);
        callee.answer(request, 487);
      });
      expect((await call.cancel().final()).status).toBe(200);
      expect((await call.final()).status).toBe(487);
      expect(callees[1]!.requests).toEqual([]);
    });

    it('sworker.mjs has a worker answer, which is told where the message came from', async () => {
      await start('sworker.mjs');
      client = await SipClient.open({ port: proxy!.port });
      const reply = await invite().final();
      expect([reply.status, reply.header('x-worker'), reply.header('x-from')]).toEqual([404, 'default', client.address]);
    });

    it('t-suspend.mjs goes where the service says', async () => {
      callees[0]!.on('INVITE', [200]);
      await lookup();
      const call = invite();
      expect((await call.final()).status).toBe(200);
      expect(call.responses[0]!.status).toBe(100);
      expect(lookedUp).toEqual(['/where/alice']);
    });

    it('t-suspend.mjs answers 404 for whom the service does not know, and 503 when it fails', async () => {
      await lookup();
      expect((await invite('nobody').final()).status).toBe(404);
      const failed = await invite('broken').final();
      expect([failed.status, failed.reason]).toEqual([503, 'Lookup Failed']);
      expect(proxy!.child.stderr).toContain('broken: the service answered 500');
    });

    it('t-suspend.mjs answers 487 to a caller who does not wait for the service', async () => {
      await lookup();
      const call = invite('slow');
      await eventually(() => lookedUp.length === 1);
      expect((await call.cancel().final()).status).toBe(200);
      expect((await call.final()).status).toBe(487);
    });
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
