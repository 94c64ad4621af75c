import { defineProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../dist/config/schema.js';
import { definition, faultsOf, faultsWith } from './support/config-faults.ts';

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
