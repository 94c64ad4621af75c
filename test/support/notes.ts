import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach } from 'vitest';
import { eventually } from './eventually.ts';

/** For a proxy module: `note(entry)` from any thread, and two ways to wait for the test (`existsSync` is imported). */
export const notePrelude = `
  import { appendFileSync } from 'node:fs';
  const note = (entry) => appendFileSync(process.env.NOTES, JSON.stringify(entry) + '\\n');
  const isReleased = () => existsSync(process.env.NOTES + '.go');
  const released = async () => { while (!isReleased()) await new Promise((done) => setTimeout(done, 5)); };
  const spinUntilReleased = () => { while (!isReleased()); };
  void released, spinUntilReleased;`;

/** What the routes of all threads noted, in the order of writing, and a gate that holds them. */
export class Notes {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sip-async-notes-'));
  readonly #file = join(this.#folder, 'notes');

  /** Makes a book that is emptied before each test of the file that calls. */
  static forThisFile(): Notes {
    const notes = new Notes();
    process.env['NOTES'] = notes.#file;
    beforeEach(() => {
      writeFileSync(notes.#file, '');
      notes.hold();
    });
    afterAll(() => rmSync(notes.#folder, { recursive: true }));
    return notes;
  }

  get entries(): unknown[] {
    const lines = readFileSync(this.#file, 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as unknown);
  }

  /** All entries, once there are so many. */
  async atLeast(count: number): Promise<unknown[]> {
    await eventually(() => this.entries.length >= count);
    return this.entries;
  }

  hold(): void {
    rmSync(`${this.#file}.go`, { force: true });
  }
  release(): void {
    writeFileSync(`${this.#file}.go`, '');
  }
}
