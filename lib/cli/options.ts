import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { didYouMean } from '../config/nearest.ts';
import type { Limit } from '../config/limits.ts';

/** The options of a command, as `node:util` takes them. */
export type Options = NonNullable<ParseArgsConfig['options']>;

/** The arguments of one command line, with what is wrong with them. */
export class GivenOptions {
  /** The words that are no options: the command and what it works on. */
  readonly words: readonly string[];
  /** What is wrong, in the order of the command line. */
  readonly faults: string[] = [];
  readonly #values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly #tokens: readonly { rawName: string; name: string; value: string | undefined; inlineValue: boolean | undefined }[];

  /** @param known the options of all commands: which command it is, is not known before they are read */
  constructor(argv: readonly string[], known: Options) {
    // Not strict, for node's own faults name neither the nearest option nor more than the first fault.
    const parsed = parseArgs({ args: [...argv], options: known, allowPositionals: true, strict: false, tokens: true });
    this.words = parsed.positionals;
    this.#values = parsed.values;
    this.#tokens = parsed.tokens.filter((token) => token.kind === 'option');
  }

  /** Adds a fault for each option that is unknown, has no value or has one too many. */
  checkAgainst(allowed: Options, command: string | undefined, known: Options): void {
    for (const { name, rawName, value, inlineValue } of this.#tokens) {
      const option = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
      if (option === undefined) {
        const isOthers = Object.hasOwn(known, name);
        const hint = didYouMean(rawName, Object.keys(allowed).map((one) => `--${one}`));
        this.faults.push(isOthers ? `${command} takes no ${rawName}` : `unknown option ${rawName}${hint}`);
        continue;
      }
      const takesValue = option.type === 'string';
      if (!takesValue && value !== undefined) this.faults.push(`${rawName} takes no value`);
      // "--log --hint" forgot the level rather than meant a level of that name.
      const noValue = value === undefined || value === '' || (inlineValue !== true && value.startsWith('--'));
      if (takesValue && noValue) this.faults.push(`${rawName} needs a value`);
    }
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** All values of an option that may be repeated. */
  list(name: string): string[] | undefined {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : undefined;
  }

  integer(name: string, { min, max }: Limit): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = /^\d+$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    this.faults.push(`--${name}: expected an integer from ${min} to ${max}, got ${value}`);
    return undefined;
  }
}
