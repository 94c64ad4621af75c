import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.ts';
import { eventually } from './eventually.ts';
import { freePort, isTaken } from './free-port.ts';
import { keyArguments, readIfThere, readTotals } from './sipp.ts';

export interface SippUasOptions {
  /** Name of a scenario in test/sipp, without `.xml`. */
  scenario: string;
  /** The port for its Contact, where that is not its own: the port of a relay before it. */
  contactPort?: number;
}

export interface SippUasResult {
  readonly successful: number;
  readonly failed: number;
  readonly retransmissions: number;
  /** Messages that no step of the scenario expected. */
  readonly unexpected: number;
  /** The beginning of its error log, 4000 characters at most. */
  readonly errors: string;
}

/** SIPp as a callee on 127.0.0.1, for as many calls as come. */
export class SippUas {
  readonly port: number;
  readonly #child: Child;
  readonly #folder: string;

  private constructor(child: Child, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
  }

  /** Resolves when its port is bound. */
  static async start({ scenario, contactPort }: SippUasOptions): Promise<SippUas> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'sip-async-uas-'));
    const file = fileURLToPath(new URL(`../sipp/${scenario}.xml`, import.meta.url));
    const child = new Child(
      'sipp',
      [
        '-i', '127.0.0.1', '-p', String(port), '-sf', file, '-nostdin', '-trace_stat', '-stf', join(folder, 'statistics.csv'),
        '-fd', '1', '-trace_err', '-error_file', join(folder, 'errors.log'), ...keyArguments({ contact_port: contactPort ?? port }),
      ],
      { cwd: folder },
    );
    await eventually(() => isTaken(port));
    return new SippUas(child, port, folder);
  }

  /** Waits for the calls that are open, ends it, and reads its totals. */
  async stop(timeoutMs = 10_000): Promise<SippUasResult> {
    try {
      this.#child.kill('SIGUSR1'); // what `q` does at its keyboard
      const report = await this.#child.ended(timeoutMs);
      const totals = readTotals(join(this.#folder, 'statistics.csv'), report.stderr || report.stdout.slice(-2000));
      return {
        successful: Number(totals('SuccessfulCall(C)')),
        failed: Number(totals('FailedCall(C)')),
        retransmissions: Number(totals('Retransmissions(C)')),
        unexpected: Number(totals('FailedUnexpectedMessage(C)')),
        errors: readIfThere(join(this.#folder, 'errors.log')).slice(0, 4000),
      };
    } finally {
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }
}
