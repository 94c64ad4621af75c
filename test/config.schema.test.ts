import { defineProxy, SipAsyncError } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../dist/config/schema.js';

/** A definition as JavaScript could write it, so that tests can be wrong on purpose. */
function definition(members: Record<string, unknown> = {}): unknown {
  return defineProxy({ requestRoute() {}, ...members } as Parameters<typeof defineProxy>[0]);
}

function faultsOf(input: unknown, overrides?: unknown): string[] {
  try {
    checkConfig(input, overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(SipAsyncError);
    expect((error as SipAsyncError).code).toBe('SIPASYNC_ERR_CONFIG');
    const [head, ...lines] = (error as SipAsyncError).message.split('\n');
    const count = lines.length === 1 ? '1 fault' : `${lines.length} faults`;
    expect(head).toBe(`the configuration is not valid: ${count}`);
    return lines.map((line) => line.trim());
  }
  return [];
}

function faultsWith(members: Record<string, unknown>): string[] {
  return faultsOf(definition(members));
}

describe('a definition that says nothing', () => {
  it('gets every default', () => {
    expect(checkConfig(definition())).toEqual({
      listen: [{ transport: 'udp', host: '127.0.0.1', port: 5060 }],
      children: 1,
      groups: [{ name: 'async:workers', workers: 1, nonblock: false, usleepUs: 0, maxQueue: 1024, concurrency: 0 }],
      async: { msTimerMs: 1, returnValue: 0, mode: 0, maxSleepMs: null },
      tm: {
        frTimerMs: 30000,
        frInvTimerMs: 120000,
        wtTimerMs: 5000,
        t1Ms: 500,
        t2Ms: 4000,
        autoInv100: true,
        maxSuspendMs: 300000,
      },
      sworker: { xdata: null },
      tkv: { group: null, eventRoute: null },
      maxTransactions: 262144,
      maxMessageBytes: 65535,
      maxHeaders: 256,
      maxLineBytes: 8192,
      maxVias: 70,
      maxRequestsPerSource: null,
      recvBufferBytes: 4194304,
      aliases: [],
      advertise: null,
      dns: {},
      streams: {
        maxConnections: 10000,
        maxConnectionsPerSource: null,
        idleMs: 180000,
        connectMs: 10000,
        handshakeMs: 10000,
        messageMs: 20000,
        sendBufferBytes: 262144,
      },
      tls: null,
      control: null,
      log: 'silent',
      routes: {
        route: [],
        failureRoute: [],
        onreplyRoute: [],
        branchRoute: [],
        eventRoute: [],
        requestRoute: true,
        replyRoute: false,
      },
    });
  });

  it('takes undefined for not given, everywhere', () => {
    const holes = {
      listen: undefined,
      children: undefined,
      asyncWorkersGroup: undefined,
      modparam: { async: { workers: undefined }, tm: undefined },
      route: undefined,
      log: undefined,
    };
    expect(checkConfig(definition(holes), { children: undefined, listen: undefined })).toEqual(checkConfig(definition()));
  });
});

describe('a definition that says everything', () => {
  const full = definition({
    listen: ['udp:127.0.0.1:0', 'udp:[::1]:5062'],
    children: 64,
    asyncWorkers: 2,
    asyncWorkersGroup: [
      'name=abc;workers=4;nonblock=1;usleep=100;maxQueue=7;',
      { name: 'tkv', workers: 1, nonblock: true, usleep: 0, maxQueue: 16777216, concurrency: 9 },
    ],
    asyncTkvGname: 'tkv',
    asyncTkvEvcb: 'core:tkv',
    maxTransactions: 1,
    maxMessageBytes: 4096,
    maxHeaders: 100,
    maxLineBytes: 1024,
    maxVias: 10,
    maxRequestsPerSource: { rate: 50, burst: 60 },
    recvBuffer: 65536,
    alias: ['sip.example.com', 'example.com:5070', '[2001:db8::1]:5080'],
    advertise: '[2001:db8::2]',
    dns: { servers: ['192.0.2.53:5353'], timeout: 700 },
    maxConnections: 20,
    maxConnectionsPerSource: 3,
    connectionIdle: 30,
    connectTimeout: 4,
    handshakeTimeout: 5,
    messageTimeout: 6,
    connectionSendBuffer: 65536,
    tls: { key: 'key.pem', cert: 'cert.pem', ca: 'ca.pem', requestCert: 1, verifyServer: false, minVersion: 'TLSv1.3' },
    control: '/run/sip-async.sock',
    log: 'debug',
    modparam: {
      async: { workers: 0, ms_timer: 0, return: -1, mode: 0, max_sleep: 86400 },
      tm: {
        fr_timer: 0,
        fr_inv_timer: 2,
        wt_timer: 3,
        retr_timer1: 4,
        retr_timer2: 5,
        auto_inv_100: 0,
        max_suspend: 6,
      },
      sworker: { xdata: '$var(x)' },
    },
    route: { RESUME() {}, async LATER() {}, constructor() {} },
    failureRoute: { FAIL() {} },
    onreplyRoute: { REPLY: () => {} },
    branchRoute: { BRANCH: () => {} },
    eventRoute: { 'core:tkv'() {}, 'core:pre-routing'() {}, 'tm:local-request'() {}, 'tm:canceled'() {} },
  });

  it('is taken over with units in the names', () => {
    expect(checkConfig(full)).toEqual({
      listen: [
        { transport: 'udp', host: '127.0.0.1', port: 0 },
        { transport: 'udp', host: '::1', port: 5062 },
      ],
      children: 64,
      groups: [
        { name: 'async:workers', workers: 0, nonblock: false, usleepUs: 0, maxQueue: 1024, concurrency: 0 },
        { name: 'default', workers: 2, nonblock: false, usleepUs: 0, maxQueue: 1024, concurrency: 0 },
        { name: 'abc', workers: 4, nonblock: true, usleepUs: 100, maxQueue: 7, concurrency: 0 },
        { name: 'tkv', workers: 1, nonblock: true, usleepUs: 0, maxQueue: 16777216, concurrency: 9 },
      ],
      async: { msTimerMs: 0, returnValue: -1, mode: 0, maxSleepMs: 86_400_000 },
      tm: { frTimerMs: 0, frInvTimerMs: 2, wtTimerMs: 3, t1Ms: 4, t2Ms: 5, autoInv100: false, maxSuspendMs: 6 },
      sworker: { xdata: '$var(x)' },
      tkv: { group: 'tkv', eventRoute: 'core:tkv' },
      maxTransactions: 1,
      maxMessageBytes: 4096,
      maxHeaders: 100,
      maxLineBytes: 1024,
      maxVias: 10,
      maxRequestsPerSource: { rate: 50, burst: 60 },
      recvBufferBytes: 65536,
      aliases: [
        { host: 'sip.example.com', port: 0 },
        { host: 'example.com', port: 5070 },
        { host: '2001:db8::1', port: 5080 },
      ],
      advertise: '[2001:db8::2]',
      dns: { servers: ['192.0.2.53:5353'], timeoutMs: 700 },
      streams: {
        maxConnections: 20,
        maxConnectionsPerSource: 3,
        idleMs: 30000,
        connectMs: 4000,
        handshakeMs: 5000,
        messageMs: 6000,
        sendBufferBytes: 65536,
      },
      tls: { key: 'key.pem', cert: 'cert.pem', ca: 'ca.pem', requestCert: true, verifyServer: false, minVersion: 'TLSv1.3' },
      control: '/run/sip-async.sock',
      log: 'debug',
      routes: {
        route: ['RESUME', 'LATER', 'constructor'],
        failureRoute: ['FAIL'],
        onreplyRoute: ['REPLY'],
        branchRoute: ['BRANCH'],
        eventRoute: ['core:tkv', 'core:pre-routing', 'tm:local-request', 'tm:canceled'],
        requestRoute: true,
        replyRoute: false,
      },
    });
  });

  it('gives a configuration that threads can be sent', () => {
    const config = checkConfig(full);
    expect(structuredClone(config)).toEqual(config);
  });

  it('is not changed by the check, and the defaults are not either', () => {
    const first = checkConfig(full);
    first.groups[0]!.workers = 99;
    first.listen.length = 0;
    expect(checkConfig(full).groups[0]!.workers).toBe(0);
    expect(checkConfig(full).listen).toHaveLength(2);
  });
});

describe('the default export', () => {
  it.each([
    [undefined, 'got nothing'],
    [null, 'got null'],
    [() => {}, 'got a function'],
    [[], 'got an array'],
    [{ requestRoute() {} }, 'got an object that defineProxy has not made'],
    [{ ...(definition() as object), children: 0 }, 'got an object that defineProxy has not made'],
  ])('is refused unless defineProxy made it: %o', (input, got) => {
    expect(faultsOf(input)).toEqual([`default export: expected what defineProxy({ ... }) returns, ${got}`]);
  });
});

describe('one faulty value', () => {
  const integerOf = (path: string, min: number, max: number, got: string) =>
    `${path}: expected an integer from ${min} to ${max}, got ${got}`;

  // [path, least, greatest] of every number; each is tried just outside, just inside and with what is no integer.
  const numbers: [string, number, number][] = [
    ['children', 1, 64],
    ['asyncWorkers', 0, 256],
    ['maxTransactions', 1, 16777216],
    ['maxMessageBytes', 256, 65535],
    ['maxHeaders', 16, 4096],
    ['maxLineBytes', 256, 65535],
    ['maxVias', 1, 256],
    ['dns.timeout', 1, 600000],
    ['recvBuffer', 4096, 1073741824],
    ['maxConnections', 1, 1000000],
    ['maxConnectionsPerSource', 1, 1000000],
    ['connectionIdle', 1, 86400],
    ['connectTimeout', 1, 86400],
    ['handshakeTimeout', 1, 86400],
    ['messageTimeout', 1, 86400],
    ['connectionSendBuffer', 65536, 1073741824],
    ['modparam.async.workers', 0, 256],
    ['modparam.async.ms_timer', 0, 30000],
    ['modparam.async.return', -2147483648, 2147483647],
    ['modparam.async.max_sleep', 1, 31536000],
    ['modparam.tm.fr_timer', 0, 2147483647],
    ['modparam.tm.fr_inv_timer', 0, 2147483647],
    ['modparam.tm.wt_timer', 0, 2147483647],
    ['modparam.tm.retr_timer1', 1, 2147483647],
    ['modparam.tm.retr_timer2', 1, 2147483647],
    ['modparam.tm.max_suspend', 1, 2147483647],
  ];

  function at(path: string, value: unknown): Record<string, unknown> {
    const [step, ...rest] = path.split('.') as [string, ...string[]];
    return { [step]: rest.length === 0 ? value : at(rest.join('.'), value) };
  }

  it.each(numbers)('%s must be an integer from %d to %d', (path, min, max) => {
    expect(faultsWith(at(path, min))).toEqual([]);
    expect(faultsWith(at(path, max))).toEqual([]);
    for (const wrong of [min - 1, max + 1, min + 0.5, NaN, Infinity, -Infinity]) {
      expect(faultsWith(at(path, wrong))).toEqual([integerOf(path, min, max, String(wrong))]);
    }
    expect(faultsWith(at(path, '1'))).toEqual([integerOf(path, min, max, 'the string "1"')]);
    expect(faultsWith(at(path, null))).toEqual([integerOf(path, min, max, 'null')]);
    expect(faultsWith(at(path, 1n))).toEqual([integerOf(path, min, max, '1n')]);
    expect(faultsWith(at(path, true))).toEqual([integerOf(path, min, max, 'true')]);
  });

  it('maxRequestsPerSource is a rate and, if need be, a burst', () => {
    const read = (value: unknown) => checkConfig(definition({ maxRequestsPerSource: value })).maxRequestsPerSource;
    expect(read({ rate: 7 })).toEqual({ rate: 7, burst: 7 });
    expect(read({ rate: 1, burst: 1_000_000 })).toEqual({ rate: 1, burst: 1_000_000 });
    const rate = 'maxRequestsPerSource.rate: expected an integer from 1 to 1000000';
    const burst = 'maxRequestsPerSource.burst: expected an integer from 1 to 1000000';
    expect(faultsWith({ maxRequestsPerSource: {} })).toEqual([`${rate}, got nothing`]);
    expect(faultsWith({ maxRequestsPerSource: { rate: 0, burst: 1_000_001 } })).toEqual([`${rate}, got 0`, `${burst}, got 1000001`]);
    expect(faultsWith({ maxRequestsPerSource: 5 })).toEqual(['maxRequestsPerSource: expected an object, got 5']);
    expect(faultsWith({ maxRequestsPerSource: { rate: 1, brust: 2 } })).toEqual([
      'maxRequestsPerSource.brust: unknown key, did you mean burst?',
    ]);
  });

  it.each(['modparam.async.mode', 'modparam.tm.auto_inv_100'])('%s is 0 or 1', (path) => {
    expect(faultsWith(at(path, 0))).toEqual([]);
    expect(faultsWith(at(path, 1))).toEqual([]);
    expect(faultsWith(at(path, 2))).toEqual([`${path}: expected 0 or 1, got 2`]);
    expect(faultsWith(at(path, true))).toEqual([`${path}: expected 0 or 1, got true`]);
  });

  it.each([
    [{ log: 'inof' }, 'log: expected one of silent, fatal, error, warn, info, debug, trace, got the string "inof", did you mean info?'],
    [{ log: 3 }, 'log: expected one of silent, fatal, error, warn, info, debug, trace, got 3'],
    [{ modparam: null }, 'modparam: expected an object, got null'],
    [{ modparam: { async: [] } }, 'modparam.async: expected an object, got an array'],
    [{ modparam: { sworker: { xdata: 1 } } }, 'modparam.sworker.xdata: expected the name of a variable, as $var(x), got 1'],
    [{ modparam: { sworker: { xdata: '' } } }, 'modparam.sworker.xdata: expected the name of a variable, as $var(x), got the string ""'],
    [{ control: 1 }, 'control: expected the path of a Unix socket, got 1'],
    [{ control: null }, 'control: expected the path of a Unix socket, got null'],
    [{ control: '' }, 'control: expected the path of a Unix socket, got the string ""'],
    [{ control: '\0name' }, 'control: expected the path of a Unix socket, got the string "\\u0000name"'],
    [{ control: `/run/${'x'.repeat(103)}` }, 'control: the path of a Unix socket takes at most 107 bytes, this one 108'],
    [{ control: `/run/${'é'.repeat(52)}` }, 'control: the path of a Unix socket takes at most 107 bytes, this one 109'],
    [{ control: `/${'x'.repeat(93)}/s` }, 'control: the folder of a Unix socket takes at most 93 bytes, this one 94'],
    [{ asyncTkvGname: 1 }, 'asyncTkvGname: expected the name of a worker group, got 1'],
    [{ asyncTkvEvcb: () => {} }, 'asyncTkvEvcb: expected the name of an eventRoute, got a function'],
    [{ listen: [] }, 'listen: expected at least one address, got an empty array'],
    [{ listen: ['tcp:127.0.0.1:5060', 'ws:127.0.0.1:5060'] }, 'listen[1]: the address is listed already'],
    [{ listen: ['udp:127.0.0.1:5060', 'tls:127.0.0.1:5061'] }, 'listen: transport tls needs tls.key and tls.cert'],
    [{ listen: 'wss:127.0.0.1:5060', tls: { ca: 'ca.pem' } }, 'listen: transport wss needs tls.key and tls.cert'],
    [{ tls: { key: 'key.pem' } }, 'tls: key and cert belong together'],
    [{ tls: { requestCert: 1 } }, 'tls.requestCert: needs ca, the certificates that clients are checked against'],
    [{ tls: { requestCert: 2, ca: 'ca.pem' } }, 'tls.requestCert: expected 0 or 1, got 2'],
    [{ tls: { ca: '' } }, 'tls.ca: expected certificates as PEM text, or the path of them, got the string ""'],
    [{ tls: { minVersion: 'TLSv1' } }, 'tls.minVersion: expected one of TLSv1.2, TLSv1.3, got the string "TLSv1", did you mean TLSv1.2?'],
    [{ tls: { certs: 'a' } }, 'tls.certs: unknown key, did you mean cert?'],
    [{ tls: 'cert.pem' }, 'tls: expected an object, got the string "cert.pem"'],
    [{ listen: ['udp:127.0.0.1:0', 7] }, "listen[1]: expected an address as 'udp:127.0.0.1:5060' or 'udp:[::1]:5060', got 7"],
    [{ listen: ['udp:127.0.0.1:5060', 'udp:127.0.0.1:5060'] }, 'listen[1]: the address is listed already'],
    [{ requestRoute: 'RESUME' }, 'requestRoute: expected a function, got the string "RESUME"'],
    [{ requestRoute: null }, 'requestRoute: expected a function, got null'],
    [{ route: [] }, 'route: expected an object of functions, got an array'],
    [{ route: null }, 'route: expected an object of functions, got null'],
    [{ route: { RESUME: 'x' } }, 'route.RESUME: expected a function, got the string "x"'],
    [{ route: { RESUME: undefined } }, 'route.RESUME: expected a function, got nothing'],
    [{ route: { 'A-B': {} } }, "route['A-B']: expected a function, got an object"],
    [{ failureRoute: { '': () => {} } }, "failureRoute['']: a route needs a name that is not empty"],
    [{ onreplyRoute: { R: 1 } }, 'onreplyRoute.R: expected a function, got 1'],
    [{ branchRoute: { B: null } }, 'branchRoute.B: expected a function, got null'],
    [{ eventRoute: { 'core:tkv': 1 } }, "eventRoute['core:tkv']: expected a function, got 1"],
    [{ eventRoute: { 'core:pre-rooting': () => {} } }, "eventRoute['core:pre-rooting']: unknown event, did you mean core:pre-routing?"],
    [
      { eventRoute: { banana: () => {} } },
      'eventRoute.banana: unknown event, expected one of core:tkv, core:pre-routing, tm:local-request, tm:canceled',
    ],
    [{ eventRoute: { 'tm:cancelled': () => {} } }, "eventRoute['tm:cancelled']: unknown event, did you mean tm:canceled?"],
    [{ alias: 7 }, "alias: expected a host or host:port, as 'sip.example.com:5060', got 7"],
    [{ alias: ['a.example', ''] }, "alias[1]: expected a host or host:port, as 'sip.example.com:5060', got the string \"\""],
    [{ alias: 'a.example:0' }, "alias: expected a host or host:port, as 'sip.example.com:5060', got the string \"a.example:0\""],
    [
      { advertise: 'a.example:5060' },
      'advertise: expected a host name or an IP address, without a port, got the string "a.example:5060"',
    ],
    [{ dns: { servers: ['ns.example'] } }, 'dns.servers[0]: expected the IP address of a name server, got the string "ns.example"'],
    [{ dns: { timeout: 0 } }, 'dns.timeout: expected an integer from 1 to 600000, got 0'],
    [{ dns: { server: [] } }, 'dns.server: unknown key, did you mean servers?'],
    [{ eventRoute: { '': () => {} } }, "eventRoute['']: a route needs a name that is not empty"],
  ])('%o', (members, fault) => {
    expect(faultsWith(members)).toEqual([fault]);
  });

  it('is not the longest path of a control socket', () => {
    for (const control of [`/run/${'x'.repeat(102)}`, `/run/${'é'.repeat(51)}`, `/${'x'.repeat(92)}/s`]) {
      expect(checkConfig(definition({ control })).control).toBe(control);
    }
  });

  it('is not a free port that is listed twice, nor one port on two hosts', () => {
    const listen = ['udp:127.0.0.1:0', 'udp:127.0.0.1:0', 'udp:127.0.0.1:5060', 'udp:127.0.0.2:5060'];
    expect(checkConfig(definition({ listen })).listen).toHaveLength(4);
  });

  it('cuts a long value short and keeps it in one line', () => {
    const [fault, ...rest] = faultsWith({ children: `a\nb${'x'.repeat(500)}` });
    expect(rest).toEqual([]);
    expect(fault).toContain('the string "a\\nbxxx');
    expect(fault!.length).toBeLessThan(150);
  });
});

describe('an unknown key', () => {
  it.each([
    [{ asyncWorker: 2 }, 'asyncWorker: unknown key, did you mean asyncWorkers?'],
    [{ async_workers: 2 }, 'async_workers: unknown key, did you mean asyncWorkers?'],
    [{ request_route: () => {} }, 'request_route: unknown key, did you mean requestRoute?'],
    [{ banana: 1 }, 'banana: unknown key'],
    [{ 'no name': 1 }, "['no name']: unknown key"],
    [{ modparam: { asinc: {} } }, 'modparam.asinc: unknown key, did you mean async?'],
    [{ modparam: { rr: {} } }, 'modparam.rr: unknown key, expected one of async, tm, sworker'],
    [{ modparam: { async: { msTimer: 1 } } }, 'modparam.async.msTimer: unknown key, did you mean ms_timer?'],
    [{ modparam: { sworker: { data: '' } } }, 'modparam.sworker.data: unknown key, did you mean xdata?'],
    [{ modparam: { sworker: { foo: '' } } }, 'modparam.sworker.foo: unknown key, expected xdata'],
    [{ modparam: { tm: { fr_inv_timr: 1 } } }, 'modparam.tm.fr_inv_timr: unknown key, did you mean fr_inv_timer?'],
    [{ asyncWorkersGroup: { name: 'a', workers: 1, maxqueu: 1 } }, 'asyncWorkersGroup.maxqueu: unknown key, did you mean maxQueue?'],
  ])('%o', (members, fault) => {
    expect(faultsWith(members)).toEqual([fault]);
  });

  it('may be the name of something every object has', () => {
    const members = JSON.parse('{ "constructor": 1, "__proto__": 2, "toString": 3 }') as Record<string, unknown>;
    expect(faultsOf(defineProxy(Object.assign(members, { requestRoute() {} }) as never))).toEqual([
      'constructor: unknown key',
      '__proto__: unknown key',
      'toString: unknown key',
    ]);
  });
});

describe('requestRoute', () => {
  it('is needed with transactions', () => {
    const fault = 'requestRoute: expected a function, got nothing; it is needed unless modparam.async.mode is 1';
    expect(faultsOf(defineProxy({}))).toEqual([fault]);
    expect(faultsOf(defineProxy({ modparam: { async: { mode: 0 } } }))).toEqual([fault]);
    expect(faultsOf(defineProxy({ modparam: { async: { mode: 1 } } }), { modparam: { async: { mode: 0 } } })).toEqual([fault]);
  });

  it('is not needed without', () => {
    const config = checkConfig(defineProxy({ modparam: { async: { mode: 1 } } }));
    expect(config.async.mode).toBe(1);
    expect(config.routes.requestRoute).toBe(false);
  });
});

describe('worker groups', () => {
  const abc = { name: 'abc', workers: 4, nonblock: false, usleepUs: 0, maxQueue: 1024, concurrency: 0 };

  it.each([
    ['name=abc;workers=4'],
    [['name=abc;workers=4']],
    [{ name: 'abc', workers: 4 }],
    [[{ name: 'abc', workers: 4, nonblock: 0 }]],
    [{ name: 'abc', workers: 4, nonblock: false }],
  ])('are read from %o', (asyncWorkersGroup) => {
    expect(checkConfig(definition({ asyncWorkersGroup })).groups.slice(1)).toEqual([abc]);
  });

  it('may be none', () => {
    expect(checkConfig(definition({ asyncWorkersGroup: [] })).groups).toHaveLength(1);
  });

  it('may have one named default when asyncWorkers makes none', () => {
    const members = { asyncWorkers: 0, asyncWorkersGroup: ['name=abc;workers=4', 'name=default;workers=2;usleep=5'] };
    expect(checkConfig(definition(members)).groups.slice(1)).toEqual([
      abc,
      { ...abc, name: 'default', workers: 2, usleepUs: 5 },
    ]);
  });

  const nameExpected = 'expected a group name of 1 to 62 bytes without ";", "=" and control characters';
  it.each([
    ['name=abc;workers=0', 'workers: expected an integer from 1 to 256, got 0'],
    ['name=abc;workers=257', 'workers: expected an integer from 1 to 256, got 257'],
    ['name=abc;workers=two', 'workers: expected an integer from 1 to 256, got the string "two"'],
    ['name=abc', 'workers: expected an integer from 1 to 256, got nothing'],
    ['workers=1', `name: ${nameExpected}, got nothing`],
    ['name=;workers=1', `name: ${nameExpected}, got the string ""`],
    ['name=a=b;workers=1', `name: ${nameExpected}, got the string "a=b"`],
    ['name=abc;workers=1;usleep=-1', 'usleep: expected an integer from 0 to 10000000, got -1'],
    ['name=abc;workers=1;usleep=10000001', 'usleep: expected an integer from 0 to 10000000, got 10000001'],
    ['name=abc;workers=1;nonblock=2', 'nonblock: expected 0 or 1, got 2'],
    ['name=abc;workers=1;nonblock=yes', 'nonblock: expected 0 or 1, got the string "yes"'],
    ['name=abc;workers=1;maxQueue=0', 'maxQueue: expected an integer from 1 to 16777216, got 0'],
    ['name=abc;workers=1;concurrency=0', 'concurrency: expected an integer from 1 to 16777216, got 0'],
    ['name=abc;workers=1;concurrency=x', 'concurrency: expected an integer from 1 to 16777216, got the string "x"'],
    ['name=abc;workers=1;maxQueue=16777217', 'maxQueue: expected an integer from 1 to 16777216, got 16777217'],
    [{ name: 'a;b', workers: 1 }, `name: ${nameExpected}, got the string "a;b"`],
    [{ name: 'a\u0000b', workers: 1 }, `name: ${nameExpected}, got the string "a\\u0000b"`],
    [{ name: 'a\r\nb', workers: 1 }, `name: ${nameExpected}, got the string "a\\r\\nb"`],
    [{ name: 7, workers: 1 }, `name: ${nameExpected}, got 7`],
    [{ name: 'é'.repeat(32), workers: 1 }, `name: ${nameExpected}, got the string "${'é'.repeat(32)}"`],
    [{ name: 'abc', workers: '1' }, 'workers: expected an integer from 1 to 256, got the string "1"'],
    [{ name: 'async:workers', workers: 1 }, 'name: the name async:workers is reserved for the workers of modparam async'],
  ])('refuse %o', (group, fault) => {
    expect(faultsWith({ asyncWorkersGroup: [group] })).toEqual([`asyncWorkersGroup[0].${fault}`]);
  });

  it('take a name of exactly 62 bytes', () => {
    expect(faultsWith({ asyncWorkersGroup: { name: 'é'.repeat(31), workers: 1 } })).toEqual([]);
  });

  it.each([{ group: 7 }, { group: null }, { group: ['name=abc;workers=1'] }, { group: undefined }])('refuse %o', ({ group }) => {
    const faults = faultsWith({ asyncWorkersGroup: [group] });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^asyncWorkersGroup\[0\]: expected a group, as 'name=abc;workers=4'/);
  });

  it('do not share a name', () => {
    expect(faultsWith({ asyncWorkersGroup: ['name=abc;workers=1', { name: 'abc', workers: 2 }] })).toEqual([
      'asyncWorkersGroup[1].name: a group named "abc" is defined already',
    ]);
    expect(faultsWith({ asyncWorkers: 1, asyncWorkersGroup: ['name=default;workers=1'] })).toEqual([
      'asyncWorkersGroup[0].name: the group "default" is defined already, by asyncWorkers',
    ]);
    // Kamailio's names are case-sensitive.
    expect(faultsWith({ asyncWorkersGroup: ['name=abc;workers=1', 'name=ABC;workers=1'] })).toEqual([]);
  });
});

