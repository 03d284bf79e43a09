/** Writes what a run came to as one page that needs nothing but itself, and its histories in Jepsen's form. */

import { once } from 'node:events';
import { createWriteStream, readdirSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { eventOf, readLines, UnreadableHistory } from '../checkers/operation.ts';
import type { Verdict } from '../checkers/verdict.ts';
import { readRun } from './data.ts';
import { ednLine } from './edn.ts';
import { page } from './page.ts';

/**
 * Into the folder of the run: `report.html`, and `history-<workload>.edn` for each history.
 * @returns path of the page
 */
export async function writeReport(dir: string, verdicts: readonly Verdict[]): Promise<string> {
  await exportEdn(dir);
  const path = join(dir, 'report.html');
  writeFileSync(path, page(await readRun(dir), verdicts, nameOf(dir)));
  return path;
}

/** Writes each `history-<workload>.ndjson` again as `.edn`. One that cannot be read is left out: its verdict says so. */
export async function exportEdn(dir: string): Promise<readonly string[]> {
  const written: string[] = [];
  for (const file of readdirSync(dir)) {
    if (!/^(?:history-.+|nemesis)\.ndjson$/.test(file)) continue;
    const path = join(dir, file.replace(/\.ndjson$/, '.edn'));
    const out = createWriteStream(path);
    try {
      for await (const value of readLines(join(dir, file)))
        if (!out.write(`${ednLine(eventOf(value))}\n`)) await once(out, 'drain');
      written.push(path);
    } catch (error) {
      if (!(error instanceof UnreadableHistory)) throw error;
    } finally {
      out.end();
      await once(out, 'close');
    }
  }
  return written;
}

/** As the command line takes it where the run was made; elsewhere the name alone. */
function nameOf(dir: string): string {
  const path = relative(process.cwd(), dir);
  return path === '' || path.startsWith('..') ? basename(dir) : path;
}
