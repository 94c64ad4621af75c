import { native } from '../binding.ts';

const { record: RECORD, taskBytes: WHERE } = native.constants;

/** A batch of tasks of 1 kB twice over; one small task that is kept keeps no more than this. */
const MEMORY_BYTES = 131_072;

/**
 * The bytes of the tasks of a batch: the addon lays them into memory of ours, and each task gets its piece of it, which nobody
 * else has. The memory is made when the first task comes, and anew when it is used up.
 */
export class TaskBytes {
  #memory: Buffer | undefined;
  #isUsedUp = false;
  /** Where the last task of this batch ends, and the last of the batch before it. */
  #end = 0;
  #endBefore = 0;

  /** @returns the bytes of the task of the record that begins at `at`; `null` when the addon must be asked for them */
  take(records: Uint32Array, at: number): Buffer | null {
    const begin = records[at + RECORD.taskBegin]!;
    if (begin === WHERE.ask) return null;
    if (begin === WHERE.noRoom) {
      this.#isUsedUp = true;
      return null;
    }
    this.#end = begin + records[at + RECORD.taskSize]!;
    return this.#memory!.subarray(begin, this.#end);
  }

  /** Behind each batch. */
  renew(channel: number): void {
    // Another batch like this must find room, for to ask for each task costs several times as much.
    const isShort = 2 * this.#end - this.#endBefore > MEMORY_BYTES;
    this.#endBefore = this.#end;
    if (!this.#isUsedUp && !isShort) return;
    this.#isUsedUp = false;
    this.#end = 0;
    this.#endBefore = 0;
    this.#memory = Buffer.allocUnsafeSlow(MEMORY_BYTES);
    native.channelTaskBytes(channel, this.#memory);
  }
}
