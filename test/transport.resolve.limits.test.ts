import { readFileSync } from 'node:fs';
import { SipAsyncError } from 'sip-async';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Resolver } from '../dist/transport/resolve.js';
import type { Resolution, ResolverOptions } from '../dist/transport/resolve.js';
import { srvOrder } from '../dist/transport/service-records.js';
import { SystemNames } from '../dist/transport/system-names.js';
import { runNode } from './support/child.ts';
import { DnsServer } from './support/dns-server.ts';
import { sequence } from './support/random.ts';

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

function open(options: Partial<ResolverOptions> = {}): Resolver {
  const settings = { servers: [server.address], transports: ['udp', 'tcp', 'tls'], families: [4], ...options } as const;
  const resolver = new Resolver(settings);
  resolvers.push(resolver);
  return resolver;
}

/** The host and port of each destination. */
async function look(resolver: Resolver, uri: string): Promise<string[]> {
  const resolution = await resolver.resolve(uri);
  if (!resolution.ok) throw resolution.error;
  return resolution.destinations.map(({ host, port }) => `${host}:${port}`);
}

async function codeOf(resolution: Resolution | Promise<Resolution>): Promise<string> {
  const settled = await resolution;
  if (settled.ok) throw new Error('was resolved');
  expect(settled.error).toBeInstanceOf(SipAsyncError);
  return settled.error.code;
}

async function messageOf(resolution: Resolution | Promise<Resolution>): Promise<string> {
  const settled = await resolution;
  return settled.ok ? 'was resolved' : settled.error.message;
}

const many = (count: number) => Array.from({ length: count }, (_, index) => index);

/** How likely each order of the records is: RFC 2782 step by step, for all that can be drawn. */
function likelihoods(weights: readonly (readonly [name: string, weight: number])[]): Map<string, number> {
  if (weights.length === 0) return new Map([['', 1]]);
  const left = [...weights].sort((a, b) => Math.sign(a[1]) - Math.sign(b[1]));
  const sum = left.reduce((total, [, weight]) => total + weight, 0);
  const result = new Map<string, number>();
  for (let drawn = 0; drawn <= sum; drawn += 1) {
    let running = 0;
    const chosen = left.find(([, weight]) => (running += weight) >= drawn)!;
    for (const [order, share] of likelihoods(left.filter((other) => other !== chosen))) {
      const whole = chosen[0] + order;
      result.set(whole, (result.get(whole) ?? 0) + share / (sum + 1));
    }
  }
  return result;
}

