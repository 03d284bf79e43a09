/** `node scripts/check-histories.mjs FOLDER`: holds the checker against every recorded history of a folder; prints a table. */
import { checkRecorded, readManifest } from './recorded.ts';

const MS_MAX = 10_000;

function main(folder: string | undefined): number {
  if (folder === undefined) {
    console.error(
      'usage: node scripts/check-histories.mjs FOLDER (with manifest.json and the histories that it names)',
    );
    return 2;
  }
  const manifest = readManifest(folder);
  let wrong = 0;
  let slowest = 0;
  console.log(`${'history'.padEnd(60)} known  found    operations  points      ms`);
  for (const recorded of manifest) {
    const { kind, operations, points, ms } = checkRecorded(folder, recorded);
    const found = kind === 'linearizable' ? 'good' : kind === 'violation' ? 'bad' : 'unknown';
    const known = recorded.linearizable ? 'good' : 'bad';
    const agrees = found === known && ms <= MS_MAX;
    if (!agrees) wrong += 1;
    slowest = Math.max(slowest, ms);
    const figures = `${String(operations).padStart(10)} ${String(points).padStart(7)} ${ms.toFixed(1).padStart(7)}`;
    console.log(`${recorded.file.padEnd(60)} ${known.padEnd(6)} ${found.padEnd(8)} ${figures}${agrees ? '' : '  ✗'}`);
  }
  console.log(
    `${manifest.length - wrong} of ${manifest.length} agree within ${MS_MAX / 1000} s; slowest ${slowest.toFixed(1)} ms`,
  );
  return wrong === 0 && manifest.length > 0 ? 0 : 1;
}

process.exitCode = main(process.argv[2]);
