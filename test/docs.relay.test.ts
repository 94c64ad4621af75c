import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startProxy } from 'sip-async';
import type { Proxy } from 'sip-async';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProxyFile } from './support/proxy-file.ts';
import { callsEnd } from './support/running-proxy.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

// Every module of docs/relay.md runs here as it stands there, with other ports.

const page = readFileSync(new URL('../docs/relay.md', import.meta.url), 'utf8');
/** The modules by the heading that they stand under. */
const modules = new Map(
  page.split(/^## /m).slice(1).flatMap((section): [string, string][] => {
    const text = /```js\n([^]*?defineProxy\([^]*?)```/.exec(section)?.[1];
    return text === undefined ? [] : [[section.split('\n', 1)[0]!, text]];
  }),
);
const seen = new Set<string>();

let callees: SipCallee[] = [];
let proxy: Proxy | undefined;
let client: SipClient;
const files: ProxyFile[] = [];
beforeEach(async () => {
  callees = await Promise.all([SipCallee.open(), SipCallee.open()]);
  for (const callee of callees) callee.on('CANCEL', [200]);
});
afterEach(async () => {
  await callsEnd(proxy!);
  await proxy!.close({ timeoutMs: 0 });
  await client.close();
  await Promise.all(callees.map((callee) => callee.close()));
});
afterAll(() => files.forEach((file) => file.remove()));

async function run(heading: string, servicePort = 0): Promise<void> {
  seen.add(heading);
  const source = modules.get(heading)!
    .replaceAll('127.0.0.1:5070', callees[0]!.address)
    .replaceAll('127.0.0.1:5080', callees[1]!.address)
    .replaceAll(':8080', `:${servicePort}`);
  const file = new ProxyFile(source);
  files.push(file);
  proxy = await startProxy(file.url, { listen: 'udp:127.0.0.1:0', modparam: { tm: { wt_timer: 200, fr_timer: 1000 } } });
  client = await SipClient.open(proxy.addresses[0]!);
}
const invite = (options: TransactionOptions = {}) => client.request({ autoAck: true, ...options });
const statuses = (call: Transaction) => call.responses.map(({ status }) => status);

describe('docs/relay.md', () => {
  it('A proxy', async () => {
    callees[0]!.on('INVITE', [180, 200]);
    await run('A proxy');
    const call = invite();
    const final = await call.final();
    expect(statuses(call)).toEqual([100, 180, 200]);
    expect(final.header('record-route')).not.toBe('');
    await callees[0]!.request('ACK');
  });

  it('Forking', async () => {
    callees[0]!.on('INVITE', [486]);
    callees[1]!.on('INVITE', [200]);
    await run('Forking');
    expect((await invite().final()).status).toBe(200);
    const starts = callees.map((callee) => callee.of('INVITE')[0]!.startLine);
    expect(starts[0]).toContain('sip:desk@');
    expect(starts[1]).toContain('sip:mobile@');
  });

  it.each([['is busy', [486], 200], ['is silent', [], 200], ['declines', [603], 603]] as const)(
    'Failure routes: the first %s',
    async (_what, answers, status) => {
      callees[0]!.on('INVITE', answers);
      callees[1]!.on('INVITE', [200]);
      await run('Failure routes');
      expect((await invite().final()).status).toBe(status);
      const then = callees[1]!.of('INVITE').map(({ startLine }) => startLine);
      if (status === 200) expect(then[0]).toContain('sip:voicemail+alice@');
      else expect(then).toEqual([]);
    },
  );

  it('Reply routes', async () => {
    callees[0]!.on('INVITE', (request, callee) => {
      if (callee.distinct('INVITE').length < callee.of('INVITE').length) return;
      for (const status of [180, 183, 200]) callee.answer(request, status, { headers: ['Server: secret'] });
    });
    await run('Reply routes');
    const call = invite();
    const answer = await call.final();
    expect(statuses(call)).toEqual([100, 180, 200]);
    expect(answer.header('server')).toBe('');
    expect(answer.header('x-setup-ms')).toMatch(/^\d+$/);
  });

  it('Branch routes', async () => {
    callees[0]!.on('INVITE', [486]);
    callees[1]!.on('INVITE', [404]);
    await run('Branch routes');
    await invite().final();
    expect(callees.map((callee) => callee.of('INVITE')[0]!.header('x-branch'))).toEqual([
      `sip:desk@${callees[0]!.address}`, `sip:mobile@${callees[1]!.address}`,
    ]);
    await invite({ headers: ['User-Agent: desk-only'] }).final();
    expect(callees.map((callee) => callee.distinct('INVITE').length)).toEqual([2, 1]);
  });

  it('CANCEL', async () => {
    await run('CANCEL');
    const call = invite();
    const request = await callees[0]!.request('INVITE');
    callees[0]!.answer(request, 180);
    await call.response(({ status }) => status === 180, 5000);
    expect((await call.cancel().final()).status).toBe(200);
    await callees[0]!.request('CANCEL');
    callees[0]!.answer(request, 487);
    expect((await call.final()).status).toBe(487);
  });

  it('Suspending', async () => {
    callees[0]!.on('INVITE', [200]);
    const service = createServer(({ url }, response) => {
      if (url !== '/where/alice') response.statusCode = 404;
      response.end(url === '/where/alice' ? callees[0]!.address : '');
    }).listen(0, '127.0.0.1');
    await once(service, 'listening');
    await run('Suspending', (service.address() as AddressInfo).port);
    expect((await invite().final()).status).toBe(200);
    expect((await invite({ user: 'bob' }).final()).status).toBe(404);
    service.closeAllConnections();
    service.close();
    await once(service, 'close');
    expect((await invite().final()).reason).toBe('Lookup Failed');
  });

  it('has no other modules', async () => {
    await run('A proxy');
    expect([...seen].sort()).toEqual([...modules.keys()].sort());
  });
});
