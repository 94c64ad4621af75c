import { native } from '../binding.ts';

const { record: RECORD, taskBytes: WHERE } = native.constants;

/** Small enough that one task that is kept does not hold much memory beside its own, and large enough for some batches. */
const MEMORY_BYTES = 65_536;

/**
 * The bytes of the tasks of a batch: the addon lays them into memory of ours, and each task gets its piece of it, which nobody
 * else has. The memory is made when the first task comes, and anew when it is used up.
 */
export class TaskBytes {
  #memory: Buffer | undefined;
  #isUsedUp = false;

  /** @returns the bytes of the task of the record that begins at `at`; `null` when the addon must be asked for them */
  take(records: Uint32Array, at: number): Buffer | null {
    const begin = records[at + RECORD.taskBegin]!;
    if (begin === WHERE.ask) return null;
    if (begin === WHERE.noRoom) {
      this.#isUsedUp = true;
      return null;
    }
    return this.#memory!.subarray(begin, begin + records[at + RECORD.taskSize]!);
  }

  /** Behind each batch. */
  renew(channel: number): void {
    if (!this.#isUsedUp) return;
    this.#isUsedUp = false;
    this.#memory = Buffer.allocUnsafeSlow(MEMORY_BYTES);
    native.channelTaskBytes(channel, this.#memory);
  }
}
