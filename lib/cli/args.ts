import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import type { Limit, LogLevel } from '../config/limits.ts';
import { LIMITS, LOG_LEVELS } from '../config/limits.ts';
import { parseListen } from '../config/listen.ts';
import { didYouMean } from '../config/nearest.ts';
import type { ProxySettings } from '../define-proxy.ts';

/** What `sip-async --help` prints. */
export const USAGE = `Usage: sip-async run PROXY.mjs [options]

Runs the proxy that PROXY.mjs exports as its default, until SIGTERM or SIGINT.

  --listen ADDRESS    a socket to bind, as udp:127.0.0.1:5060; may be repeated; replaces the listen of the module
  --children N        threads that run requestRoute
  --async-workers N   workers of the group "default"
  --log LEVEL         ${LOG_LEVELS.join(', ')}
  --timeout MS        how long to wait on exit for what is still suspended, in milliseconds
  --hint              print what to try once the proxy is ready

  -h, --help          print this text
  -v, --version       print the version
`;

/** What the command line asks for, or what is wrong with it. */
export type CliArgs =
  | { ok: true; command: 'help' }
  | { ok: true; command: 'version' }
  | {
      ok: true;
      command: 'run';
      /** As it was typed: relative to the working directory, or absolute. */
      modulePath: string;
      overrides: ProxySettings;
      /** The deadline for draining, or `null` for the default of `close()`. */
      timeoutMs: number | null;
      hint: boolean;
    }
  | { ok: false; message: string };

const OPTIONS = {
  listen: { type: 'string', multiple: true },
  children: { type: 'string' },
  'async-workers': { type: 'string' },
  log: { type: 'string' },
  timeout: { type: 'string' },
  hint: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const satisfies NonNullable<ParseArgsConfig['options']>;

const OPTION_NAMES = Object.keys(OPTIONS).map((name) => `--${name}`);
const COMMANDS = ['run'];
const ONE_DAY_MS = 86_400_000;

function parse(argv: readonly string[]) {
  // Not strict, for node's own faults name neither the nearest option nor more than the first fault.
  return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: false, tokens: true });
}

function optionFaults(tokens: ReturnType<typeof parse>['tokens']): string[] {
  const faults: string[] = [];
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    if (!Object.hasOwn(OPTIONS, name)) {
      faults.push(`unknown option ${rawName}${didYouMean(rawName, OPTION_NAMES)}`);
      continue;
    }
    const takesValue = OPTIONS[name as keyof typeof OPTIONS].type === 'string';
    if (!takesValue && value !== undefined) faults.push(`${rawName} takes no value`);
    // "--log --hint" forgot the level rather than meant a level of that name.
    const noValue = value === undefined || value === '' || (!token.inlineValue && value.startsWith('--'));
    if (takesValue && noValue) faults.push(`${rawName} needs a value`);
  }
  return faults;
}

/**
 * Reads the arguments that follow `sip-async` on the command line. It neither prints nor exits; every fault is in the
 * message, one a line.
 *
 * @param argv the arguments without the paths of node and of the script
 */
export function parseCliArgs(argv: readonly string[]): CliArgs {
  const { values, positionals, tokens } = parse(argv);
  const faults = optionFaults(tokens);
  if (faults.length > 0) return { ok: false, message: faults.join('\n') };
  if (values.help === true) return { ok: true, command: 'help' };
  if (values.version === true) return { ok: true, command: 'version' };

  const [command, modulePath, ...extra] = positionals;
  if (command === undefined) return { ok: false, message: 'expected a command: sip-async run PROXY.mjs' };
  if (!COMMANDS.includes(command)) {
    const hint = didYouMean(command, COMMANDS) || ', expected run';
    return { ok: false, message: `unknown command ${command}${hint}` };
  }
  if (modulePath === undefined) faults.push('run needs the path of a proxy module: sip-async run PROXY.mjs');
  if (extra.length > 0) faults.push(`run takes one proxy module, got ${extra.length + 1}`);

  const integerOf = (name: keyof typeof OPTIONS, limit: Limit): number | undefined => {
    const value = values[name];
    if (value === undefined) return undefined;
    const number = /^\d+$/.test(String(value)) ? Number(value) : NaN;
    if (number >= limit.min && number <= limit.max) return number;
    faults.push(`--${name}: expected an integer from ${limit.min} to ${limit.max}, got ${String(value)}`);
    return undefined;
  };

  const overrides: ProxySettings = {};
  const children = integerOf('children', LIMITS.children);
  if (children !== undefined) overrides.children = children;
  const asyncWorkers = integerOf('async-workers', LIMITS.asyncWorkers);
  if (asyncWorkers !== undefined) overrides.asyncWorkers = asyncWorkers;
  if (values.listen !== undefined) {
    const listen = (values.listen as (string | boolean)[]).map(String);
    for (const address of listen) {
      const parsed = parseListen(address);
      if (typeof parsed === 'string') faults.push(`--listen: ${parsed}`);
    }
    overrides.listen = listen;
  }
  if (typeof values.log === 'string') {
    const level = LOG_LEVELS.find((known): known is LogLevel => known === values.log);
    if (level !== undefined) overrides.log = level;
    else {
      const hint = didYouMean(values.log, LOG_LEVELS);
      faults.push(`--log: expected one of ${LOG_LEVELS.join(', ')}, got ${values.log}${hint}`);
    }
  }
  const timeoutMs = integerOf('timeout', { min: 0, max: ONE_DAY_MS }) ?? null;

  if (faults.length > 0 || modulePath === undefined) return { ok: false, message: faults.join('\n') };
  return { ok: true, command: 'run', modulePath, overrides, timeoutMs, hint: values.hint === true };
}
