import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TmParams } from 'sip-async';
import { freePort } from './free-port.ts';
import { SipClient } from './udp-client.ts';

const script = fileURLToPath(new URL('../kamailio/relay.cfg', import.meta.url));

/** Whether Kamailio can be started here (Debian: `apt-get install kamailio`). */
export const hasReference = spawnSync('kamailio', ['-v'], { stdio: 'ignore' }).error === undefined;

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) endGroup(child, 'SIGKILL');
});

/** Kamailio is a group of processes; a signal to the first alone can leave the others behind. */
function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/** A Kamailio with the scripts of test/kamailio/relay.cfg. */
export class ReferenceProxy {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;
  #log = '';

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
    const collect = (text: string): void => {
      this.#log = (this.#log + text).slice(-20_000);
    };
    child.stderr?.setEncoding('utf8').on('data', collect);
    child.stdout?.setEncoding('utf8').on('data', collect);
  }

  /** The end of what it wrote. */
  get log(): string {
    return this.#log;
  }

  static async start(tm: TmParams = {}): Promise<ReferenceProxy> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'sip-async-kamailio-'));
    const values = {
      DBG: 0, FR: tm.fr_timer ?? 30_000, FRINV: tm.fr_inv_timer ?? 120_000, WT: tm.wt_timer ?? 5000,
      RT1: tm.retr_timer1 ?? 500, RT2: tm.retr_timer2 ?? 4000,
    };
    const args = [
      '-f', script, '-l', `udp:127.0.0.1:${port}`, '-DD', '-E', '-Y', folder, '-w', folder, '-P', join(folder, 'pid'),
      '-m', '128', '-b', String(4 << 20),
      ...Object.entries(values).flatMap(([name, value]) => ['-A', `${name}=${value}`]),
    ];
    const child = spawn('kamailio', args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    const proxy = new ReferenceProxy(child, port, folder);
    await proxy.#answers();
    return proxy;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      endGroup(this.#child, 'SIGTERM');
      // It waits for its children for a minute when one of them is stuck.
      const deadline = setTimeout(() => endGroup(this.#child, 'SIGKILL'), 2000);
      await ended;
      clearTimeout(deadline);
    }
    endGroup(this.#child, 'SIGKILL');
    running.delete(this.#child);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Asks until there is an answer. */
  async #answers(): Promise<void> {
    const client = await SipClient.open({ port: this.port });
    try {
      for (let attempt = 0; attempt < 50; attempt += 1) {
        if (this.#child.exitCode !== null) break;
        const answer = await client
          .request({ method: 'OPTIONS', user: 'settle' })
          .final(200)
          .catch(() => undefined);
        if (answer) return;
      }
    } finally {
      await client.close();
    }
    await this.stop();
    throw new Error(`Kamailio did not start:\n${this.#log}`);
  }
}
