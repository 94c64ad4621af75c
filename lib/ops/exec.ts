import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { makeError } from '../errors.ts';
import type { SipAsyncError } from '../errors.ts';
import { checkText, describe } from '../tm/arguments.ts';
import { LONGEST_TIMER_MS, makeOperation, onAbort, readCount, stoppedBy, wordsOf } from './operation.ts';
import type { Operation } from './operation.ts';
import { ProcessGroup } from './process-group.ts';

/** Options of {@link exec}. */
export interface ExecOptions {
  /** Arguments of the command. With them, even none (`[]`), the command is a program and no shell has a part in it. */
  args?: readonly string[];
  /** What the command reads from its standard input; without it that is empty. */
  input?: string | Uint8Array;
  /** All of the environment; without it the command has that of this process. */
  env?: Readonly<Record<string, string | undefined>>;
  /** The working directory; that of this process by default. */
  cwd?: string;
  /** How much the command may write to both outputs together, in bytes; 1 MiB by default. */
  maxOutputBytes?: number;
  /** How long the command has after SIGTERM before SIGKILL, in ms; 1000 by default. */
  killGraceMs?: number;
  /** What the outputs are given as: UTF-8 text, the default, or bytes. */
  as?: 'text' | 'bytes';
}

/** What {@link exec} resolves to. */
export interface ExecResult<Output = string> {
  /** The exit status; `null` when a signal ended the command. A shell gives 127 for a command that it does not find. */
  readonly code: number | null;
  /** The signal that ended the command, or `null`. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Output;
  readonly stderr: Output;
}

const MAX_OUTPUT_BYTES = 1 << 20;
const KILL_GRACE_MS = 1000;

function cannotStart(command: string, cwd: string | undefined, cause: unknown): SipAsyncError {
  const { code } = cause as NodeJS.ErrnoException;
  // The system says the same of a missing program and a missing directory.
  const what = code === 'ENOENT' && cwd !== undefined && !existsSync(cwd) ? `cwd ${cwd}` : command;
  return makeError('EXEC', code === undefined ? `${what}: ${wordsOf(cause)}` : `${what}: ${code}`, cause);
}

/** Collects what both outputs say, up to a limit. */
class Output {
  readonly stdout: Buffer[] = [];
  readonly stderr: Buffer[] = [];
  #leftBytes: number;
  #isIgnored = false;

  constructor(child: ChildProcess, maxBytes: number, onTooMuch: () => void) {
    this.#leftBytes = maxBytes;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]!.on('data', (chunk: Buffer) => {
        if (this.#isIgnored) return;
        this.#leftBytes -= chunk.length;
        if (this.#leftBytes < 0) onTooMuch();
        else this[name].push(chunk);
      });
    }
  }

  /** Lets go of what was said, and of what is yet to come. */
  ignore(): void {
    this.#isIgnored = true;
    this.stdout.length = 0;
    this.stderr.length = 0;
  }
}

function run(
  command: string,
  options: Required<Pick<ExecOptions, 'maxOutputBytes' | 'killGraceMs'>> & ExecOptions,
  signal: AbortSignal,
): Promise<ExecResult<Buffer>> {
  const { args, input, env, cwd, maxOutputBytes, killGraceMs } = options;
  return new Promise((resolve, reject) => {
    let child: ChildProcess;
    try {
      child = spawn(command, args ?? [], {
        shell: args === undefined,
        // A group of its own: all that the command starts can be ended with it.
        detached: true,
        stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
        ...(env === undefined ? {} : { env: { ...env } }),
        ...(cwd === undefined ? {} : { cwd }),
      });
    } catch (cause) {
      reject(cannotStart(command, cwd, cause));
      return;
    }
    if (child.pid === undefined) {
      child.once('error', (cause) => reject(cannotStart(command, cwd, cause)));
      return;
    }
    const exited = new Promise<void>((done) => child.once('exit', () => done()));
    const group = new ProcessGroup(child.pid);
    let isEnding = false;
    const end = (error: SipAsyncError) => {
      if (isEnding) return;
      isEnding = true;
      stopListening();
      // It is read on, for a command that finds its output closed would not live to tidy up.
      output.ignore();
      void group
        .end(killGraceMs)
        .then(() => exited)
        .then(() => {
          // Who left the group may hold the outputs open for ever.
          for (const stream of child.stdio) stream?.destroy();
          reject(error);
        });
    };
    const stopListening = onAbort(signal, () => end(stoppedBy(signal)));
    const output = new Output(child, maxOutputBytes, () => end(makeError('OUTPUT_TOO_LARGE', `${maxOutputBytes} bytes`)));
    // A command that does not read all of its input is none of our business.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    child.once('error', () => undefined);
    child.once('close', (code, killer) => {
      if (isEnding) return;
      stopListening();
      resolve({ code, signal: killer, stdout: Buffer.concat(output.stdout), stderr: Buffer.concat(output.stderr) });
    });
  });
}

/**
 * Runs a command and collects what it says (`exec` of OpenSIPS' exec module). Resolves when it has ended and nobody holds its
 * outputs open any more: also for an exit status other than 0, which OpenSIPS does not tell of at all (its `$rc` is 1 then, as
 * is `msg.rc` here). There is no limit on how many run at once.
 *
 * Without `args` the command is a line for `/bin/sh`, as in OpenSIPS. **Never put data from a message into such a line**: a
 * user name like `x; reboot` is run. Pass it in `args`, `env` or `input`.
 *
 * The command has a process group of its own. When the signal aborts, or the output is too large, all of the group gets
 * SIGTERM, and after `killGraceMs` SIGKILL; the operation rejects once that is done. What a command has moved into another
 * group (`setsid`, a daemon) is not ended.
 *
 * Rejects with `EXEC` when the command cannot be started (`cause` has the error of the system), `OUTPUT_TOO_LARGE` when it
 * writes more than allowed, `ABORTED` after its signal.
 *
 * @throws TypeError for an argument or option of a wrong type, RangeError for a number out of its range
 */
export function exec(command: string, options: ExecOptions & { as: 'bytes' }): Operation<ExecResult<Uint8Array>>;
export function exec(command: string, options?: ExecOptions & { as?: 'text' }): Operation<ExecResult>;
export function exec(command: string, options: ExecOptions = {}): Operation<ExecResult<string | Uint8Array>> {
  checkText(command, 'command');
  const { args, input, env, cwd, as = 'text' } = options;
  if (args !== undefined && !(Array.isArray(args) && args.every((arg) => typeof arg === 'string'))) {
    throw new TypeError('args: expected an array of strings');
  }
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw new TypeError(`input: expected a string or a Uint8Array, got ${describe(input)}`);
  }
  if (env !== undefined && (typeof env !== 'object' || env === null)) {
    throw new TypeError(`env: expected an object, got ${describe(env)}`);
  }
  if (cwd !== undefined) checkText(cwd, 'cwd');
  if (as !== 'text' && as !== 'bytes') throw new TypeError("as: expected 'text' or 'bytes'");
  const maxOutputBytes = readCount(options.maxOutputBytes, 'maxOutputBytes', MAX_OUTPUT_BYTES, 0);
  const killGraceMs = readCount(options.killGraceMs, 'killGraceMs', KILL_GRACE_MS, 0, LONGEST_TIMER_MS);
  return makeOperation(async (signal) => {
    const result = await run(command, { ...options, maxOutputBytes, killGraceMs }, signal);
    if (as === 'bytes') return result;
    return { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
  });
}
