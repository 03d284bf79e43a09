/** W1, W4, R4: a crash at any step in which something is written loses nothing and breaks no rule. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { CrashPointsReport } from './main.ts';

const SCRIPT = fileURLToPath(new URL('../../../scripts/sim.mjs', import.meta.url));
/** Each run takes two parts of the points, another two every day. All of them: CRASH_POINTS=all. */
const PARTS = process.env.CRASH_POINTS === 'all' ? 2 : 6;
const DAY_MS = 86_400_000;
const FIRST_PART = 2 * (Math.floor(Date.now() / DAY_MS) % (PARTS / 2));
/** All moments take four minutes: `npm run sim -- --crash-points`. */
const MOMENTS = 'after';
const TIMEOUT_MS = 900_000;

function runPart(part: number): Promise<CrashPointsReport> {
  const args = [SCRIPT, '--crash-points', '--part', `${part}/${PARTS}`, '--moments', MOMENTS, '--json'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { maxBuffer: 2 ** 26 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as CrashPointsReport);
      } catch {
        reject(new Error(stderr || stdout));
      }
    });
  });
}

describe('crash points', () => {
  it(
    'of append, vote, configuration change, flush, install, compaction, start-up and recovery, each of them',
    async () => {
      const parts = await Promise.all([runPart(FIRST_PART), runPart(FIRST_PART + 1)]);
      const [first] = parts;
      const runs = parts.reduce((sum, part) => sum + part.runs, 0);
      console.log(
        `${first?.points} crash points, parts ${FIRST_PART} and ${FIRST_PART + 1} of ${PARTS}: ${runs} runs; by kind: ${JSON.stringify(first?.kinds)}`,
      );
      console.log(`by chapter of the script: ${JSON.stringify(first?.chapters)}`);
      expect(parts.flatMap((part) => part.violations)).toEqual([]);
      // Every kind of thing that is written was met.
      for (const kind of [
        'disk: segment write',
        'disk: segment sync',
        'disk: segment rename',
        'disk: segment remove',
        'disk: segment allocate',
        'disk: folder sync',
        'disk: hard state copy write',
        'disk: hard state copy sync',
        'disk: marker write',
        'disk: marker remove',
        'store: write',
        'store: sync',
        'store: stage',
        'store: install',
        'store: installed',
        'store: move aside',
      ]) {
        expect(first?.kinds[kind], kind).toBeGreaterThan(0);
      }
      for (const count of Object.values(first?.chapters ?? {})) expect(count).toBeGreaterThan(10);
    },
    TIMEOUT_MS,
  );
});
