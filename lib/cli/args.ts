import type { LogLevel } from '../config/limits.ts';
import { LIMITS, LOG_LEVELS } from '../config/limits.ts';
import { parseListen } from '../config/listen.ts';
import { didYouMean } from '../config/nearest.ts';
import { parseControlPath } from '../control/path.ts';
import { CONTROL_LIMITS, DEFAULT_LISTED } from '../control/protocol.ts';
import type { ProxySettings } from '../define-proxy.ts';
import type { Handle } from '../suspended.ts';
import { GivenOptions } from './options.ts';
import type { Options } from './options.ts';

const { min: LEAST_LISTED, max: MOST_LISTED } = CONTROL_LIMITS.listed;

/** What `sip-async --help` prints. */
export const USAGE = `Usage: sip-async run PROXY.mjs [options]
       sip-async ps [--control PATH] [--limit N] [--json]
       sip-async cancel INDEX:LABEL... [--control PATH]
       sip-async stats [--control PATH] [--json]

run: runs the proxy that PROXY.mjs exports as its default, until SIGTERM or SIGINT.

  --listen ADDRESS    a socket to bind, as udp:127.0.0.1:5060 (udp, tcp, tls, ws, wss); may be repeated; replaces the
                      listen of the module
  --children N        threads that run requestRoute
  --async-workers N   workers of the group "default"
  --control PATH      a Unix socket for ps, cancel and stats, for this user only; there is none by default
  --log LEVEL         ${LOG_LEVELS.join(', ')}
  --timeout MS        how long to wait on exit for what is still suspended, in milliseconds
  --hint              print what to try once the proxy is ready

ps: lists the calls and tasks that wait in a running proxy, the soonest first.
cancel: ends what waits, by the handles that ps prints: a call is answered 487, a task is dropped.
stats: prints the figures of a running proxy.

  --control PATH      the socket that the proxy was started with; by default what SIP_ASYNC_CONTROL says
  --limit N           how many ps lists, ${LEAST_LISTED} to ${MOST_LISTED}; ${DEFAULT_LISTED} by default
  --json              print JSON

  -h, --help          print this text
  -v, --version       print the version
`;

/** What `sip-async run` is asked for. */
export interface RunArgs {
  command: 'run';
  /** As it was typed: relative to the working directory, or absolute. */
  modulePath: string;
  overrides: ProxySettings;
  /** The deadline for draining, or `null` for the default of `close()`. */
  timeoutMs: number | null;
  hint: boolean;
}

/** What `sip-async ps` is asked for; `control` is an absolute path here and below. */
export interface PsArgs {
  command: 'ps';
  control: string;
  limit: number;
  json: boolean;
}

/** What `sip-async cancel` is asked for. */
export interface CancelArgs {
  command: 'cancel';
  control: string;
  handles: Handle[];
}

/** What `sip-async stats` is asked for. */
export interface StatsArgs {
  command: 'stats';
  control: string;
  json: boolean;
}

type CommandArgs = RunArgs | PsArgs | CancelArgs | StatsArgs;

/** What the command line asks for, or what is wrong with it. */
export type CliArgs =
  | { ok: true; command: 'help' }
  | { ok: true; command: 'version' }
  | ({ ok: true } & CommandArgs)
  | { ok: false; message: string };

const ONE_DAY_MS = 86_400_000;
const UINT32_MAX = 0xffff_ffff;
const CONTROL_VARIABLE = 'SIP_ASYNC_CONTROL';

const COMMON: Options = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
};
const OPTIONS: Readonly<Record<CommandArgs['command'], Options>> = {
  run: {
    listen: { type: 'string', multiple: true },
    children: { type: 'string' },
    'async-workers': { type: 'string' },
    control: { type: 'string' },
    log: { type: 'string' },
    timeout: { type: 'string' },
    hint: { type: 'boolean' },
    ...COMMON,
  },
  ps: { control: { type: 'string' }, limit: { type: 'string' }, json: { type: 'boolean' }, ...COMMON },
  cancel: { control: { type: 'string' }, ...COMMON },
  stats: { control: { type: 'string' }, json: { type: 'boolean' }, ...COMMON },
};
const COMMANDS = Object.keys(OPTIONS) as CommandArgs['command'][];
// An option that several commands have is the same in all of them.
const ALL_OPTIONS: Options = Object.assign({}, ...Object.values(OPTIONS));

type Environment = Readonly<Record<string, string | undefined>>;

function readControl(name: string, value: string, faults: string[]): string {
  const parsed = parseControlPath(value);
  if ('path' in parsed) return parsed.path;
  faults.push(`${name}: ${parsed.fault}`);
  return '';
}

