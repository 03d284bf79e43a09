import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runScenario } from './scenario.ts';

const FOLDER = fileURLToPath(new URL('./scenarios/', import.meta.url));
const files = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.txt'))
  .sort();

/** `UPDATE_TRACES=1` rewrites the expected output. Read the difference before you commit it. */
const UPDATE = process.env.UPDATE_TRACES === '1';

describe('trace scenarios', () => {
  it('there are at least twenty', () => {
    expect(files.length).toBeGreaterThanOrEqual(20);
  });

  for (const name of files) {
    it(name, () => {
      const path = `${FOLDER}${name}`;
      const expected = readFileSync(path, 'utf8');
      const actual = runScenario(expected);
      if (UPDATE && actual !== expected) writeFileSync(path, actual);
      else expect(actual).toBe(expected);
    });
  }
});
