/** What a copy of the hard states that had to be made anew still tells (W4). */
import { describe, expect, it } from 'vitest';
import { HARD_STATE_FILE } from '../../src/wal/hard-state-copy.ts';
import { segmentSequence } from '../../src/wal/segment.ts';
import { closed, LOG, type Machine, member, open } from './support.ts';

function segments({ disk }: Machine): string[] {
  return disk.paths().filter((path) => segmentSequence(path.slice(LOG.length + 1)) !== null);
}

function flipByte({ disk }: Machine, path: string, at: number): void {
  const bytes = Uint8Array.from(disk.bytes(path));
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  disk.replace(path, bytes);
}

describe('W4: a copy of the hard states that is made anew', () => {
  it.each([
    ['missing', (machine: Machine) => machine.disk.delete(HARD_STATE_FILE)],
    ['damaged', (machine: Machine) => flipByte(machine, HARD_STATE_FILE, 520)],
  ] as const)('%s before: still tells when the last segments are lost', async (_, spoil) => {
    const machine = await member();
    // The tables do not tell: they are behind what is left of the log.
    machine.folder.set(10, 2);
    spoil(machine);
    await closed(await open(machine));
    const before = segments(machine);
    expect(before.length).toBeGreaterThan(2);
    for (const path of before.slice(-2)) machine.disk.delete(path);
    const storage = await open(machine);
    expect(storage.recovering).toBe(true);
    await closed(storage);
  });
});