describe('the weights of SRV', () => {
  const weightings = [
    [['a', 60], ['b', 20], ['c', 20]],
    [['a', 1], ['b', 2], ['c', 3], ['d', 0]],
    [['a', 0], ['b', 0], ['c', 5]],
    [['a', 10], ['b', 10]],
    [['a', 0], ['b', 100]],
  ] as const;

  it.each(weightings.map((weights) => [weights.join(' '), weights] as const))('%s', (_name, weights) => {
    const { seed, next } = sequence();
    const random = () => next(0x1_0000) / 0x1_0000;
    const records = weights.map(([name, weight]) => ({ name, weight, priority: 1, port: 1 }));
    const rounds = 20_000;
    const counts = new Map<string, number>();
    for (let round = 0; round < rounds; round += 1) {
      const order = srvOrder(records, random).map(({ name }) => name).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    const expected = likelihoods(weights);
    for (const order of counts.keys()) expect(expected.has(order), `seed ${seed}: ${order}`).toBe(true);
    for (const [order, share] of expected) {
      // Six standard deviations: once in 500 million.
      const slack = 6 * Math.sqrt(rounds * share * (1 - share)) + 1;
      const off = Math.abs((counts.get(order) ?? 0) - rounds * share);
      expect(off, `seed ${seed}: ${order} ${counts.get(order)} of ${rounds * share}`).toBeLessThanOrEqual(slack);
    }
  });

  it.each([
    [0, ['10', '20', '30', '40']],
    [0.999_999, ['20', '10', '40', '30']],
  ])('with %f drawn each time', (drawn, ports) => {
    const records = [['10', 1, 5], ['20', 1, 5], ['30', 2, 1], ['40', 2, 1]] as const;
    const read = records.map(([port, priority, weight]) => ({ name: 'a.test', port: Number(port), priority, weight }));
    expect(srvOrder(read, () => drawn).map(({ port }) => String(port))).toEqual(ports);
  });

  it('are drawn anew for each request, from records that are kept too', async () => {
    server.srv('_sip._udp.example.test', ['1 3 1 a.test', '1 1 2 a.test']).a('a.test', ['192.0.2.1']);
    const { seed, next } = sequence();
    const resolver = open({ random: () => next(0x1_0000) / 0x1_0000 });
    const firsts = { 'a:1': 0, 'a:2': 0 };
    for (let round = 0; round < 2000; round += 1) {
      const [first] = await look(resolver, 'udp:example.test');
      firsts[first === '192.0.2.1:1' ? 'a:1' : 'a:2'] += 1;
    }
    // Of the five numbers from 0 to 4, the first record has four.
    expect(firsts['a:1'] / 2000, `seed ${seed}`).toBeCloseTo(0.8, 1);
    expect(server.queries).toEqual(['SRV _sip._udp.example.test', 'A a.test']);
  });
});

describe('a hostile answer', () => {
  it('of 1000 SRV records costs the look-ups of a few', async () => {
    server.srv('_sip._udp.example.test', many(1000).map((index) => `${1000 - index} 1 5060 n${index}.test`));
    for (const index of many(1000)) server.a(`n${index}.test`, [`192.0.${index >> 8}.${index & 255}`]);
    expect(await look(open(), 'udp:example.test')).toEqual(many(8).map((index) => `192.0.3.${231 - index}:5060`));
    expect(server.queries.filter((query) => query.startsWith('A ')).length).toBeLessThanOrEqual(8);
  });

  it('of 1000 SRV records that lead to no name costs no more', async () => {
    server.srv('_sip._udp.example.test', many(1000).map((index) => `1 1 5060 n${index}.nowhere.test`));
    const resolver = open({ families: [4, 6] });
    expect(await messageOf(resolver.resolve('udp:example.test'))).toMatch(/no such name: n\d+\.nowhere\.test$/);
    expect(server.queries.filter((query) => query.startsWith('A ')).length).toBe(16);
    expect(server.queries.filter((query) => query.startsWith('AAAA ')).length).toBe(16);
  });

  it('that sends to names without an answer ends in time, with what was found', async () => {
    server.srv('_sip._udp.example.test', ['1 1 1 a.test', ...many(40).map((index) => `2 1 5060 s${index}.test`)]);
    server.a('a.test', ['192.0.2.1']);
    for (const index of many(40)) server.on('A', `s${index}.test`, 'silence');
    expect(await look(open({ timeoutMs: 500 }), 'udp:example.test')).toEqual(['192.0.2.1:1']);
  });

  it('that points back to where it came from ends', async () => {
    server.srv('_sip._udp.example.test', ['1 1 5060 _sip._udp.example.test', '2 1 5060 example.test']);
    server.naptr('example.test', many(20).map((index) => `${index} 1 s SIP+D2U _sip._udp.example.test`));
    expect(await codeOf(open().resolve('sip:example.test'))).toBe('SIPASYNC_ERR_RESOLVE');
    expect(new Set(server.queries).size).toBe(4);
  });

  it('of 1000 addresses or 1000 NAPTR records gives eight destinations', async () => {
    const addresses = many(1000).map((index) => `192.0.${index >> 8}.${index & 255}`);
    server.a('example.test', addresses).srv('_sip._udp.example.test', ['1 1 5060 example.test']);
    server.naptr('example.test', many(1000).map((index) => `${index} 1 s SIP+D2U _sip._udp.example.test`));
    const eight = addresses.slice(0, 8).map((address) => `${address}:5060`);
    expect(await look(open(), 'sip:example.test')).toEqual(eight);
  });

  it('of 1000 NAPTR records of as many orders that lead nowhere costs the SRV queries of a few', async () => {
    server.naptr('example.test', many(1000).map((index) => `${index} 1 s SIP+D2U _sip._udp.n${index}.test`));
    expect(await codeOf(open().resolve('sip:example.test'))).toBe('SIPASYNC_ERR_RESOLVE');
    expect(server.queries.filter((query) => query.startsWith('SRV ')).length).toBe(16);
  });

  it('of NAPTR and SRV records that multiply costs no more', async () => {
    server.naptr('example.test', many(16).map((index) => `${index} 1 s SIP+D2U _sip._udp.n${index}.test`));
    for (const index of many(16)) {
      server.srv(`_sip._udp.n${index}.test`, many(10).map((target) => `1 1 5060 n${index}.t${target}.test`));
    }
    expect(await codeOf(open().resolve('sip:example.test'))).toBe('SIPASYNC_ERR_RESOLVE');
    expect(server.queries.filter((query) => query.startsWith('A ')).length).toBe(16);
  });
});

describe('what is kept', () => {
  /** A resolver whose clock only the test moves. */
  function withClock(options: Partial<ResolverOptions> = {}): { resolver: Resolver; pass: (ms: number) => void } {
    let nowMs = 1000;
    return { resolver: open({ now: () => nowMs, ...options }), pass: (ms) => void (nowMs += ms) };
  }

  it('addresses, for as long as the shortest TTL says', async () => {
    const name = 'example.test';
    const answers = [10, 7, 20].map((ttl, index) => ({ type: 'A', name, ttl, data: `192.0.2.${index}` }) as const);
    server.on('A', name, answers);
    const { resolver, pass } = withClock();
    await look(resolver, 'example.test:1');
    pass(6999);
    await look(resolver, 'EXAMPLE.test:2');
    expect(server.count('A example.test')).toBe(1);
    pass(2);
    await look(resolver, 'example.test:1');
    expect(server.count('A example.test')).toBe(2);
  });

  it('not those of TTL 0', async () => {
    server.a('example.test', ['192.0.2.1'], 0);
    const { resolver } = withClock();
    await look(resolver, 'example.test:1');
    await look(resolver, 'example.test:1');
    expect(server.count('A example.test')).toBe(2);
  });

  it('none for more than an hour', async () => {
    server.a('example.test', ['192.0.2.1'], 1_000_000);
    const { resolver, pass } = withClock();
    await look(resolver, 'example.test:1');
    pass(3_599_999);
    await look(resolver, 'example.test:1');
    expect(server.count('A example.test')).toBe(1);
    pass(2);
    await look(resolver, 'example.test:1');
    expect(server.count('A example.test')).toBe(2);
  });

  it('NAPTR and SRV for 30 s', async () => {
    server.naptr('example.test', ['1 1 s SIP+D2U _sip._udp.example.test']);
    server.srv('_sip._udp.example.test', ['1 1 5060 a.test']).a('a.test', ['192.0.2.1'], 3600);
    const { resolver, pass } = withClock();
    const queries = ['NAPTR example.test', 'SRV _sip._udp.example.test', 'A a.test'];
    await look(resolver, 'sip:example.test');
    pass(29_999);
    await look(resolver, 'sip:example.test');
    expect(server.queries).toEqual(queries);
    pass(2);
    await look(resolver, 'sip:example.test');
    expect(server.queries).toEqual([...queries, ...queries.slice(0, 2)]);
  });

  it('NAPTR and SRV not at all with cacheTtlMs 0', async () => {
    server.srv('_sip._udp.example.test', ['1 1 5060 a.test']).a('a.test', ['192.0.2.1'], 3600);
    const { resolver } = withClock({ cacheTtlMs: 0 });
    await look(resolver, 'udp:example.test');
    await look(resolver, 'udp:example.test');
    expect(server.count('SRV _sip._udp.example.test')).toBe(2);
  });

  it.each(['NXDOMAIN', 'SERVFAIL', 'silence'] as const)('that there was %s, for 5 s', async (reaction) => {
    server.on('A', 'example.test', reaction);
    const { resolver, pass } = withClock({ timeoutMs: 400 });
    expect(await codeOf(resolver.resolve('example.test:1'))).toBe('SIPASYNC_ERR_RESOLVE');
    const asked = server.count('A example.test');
    server.a('example.test', ['192.0.2.1']);
    pass(4999);
    expect(await codeOf(resolver.resolve('example.test:1'))).toBe('SIPASYNC_ERR_RESOLVE');
    expect(server.count('A example.test')).toBe(asked);
    pass(2);
    expect(await look(resolver, 'example.test:1')).toEqual(['192.0.2.1:1']);
  });

  it('of no more than 4096 names', async () => {
    const count = 4200;
    for (const index of many(count)) server.a(`n${index}.test`, ['192.0.2.1'], 3600);
    const { resolver } = withClock();
    for (let begin = 0; begin < count; begin += 100) {
      await Promise.all(many(100).map((index) => look(resolver, `n${begin + index}.test:1`)));
    }
    server.queries.length = 0;
    await look(resolver, 'n4199.test:1');
    await look(resolver, 'n0.test:1');
    expect(server.queries).toEqual(['A n0.test']);
  });
});

describe('at the same time', () => {
  it('one query serves all who ask for the same', async () => {
    server.naptr('example.test', ['1 1 s SIP+D2U _sip._udp.example.test']);
    server.srv('_sip._udp.example.test', ['1 1 5060 a.test', '1 1 5061 a.test']).a('a.test', ['192.0.2.1'], 0);
    const resolver = open({ cacheTtlMs: 0 });
    server.hold();
    const all = many(50).map(() => look(resolver, 'sip:example.test'));
    await server.came('NAPTR example.test');
    server.release();
    for (const found of await Promise.all(all)) expect([...found].sort()).toEqual(['192.0.2.1:5060', '192.0.2.1:5061']);
    expect(server.queries).toEqual(['NAPTR example.test', 'SRV _sip._udp.example.test', 'A a.test']);
  });

  it('no more than 1024 queries are under way', async () => {
    server.hold();
    const resolver = open({ timeoutMs: 60_000 });
    const all = many(1030).map((index) => resolver.resolve(`n${index}.test:1`));
    for (const refused of all.slice(1024)) expect(await messageOf(refused)).toMatch(/too many look-ups/);
    resolver.close();
    for (const pending of all.slice(0, 1024)) expect(await codeOf(pending)).toBe('SIPASYNC_ERR_CLOSED');
  });
});

describe('close', () => {
  it('ends what is under way, and all that comes later', async () => {
    server.hold();
    const resolver = open();
    const uris = ['sip:example.test', 'sip:example.test', 'other.test:1', 'tcp:third.test'];
    const pending = uris.map((uri) => resolver.resolve(uri));
    await server.came('NAPTR example.test');
    resolver.close();
    resolver.close();
    for (const resolution of pending) expect(await codeOf(resolution)).toBe('SIPASYNC_ERR_CLOSED');
    const late = resolver.resolve('192.0.2.1');
    expect(late).not.toBeInstanceOf(Promise);
    expect(await codeOf(late)).toBe('SIPASYNC_ERR_CLOSED');
    const asked = server.queries.length;
    server.release();
    expect(await look(open(), '192.0.2.1')).toEqual(['192.0.2.1:5060']);
    expect(server.queries.length).toBe(asked);
  });

  it.each([
    ['after close()', 'resolver.close();', 60_000],
    ['after the time of the last resolution, without it', '', 300],
  ])('nothing keeps the process alive %s', async (_name, last, timeoutMs) => {
    server.hold();
    const url = new URL('../dist/transport/resolve.js', import.meta.url).href;
    const script = `
      import { Resolver } from ${JSON.stringify(url)};
      const servers = [${JSON.stringify(server.address)}];
      const resolver = new Resolver({ servers, transports: ['udp'], families: [4], timeoutMs: ${timeoutMs} });
      resolver.resolve('sip:example.test').then(({ error }) => console.log(error.code));
      ${last}
    `;
    const report = await runNode(['--input-type=module', '-e', script]);
    expect(report).toMatchObject({ code: 0, timedOut: false, stderr: '' });
    expect(report.stdout).toBe(`SIPASYNC_ERR_${last === '' ? 'RESOLVE' : 'CLOSED'}\n`);
  });
});

describe('names of the system', () => {
  const system = () => new Resolver({ transports: ['udp', 'tcp'], families: [4] });
  const hosts = readFileSync('/etc/hosts', 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
    .flatMap(([address, ...names]) => names.map((name) => ({ address: address!, name })));
  const dotted = hosts.find(({ address, name }) => address.startsWith('127.') && /^[a-z\d.-]+\.[a-z][a-z\d-]*$/.test(name));

  it.each([
    ['localhost', '127.0.0.1:5060'],
    ['sip:localhost', '127.0.0.1:5060'],
    ['sip:localhost.', '127.0.0.1:5060'],
    ['localhost:5070', '127.0.0.1:5070'],
    ['sip:localhost;transport=tcp', '127.0.0.1:5060'],
  ])('%s needs no DNS server', async (uri, address) => {
    const resolver = system();
    resolvers.push(resolver);
    expect(await look(resolver, uri)).toEqual([address]);
  });

  it('are not asked for where servers are given, unless they are wanted', async () => {
    server.a('localhost', ['192.0.2.1']);
    expect(await look(open(), 'localhost')).toEqual(['192.0.2.1:5060']);
    expect(await look(open({ systemNames: true }), 'localhost')).toEqual(['127.0.0.1:5060']);
    expect(server.count('A localhost')).toBe(1);
  });

  it.runIf(dotted !== undefined)('count for a name with a dot if DNS has no address for it', async () => {
    const { name, address } = dotted!;
    expect(await look(open({ systemNames: true }), `${name}:1`)).toContain(`${address}:1`);
    expect(server.count(`A ${name}`)).toBe(1);
  });

  it('are looked up two at a time, without those that nobody wants any more', async () => {
    const names = new SystemNames();
    const asked: number[] = [];
    const settled: number[] = [];
    const all = many(6).map((index) => {
      const isWanted = () => asked.push(index) > 0 && index !== 3;
      return names.addresses('localhost', isWanted).then((addresses) => {
        expect(addresses).toContain('127.0.0.1');
        settled.push(index);
      });
    });
    expect(asked).toEqual([]);
    await Promise.all(all.filter((_, index) => index !== 3));
    expect(asked).toEqual([2, 3, 4, 5]);
    expect(settled.sort()).toEqual([0, 1, 2, 4, 5]);
  });

  it('that stand in line are forgotten by close', async () => {
    const names = new SystemNames();
    let asked = 0;
    const all = many(3).map(() => names.addresses('localhost', () => (asked += 1) > 0));
    names.close();
    await Promise.all(all.slice(0, 2));
    expect(asked).toBe(0);
  });

  it('end with close of the resolver', async () => {
    const resolver = system();
    const pending = many(3).map((index) => resolver.resolve(`localhost:${index + 1}`));
    resolver.close();
    for (const resolution of pending) expect(await codeOf(resolution)).toBe('SIPASYNC_ERR_CLOSED');
  });
});
