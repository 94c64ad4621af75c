import { isIP } from 'node:net';
import { SipAsyncError } from 'sip-async';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Resolver } from '../dist/transport/resolve.js';
import type { Resolution, ResolverOptions } from '../dist/transport/resolve.js';
import { DnsServer } from './support/dns-server.ts';
import type { Reaction } from './support/dns-server.ts';

let server: DnsServer;
let resolvers: Resolver[];

beforeEach(async () => {
  server = await DnsServer.open();
  resolvers = [];
});

afterEach(async () => {
  for (const resolver of resolvers) resolver.close();
  await server.close();
});

const ALL = ['udp', 'tcp', 'tls', 'ws', 'wss'] as const;

function open(options: Partial<ResolverOptions> = {}): Resolver {
  const resolver = new Resolver({ servers: [server.address], transports: ALL, families: [4, 6], ...options });
  resolvers.push(resolver);
  return resolver;
}

/** The destinations as `udp:192.0.2.1:5060`, or the error that stands for them. */
function show(resolution: Resolution): string | readonly string[] {
  if (!resolution.ok) {
    expect(resolution.error).toBeInstanceOf(SipAsyncError);
    expect(resolution.error.code).toBe('SIPASYNC_ERR_RESOLVE');
    return resolution.error.message.replace(/^no address to send to can be found for the target: "[^"]*": /, '');
  }
  expect(resolution.destinations.length).toBeGreaterThan(0);
  expect(resolution.destinations.length).toBeLessThanOrEqual(8);
  return resolution.destinations.map(({ transport, host, port }) => {
    expect(isIP(host)).toBeGreaterThan(0);
    return `${transport}:${host.includes(':') ? `[${host}]` : host}:${port}`;
  });
}

async function look(uri: string, options: Partial<ResolverOptions> = {}): Promise<string | readonly string[]> {
  return show(await open(options).resolve(uri));
}

describe('an address', () => {
  it.each([
    ['sip:192.0.2.1', 'udp:192.0.2.1:5060'],
    ['sip:192.0.2.1:5070', 'udp:192.0.2.1:5070'],
    ['sip:[2001:db8::1]:5070', 'udp:[2001:db8::1]:5070'],
    ['sips:192.0.2.1', 'tls:192.0.2.1:5061'],
    ['sips:192.0.2.1:5060', 'tls:192.0.2.1:5060'],
    ['sip:192.0.2.1;transport=tcp', 'tcp:192.0.2.1:5060'],
    ['sip:192.0.2.1;transport=tls', 'tls:192.0.2.1:5061'],
    ['sip:192.0.2.1;transport=ws', 'ws:192.0.2.1:80'],
    ['sip:192.0.2.1;transport=wss', 'wss:192.0.2.1:443'],
    ['sips:192.0.2.1;transport=ws', 'wss:192.0.2.1:443'],
    ['sips:192.0.2.1;transport=tcp', 'tls:192.0.2.1:5061'],
    ['sip:example.test;maddr=192.0.2.7', 'udp:192.0.2.7:5060'],
    ['sip:example.test:5070;maddr=[::1];transport=tcp', 'tcp:[::1]:5070'],
    ['192.0.2.1', 'udp:192.0.2.1:5060'],
    ['[::1]:5070', 'udp:[::1]:5070'],
    ['tcp:192.0.2.1', 'tcp:192.0.2.1:5060'],
    ['udp:192.0.2.1:5070', 'udp:192.0.2.1:5070'],
  ])('%s is answered at once', (uri, destination) => {
    const resolution = open().resolve(uri);
    expect(resolution).not.toBeInstanceOf(Promise);
    expect(show(resolution as Resolution)).toEqual([destination]);
    expect(server.queries).toEqual([]);
  });

  it('goes by TCP if the proxy has no UDP, but by nothing that was not asked for', () => {
    const tcpOnly = open({ transports: ['tcp', 'tls'] });
    expect(show(tcpOnly.resolve('sip:192.0.2.1') as Resolution)).toEqual(['tcp:192.0.2.1:5060']);
    const tlsOnly = open({ transports: ['tls', 'wss'] });
    expect(show(tlsOnly.resolve('sip:192.0.2.1') as Resolution)).toMatch(/^no transport in common/);
  });

  it.each([
    ['sip:192.0.2.1;transport=tls', 'no transport in common: the proxy has no tls'],
    ['sips:192.0.2.1', 'no transport in common: the proxy has none for a sips URI to this host'],
    ['sips:192.0.2.1;transport=tcp', 'no transport in common: the proxy has no tls'],
    ['sip:[::1]', 'the proxy has no socket for IPv6'],
    ['sip:example.test;transport=tls', 'no transport in common: the proxy has no tls'],
    ['sip:', /^malformed URI/],
    ['tel:5551234', 'unsupported scheme tel'],
  ])('%s is refused at once', (uri, why) => {
    const resolution = open({ transports: ['udp', 'tcp'], families: [4] }).resolve(uri);
    expect(resolution).not.toBeInstanceOf(Promise);
    expect(show(resolution as Resolution)).toMatch(why);
  });

  it('says what was asked for in the message', () => {
    const resolution = open().resolve('tel:5551234') as Resolution & { ok: false };
    expect(resolution.error.message).toBe(
      'no address to send to can be found for the target: "tel:5551234": unsupported scheme tel',
    );
  });
});

