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

  it.each(['--help', '-h', 'run --help', 'run proxy.mjs -h'])('reads %s as a call for help', (line) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: true, command: 'help' });
  });

  it.each(['--version', '-v'])('reads %s', (line) => {
    expect(parseCliArgs(words(line))).toEqual({ ok: true, command: 'version' });
  });

  it.each([
    ['', 'expected a command: sip-async run PROXY.mjs'],
    ['rnu proxy.mjs', 'unknown command rnu, did you mean run?'],
    ['start proxy.mjs', 'unknown command start, expected run'],
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
    ['run a.mjs --listen tcp:127.0.0.1:0', '--listen: transport tcp is not supported yet'],
    [
      'run a.mjs --listen 127.0.0.1',
      '--listen: expected an address as \'udp:127.0.0.1:5060\' or \'udp:[::1]:5060\', got the string "127.0.0.1"',
    ],
    ['run a.mjs --log inof', '--log: expected one of silent, fatal, error, warn, info, debug, trace, got inof, did you mean info?'],
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
    for (const option of ['--listen', '--children', '--async-workers', '--log', '--timeout', '--hint', '--help', '--version']) {
      expect(USAGE).toMatch(new RegExp(`^.* ${option} `, 'm'));
    }
  });
});
