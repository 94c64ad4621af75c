import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface Identity {
  uid?: number;
  gid?: number;
}

/** Who a server runs as: this user when it is root, and otherwise whoever we are. */
export function identity(name: string): Identity {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout.trim()));
  if (!uid || !gid) throw new Error(`no user ${name}`);
  return { uid, gid };
}

/** A TCP port of 127.0.0.1 that is free now. */
export async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A server that a test starts. It never outlives the test process. */
export class ServerProcess {
  #output = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(command: string, args: readonly string[], options: Identity & { cwd: string }) {
    this.#child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.#child);
    this.#ended = once(this.#child, 'close').finally(() => running.delete(this.#child));
    this.#ended.catch(() => undefined);
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Waits until it has said something of this form. */
  async said(what: RegExp, timeoutMs = 60_000): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!what.test(this.#output)) {
      if (this.#child.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`the server did not get ready\n${this.#output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    this.#child.kill(signal);
    await this.#ended;
    clearTimeout(hard);
  }
}
