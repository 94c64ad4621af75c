import { mkdtempSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from 'sip-async/ops';
import { aborted, Attempt, codeOf, run } from './support/attempt.ts';
import { eventually } from './support/eventually.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sip-async-exec-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const file = (name: string) => join(folder, name);

/** What the kernel knows of a process; one that has ended and that nobody has asked about does no harm. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** The numbers that the commands of a test write down of themselves. */
async function pidsOf(names: readonly string[]): Promise<number[]> {
  const read = () => names.map((name) => (existsSync(file(name)) ? Number(readFileSync(file(name), 'utf8')) : 0));
  await eventually(() => read().every((pid) => pid > 0));
  return read();
}

describe('exec', () => {
  it('runs a line in a shell, as OpenSIPS does', async () => {
    const result = await run(exec('echo "a  b" | tr a-z A-Z; echo oh >&2; exit 3'));
    expect(result).toEqual({ code: 3, signal: null, stdout: 'A  B\n', stderr: 'oh\n' });
  });

  it('runs a program without a shell when it has arguments', async () => {
    const hostile = '$(touch x); `touch y` && touch z';
    const result = await run(exec('printf', { args: ['%s|', hostile, ''], cwd: folder }));
    expect(result).toMatchObject({ code: 0, stdout: `${hostile}||` });
    expect(['x', 'y', 'z'].filter((name) => existsSync(file(name)))).toEqual([]);
  });

  it('passes input, environment and directory on', async () => {
    const options = { input: 'line\n', env: { WORD: 'w; x', PATH: process.env.PATH }, cwd: folder };
    const { stdout } = await run(exec('cat; echo "$WORD"; pwd; echo "${HOME-none}"', options));
    expect(stdout).toBe(`line\nw; x\n${folder}\nnone\n`);
    const bytes = await run(exec('cat', { args: [], input: new Uint8Array([0, 255]), as: 'bytes' }));
    expect(bytes.stdout).toEqual(Buffer.from([0, 255]));
    expect((await run(exec('cat'))).stdout).toBe('');
  });

  it('tells of the signal that ended a command', async () => {
    expect(await run(exec('kill -9 $$'))).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('does not mind a command that does not read its input', async () => {
    const input = 'x'.repeat(4 << 20);
    expect(await run(exec('exec true', { input }))).toMatchObject({ code: 0 });
    expect(await run(exec('exec 0<&-; echo done', { input }))).toMatchObject({ code: 0, stdout: 'done\n' });
  });

  it('keeps a character whole that comes in two pieces', async () => {
    const { stdout } = await run(exec("printf '\\303'; sleep 0.05; printf '\\251'"));
    expect(stdout).toBe('é');
  });

  it.each([
    ['a program that is not there', 'no-such-program-here', { args: [] }, /no-such-program-here: ENOENT/],
    ['a directory that is not there', 'true', { args: [], cwd: '/no/such/place' }, /cwd \/no\/such\/place: ENOENT/],
    ['a file that is no program', '/etc/passwd', { args: [] }, /EACCES/],
    ['a name that the system does not take', 'a\0b', { args: [] }, /a\0b/],
    ['arguments longer than the system takes', 'true', { args: ['x'.repeat(3 << 20)] }, /E2BIG/],
  ])('rejects %s', async (_, command, options, words) => {
    const attempt = new Attempt(exec(command, options));
    await expect(attempt.result).rejects.toThrow(words);
    expect(await codeOf(attempt.result)).toBe('EXEC');
    expect(attempt.listeners).toBe(0);
  });

  it('gives what a shell does not find as an exit status', async () => {
    expect(await run(exec('no-such-program-here'))).toMatchObject({ code: 127, stderr: expect.stringContaining('not found') });
  });

  it('does not start after its signal', async () => {
    expect(await codeOf(aborted(exec(`touch ${file('begun')}`)))).toBe('ABORTED');
    await run(exec('true'));
    expect(existsSync(file('begun'))).toBe(false);
  });

  it('lets a limit on output pass that is just kept', async () => {
    const { stdout } = await run(exec('printf 12345; printf 678 >&2', { maxOutputBytes: 8 }));
    expect(stdout).toBe('12345');
    expect(await codeOf(run(exec('printf 12345; printf 6789 >&2', { maxOutputBytes: 8 })))).toBe('OUTPUT_TOO_LARGE');
  });

  it('ends a command that writes without end', async () => {
    const attempt = new Attempt(exec(`echo $$ > ${file('pid')}; exec yes`, { maxOutputBytes: 100_000 }));
    expect(await codeOf(attempt.result)).toBe('OUTPUT_TOO_LARGE');
    const [pid] = await pidsOf(['pid']);
    expect(isAlive(pid!)).toBe(false);
    expect(attempt.listeners).toBe(0);
  });

  it('ends all that a command has started, also what ignores SIGTERM', async () => {
    const deaf = (name: string, then: string) => `sh -c 'trap "" TERM; echo $$ > ${file(name)}; ${then}'`;
    const grandchild = deaf('grandchild', 'while :; do sleep 1; done').replaceAll("'", `'\\''`);
    const children = `${deaf('sibling', 'sleep 1000')} & sh -c '${grandchild}' & wait; sleep 1000`;
    const attempt = new Attempt(exec(`trap "" TERM; echo $$ > ${file('child')}; ${children}`, { killGraceMs: 100 }));
    const pids = await pidsOf(['child', 'sibling', 'grandchild']);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    expect(attempt.listeners).toBe(0);
    // The kernel has the signal; a process that is just being taken down may still be listed.
    await eventually(() => !pids.some(isAlive));
  });

  it('leaves a command that obeys SIGTERM the time to tidy up', async () => {
    const trap = `trap 'echo tidy > ${file('tidied')}; exit 0' TERM`;
    const attempt = new Attempt(exec(`${trap}; echo $$ > ${file('pid')}; while :; do sleep 0.02; done`, { killGraceMs: 15e3 }));
    await pidsOf(['pid']);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    expect(readFileSync(file('tidied'), 'utf8')).toBe('tidy\n');
  });

  it('ends what a command has left behind that still holds its output', async () => {
    const attempt = new Attempt(exec(`sh -c 'echo $$ > ${file('left')}; exec sleep 1000' & exit 0`));
    const [left] = await pidsOf(['left']);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    await eventually(() => !isAlive(left!));
  });

  it('takes no notice of a signal after its end', async () => {
    const attempt = new Attempt(exec('echo ok'));
    expect((await attempt.result).stdout).toBe('ok\n');
    expect(attempt.listeners).toBe(0);
    attempt.abort();
    expect(attempt.outcome).toMatchObject({ value: { code: 0 } });
  });

  it('throws for arguments of a wrong type or range', () => {
    const wrong: [unknown, unknown][] = [
      [1, {}], ['x', { args: 'y' }], ['x', { args: [1] }], ['x', { input: 1 }], ['x', { env: null }], ['x', { cwd: 1 }],
      ['x', { as: 'json' }], ['x', { maxOutputBytes: '1' }],
    ];
    for (const [command, options] of wrong) expect(() => exec(command as string, options as object)).toThrow(TypeError);
    for (const options of [{ maxOutputBytes: -1 }, { maxOutputBytes: 1.5 }, { killGraceMs: -1 }, { killGraceMs: 2 ** 31 }]) {
      expect(() => exec('x', options)).toThrow(RangeError);
    }
  });
});