describe('tkv events', () => {
  const tkvRoute = { eventRoute: { 'core:tkv'() {} } };

  it('may run in any defined group, also in default', () => {
    const config = checkConfig(definition({ asyncWorkers: 1, asyncTkvGname: 'default', asyncTkvEvcb: 'core:tkv', ...tkvRoute }));
    expect(config.tkv).toEqual({ group: 'default', eventRoute: 'core:tkv' });
  });

  it('may have an event route of another name', () => {
    const members = { asyncTkvEvcb: 'my:tkv', eventRoute: { 'my:tkv'() {} } };
    expect(checkConfig(definition(members)).tkv).toEqual({ group: null, eventRoute: 'my:tkv' });
    expect(faultsWith({ eventRoute: { 'my:tkv'() {} } })).toHaveLength(1);
  });

  it('get a group of one worker when they name one that is not defined', () => {
    const config = checkConfig(definition({ asyncWorkersGroup: 'name=abc;workers=2', asyncTkvGname: 'tkv', asyncTkvEvcb: 'core:tkv', ...tkvRoute }));
    expect(config.groups.map(({ name, workers }) => [name, workers])).toEqual([['async:workers', 1], ['abc', 2], ['tkv', 1]]);
  });

  it('are off when the names are empty', () => {
    expect(checkConfig(definition({ asyncTkvGname: '', asyncTkvEvcb: '' })).tkv).toEqual({ group: null, eventRoute: null });
  });

  it.each([
    [{ asyncTkvGname: 'tvk', asyncWorkersGroup: 'name=tkv;workers=1' }, 'asyncTkvGname: expected the name of a worker group, got the string "tvk", did you mean tkv?'],
    [{ asyncTkvGname: 'default' }, 'asyncTkvGname: expected the name of a worker group, got the string "default"'],
    [{ asyncTkvGname: 'defualt', asyncWorkers: 1 }, 'asyncTkvGname: expected the name of a worker group, got the string "defualt", did you mean default?'],
    [{ asyncTkvGname: 'async:workers' }, 'asyncTkvGname: expected the name of a worker group, got the string "async:workers"'],
    [{ asyncTkvEvcb: 'core:tkv' }, 'asyncTkvEvcb: expected the name of an eventRoute, got the string "core:tkv"'],
    [{ asyncTkvEvcb: 'core:tvk', ...tkvRoute }, 'asyncTkvEvcb: expected the name of an eventRoute, got the string "core:tvk", did you mean core:tkv?'],
  ])('refuse %o', (members, fault) => {
    expect(faultsWith(members)).toEqual([fault]);
  });

  it('are not blamed for a group that has a fault of its own', () => {
    expect(faultsWith({ asyncTkvGname: 'tkv', asyncWorkersGroup: ['name=tkv;workers=0'] })).toEqual([
      'asyncWorkersGroup[0].workers: expected an integer from 1 to 256, got 0',
    ]);
    expect(faultsWith({ asyncTkvGname: 'tkv', asyncWorkersGroup: ['nam=tkv;workers=1'] }).join()).not.toContain('asyncTkvGname');
    expect(faultsWith({ asyncTkvGname: 'default', asyncWorkers: -1 })).toEqual([
      'asyncWorkers: expected an integer from 0 to 256, got -1',
    ]);
    expect(faultsOf(definition({ asyncTkvGname: 'default' }), { asyncWorkers: -1 })).toEqual([
      'overrides.asyncWorkers: expected an integer from 0 to 256, got -1',
    ]);
  });
});