describe('a name with a port', () => {
  it('is looked up for addresses only', async () => {
    server.a('example.test', ['192.0.2.1']).aaaa('example.test', ['2001:db8::1']);
    server.srv('_sip._udp.example.test', ['1 1 5099 other.test']);
    const found = await look('sip:example.test:5070');
    expect(found).toEqual(['udp:192.0.2.1:5070', 'udp:[2001:db8::1]:5070']);
    expect([...server.queries].sort()).toEqual(['A example.test', 'AAAA example.test']);
  });

  it.each([
    ['sips:example.test:5070', 'tls:192.0.2.1:5070'],
    ['sip:example.test:5070;transport=tcp', 'tcp:192.0.2.1:5070'],
    ['sip:example.test:80;transport=ws', 'ws:192.0.2.1:80'],
    ['tcp:example.test:5070', 'tcp:192.0.2.1:5070'],
    ['example.test:5070', 'udp:192.0.2.1:5070'],
    ['sip:no.test:5070;maddr=example.test', 'udp:192.0.2.1:5070'],
    ['sip:EXAMPLE.test.:5070', 'udp:192.0.2.1:5070'],
  ])('%s', async (uri, destination) => {
    server.a('example.test', ['192.0.2.1']);
    expect(await look(uri)).toEqual([destination]);
  });

  it('asks only for the families of the proxy, and keeps their order', async () => {
    server.a('example.test', ['192.0.2.2', '192.0.2.1']).aaaa('example.test', ['2001:db8::1']);
    expect(await look('example.test:1', { families: [6, 4] })).toEqual([
      'udp:[2001:db8::1]:1', 'udp:192.0.2.2:1', 'udp:192.0.2.1:1',
    ]);
    server.queries.length = 0;
    expect(await look('example.test:1', { families: [6] })).toEqual(['udp:[2001:db8::1]:1']);
    expect(server.queries).toEqual(['AAAA example.test']);
  });

  it('may be an alias', async () => {
    server.on('A', 'example.test', [
      { type: 'CNAME', name: 'example.test', ttl: 60, data: 'b.test' },
      { type: 'CNAME', name: 'b.test', ttl: 60, data: 'c.test' },
      { type: 'A', name: 'c.test', ttl: 60, data: '192.0.2.3' },
    ]);
    expect(await look('example.test:1')).toEqual(['udp:192.0.2.3:1']);
  });

  it('does not wait for the family that gets no answer, if the other has addresses', async () => {
    server.a('example.test', ['192.0.2.1']).on('AAAA', 'example.test', 'silence');
    expect(await look('example.test:1', { timeoutMs: 1000 })).toEqual(['udp:192.0.2.1:1']);
  });

  it('says which family is missing, or that there is no such name', async () => {
    server.a('example.test', ['192.0.2.1']);
    expect(await look('example.test:1', { families: [6] })).toBe(
      'example.test has no address of a family that the proxy has a socket for',
    );
    expect(await look('other.test:1')).toBe('no such name: other.test');
  });

  it('gives eight destinations at most, and none twice', async () => {
    server.a('example.test', Array.from({ length: 40 }, (_, index) => `192.0.2.${index % 20}`));
    const found = await look('example.test:1');
    expect(found).toEqual(Array.from({ length: 8 }, (_, index) => `udp:192.0.2.${index}:1`));
  });
});

