/** Runs `job` for 0 to `count - 1`, so many at a time, and resolves to what they came to, in order. */
export async function pipeline<T>(count: number, width: number, job: (number: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const number = next;
      next += 1;
      results[number] = await job(number);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
  return results;
}
