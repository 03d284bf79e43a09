/** The files of a run, read again. */
import { existsSync, readFileSync } from 'node:fs';
import type { Op } from './history.ts';

/** One value for each line; nothing where there is no such file. */
export function readLines<T>(path: string): readonly T[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}

export function readOps(path: string): readonly Op[] {
  return readLines<Op>(path);
}