describe('a name with transport=', () => {
  it('has SRV records of that transport, and no NAPTR', async () => {
    server.naptr('example.test', ['1 1 s SIP+D2U _sip._udp.example.test']);
    server.srv('_sip._tcp.example.test', ['1 1 5070 a.test']).a('a.test', ['192.0.2.1']);
    expect(await look('sip:example.test;transport=tcp')).toEqual(['tcp:192.0.2.1:5070']);
    expect(server.queries).toEqual(['SRV _sip._tcp.example.test', 'A a.test', 'AAAA a.test']);
  });

  it.each([
    ['sip:example.test;transport=udp', '_sip._udp', 'udp'],
    ['sip:example.test;transport=tls', '_sips._tcp', 'tls'],
    ['sips:example.test;transport=tcp', '_sips._tcp', 'tls'],
    ['udp:example.test', '_sip._udp', 'udp'],
  ])('%s asks for %s', async (uri, service, transport) => {
    server.srv(`${service}.example.test`, ['1 1 5070 a.test']).a('a.test', ['192.0.2.1']);
    expect(await look(uri)).toEqual([`${transport}:192.0.2.1:5070`]);
  });

  it.each([
    ['sip:example.test;transport=tcp', 'tcp:192.0.2.1:5060'],
    ['sips:example.test;transport=tcp', 'tls:192.0.2.1:5061'],
    ['sip:example.test;transport=ws', 'ws:192.0.2.1:80'],
    ['sips:example.test;transport=ws', 'wss:192.0.2.1:443'],
  ])('%s without SRV has its default port', async (uri, destination) => {
    server.a('example.test', ['192.0.2.1']);
    expect(await look(uri)).toEqual([destination]);
  });
});

