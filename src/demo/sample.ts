/** Files to archive for who brings none: a few hundred of several kinds, the same each time. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A small generator of our own (xorshift32), because the sample must be the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const WORDS = 'phase round barrier token leader member quorum log entry commit fence lease agent loop plan'.split(' ');

function text(random: () => number, words: number): string {
  let out = '';
  for (let i = 0; i < words; i++) out += `${WORDS[Math.floor(random() * WORDS.length)]}${i % 12 === 11 ? '.\n' : ' '}`;
  return out;
}

function lines(random: () => number, count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => `${line(i)} ${Math.floor(random() * 1e6)}`).join('\n');
}

function bytes(random: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

type Kind = readonly [
  folder: string,
  extension: string,
  make: (random: () => number, i: number) => string | Uint8Array,
];

const KINDS: readonly Kind[] = [
  ['notes', 'txt', (random) => text(random, 200 + Math.floor(random() * 4_000))],
  ['reports/2026/Übersicht', 'md', (random, i) => `# Report ${i}\n\n${text(random, 1_500)}`],
  ['logs/app', 'log', (random, i) => lines(random, 800, (n) => `2026-01-01T00:00:${n % 60} INFO request ${i}-${n}`)],
  ['data', 'csv', (random) => lines(random, 1_200, (n) => `${n},${n * n},row ${n},`)],
  ['data/json', 'json', (random, i) => JSON.stringify({ i, items: Array.from({ length: 300 }, () => random()) })],
  ['images', 'bin', (random) => bytes(random, 4_096 + Math.floor(random() * 60_000))],
  ['disks', 'img', (_random, i) => new Uint8Array(64 * 1024 + i)],
  ['empty', 'keep', () => ''],
];

export const SAMPLE_FILES = 320;

/** Rejects with the signal's reason, after what is being written, when that fires. */
export async function writeSample(folder: string, signal: AbortSignal): Promise<void> {
  const random = generator(0x51c0ffee);
  for (let i = 0; i < SAMPLE_FILES; i++) {
    signal.throwIfAborted();
    const [subfolder, extension, make] = KINDS[i % KINDS.length] as Kind;
    const path = join(folder, subfolder, `${String(i).padStart(4, '0')}.${extension}`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, make(random, i));
  }
}
