import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCliArgs, USAGE } from '../dist/cli/args.js';

function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '');
}

describe('parseCliArgs', () => {
  const plain = { ok: true, command: 'run', modulePath: 'proxy.mjs', overrides: {}, timeoutMs: null, hint: false };

  it.each([
    ['run proxy.mjs', {}],
    ['run proxy.mjs --listen udp:127.0.0.1:0', { overrides: { listen: ['udp:127.0.0.1:0'] } }],
    [
      'run proxy.mjs --listen udp:127.0.0.1:0 --listen=udp:[::1]:5060',
      { overrides: { listen: ['udp:127.0.0.1:0', 'udp:[::1]:5060'] } },
    ],
    ['run proxy.mjs --children 4', { overrides: { children: 4 } }],
    ['run proxy.mjs --children 4 --children 5', { overrides: { children: 5 } }],
    ['--async-workers 0 run proxy.mjs', { overrides: { asyncWorkers: 0 } }],
    ['run --log trace proxy.mjs', { overrides: { log: 'trace' } }],
    ['run proxy.mjs --timeout 0', { timeoutMs: 0 }],
    ['run proxy.mjs --timeout=2500 --hint', { timeoutMs: 2500, hint: true }],
    ['run -- --odd.mjs', { modulePath: '--odd.mjs' }],
    ['run proxy.mjs --control run/c.sock', { overrides: { control: resolve('run/c.sock') } }],
    [
      'run /srv/p.mjs --listen udp:127.0.0.1:0 --children 2 --async-workers 3 --log info --timeout 10 --hint',
      {
        modulePath: '/srv/p.mjs',
        overrides: { listen: ['udp:127.0.0.1:0'], children: 2, asyncWorkers: 3, log: 'info' },
        timeoutMs: 10,
        hint: true,
      },
    ],
  ])('reads %s', (line, expected) => {
    expect(parseCliArgs(words(line))).toEqual({ ...plain, ...expected });
  });

  it.each([
    ['ps --control /run/c.sock', { command: 'ps', control: '/run/c.sock', limit: 100, json: false }],
    ['ps --limit 5 --json --control c.sock', { command: 'ps', control: resolve('c.sock'), limit: 5, json: true }],
    ['--json ps --control=/c', { command: 'ps', control: '/c', limit: 100, json: true }],
    ['stats --control /c', { command: 'stats', control: '/c', json: false }],
    ['stats --control /c --json', { command: 'stats', control: '/c', json: true }],
    ['cancel 17:4 --control /c', { command: 'cancel', control: '/c', handles: [{ index: 17, label: 4 }] }],
    [
      'cancel --control /c 0:0 4294967295:4294967295 0:0',
      {
        command: 'cancel',
        control: '/c',
        handles: [{ index: 0, label: 0 }, { index: 4_294_967_295, label: 4_294_967_295 }, { index: 0, label: 0 }],
      },
    ],
  ])('reads %s', (line, expected) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: true, ...expected });
  });

  it('takes the socket from SIP_ASYNC_CONTROL when --control does not name one', () => {
    const control = (line: string, value: string | undefined) => parseCliArgs(words(line), { SIP_ASYNC_CONTROL: value });
    for (const line of ['ps', 'stats', 'cancel 1:1']) {
      expect(control(line, '/run/c.sock')).toMatchObject({ ok: true, control: '/run/c.sock' });
      expect(control(`${line} --control /d.sock`, '/run/c.sock')).toMatchObject({ ok: true, control: '/d.sock' });
      for (const none of ['', undefined]) expect(control(line, none)).toMatchObject({ ok: false });
      expect(control(line, `/${'x'.repeat(200)}`)).toEqual({
        ok: false, message: 'SIP_ASYNC_CONTROL: the path of a Unix socket takes at most 107 bytes, this one 201',
      });
    }
    // A proxy that is started from such a shell must not open a socket that nobody asked for.
    expect(control('run proxy.mjs', '/run/c.sock')).toEqual(plain);
  });

  it.each(['--help', '-h', 'run --help', 'run proxy.mjs -h', 'ps --help', 'cancel -h', 'stats --help --json'])('reads %s as a call for help', (line) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: true, command: 'help' });
  });

  it.each(['--version', '-v'])('reads %s', (line) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: true, command: 'version' });
  });

  it.each([
    ['', 'expected a command: sip-async run PROXY.mjs'],
    ['rnu proxy.mjs', 'unknown command rnu, did you mean run?'],
    ['start proxy.mjs', 'unknown command start, expected one of run, ps, cancel, stats'],
    ['run', 'run needs the path of a proxy module: sip-async run PROXY.mjs'],
    ['run a.mjs b.mjs', 'run takes one proxy module, got 2'],
    ['run a.mjs --chlidren 2', 'unknown option --chlidren, did you mean --children?'],
    ['run a.mjs --asyncWorkers 2', 'unknown option --asyncWorkers, did you mean --async-workers?'],
    ['run a.mjs --banana', 'unknown option --banana'],
    ['run a.mjs -x', 'unknown option -x'],
    ['run a.mjs --constructor', 'unknown option --constructor'],
    ['run a.mjs --children', '--children needs a value'],
    ['run a.mjs --children=', '--children needs a value'],
    ['run a.mjs --log --hint', '--log needs a value'],
    ['run a.mjs --listen', '--listen needs a value'],
    ['run a.mjs --hint=1', '--hint takes no value'],
    ['run a.mjs --help=1', '--help takes no value'],
    ['run a.mjs --children two', '--children: expected an integer from 1 to 64, got two'],
    ['run a.mjs --children 0', '--children: expected an integer from 1 to 64, got 0'],
    ['run a.mjs --children 65', '--children: expected an integer from 1 to 64, got 65'],
    ['run a.mjs --children -1', '--children: expected an integer from 1 to 64, got -1'],
    ['run a.mjs --children 1.5', '--children: expected an integer from 1 to 64, got 1.5'],
    ['run a.mjs --async-workers 257', '--async-workers: expected an integer from 0 to 256, got 257'],
    ['run a.mjs --timeout 1e3', '--timeout: expected an integer from 0 to 86400000, got 1e3'],
    ['run a.mjs --listen tpc:127.0.0.1:0', '--listen: unknown transport tpc in "tpc:127.0.0.1:0", did you mean tcp?'],
    [
      'run a.mjs --listen 127.0.0.1',
      '--listen: expected an address as \'udp:127.0.0.1:5060\' or \'udp:[::1]:5060\', got the string "127.0.0.1"',
    ],
    ['run a.mjs --log inof', '--log: expected one of silent, fatal, error, warn, info, debug, trace, got inof, did you mean info?'],
    ['run a.mjs --json', 'run takes no --json'],
    ['run a.mjs --control', '--control needs a value'],
    ['run a.mjs --control ' + 'x'.repeat(108), expect.stringMatching(/^--control: the path of a Unix socket takes at most 107 bytes/)],
    ['ps --listen udp:127.0.0.1:0', 'ps takes no --listen'],
    ['ps --limt 1', 'unknown option --limt, did you mean --limit?'],
    ['ps --banana', 'unknown option --banana'],
    ['ps --json=1', '--json takes no value'],
    ['ps --limit', '--limit needs a value'],
    ['pss', 'unknown command pss, did you mean ps?'],
    ['cancle 1:1', 'unknown command cancle, did you mean cancel?'],
    ['stat', 'unknown command stat, did you mean stats?'],
    ['ps', 'ps needs the control socket of a running proxy: --control PATH, or SIP_ASYNC_CONTROL'],
    ['ps x y --control c', 'ps takes no further words, got x y'],
    ['ps --control c --limit 0', '--limit: expected an integer from 1 to 10000, got 0'],
    ['ps --control c --limit 10001', '--limit: expected an integer from 1 to 10000, got 10001'],
    ['stats', 'stats needs the control socket of a running proxy: --control PATH, or SIP_ASYNC_CONTROL'],
    ['stats x --control c', 'stats takes no further words, got x'],
    ['stats --control c --limit 1', 'stats takes no --limit'],
    ['cancel --control c', 'cancel needs handles, as sip-async ps prints them: sip-async cancel INDEX:LABEL'],
    ['cancel 1:1', 'cancel needs the control socket of a running proxy: --control PATH, or SIP_ASYNC_CONTROL'],
    ['cancel 1:1 --json --control c', 'cancel takes no --json'],
    ['cancel 1 --control c', 'expected a handle as INDEX:LABEL, got 1'],
    ['cancel 1:x 1:2 3:4:5 --control c', 'expected a handle as INDEX:LABEL, got 1:x\nexpected a handle as INDEX:LABEL, got 3:4:5'],
    ['cancel 1:4294967296 --control c', 'expected a handle as INDEX:LABEL, got 1:4294967296'],
    ['cancel -1:2 --control c', 'unknown option -1\nunknown option -:\nunknown option -2'],
    ['run a.mjs --log x', '--log: expected one of silent, fatal, error, warn, info, debug, trace, got x'],
  ])('refuses "%s"', (line, message) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: false, message });
  });

  it('lists all faults, a line each', () => {
    const result = parseCliArgs(words('run --children 0 --log x --timeout y --listen z'));
    expect(result.ok).toBe(false);
    expect((result as { message: string }).message.split('\n')).toHaveLength(5);
    expect(parseCliArgs(words('run a.mjs --chidren 1 --lgo x'))).toEqual({
      ok: false,
      message: 'unknown option --chidren, did you mean --children?\nunknown option --lgo, did you mean --log?',
    });
  });

  it('leaves the arguments as they are', () => {
    const argv = Object.freeze(words('run a.mjs --children 2'));
    expect(parseCliArgs(argv)).toMatchObject({ ok: true });
  });
});

describe('USAGE', () => {
  it('names every option', () => {
    const options = [
      '--listen', '--children', '--async-workers', '--control', '--log', '--timeout', '--hint', '--limit', '--json', '--help',
      '--version',
    ];
    for (const option of options) expect(USAGE).toMatch(new RegExp(`^.* ${option} `, 'm'));
  });

  it('fits into 120 columns', () => {
    for (const line of USAGE.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
  });
});
