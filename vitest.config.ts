import { defineConfig } from 'vitest/config';

/** Tests that start processes or measure time: one file after the other, when the others are done. */
const processTests = [
  'test/process/**/*.test.ts',
  'test/interop/**/*.test.ts',
  'test/demo/**/*.test.ts',
  'test/bad-input/**/*.test.ts',
  'test/**/process.test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: processTests,
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: processTests,
          fileParallelism: false,
          globalSetup: ['test/support/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