/** The socket of the proxy to ask. */
function readTarget(command: string, given: GivenOptions, environment: Environment): string {
  const option = given.text('control');
  if (option !== undefined) return readControl('--control', option, given.faults);
  const variable = environment[CONTROL_VARIABLE];
  if (variable) return readControl(CONTROL_VARIABLE, variable, given.faults);
  given.faults.push(`${command} needs the control socket of a running proxy: --control PATH, or ${CONTROL_VARIABLE}`);
  return '';
}

function refuseWords(command: string, words: readonly string[], faults: string[]): void {
  if (words.length > 0) faults.push(`${command} takes no further words, got ${words.join(' ')}`);
}

function readHandles(words: readonly string[], faults: string[]): Handle[] {
  if (words.length === 0) faults.push('cancel needs handles, as sip-async ps prints them: sip-async cancel INDEX:LABEL');
  return words.map((word) => {
    const [index = NaN, label = NaN] = /^\d+:\d+$/.test(word) ? word.split(':').map(Number) : [];
    if (!(index <= UINT32_MAX && label <= UINT32_MAX)) faults.push(`expected a handle as INDEX:LABEL, got ${word}`);
    return { index, label };
  });
}

function readLogLevel(given: GivenOptions): LogLevel | undefined {
  const value = given.text('log');
  const level = LOG_LEVELS.find((known) => known === value);
  if (value !== undefined && level === undefined) {
    const hint = didYouMean(value, LOG_LEVELS);
    given.faults.push(`--log: expected one of ${LOG_LEVELS.join(', ')}, got ${value}${hint}`);
  }
  return level;
}

function readRun(words: readonly string[], given: GivenOptions): RunArgs {
  const { faults } = given;
  const [modulePath = '', ...extra] = words;
  if (words.length === 0) faults.push('run needs the path of a proxy module: sip-async run PROXY.mjs');
  if (extra.length > 0) faults.push(`run takes one proxy module, got ${words.length}`);

  const overrides: ProxySettings = {};
  const children = given.integer('children', LIMITS.children);
  if (children !== undefined) overrides.children = children;
  const asyncWorkers = given.integer('async-workers', LIMITS.asyncWorkers);
  if (asyncWorkers !== undefined) overrides.asyncWorkers = asyncWorkers;
  const listen = given.list('listen');
  if (listen !== undefined) {
    for (const address of listen) {
      const parsed = parseListen(address);
      if (typeof parsed === 'string') faults.push(`--listen: ${parsed}`);
    }
    overrides.listen = listen;
  }
  const control = given.text('control');
  if (control !== undefined) overrides.control = readControl('--control', control, faults);
  const log = readLogLevel(given);
  if (log !== undefined) overrides.log = log;
  const timeoutMs = given.integer('timeout', { min: 0, max: ONE_DAY_MS }) ?? null;
  return { command: 'run', modulePath, overrides, timeoutMs, hint: given.has('hint') };
}

function readCommand(
  command: CommandArgs['command'],
  words: readonly string[],
  given: GivenOptions,
  environment: Environment,
): CommandArgs {
  switch (command) {
    case 'run':
      return readRun(words, given);
    case 'ps': {
      refuseWords(command, words, given.faults);
      const limit = given.integer('limit', CONTROL_LIMITS.listed) ?? DEFAULT_LISTED;
      return { command, control: readTarget(command, given, environment), limit, json: given.has('json') };
    }
    case 'cancel': {
      const handles = readHandles(words, given.faults);
      return { command, control: readTarget(command, given, environment), handles };
    }
    case 'stats':
      refuseWords(command, words, given.faults);
      return { command, control: readTarget(command, given, environment), json: given.has('json') };
  }
}

/**
 * Reads the arguments that follow `sip-async` on the command line. It neither prints nor exits; every fault is in the
 * message, one a line.
 *
 * @param argv the arguments without the paths of node and of the script
 * @param environment where `SIP_ASYNC_CONTROL` is looked up
 */
export function parseCliArgs(argv: readonly string[], environment: Environment = {}): CliArgs {
  const given = new GivenOptions(argv, ALL_OPTIONS);
  const [word, ...words] = given.words;
  const command = COMMANDS.find((known) => known === word);
  const { faults } = given;
  given.checkAgainst(command === undefined ? ALL_OPTIONS : OPTIONS[command], command, ALL_OPTIONS);
  if (faults.length > 0) return { ok: false, message: faults.join('\n') };
  if (given.has('help')) return { ok: true, command: 'help' };
  if (given.has('version')) return { ok: true, command: 'version' };

  if (word === undefined) return { ok: false, message: 'expected a command: sip-async run PROXY.mjs' };
  if (command === undefined) {
    const hint = didYouMean(word, COMMANDS) || `, expected one of ${COMMANDS.join(', ')}`;
    return { ok: false, message: `unknown command ${word}${hint}` };
  }
  const args = readCommand(command, words, given, environment);
  return faults.length > 0 ? { ok: false, message: faults.join('\n') } : { ok: true, ...args };
}
