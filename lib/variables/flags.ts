const COUNT = 32;

function bitOf(flag: unknown): number {
  if (typeof flag !== 'number') throw new TypeError(`flag: expected a number, got ${flag === null ? 'null' : typeof flag}`);
  if (!Number.isInteger(flag) || flag < 0 || flag >= COUNT) throw new RangeError(`flag: expected 0 to ${COUNT - 1}, got ${flag}`);
  return (1 << flag) >>> 0;
}

/**
 * The 32 message flags, numbered 0 to 31 (`setflag`, `isflagset`, `resetflag`). They live in the transaction, as AVPs do.
 * A flag that is no number throws a `TypeError`, one out of range a `RangeError`.
 */
export class Flags {
  #bits: number;
  readonly #beforeChange: () => void;

  /** @param beforeChange throws when nothing may be changed any more @internal */
  constructor(bits: number, beforeChange: () => void) {
    this.#bits = bits;
    this.#beforeChange = beforeChange;
  }

  /** All flags as one number, flag 0 the lowest bit (`$mf`). */
  get value(): number {
    return this.#bits;
  }

  /** Whether a flag is set (`isflagset`). */
  get(flag: number): boolean {
    return (this.#bits & bitOf(flag)) !== 0;
  }

  /** Sets a flag (`setflag`), or resets it when `on` is `false`. */
  set(flag: number, on = true): this {
    const bit = bitOf(flag);
    this.#beforeChange();
    this.#bits = (on ? this.#bits | bit : this.#bits & ~bit) >>> 0;
    return this;
  }

  /** Resets a flag (`resetflag`). @returns whether it was set */
  delete(flag: number): boolean {
    const was = this.get(flag);
    this.set(flag, false);
    return was;
  }
}
