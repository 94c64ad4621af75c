import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process for each file: a native crash ends one file, and process-wide engine state never leaks into the next.
    pool: 'forks',
    // Many tests check times; files that run side by side would take each other's CPU.
    fileParallelism: false,
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
