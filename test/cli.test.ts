import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { ProxyProcess, runNode } from './support/child.ts';
import { hasIpv6 } from './support/ipv6.ts';
import { ProxyFile, proxyFile } from './support/proxy-file.ts';
import { SipClient } from './support/udp-client.ts';

const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
const run = (...args: string[]) => runNode([cli, ...args]);

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function kept(made: ProxyFile): ProxyFile {
  ends.push(() => made.remove());
  return made;
}
const file = (definition: string) => kept(proxyFile(definition));

async function start(definition: string, args: string[], sockets = 1): Promise<ProxyProcess> {
  const proxy = await ProxyProcess.start(file(definition).path, { args, sockets });
  ends.push(() => proxy.stop('SIGKILL'));
  return proxy;
}

async function statusFrom(target: { host: string; port: number }): Promise<number> {
  const client = await SipClient.open(target);
  ends.push(() => client.close());
  return (await client.request({ method: 'OPTIONS' }).final()).status;
}

const ANSWER = `requestRoute(msg) { msg.sendReply(404, 'Not Found'); },`;

describe('sip-async', () => {
  it.each(['--help', '-h', 'run --help'])('%s prints the usage', async (line) => {
    const ended = await run(...line.split(' '));
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ended.stdout).toMatch(/^Usage: sip-async run PROXY\.mjs \[options\]\n/);
    for (const option of ['--listen', '--children', '--async-workers', '--log', '--timeout']) {
      expect(ended.stdout).toContain(` ${option} `);
    }
  });

  it.each(['--version', '-v'])('%s prints the version of the package', async (option) => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
    expect(await run(option)).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    ['', 'sip-async: expected a command: sip-async run PROXY.mjs\n'],
    ['run a.mjs --chlidren 2', 'sip-async: unknown option --chlidren, did you mean --children?\n'],
    ['run a.mjs --asyncworkers 2', 'sip-async: unknown option --asyncworkers, did you mean --async-workers?\n'],
    ['rnu a.mjs', 'sip-async: unknown command rnu, did you mean run?\n'],
    ['run a.mjs --children 0', 'sip-async: --children: expected an integer from 1 to 64, got 0\n'],
  ])('refuses "%s" with exit code 2', async (line, fault) => {
    const ended = await run(...line.split(' ').filter((word) => word !== ''));
    expect(ended).toMatchObject({ code: 2, signal: null, stdout: '', timedOut: false });
    expect(ended.stderr).toBe(`${fault}try: sip-async --help\n`);
  });
});

