/**
 * `async.json`: the durable word that this member may have acknowledged entries that it has not fsync'd (A2). A start that finds it
 * takes the member for one that lost a part of its log. What it says is for people: that it is there is all that counts, so
 * that one that is torn or empty says the same.
 */
import type { Disk } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';

export const ASYNC_FILE = 'async.json';
const TEXT = `${JSON.stringify({
  version: 1,
  meaning:
    'This member was permitted to acknowledge writes before its fsync (quorate permit-async). If it starts with this file here, it ' +
    'fetches everything back from the leader before it votes. Do not remove it.',
})}\n`;

export async function hasAsyncMarker(disk: Disk): Promise<boolean> {
  return (await disk.list('')).includes(ASYNC_FILE);
}

/** Durable when it resolves. */
export async function writeAsyncMarker(disk: Disk): Promise<void> {
  // Whatever is left of an earlier one serves as well, but its text may not be whole.
  await removeQuietly(disk);
  const file = await disk.open(ASYNC_FILE, { create: true });
  try {
    await file.write(0, new TextEncoder().encode(TEXT));
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.syncFolder('');
}

/** Durable when it resolves. */
export async function removeAsyncMarker(disk: Disk): Promise<void> {
  await removeQuietly(disk);
  await disk.syncFolder('');
}

async function removeQuietly(disk: Disk): Promise<void> {
  try {
    await disk.remove(ASYNC_FILE);
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'not_found') throw error;
  }
}
