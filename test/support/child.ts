import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** How a process ended, and all it wrote. */
export interface ExitReport {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Our deadline ended it. */
  readonly timedOut: boolean;
}

export interface ChildOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process with its output collected. It never outlives the test process. */
export class Child {
  stdout = '';
  stderr = '';
  readonly exited: Promise<ExitReport>;
  readonly #child: ChildProcess;
  #timedOut = false;

  constructor(command: string, args: readonly string[], { env = {}, cwd = root }: ChildOptions = {}) {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    running.add(child);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.exited = new Promise((resolve, reject) => {
      child.once('error', (error) => {
        running.delete(child);
        reject(error);
      });
      child.once('close', (code, signal) => {
        running.delete(child);
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr, timedOut: this.#timedOut });
      });
    });
    // Whoever awaits `exited` gets the rejection; a test that never does must not fail from it later.
    this.exited.catch(() => undefined);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start');
    return this.#child.pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for the end; past the deadline the process is killed and the report says so. */
  async ended(timeoutMs: number): Promise<ExitReport> {
    const deadline = setTimeout(() => {
      this.#timedOut = true;
      this.kill('SIGKILL');
    }, timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(deadline);
    }
  }
}

/** Runs node to its end. */
export function runNode(
  args: readonly string[],
  { timeoutMs = 20_000, ...options }: ChildOptions & { timeoutMs?: number } = {},
): Promise<ExitReport> {
  return new Child(process.execPath, args, options).ended(timeoutMs);
}

export interface Listening {
  readonly proto: string;
  readonly host: string;
  readonly port: number;
}

export interface ProxyProcessOptions extends ChildOptions {
  /** Further arguments of the command line. */
  args?: readonly string[];
  /** How many `listening on` lines to wait for. */
  sockets?: number;
  readyTimeoutMs?: number;
}

/** `sip-async run FILE` as a process of its own. */
export class ProxyProcess {
  readonly addresses: readonly Listening[];
  readonly child: Child;

  private constructor(child: Child, addresses: readonly Listening[]) {
    this.child = child;
    this.addresses = addresses;
  }

  /** Resolves once the command line has said where it listens; rejects with its output when it ends before. */
  static async start(
    file: string,
    { args = [], sockets = 1, readyTimeoutMs = 10_000, ...options }: ProxyProcessOptions = {},
  ): Promise<ProxyProcess> {
    const child = new Child(process.execPath, [cli, 'run', file, ...args], options);
    const deadlineMs = performance.now() + readyTimeoutMs;
    let report: ExitReport | undefined;
    void child.exited.then((ended) => (report = ended), () => undefined);
    for (;;) {
      const addresses = [...child.stdout.matchAll(/^listening on (\w+):(\S+):(\d+)\n/gm)].map(
        ([, proto = '', host = '', port = '']) => ({ proto, host, port: Number(port) }),
      );
      if (addresses.length >= sockets) return new ProxyProcess(child, addresses);
      if (report || performance.now() > deadlineMs) {
        const ended = await child.ended(0);
        throw new Error(
          `the proxy did not get ready (code ${ended.code}, signal ${ended.signal})\n${ended.stdout}${ended.stderr}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Port of the first socket. */
  get port(): number {
    const [first] = this.addresses;
    if (!first) throw new Error('no socket');
    return first.port;
  }

  /** Sends the signal and waits for the end. */
  stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<ExitReport> {
    this.child.kill(signal);
    return this.child.ended(timeoutMs);
  }
}