describe('many faults', () => {
  it('come in one error, a line each', () => {
    const faults = faultsOf(
      defineProxy({
        listen: ['tpc:127.0.0.1:5060', 'udp:127.0.0.1:70000'],
        childrn: 2,
        asyncWorkers: 1.5,
        asyncWorkersGroup: ['name=abc;worker=1', 'name=dup;workers=1', 'name=dup;workers=0;usleep=-1'],
        asyncTkvGname: 'adc',
        asyncTkvEvcb: 'core:tkv',
        modparam: { async: { ms_timer: -5, retrun: 1 }, tm: { fr_timer: '30' } },
        route: { RESUME: 1 },
        eventRoute: { 'core:tvk'() {} },
        log: 'verbose',
      } as never),
    );
    const places = faults.map((line) => line.slice(0, line.indexOf(': ')));
    expect(places.sort()).toEqual(
      [
        'listen[0]',
        'listen[1]',
        'childrn',
        'asyncWorkers',
        'asyncWorkersGroup[0]',
        'asyncWorkersGroup[0].workers',
        'asyncWorkersGroup[2].workers',
        'asyncWorkersGroup[2].usleep',
        'asyncWorkersGroup[2].name',
        'asyncTkvGname',
        'asyncTkvEvcb',
        'modparam.async.ms_timer',
        'modparam.async.retrun',
        'modparam.tm.fr_timer',
        'route.RESUME',
        "eventRoute['core:tvk']",
        'log',
        'requestRoute',
      ].sort(),
    );
  });
});
