import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.ts';

export interface SippOptions {
  /** Name of a scenario in test/sipp, without `.xml`. */
  scenario: string;
  port: number;
  /** How many calls in all. */
  calls: number;
  /** Calls a second. */
  rate: number;
  /** Most calls open at once; by default as many as there are. */
  limit?: number;
  /** User part of the request URI. */
  user?: string;
  /** Delays for `;d=` in the request URI, taken in turn; only for a scenario that reads `[field0]`. */
  delaysMs?: readonly number[];
  /** SIPp gives up after this time; the process is killed a little later if it has not. */
  timeoutMs: number;
  /** Values for words in the scenario, as SIPp's `-key` gives them: `to_port` for `[to_port]`. */
  keys?: Readonly<Record<string, string | number>>;
  /** More arguments, as SIPp takes them. */
  args?: readonly string[];
}

export interface SippResult {
  /** 0 when every call succeeded, 1 when some failed, 255 when calls were still open at the time limit. */
  readonly exitCode: number | null;
  readonly successful: number;
  readonly failed: number;
  readonly retransmissions: number;
  /** Messages that no step of the scenario expected. */
  readonly unexpected: number;
  /** Mean time from the request to its final response. */
  readonly responseTimeMs: number;
  /** What SIPp wrote on standard error and the beginning of its error log, 4000 characters at most. */
  readonly stderr: string;
  /** SIPp did not end by itself and was killed. */
  readonly timedOut: boolean;
}

/** Runs a scenario against 127.0.0.1 and reads the totals from SIPp's statistics file. */
export async function runSipp(options: SippOptions): Promise<SippResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sip-async-sipp-'));
  const statistics = join(folder, 'statistics.csv');
  const errors = join(folder, 'errors.log');
  const delays = join(folder, 'delays.csv');
  try {
    const scenario = fileURLToPath(new URL(`../sipp/${options.scenario}.xml`, import.meta.url));
    const fields: string[] = [];
    if (/\[field0\]/.test(readFileSync(scenario, 'utf8'))) {
      writeFileSync(delays, ['SEQUENTIAL', ...(options.delaysMs ?? [0]), ''].join('\n'));
      fields.push('-inf', delays);
    } else if (options.delaysMs) {
      throw new Error(`${options.scenario} takes no delays`);
    }
    const child = new Child(
      'sipp',
      [
        `127.0.0.1:${options.port}`, '-i', '127.0.0.1', '-sf', scenario, ...fields,
        '-s', options.user ?? 'alice',
        '-m', String(options.calls), '-r', String(options.rate), '-l', String(options.limit ?? options.calls),
        '-timeout', `${Math.ceil(options.timeoutMs / 1000)}s`, '-timeout_error',
        '-nostdin', '-trace_stat', '-stf', statistics, '-fd', '1', '-trace_err', '-error_file', errors,
        ...keyArguments(options.keys), ...(options.args ?? []),
      ],
      { cwd: folder },
    );
    const report = await child.ended(options.timeoutMs + 5000);
    const totals = readTotals(statistics, report.stderr || report.stdout.slice(-2000));
    return {
      exitCode: report.code,
      successful: Number(totals('SuccessfulCall(C)')),
      failed: Number(totals('FailedCall(C)')),
      retransmissions: Number(totals('Retransmissions(C)')),
      unexpected: Number(totals('FailedUnexpectedMessage(C)')),
      responseTimeMs: clockMs(totals('ResponseTime1(C)')),
      stderr: (report.stderr + readIfThere(errors)).slice(0, 4000),
      timedOut: report.timedOut,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function keyArguments(keys: SippOptions['keys'] = {}): string[] {
  return Object.entries(keys).flatMap(([name, value]) => ['-key', name, String(value)]);
}

/** A reader of the last line of the statistics file, which holds the totals at the end. */
export function readTotals(file: string, complaint: string): (column: string) => string {
  const lines = readIfThere(file).trim().split('\n');
  const columns = lines[0]?.split(';') ?? [];
  const values = lines.length > 1 ? (lines.at(-1)?.split(';') ?? []) : [];
  return (column) => {
    const value = values[columns.indexOf(column)];
    if (value === undefined) throw new Error(`SIPp left no ${column}: ${complaint}`);
    return value;
  };
}

/** SIPp writes a time as `00:00:04:002000`: hours, minutes, seconds, microseconds. */
function clockMs(time: string): number {
  const [hours = NaN, minutes = NaN, seconds = NaN, microseconds = NaN] = time.split(':').map(Number);
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + microseconds / 1000;
}

export function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
