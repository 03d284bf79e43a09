import { defineConfig } from 'vitest/config';
import { mutantPlugins } from './test/mutants/vitest-plugin.ts';

/** Tests that measure time, memory or bytes: one file after the other, when all others are done. */
const measuredTests = [
  ...['catch-up', 'crash', 'membership', 'overload', 'stalls', 'write-amplification'].map(processTest),
  ...['lagging', 'leader-killed', 'partition', 'recovery', 'thousand'].map((name) => processTest(`recovery/${name}`)),
  'test/chaos/process.test.ts',
];

/** Tests that start processes, and wait for them most of the time: three files at a time, after those that do not. */
const processTests = [
  'test/process/**/*.test.ts',
  'test/interop/**/*.test.ts',
  'test/demo/**/*.test.ts',
  'test/bad-input/**/*.test.ts',
  'test/**/process.test.ts',
  'test/bench/guard.test.ts',
];

function processTest(name: string): string {
  return `test/process/${name}.test.ts`;
}

export default defineConfig({
  plugins: mutantPlugins(process.env),
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...processTests, ...measuredTests],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: processTests,
          exclude: measuredTests,
          maxWorkers: 3,
          globalSetup: ['test/support/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'measured',
          include: measuredTests,
          fileParallelism: false,
          globalSetup: ['test/support/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
