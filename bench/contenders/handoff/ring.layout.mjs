// Where what lies in the memory of a ring. Words that different threads write lie a cache line apart.
export const kSlots = 4096;
/** Written by the sender: how many were put in. */
export const kTail = 0;
/** Written by the worker: how many were taken out. */
export const kHead = 16;
/** Written by the worker: 1 while it waits for the tail to change. */
export const kSleeps = 32;
/** Written by the sender: 1 when the next task wants an answer. */
export const kAsks = 48;
/** Written by the worker; -1 is none. */
export const kAnswer = 64;
export const kWords = 80;

/** @param {SharedArrayBuffer} memory */
export function layout(memory) {
  return {
    words: new Int32Array(memory, 0, kWords),
    sizes: new Int32Array(memory, 4 * kWords, kSlots),
    bytes: new Uint8Array(memory, 4 * (kWords + kSlots)),
  };
}
