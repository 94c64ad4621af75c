import { defineProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../dist/config/schema.js';
import { definition, faultsOf, faultsWith } from './support/config-faults.ts';

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
    ...['$ru', 'x', '$var()', '$var(x', '$avp(__proto__)', '$xavp(a=>b)', '$shv(x)', ' $var(x)'].map((xdata): [Record<string, unknown>, string] => [
      { modparam: { sworker: { xdata } } },
      `modparam.sworker.xdata: expected the name of a variable, as $var(x), got the string "${xdata}"`,
    ]),
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
