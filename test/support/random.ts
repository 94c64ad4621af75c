/** Random numbers that can be had again: `SIP_ASYNC_SEED` names the seed that a failure has printed. */
export interface Sequence {
  readonly seed: number;
  /** A whole number from 0 to below `bound`. */
  next(bound: number): number;
}

export function sequence(seed = Number(process.env['SIP_ASYNC_SEED'] ?? Date.now() % 0x1_0000_0000)): Sequence {
  // Mixes a counter (Weyl sequence) with two rounds of multiply and xor-shift.
  let counter = seed >>> 0;
  return {
    seed,
    next(bound) {
      counter = (counter + 0x9e37_79b9) >>> 0;
      let mixed = Math.imul(counter ^ (counter >>> 16), 0x21f0_aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
      return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000) * bound);
    },
  };
}