describe('sip-async run', () => {
  it('lists all faults of a configuration, starts nothing, and exits with 2', async () => {
    const faulty = file(`
      listen: 'udp:127.0.0.1:0', chlidren: 2, asyncWorkers: -1, asyncWorkersGroup: ['name=a;workers=0'],
      modparam: { async: { ms_timr: 1 } }, route: { RESUME: null }, eventRoute: { 'core:tkw'() {} },`);
    const ended = await run('run', faulty.path);
    expect(ended).toMatchObject({ code: 2, signal: null, stdout: '', timedOut: false });
    const [head, ...faults] = ended.stderr.trimEnd().split('\n');
    expect(head).toMatch(/^sip-async: SIPASYNC_ERR_CONFIG: .*: 7 faults$/);
    const places = faults.map((line) => line.trim().split(': ')[0]!);
    expect(places.sort()).toEqual(
      [
        'asyncWorkers', 'asyncWorkersGroup[0].workers', 'chlidren', "eventRoute['core:tkw']", 'modparam.async.ms_timr',
        'requestRoute', 'route.RESUME',
      ].sort(),
    );
    expect(ended.stderr).toContain('did you mean children?');
  });

  it.each([
    ['export default { requestRoute() {} };', /expected what defineProxy\(\{ \.\.\. \}\) returns/],
    ['export const proxy = 1;', /expected what defineProxy\(\{ \.\.\. \}\) returns, got nothing/],
  ])('refuses a module that says "%s"', async (source, fault) => {
    const ended = await run('run', kept(new ProxyFile(source)).path);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(fault);
  });

  it('refuses a module that is not there', async () => {
    const ended = await run('run', './test/no-such.proxy.mjs');
    expect(ended).toMatchObject({ code: 2, stdout: '', timedOut: false });
    expect(ended.stderr).toMatch(/SIPASYNC_ERR_CONFIG.*no-such\.proxy\.mjs/);
  });

  it('takes a path that is relative to the working directory', async () => {
    const made = file(`listen: 'udp:127.0.0.1:0', ${ANSWER}`);
    const proxy = await ProxyProcess.start(relative(root, made.path));
    ends.push(() => proxy.stop('SIGKILL'));
    expect(await statusFrom(proxy.addresses[0]!)).toBe(404);
  });

  it('says where it listens, a line for each socket, and answers there', async () => {
    const proxy = await start(ANSWER, ['--listen', 'udp:127.0.0.1:0', '--listen', 'udp:127.0.0.2:0', '--listen=udp:localhost:0'], 3);
    expect(proxy.addresses.map(({ proto, host }) => `${proto} ${host}`)).toEqual([
      'udp 127.0.0.1', 'udp 127.0.0.2', expect.stringMatching(/^udp (127\.0\.0\.1|\[::1\])$/),
    ]);
    expect(proxy.addresses.every(({ port }) => port > 0)).toBe(true);
    for (const address of proxy.addresses.slice(0, 2)) expect(await statusFrom(address)).toBe(404);
    const ended = await proxy.stop();
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ended.stdout.trimEnd().split('\n')).toHaveLength(3);
  });

  it('replaces the addresses of the module by those of --listen', async () => {
    const proxy = await start(`listen: ['udp:127.0.0.3:0', 'udp:127.0.0.4:0'], ${ANSWER}`, ['--listen', 'udp:127.0.0.1:0']);
    expect(proxy.addresses.map(({ host }) => host)).toEqual(['127.0.0.1']);
    expect(await statusFrom(proxy.addresses[0]!)).toBe(404);
  });

  it('prints one line for an address that several children share', async () => {
    const proxy = await start(ANSWER, ['--listen', 'udp:127.0.0.1:0', '--listen', 'udp:127.0.0.2:0', '--children', '3'], 2);
    for (let i = 0; i < 12; i += 1) expect(await statusFrom(proxy.addresses[i % 2]!)).toBe(404);
    const ended = await proxy.stop();
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ended.stdout.trimEnd().split('\n')).toHaveLength(2);
  });

  it('makes the group "default" of --async-workers', async () => {
    const definition = `
      listen: 'udp:127.0.0.1:0',
      requestRoute(msg) { msg.asyncTaskRoute('RESUME'); msg.sendReply(500, msg.asyncError.code); },
      route: { RESUME(msg) { msg.sendReply(404, 'Not Found'); } },`;
    expect(await statusFrom((await start(definition, [])).addresses[0]!)).toBe(500);
    expect(await statusFrom((await start(definition, ['--async-workers', '2'])).addresses[0]!)).toBe(404);
  });

  it('names the example client with --hint', async () => {
    const proxy = await start(ANSWER, ['--hint', '--listen', 'udp:127.0.0.1:0']);
    const ended = await proxy.stop();
    expect(ended.stdout).toBe(
      `listening on udp:127.0.0.1:${proxy.port}\ntry it: node examples/call.mjs udp:127.0.0.1:${proxy.port}\n`,
    );
  });

  it('listens on several transports and names them all', async () => {
    const proxy = await start(ANSWER, ['--hint', '--listen', 'tcp:127.0.0.1:0', '--listen', 'udp:127.0.0.1:0', '--listen', 'ws:127.0.0.1:0'], 3);
    expect(proxy.addresses.map(({ proto }) => proto)).toEqual(['tcp', 'udp', 'ws']);
    const connection = connect(proxy.addresses[0]!.port, '127.0.0.1');
    await once(connection, 'connect');
    const ended = await proxy.stop();
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ended.stdout).toContain(`try it: node examples/call.mjs udp:127.0.0.1:${proxy.addresses[1]!.port}\n`);
    connection.destroy();
  });

  it('logs a route that throws, unless --log is silent', async () => {
    const definition = `listen: 'udp:127.0.0.1:0', requestRoute() { throw new Error('a fault of the script'); },`;
    const loud = await start(definition, []);
    expect(await statusFrom(loud.addresses[0]!)).toBe(500);
    const { stderr } = await loud.stop();
    expect(JSON.parse(stderr)).toMatchObject({ route: 'requestRoute', err: { message: 'a fault of the script' } });
    const silent = await start(definition, ['--log', 'silent']);
    expect(await statusFrom(silent.addresses[0]!)).toBe(500);
    expect(await silent.stop()).toMatchObject({ code: 0, stderr: '' });
  });

  it('listens on IPv6', async ({ skip }) => {
    skip(!(await hasIpv6()), 'this machine has no ::1');
    const proxy = await start(ANSWER, ['--listen', 'udp:[::1]:0']);
    expect(proxy.addresses[0]).toMatchObject({ host: '[::1]' });
    const target = `udp:[::1]:${proxy.port}`;
    const call = await runNode([fileURLToPath(new URL('../examples/call.mjs', import.meta.url)), target, 'alice', 'OPTIONS']);
    expect(call.stdout).toMatch(/<-- SIP\/2\.0 404 Not Found\n$/);
    expect(call).toMatchObject({ code: 0, stderr: '' });
    expect(await proxy.stop()).toMatchObject({ code: 0, signal: null, stderr: '' });
  });
});