describe('NAPTR', () => {
  beforeEach(() => {
    server.srv('_sip._udp.example.test', ['1 1 5060 u.test']).srv('_sip._tcp.example.test', ['1 1 5060 t.test']);
    server.srv('_sips._tcp.example.test', ['1 1 5061 s.test']).srv('_ws.example.test', ['1 1 8080 w.test']);
    server.srv('_wss.example.test', ['1 1 8443 w.test']);
    for (const [index, name] of ['u.test', 't.test', 's.test', 'w.test'].entries()) server.a(name, [`192.0.2.${index + 1}`]);
  });

  it('leads to SRV and from there to addresses', async () => {
    server.naptr('example.test', ['1 1 s SIP+D2T _sip._tcp.example.test']);
    expect(await look('sip:example.test')).toEqual(['tcp:192.0.2.2:5060']);
    expect(server.queries).toEqual(['NAPTR example.test', 'SRV _sip._tcp.example.test', 'A t.test', 'AAAA t.test']);
  });

  it.each([
    ['lowest order alone, within it by preference', [
      '20 1 s SIP+D2U _sip._udp.example.test', '10 9 s SIP+D2T _sip._tcp.example.test',
      '10 5 s SIPS+D2T _sips._tcp.example.test',
    ], ['tls:192.0.2.3:5061', 'tcp:192.0.2.2:5060']],
    ['next order if the first leads nowhere', [
      '10 1 s SIP+D2T _sip._tcp.nowhere.test', '20 1 s SIP+D2U _sip._udp.example.test',
    ], ['udp:192.0.2.1:5060']],
    ['flag a, with the default port', ['10 1 a SIPS+D2T s.test'], ['tls:192.0.2.3:5061']],
    ['case of flags and services', ['10 1 S sip+d2t _SIP._TCP.Example.Test'], ['tcp:192.0.2.2:5060']],
    ['WebSocket', ['10 1 s SIP+D2W _ws.example.test', '10 2 s SIPS+D2W _wss.example.test'], [
      'ws:192.0.2.4:8080', 'wss:192.0.2.4:8443',
    ]],
    ['other services left out', [
      '1 1 u E2U+sip . !^.*$!sip:a@b.test!', '1 1 s AAA+D2T _diameter._tcp.example.test',
      '10 1 s SIP+D2T _sip._tcp.example.test',
    ], ['tcp:192.0.2.2:5060']],
    ['records that cannot be used left out', [
      '1 1 s SIP+D2U .', '1 1 u SIP+D2U u.test', '1 1 p SIP+D2U u.test', '1 1 s SIP+D2U -bad-.test',
      '1 1 s SIP+D2S _sip._sctp.example.test',
      '1 1 s SIP+D2U _sip._udp.example.test !a!b!', '9 1 s SIP+D2T _sip._tcp.example.test',
    ], ['tcp:192.0.2.2:5060']],
    ['only other services: SRV in our order', ['1 1 u E2U+sip . !^.*$!sip:a@b.test!'], [
      'udp:192.0.2.1:5060', 'tcp:192.0.2.2:5060', 'tls:192.0.2.3:5061',
    ]],
  ])('%s', async (_name, records, destinations) => {
    server.naptr('example.test', records);
    expect(await look('sip:example.test')).toEqual(destinations);
  });

  it('leaves out what the proxy cannot send by', async () => {
    server.naptr('example.test', ['1 1 s SIPS+D2T _sips._tcp.example.test', '2 1 s SIP+D2U _sip._udp.example.test']);
    expect(await look('sip:example.test', { transports: ['udp'] })).toEqual(['udp:192.0.2.1:5060']);
    expect(await look('sip:example.test', { transports: ['tcp'] })).toMatch(/^no transport in common/);
  });

  it('leaves out what is not secure for sips', async () => {
    server.naptr('example.test', [
      '1 1 s SIP+D2U _sip._udp.example.test', '1 2 s SIP+D2T _sip._tcp.example.test', '1 3 s SIP+D2W _ws.example.test',
      '2 1 s SIPS+D2T _sips._tcp.example.test', '2 2 s SIPS+D2W _wss.example.test',
    ]);
    expect(await look('sips:example.test')).toEqual(['tls:192.0.2.3:5061', 'wss:192.0.2.4:8443']);
    server.naptr('plain.test', ['1 1 s SIP+D2U _sip._udp.example.test']).a('plain.test', ['192.0.2.9']);
    expect(await look('sips:plain.test')).toMatch(/^no transport in common/);
  });

  it('that leads nowhere is an error, not a reason to go to the name itself', async () => {
    server.naptr('example.test', ['1 1 s SIP+D2U _sip._udp.nowhere.test']).a('example.test', ['192.0.2.9']);
    expect(await look('sip:example.test')).toBe('DNS says that the service is not offered, or names no host for it');
    server.srv('_sip._udp.nowhere.test', ['1 1 5060 gone.test']);
    expect(await look('sip:example.test')).toBe('no such name: gone.test');
  });

  it.each(['SERVFAIL', 'REFUSED', 'NXDOMAIN', 'silence', 'cut'] as const)('%s counts as none', async (reaction) => {
    server.on('NAPTR', 'example.test', reaction);
    expect(await look('sip:example.test', { transports: ['tcp'], timeoutMs: 1500 })).toEqual(['tcp:192.0.2.2:5060']);
  });
});

describe('SRV without NAPTR', () => {
  it('is asked for in the order of the transports of the proxy', async () => {
    server.srv('_sip._udp.example.test', ['1 1 5060 a.test']).srv('_sip._tcp.example.test', ['0 1 5070 a.test']);
    server.srv('_sips._tcp.example.test', ['1 1 5061 a.test']).a('a.test', ['192.0.2.1']);
    const transports = ['tls', 'ws', 'udp', 'tcp'] as const;
    expect(await look('sip:example.test', { transports })).toEqual([
      'tls:192.0.2.1:5061', 'udp:192.0.2.1:5060', 'tcp:192.0.2.1:5070',
    ]);
    expect(await look('sips:example.test', { transports })).toEqual(['tls:192.0.2.1:5061']);
  });

  it.each([
    ['sip:example.test', 'udp:192.0.2.1:5060'],
    ['sips:example.test', 'tls:192.0.2.1:5061'],
    ['example.test', 'udp:192.0.2.1:5060'],
    ['sip:other.test;maddr=example.test', 'udp:192.0.2.1:5060'],
  ])('%s without SRV has its default port', async (uri, destination) => {
    server.a('example.test', ['192.0.2.1']);
    expect(await look(uri)).toEqual([destination]);
  });

  it('that fails counts as none', async () => {
    for (const service of ['_sip._udp', '_sip._tcp', '_sips._tcp']) server.on('SRV', `${service}.example.test`, 'SERVFAIL');
    server.a('example.test', ['192.0.2.1']);
    expect(await look('sip:example.test')).toEqual(['udp:192.0.2.1:5060']);
  });

  it('goes by priority', async () => {
    server.srv('_sip._udp.example.test', ['30 9 3 a.test', '10 0 1 a.test', '20 9 2 a.test']).a('a.test', ['192.0.2.1']);
    expect(await look('udp:example.test')).toEqual(['udp:192.0.2.1:1', 'udp:192.0.2.1:2', 'udp:192.0.2.1:3']);
  });

  it('with the target . is not offered, whatever address the name has', async () => {
    server.srv('_sip._udp.example.test', ['0 0 0 .']).a('example.test', ['192.0.2.1']).a('a.test', ['192.0.2.2']);
    expect(await look('sip:example.test')).toBe('DNS says that the service is not offered, or names no host for it');
    server.srv('_sip._tcp.example.test', ['0 0 5060 a.test']);
    expect(await look('sip:example.test')).toEqual(['tcp:192.0.2.2:5060']);
  });

  it('without a port or with a target that is no name counts as none', async () => {
    server.srv('_sip._udp.example.test', ['1 1 0 a.test', '1 1 5060 -a-.test', '1 1 5060 192.0.2.3']);
    server.a('example.test', ['192.0.2.1']).a('a.test', ['192.0.2.2']);
    expect(await look('sip:example.test')).toEqual(['udp:192.0.2.1:5060']);
  });

  it('goes on with the names that exist', async () => {
    const records = ['1 1 1 no.test', '2 1 2 a.test', '3 1 3 servfail.test', '4 1 4 b.test', '5 1 5 c.test'];
    server.srv('_sip._udp.example.test', records).on('A', 'servfail.test', 'SERVFAIL');
    server.a('a.test', ['192.0.2.1']).a('b.test', ['192.0.2.2']).a('c.test', ['192.0.2.3']);
    expect(await look('udp:example.test')).toEqual(['udp:192.0.2.1:2', 'udp:192.0.2.2:4', 'udp:192.0.2.3:5']);
  });
});

describe('what goes wrong', () => {
  it.each<[Reaction, RegExp]>([
    ['SERVFAIL', /^DNS failed for example\.test \(ESERVFAIL\)$/],
    ['REFUSED', /^DNS failed for example\.test \(EREFUSED\)$/],
    ['NXDOMAIN', /^no such name: example\.test$/],
    ['silence', /^DNS gave no answer/],
    ['garbage', /^DNS (gave no answer|failed)/],
    ['cut', /^DNS (gave no answer|failed)/],
    ['truncated', /^DNS (gave no answer|failed)/],
  ])('%s', async (reaction, why) => {
    server.on('A', 'example.test', reaction).on('AAAA', 'example.test', reaction);
    expect(await look('example.test:1', { timeoutMs: 600 })).toMatch(why);
  });

  it('the cause is the error of Node', async () => {
    const resolution = await open().resolve('no.test:1');
    expect(resolution).toMatchObject({ ok: false, error: { cause: { code: 'ENOTFOUND' } } });
  });

  it('a server that says nothing at all', async () => {
    server.hold();
    expect(await look('sip:example.test', { timeoutMs: 300 })).toMatch(/^DNS gave no answer/);
  });

  it('a server that is not there', async () => {
    const gone = await DnsServer.open();
    const { address } = gone;
    await gone.close();
    expect(await look('example.test:1', { servers: [address], timeoutMs: 600 })).toMatch(/^DNS (failed|gave no answer)/);
  });
});
